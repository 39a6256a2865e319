"use strict";
// Plotly draws; what is here asks the data for it, and fills the panel and the table.

const SCALES = ["Viridis", "Cividis", "Inferno", "Greys"]; // all read without colour vision
const PAGE = 50;
const RANGES = { all: "all cells", 10: "from the 10th to the 90th percentile", 25: "from the 25th to the 75th percentile" };
const PLAIN = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
const byId = (id) => document.getElementById(id);
let data, rows, size; // the payload, its columns, their length
const view = { x: -1, y: -1, metric: "validation_accuracy", scale: SCALES[0], range: "all", slice: [], cursor: [0, 0] };

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpacked("packed-plotly");
  document.head.append(script);
  data = JSON.parse(await unpacked("packed-data"));
  rows = data.rows;
  size = rows.status.length;
  setUpTheme();
  setUpCopying();
  if (data.axes.length) setUpDiagram();
  setUpFailures();
  setUpTable();
  byId("loading").remove();
}

// ---- numbers and words -------------------------------------------------------------------

function shown(value, digits = 4) {
  if (value === null || value === undefined) return "none";
  return typeof value === "number" ? String(+value.toPrecision(digits)) : String(value);
}

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Mean, standard error and counts over some rows; null where there is no value.
function statistics(chosen, metric) {
  const values = chosen.map((row) => rows[metric][row]).filter((value) => value !== null);
  const count = values.length;
  const mean = count ? values.reduce((sum, value) => sum + value, 0) / count : null;
  let error = null;
  if (count > 1) {
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    error = Math.sqrt(squares / (count - 1) / count);
  } else if (!data.whole && rows.error[metric] && chosen.length === 1) {
    error = rows.error[metric][chosen[0]];
  }
  const seeds = data.whole ? chosen.length : chosen.reduce((sum, row) => sum + rows.runs[row], 0);
  const status = (code) => chosen.filter((row) => rows.status[row] === code).length;
  return { mean, error, seeds, diverged: status(1), failed: status(2) };
}

function meanText({ mean, error }) {
  if (mean === null) return "none";
  return error === null ? shown(mean) : `${shown(mean)} ± ${shown(error, 2)}`;
}

// ---- the diagram -------------------------------------------------------------------------

