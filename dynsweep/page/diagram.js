// ---- the diagram -------------------------------------------------------------------------

const SCALES = ["Viridis", "Cividis", "YlGnBu", "Greys"]; // Plotly knows these names; all read without colour vision
const RANGES = { all: "all cells", 10: "from the 10th to the 90th percentile", 25: "from the 25th to the 75th percentile" };
const PLAIN = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
const view = { x: -1, y: -1, metric: "validation_accuracy", scale: SCALES[0], range: "all", slice: [], cursor: [0, 0] };

function setUpDiagram() {
  view.x = data.start[0] ?? 0;
  view.y = data.start[1] ?? (data.axes.length > 1 && data.start.length < 1 ? 1 : -1);
  view.slice = data.axes.map(() => "");
  const known = quantities().map(([name]) => name);
  view.metric = ["validation_accuracy", "train_accuracy", ...known].find((name) => known.includes(name)) ?? Object.keys(data.shown)[0];
  byId("diagram").hidden = false;
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("plot").addEventListener("keydown", onKey);
  controls();
  draw();
}

function choice(name, label, options, value, change) {
  const field = element("label", label);
  const select = element("select", "", { name });
  for (const [key, words] of options) select.append(new Option(words, key, false, String(key) === String(value)));
  select.addEventListener("change", () => { change(select.value); controls(name); draw(); });
  field.append(select);
  byId("controls").append(field);
}

function controls(focused = "") {
  byId("controls").replaceChildren();
  const axes = data.axes.map((axis, index) => [index, axis.label]);
  choice("x", "horizontal", axes, view.x, (value) => {
    if (+value === view.y) view.y = view.x;
    view.x = +value;
  });
  if (axes.length > 1) {
    choice("y", "vertical", [[-1, "(none: a line)"], ...axes], view.y, (value) => {
      if (+value === view.x) view.x = view.y >= 0 ? view.y : axes.find(([index]) => index !== +value)[0];
      view.y = +value;
    });
  }
  choice("metric", "shows", quantities(), view.metric, (value) => { view.metric = value; });
  if (view.y >= 0) {
    choice("scale", "colours", SCALES.map((s) => [s, s]), view.scale, (value) => { view.scale = value; });
    choice("range", "colours span", Object.entries(RANGES), view.range, (value) => { view.range = value; });
  }
  data.axes.forEach((axis, index) => {
    if (index === view.x || index === view.y) return;
    const values = axis.words.map((words, place) => [place, words]);
    choice(`slice-${axis.name}`, axis.label, [["", "mean over all"], ...values], view.slice[index], (value) => {
      view.slice[index] = value;
    });
  });
  byId("controls").querySelector(`[name="${focused}"]`)?.focus();
}

// The table's cells by place in the diagram: a list for each y, of lists for each x.
function grid() {
  const height = view.y < 0 ? 1 : data.axes[view.y].values.length;
  const lines = Array.from({ length: height }, () => data.axes[view.x].values.map(() => []));
  const free = data.axes.flatMap((_, index) => (index === view.x || index === view.y || view.slice[index] === "" ? [] : [index]));
  for (let cell = 0; cell < cells.runs.length; cell++) {
    if (free.some((index) => cells.at[index][cell] !== +view.slice[index])) continue;
    lines[view.y < 0 ? 0 : cells.at[view.y][cell]][cells.at[view.x][cell]].push(cell);
  }
  if (view.y >= 0) spreadStatic(lines);
  if (view.y >= 0 && data.finer) reach(lines);
  return lines;
}

// The static loss is one cell whatever the period: it stands in its whole row or column.
function spreadStatic(lines) {
  const [across, up] = [data.axes[view.x], data.axes[view.y]];
  const row = up.name === "amplitude" && across.dynamical ? up.values.indexOf(1) : -1;
  const column = across.name === "amplitude" && up.dynamical ? across.values.indexOf(1) : -1;
  const places = row >= 0 ? across.values.map((_, x) => [x, row]) : column >= 0 ? up.values.map((_, y) => [column, y]) : [];
  const cell = places.map(([x, y]) => lines[y][x]).find((chosen) => chosen.length);
  if (cell) for (const [x, y] of places) if (!lines[y][x].length) lines[y][x] = cell;
}