function setUpDiagram() {
  view.x = data.start[0] ?? 0;
  view.y = data.start[1] ?? (data.axes.length > 1 && data.start.length < 1 ? 1 : -1);
  view.slice = data.axes.map(() => "");
  const first = ["validation_accuracy", "train_accuracy"].find((m) => rows[m].some((v) => v !== null));
  view.metric = first || Object.keys(data.shown)[0];
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
  const metrics = Object.entries(data.shown).filter(([name]) => rows[name].some((v) => v !== null));
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
  choice("metric", "shows", metrics, view.metric, (value) => { view.metric = value; });
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

// Rows by cell of the diagram: a list for each y, of lists for each x.
function cells() {
  const at = rows.at;
  const height = view.y < 0 ? 1 : data.axes[view.y].values.length;
  const found = Array.from({ length: height }, () => data.axes[view.x].values.map(() => []));
  for (let row = 0; row < size; row++) {
    const outside = data.axes.some((axis, index) => index !== view.x && index !== view.y
      && view.slice[index] !== "" && at[index][row] !== +view.slice[index]);
    if (!outside) found[view.y < 0 ? 0 : at[view.y][row]][at[view.x][row]].push(row);
  }
  return found;
}

function told(x, y, chosen) {
  const stats = statistics(chosen, view.metric);
  const place = [[view.x, x], [view.y, y]].filter(([index]) => index >= 0)
    .map(([index, value]) => `${data.axes[index].label}: ${data.axes[index].words[value]}`);
  const rest = data.axes.flatMap((axis, index) => (index === view.x || index === view.y ? []
    : [`${axis.label}: ${view.slice[index] === "" ? "mean over all" : axis.words[view.slice[index]]}`]));
  const bad = ["diverged", "failed"].filter((name) => stats[name]).map((name) => `${stats[name]} ${name}`);
  return [...place, ...rest, `${data.shown[view.metric]}: ${meanText(stats)}`,
    `${stats.seeds} run${stats.seeds === 1 ? "" : "s"}${bad.length ? `, ${bad.join(", ")}` : ""}`];
}

const escaped = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

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

// A label for every value would overlap: as many as there is room for.
function ticks(axis, most) {
  const step = Math.ceil(axis.words.length / most);
  const kept = axis.words.map((_, place) => place).filter((place) => place % step === 0);
  return { tickmode: "array", tickvals: kept, ticktext: kept.map((place) => axis.words[place]), title: { text: axis.label, standoff: 12 } };
}

function draw() {
  const found = cells();
  view.cursor = [Math.min(view.cursor[0], found[0].length - 1), Math.min(view.cursor[1], found.length - 1)];
  if (view.y < 0) drawLine(found[0]);
  else drawMap(found);
  byId("plot").removeAllListeners?.("plotly_click");
  byId("plot").on("plotly_click", ({ points }) => {
    const point = points[0];
    view.cursor = view.y < 0 ? [point.customdata, 0] : [point.x, point.y];
    open(found);
  });
  mark(found);
}

// Values with the first and the last colour; those beyond look the same.
function span(values) {
  const ordered = Float64Array.from(values).sort();
  const part = view.range === "all" ? 0 : Number(view.range) / 100;
  const at = (share) => ordered[Math.round(share * (ordered.length - 1))] ?? 0;
  return [at(part), at(1 - part)];
}

function drawMap(found) {
  const gain = view.metric.startsWith("gain_");
  const z = found.map((line) => line.map((chosen) => statistics(chosen, view.metric).mean));
  const text = found.map((line, y) => line.map((chosen, x) => told(x, y, chosen).map(escaped).join("<br>")));
  const [low, high] = span(z.flat().filter((value) => value !== null));
  const bound = Math.max(Math.abs(low), Math.abs(high), 1e-9); // no gain is the middle of the colours
  const most = Math.max(4, Math.floor(byId("plot").clientWidth / 55));
  Plotly.react("plot", [{
    type: "heatmap", z, text, hovertemplate: "%{text}<extra></extra>", xgap: 1, ygap: 1,
    colorscale: gain ? "RdBu" : view.scale, reversescale: false,
    zmin: gain ? -bound : low, zmax: gain ? bound : high, hoverongaps: true,
    colorbar: { title: { text: data.shown[view.metric], side: "right" }, thickness: 14 },
  }], layout({
    xaxis: { ...ticks(data.axes[view.x], most), showgrid: false, constrain: "domain" },
    yaxis: { ...ticks(data.axes[view.y], 20), showgrid: false },
  }), PLAIN);
}

function drawLine(found) {
  const axis = data.axes[view.x];
  const places = found.map((_, place) => place).filter((place) => found[place].length);
  const stats = places.map((place) => statistics(found[place], view.metric));
  const numbers = axis.numeric && axis.values.every((value) => value !== null);
  Plotly.react("plot", [{
    type: "scatter", mode: "lines+markers", customdata: places,
    x: places.map((place) => (numbers ? axis.values[place] : axis.words[place])),
    y: stats.map(({ mean }) => mean),
    error_y: { type: "data", array: stats.map(({ error }) => error ?? 0), thickness: 1.2 },
    text: places.map((place) => told(place, -1, found[place]).map(escaped).join("<br>")),
    hovertemplate: "%{text}<extra></extra>", line: { color: "#0072B2" }, marker: { size: 8 },
  }], layout({
    xaxis: {
      title: { text: axis.label, standoff: 12 }, type: numbers ? (axis.log ? "log" : "linear") : "category",
      // Ticks at the values, unless they are so many that they would overlap.
      ...(numbers && axis.values.length <= 12 ? { tickmode: "array", tickvals: axis.values, ticktext: axis.words } : {}),
    },
    yaxis: { title: { text: data.shown[view.metric], standoff: 14 } },
  }), PLAIN);
}

// ---- the chosen cell ---------------------------------------------------------------------

function mark(found) {
  const [x, y] = view.cursor;
  byId("said").textContent = told(x, y, found[y][x]).join("; ");
  if (view.y < 0) return;
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  const box = { type: "rect", x0: x - 0.5, x1: x + 0.5, y0: y - 0.5, y1: y + 0.5, line: { color: ink, width: 3 } };
  Plotly.relayout("plot", { shapes: [box] });
}

function onKey(event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const found = cells();
  if (moves[event.key]) {
    const limits = [found[0].length - 1, found.length - 1];
    view.cursor = view.cursor.map((at, i) => Math.max(0, Math.min(limits[i], at + moves[event.key][i])));
    mark(found);
  } else if (event.key === "Enter" || event.key === " ") open(found);
  else if (event.key === "Escape") closePanel();
  else return;
  event.preventDefault();
}

function closePanel() {
  byId("panel").hidden = true;
  byId("plot").focus();
  Plotly.Plots.resize("plot");
}

function open(found) {
  mark(found);
  const [x, y] = view.cursor;
  const chosen = found[y][x];
  const panel = byId("panel");
  const title = element("h3", told(x, y, chosen).slice(0, data.axes.length).join(", "));
  const close = element("button", "×", { type: "button", "aria-label": "close" });
  close.addEventListener("click", closePanel);
  title.append(close);
  panel.replaceChildren(title);
  panel.hidden = false;
  if (!chosen.length) panel.append(element("p", "Nothing was run here."));
  else fill(panel, chosen);
  panel.onkeydown = (event) => { if (event.key === "Escape") closePanel(); };
  panel.focus({ preventScroll: true });
  Plotly.Plots.resize("plot");
}

function fill(panel, chosen) {
  const table = element("table");
  for (const [name, words] of Object.entries(data.shown)) {
    const line = element("tr");
    line.append(element("td", words), element("td", meanText(statistics(chosen, name))));
    if (rows[name].some((value) => value !== null)) table.append(line);
  }
  const stats = statistics(chosen, view.metric);
  panel.append(table, element("p", `${stats.seeds} runs, ${stats.diverged} diverged, ${stats.failed} failed`));
  if (data.whole) {
    const values = chosen.map((row) => `${rows.seed[row]}: ${shown(rows[view.metric][row])}`);
    const most = 40;
    const list = values.slice(0, most).join(", ") + (values.length > most ? ", …" : "");
    panel.append(element("p", `${data.shown[view.metric]} by seed: ${list}`));
  }
  picture(panel, chosen);
  trajectory(panel, chosen);
  if (data.whole) panel.append(command(chosen));
}

function picture(panel, chosen) {
  const place = data.sprite ? data.sprite.rows.findIndex((row) => chosen.includes(row)) : -1;
  if (place < 0) return;
  const { image, tile, columns, rows: known } = data.sprite;
  const factor = 216 / tile;
  const box = element("div", "", { class: "tile", role: "img", "aria-label": "decision regions" });
  box.style.backgroundImage = `url(${image})`;
  box.style.backgroundSize = `${columns * tile * factor}px auto`;
  box.style.backgroundPosition = `${-(place % columns) * tile * factor}px ${-Math.floor(place / columns) * tile * factor}px`;
  const figure = element("figure");
  figure.append(box, element("figcaption", `decision regions, seed ${rows.seed[known[place]]}`));
  panel.append(figure);
}

function trajectory(panel, chosen) {
  const row = data.trajectories ? chosen.find((one) => data.trajectories[one]) : undefined;
  if (row === undefined) return;
  const columns = data.trajectories[row];
  const wanted = columns[view.metric] ? view.metric : Object.keys(columns)[0];
  const place = element("div", "", { id: "trajectory" });
  panel.append(place);
  const words = data.shown[wanted] || wanted;
  Plotly.newPlot(place, [{ x: columns[wanted][0], y: columns[wanted][1], line: { color: "#0072B2" } }], layout({
    margin: { l: 50, r: 8, t: 26, b: 40 }, title: { text: `${words}, seed ${rows.seed[row]}`, font: { size: 13 } },
    xaxis: { title: { text: "step" } }, yaxis: {},
  }), { ...PLAIN, displayModeBar: false });
}

// The overrides of the cell's first run, with all seeds of the cell.
function command(chosen) {
  const seeds = [...new Set(chosen.map((row) => rows.seed[row]))];
  const kept = rows.command[chosen[0]].map((token) => data.tokens[token]);
  const words = kept.map((word) => (word.startsWith("seed=") ? `seed=${seeds.join(",")}` : word));
  const multirun = seeds.length > 1 && words.some((word) => word.startsWith("seed=")) ? ["-m"] : [];
  const box = element("div", "", { class: "command" });
  box.append(element("code", ["dynsweep", ...multirun, ...words].join(" ")));
  box.append(element("button", "Copy", { type: "button", "data-copy": "" }));
  return box;
}

function setUpCopying() {
  document.addEventListener("click", async (event) => {
    if (!(event.target instanceof HTMLElement) || event.target.dataset.copy === undefined) return;
    const code = event.target.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      event.target.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // a page from disk may not write: it is selected
      event.target.textContent = "Selected";
    }
  });
}

// ---- failures, and the table -------------------------------------------------------------

function places(row) {
  const words = data.axes.map((axis, index) => `${axis.label} ${axis.words[rows.at[index][row]]}`);
  return [...words, ...(data.whole ? [`seed ${rows.seed[row]}`] : [])].join(", ");
}

function setUpFailures() {
  const bad = rows.status.flatMap((status, row) => (status ? [row] : []));
  if (!bad.length) return;
  byId("failures").hidden = false;
  const list = byId("failures").querySelector("ul");
  for (const row of bad.slice(0, 200)) {
    const error = data.errors[row] ? `: ${data.errors[row]}` : "";
    list.append(element("li", `${data.statuses[rows.status[row]]}: ${places(row)}${error}`));
  }
  if (bad.length > 200) list.append(element("li", `${bad.length - 200} more in the table below`));
}

function setUpTable() {
  const columns = [
    ...data.axes.map((axis, index) => ({
      name: axis.name, of: (row) => axis.values[rows.at[index][row]], text: (row) => axis.words[rows.at[index][row]],
    })),
    ...(data.whole ? [{ name: "seed", of: (row) => rows.seed[row] }] : [{ name: "runs", of: (row) => rows.runs[row] }]),
    { name: "status", of: (row) => data.statuses[rows.status[row]] },
    ...Object.keys(data.shown).filter((name) => rows[name].some((value) => value !== null))
      .map((name) => ({ name, of: (row) => rows[name][row] })),
  ];
  const state = { column: null, down: false, page: 0, order: [] };
  byId("runs").hidden = false;
  const head = byId("runs").querySelector("thead tr");
  for (const column of columns) {
    const cell = element("th", "", { scope: "col", "aria-sort": "none" });
    const button = element("button", column.name.replaceAll("_", " "), { type: "button" });
    button.addEventListener("click", () => {
      state.down = state.column === column && !state.down;
      state.column = column;
      for (const other of head.children) other.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      refresh();
    });
    cell.append(button);
    head.append(cell);
  }
  const refresh = () => { state.order = sorted(matching(columns), state); state.page = 0; show(columns, state); };
  byId("filter").addEventListener("input", refresh);
  byId("previous").addEventListener("click", () => { state.page -= 1; show(columns, state); });
  byId("next").addEventListener("click", () => { state.page += 1; show(columns, state); });
  refresh();
}