// Cells of different sizes: each reaches as far as no other is nearer.
function reach(lines) {
  const unit = (axis) => (axis.values.length - 1 || 1) / (axis.places.at(-1) - axis.places[0] || 1);
  const [across, up] = [data.axes[view.x], data.axes[view.y]];
  const [x, y] = [across.places.map((at) => at * unit(across)), up.places.map((at) => at * unit(up))];
  const known = lines.flatMap((line, j) => line.flatMap((chosen, i) => (chosen.length ? [[i, j, chosen]] : [])));
  lines.forEach((line, j) => line.forEach((chosen, i) => {
    if (chosen.length || !known.length) return;
    let least = Infinity;
    for (const [p, q, cell] of known) {
      const distance = (x[i] - x[p]) ** 2 + (y[j] - y[q]) ** 2;
      if (distance < least - 1e-9) [least, line[i]] = [distance, cell];
    }
  }));
}

function describe(x, y, chosen) {
  const stats = statistics(chosen, view.metric);
  const place = [[view.x, x], [view.y, y]].filter(([index]) => index >= 0)
    .map(([index, value]) => `${data.axes[index].label}: ${data.axes[index].words[value]}`);
  const rest = data.axes.flatMap((axis, index) => (index === view.x || index === view.y ? []
    : [`${axis.label}: ${view.slice[index] === "" ? "mean over all" : axis.words[view.slice[index]]}`]));
  const bad = ["diverged", "failed"].filter((name) => stats[name]).map((name) => `${stats[name]} ${name}`);
  return [...place, ...rest, `${data.shown[view.metric]}: ${meanText(stats)}`,
    `${stats.runs} run${stats.runs === 1 ? "" : "s"}${bad.length ? `, ${bad.join(", ")}` : ""}`];
}

function layout(more) {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  const line = getComputedStyle(document.documentElement).getPropertyValue("--line");
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, ticks: "outside", automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 13 },
    margin: { l: 60, r: 10, t: 34, b: 55 }, modebar: { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: ink }, ...more,
    xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
  };
}

// Long words in lines of 20 letters: Plotly would leave them the room of the diagram, or cut them.
const wrapped = (words) => (words.match(/.{1,20}(\s|$)|.{1,20}/g) ?? []).map(escaped).join("<br>");

// A label for every number would overlap: as many as there is room for.
function ticks(axis, most) {
  const step = axis.numeric ? Math.ceil(axis.words.length / most) : 1;
  const kept = axis.words.map((_, place) => place).filter((place) => place % step === 0);
  return { tickmode: "array", tickvals: kept.map((place) => axis.places?.[place] ?? place), ticktext: kept.map((place) => wrapped(axis.words[place])), title: { text: axis.label, standoff: 12 } };
}

function draw() {
  const lines = grid();
  view.cursor = [Math.min(view.cursor[0], lines[0].length - 1), Math.min(view.cursor[1], lines.length - 1)];
  if (view.y < 0) drawLine(lines[0]);
  else drawMap(lines);
  byId("plot").removeAllListeners?.("plotly_click");
  byId("plot").on("plotly_click", ({ points }) => {
    const point = points[0];
    view.cursor = view.y < 0 ? [point.customdata, 0] : [placeOf(data.axes[view.x], point.x), placeOf(data.axes[view.y], point.y)];
    open(lines);
  });
  mark(lines);
}

const placeOf = (axis, at) => Math.max(0, axis.edges.findLastIndex((edge, place) => edge <= at && place < axis.places.length));