// Words of the filter are conditions, such as amplitude>10, or text that some column contains.
function matching(columns) {
  const words = byId("filter").value.trim().split(/\s+/).filter(Boolean);
  const tests = words.map((word) => {
    const [, name, sign, value] = word.match(/^([\w.]+)(<=|>=|!=|=|<|>)(.*)$/) || [];
    const column = columns.find((one) => one.name === name);
    if (!column) return (row) => columns.some((one) => String((one.text || one.of)(row)).includes(word));
    const number = value === "" ? NaN : Number(value);
    return (row) => {
      const held = column.of(row);
      if (sign === "=" || sign === "!=") {
        const same = Number.isNaN(number) ? String(held) === value : held === number;
        return same === (sign === "=");
      }
      if (typeof held !== "number" || Number.isNaN(number)) return false;
      return { "<": held < number, ">": held > number, "<=": held <= number, ">=": held >= number }[sign];
    };
  });
  return [...Array(size).keys()].filter((row) => tests.every((test) => test(row)));
}

function sorted(chosen, { column, down }) {
  if (!column) return chosen;
  const key = new Map(chosen.map((row) => [row, column.of(row)]));
  const sign = down ? -1 : 1;
  return chosen.sort((a, b) => {
    const [one, other] = [key.get(a), key.get(b)];
    if (one === other) return a - b;
    if (one === null || other === null) return one === null ? 1 : -1; // what is missing comes last
    return (one < other ? -1 : 1) * sign;
  });
}

function show(columns, state) {
  const pages = Math.max(1, Math.ceil(state.order.length / PAGE));
  const start = state.page * PAGE;
  const body = byId("runs").querySelector("tbody");
  body.replaceChildren(...state.order.slice(start, start + PAGE).map((row) => {
    const line = element("tr");
    for (const column of columns) line.append(element("td", column.text ? column.text(row) : shown(column.of(row))));
    return line;
  }));
  byId("found").textContent = `${state.order.length.toLocaleString("en")} of ${size.toLocaleString("en")} ${data.whole ? "runs" : "cells"}`;
  byId("page").textContent = `page ${state.page + 1} of ${pages}`;
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page >= pages - 1;
}

// ---- dark and light ----------------------------------------------------------------------

function setUpTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => { if (data.axes.length) draw(); };
  system.addEventListener("change", redraw);
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
    root.dataset.theme = dark ? "light" : "dark";
    redraw();
  });
}

start();