// Values with the first and the last colour; those beyond look the same.
function span(values) {
  const ordered = Float64Array.from(values).sort();
  const part = view.range === "all" ? 0 : Number(view.range) / 100;
  const at = (fraction) => ordered[Math.round(fraction * (ordered.length - 1))] ?? 0;
  const [low, high] = [at(part), at(1 - part)];
  return low < high ? [low, high] : [low - 0.01, low + 0.01];
}

function drawMap(lines) {
  const gain = view.metric.startsWith("gain_");
  const z = lines.map((line) => line.map((chosen) => statistics(chosen, view.metric).mean));
  const text = lines.map((line, y) => line.map((chosen, x) => describe(x, y, chosen).map(escaped).join("<br>")));
  const [low, high] = span(z.flat().filter((value) => value !== null));
  const bound = Math.max(Math.abs(low), Math.abs(high), 1e-9); // no gain is the middle of the colours
  const most = Math.max(4, Math.floor(byId("plot").clientWidth / 55));
  const gap = !data.finer && Math.max(lines.length, lines[0].length) <= 30 ? 1 : 0; // between small cells it would be all that one sees
  Plotly.react("plot", [{
    type: "heatmap", x: data.axes[view.x].edges, y: data.axes[view.y].edges, z, text, hovertemplate: "%{text}<extra></extra>", xgap: gap, ygap: gap,
    colorscale: gain ? "RdBu" : view.scale, reversescale: false,
    zmin: gain ? -bound : low, zmax: gain ? bound : high, hoverongaps: true,
    colorbar: { title: { text: data.shown[view.metric], side: "right" }, thickness: 14 },
  }], layout({
    xaxis: { ...ticks(data.axes[view.x], most), showgrid: false, constrain: "domain" },
    yaxis: { ...ticks(data.axes[view.y], 20), showgrid: false },
  }), PLAIN);
}

function drawLine(lines) {
  const axis = data.axes[view.x];
  const places = lines.map((_, place) => place).filter((place) => lines[place].length);
  const stats = places.map((place) => statistics(lines[place], view.metric));
  const numbers = axis.numeric && axis.values.every((value) => value !== null);
  Plotly.react("plot", [{
    type: "scatter", mode: "lines+markers", customdata: places,
    x: places.map((place) => (numbers ? axis.values[place] : axis.words[place])),
    y: stats.map(({ mean }) => mean),
    error_y: { type: "data", array: stats.map(({ error }) => error ?? 0), thickness: 1.2 },
    text: places.map((place) => describe(place, -1, lines[place]).map(escaped).join("<br>")),
    hovertemplate: "%{text}<extra></extra>", line: { color: "#0072B2" }, marker: { size: 8 },
  }], layout({
    xaxis: {
      title: { text: axis.label, standoff: 12 }, type: numbers ? (axis.log ? "log" : "linear") : "category",
      // Ticks at the values, unless they are so many that they would overlap.
      ...(!numbers || axis.values.length <= 12
        ? { tickmode: "array", tickvals: numbers ? axis.values : axis.words, ticktext: axis.words.map(wrapped) } : {}),
    },
    yaxis: { title: { text: data.shown[view.metric], standoff: 14 } },
  }), PLAIN);
}

function mark(lines) {
  const [x, y] = view.cursor;
  byId("said").textContent = describe(x, y, lines[y][x]).join("; ");
  if (view.y < 0) return;
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  const [across, up] = [data.axes[view.x].edges, data.axes[view.y].edges];
  const box = { type: "rect", x0: across[x], x1: across[x + 1], y0: up[y], y1: up[y + 1], line: { color: ink, width: 3 } };
  Plotly.relayout("plot", { shapes: [box] });
}

function onKey(event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const lines = grid();
  if (moves[event.key]) {
    const limits = [lines[0].length - 1, lines.length - 1];
    view.cursor = view.cursor.map((at, i) => Math.max(0, Math.min(limits[i], at + moves[event.key][i])));
    mark(lines);
  } else if (event.key === "Enter" || event.key === " ") open(lines);
  else if (event.key === "Escape") closePanel();
  else return;
  event.preventDefault();
}
