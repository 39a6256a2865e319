// ---- sweeps beside each other, and their difference ---------------------------------------

const compared = { metric: "validation_accuracy", reference: 0, other: 1, x: -1, y: -1, slice: [] };

function setUpComparison() {
  const all = data.comparison;
  if (!all) return;
  byId("comparison").hidden = false;
  for (const { label, apart, runs } of all.sweeps) {
    byId("sweeps").append(element("li", `${label}: ${apart ? `${apart}; ` : ""}${runs.toLocaleString("en")} runs`));
  }
  const free = all.axes.map((_, index) => index).filter((index) => !all.start.includes(index));
  [compared.x, compared.y] = [...all.start, ...free, -1, -1];
  compared.slice = all.axes.map(() => "");
  byId("compared").addEventListener("submit", (event) => event.preventDefault());
  const choose = (name, label, options, change) => {
    const field = element("label", label);
    const select = element("select", "", { name });
    for (const [key, words] of options) select.append(new Option(words, key));
    select.addEventListener("change", () => { change(select.value); drawComparison(); });
    field.append(select);
    byId("compared").append(field);
    return select;
  };
  const held = Object.entries(data.shown).filter(([name]) => all.of[name]?.count.some((count) => count > 0));
  choose("compared-metric", "shows", held, (value) => { compared.metric = value; }).value = compared.metric;
  if (all.sweeps.length > 2) {
    const sweeps = all.sweeps.map(({ label }, index) => [index, label]);
    choose("reference", "reference", sweeps, (value) => { compared.reference = +value; });
    choose("other", "compared with it", sweeps, (value) => { compared.other = +value; }).value = 1;
  }
  all.axes.forEach((axis, index) => {
    if (index === compared.x || index === compared.y) return;
    const values = axis.words.map((words, place) => [place, words]);
    choose(`compared-${axis.name}`, axis.label, [["", "mean over all"], ...values], (value) => { compared.slice[index] = value; });
  });
  byId("controls").addEventListener("change", ({ target }) => { if (target.name === "scale") drawComparison(); });
  drawComparison();
}

// Rows of a sweep by the places of all their settings.
function keyed(sweep) {
  const { at } = data.comparison;
  return new Map(data.comparison.sweep.flatMap((one, row) => (one === sweep ? [[at.map((places) => places[row]).join(), row]] : [])));
}

// By place in the diagram, the mean over cells of some values with errors and numbers of seeds.
function matrix(entries) {
  const { axes, at } = data.comparison;
  const length = (index) => (index < 0 ? 1 : axes[index].values.length);
  const lines = Array.from({ length: length(compared.y) }, () => Array.from({ length: length(compared.x) }, () => []));
  for (const { row, ...entry } of entries) {
    if (entry.value === null || axes.some((_, i) => i !== compared.x && i !== compared.y && compared.slice[i] !== "" && at[i][row] !== +compared.slice[i])) continue;
    lines[compared.y < 0 ? 0 : at[compared.y][row]][compared.x < 0 ? 0 : at[compared.x][row]].push(entry);
  }
  return lines.map((line) => line.map((held) => {
    if (!held.length) return null;
    const known = held.every(({ error }) => error !== null);
    return {
      value: sum(held, ({ value }) => value) / held.length,
      error: known ? Math.sqrt(sum(held, ({ error }) => error ** 2)) / held.length : null,
      seeds: held[0].seeds.map((_, i) => sum(held, ({ seeds }) => seeds[i])), cells: held.length,
    };
  }));
}

function drawComparison() {
  const all = data.comparison;
  const { mean, error, count } = all.of[compared.metric];
  const pair = [compared.reference, compared.other];
  const names = pair.map((sweep) => all.sweeps[sweep].label);
  const keys = pair.map(keyed);
  const own = keys.map((rowsOf) => matrix([...rowsOf.values()].map((row) => ({ row, value: mean[row], error: error[row], seeds: [count[row]] }))));
  const both = [...keys[0]].filter(([key]) => keys[1].has(key)).map(([key, a]) => [a, keys[1].get(key)]);
  // Seeds of the two sweeps are taken as independent: the squares of their errors add up.
  const differences = matrix(both.map(([a, b]) => ({
    row: a, seeds: [count[a], count[b]], value: mean[a] === null || mean[b] === null ? null : mean[b] - mean[a],
    error: error[a] === null || error[b] === null ? null : Math.hypot(error[a], error[b]),
  })));
  byId("overlap").textContent = overlap(pair, keys, both.length, names);
  const known = own.flat(2).filter(Boolean);
  const seen = known.length ? known.map(({ value }) => value) : [0];
  const bound = Math.max(0.001, ...differences.flat().filter(Boolean).map(({ value }) => Math.abs(value)));
  const gain = compared.metric.startsWith("gain_");
  const largest = Math.max(1e-9, ...seen.map(Math.abs));
  const colours = gain ? { colorscale: "RdBu", zmin: -largest, zmax: largest } : { colorscale: view.scale, zmin: Math.min(...seen), zmax: Math.max(...seen) };
  const titles = [`${names[0]} (reference)`, names[1], `Difference: ${names[1]} minus ${names[0]}`];
  const shownNow = both.length ? [...own, differences] : own;
  byId("side").replaceChildren(...shownNow.map((lines, index) => {
    const box = element("div");
    const plot = element("div", "", { class: "map", "data-compared": ["reference", "other", "difference"][index] });
    box.append(element("h3", titles[index]), plot);
    box.plot = () => drawCompared(plot, lines, index === 2 ? { colorscale: "RdBu", zmin: -bound, zmax: bound } : { ...colours, range: padded(known) }, index === 2);
    return box;
  }));
  for (const box of byId("side").children) box.plot();
}

function overlap(pair, keys, both, names) {
  const apart = data.comparison.axes.flatMap((axis, index) => {
    const held = pair.map((sweep) => new Set(data.comparison.at[index].filter((_, row) => data.comparison.sweep[row] === sweep)));
    if ([...held[0]].some((value) => held[1].has(value))) return [];
    return [`${axis.label} is ${held.map((set, i) => `${[...set].sort((a, b) => a - b).map((value) => axis.words[value]).join(", ")} in ${names[i]}`).join(" and ")}`];
  });
  if (!both) return `No cell has equal settings in both sweeps${apart.length ? `: ${apart.join("; ")}` : ""}.`;
  const all = keys.map((rowsOf) => rowsOf.size);
  const but = pair.some((sweep) => data.comparison.sweeps[sweep].apart) ? ", but for what is listed above" : "";
  if (all.every((n) => n === both)) return `All cells (${both}) have equal settings in both sweeps${but}.`;
  return `Cells with equal settings in both sweeps${but}: ${both}, of ${all[0]} in ${names[0]} and ${all[1]} in ${names[1]}; the others have no difference.`;
}

function drawCompared(plot, lines, { range, ...colours }, difference) {
  const { axes } = data.comparison;
  const [x, y] = [axes[compared.x], axes[compared.y]];
  const words = (cell, column, line) => [
    ...(x ? [`${x.label}: ${x.words[column]}`] : []), ...(y ? [`${y.label}: ${y.words[line]}`] : []),
    cell ? `${difference ? "difference in " : ""}${data.shown[compared.metric]}: ${meanText({ mean: cell.value, error: cell.error })}` : "none",
    ...(cell ? [`seeds: ${cell.seeds.join(" and ")}${cell.cells > 1 ? `, in ${cell.cells} cells` : ""}`] : []),
  ].map(escaped).join("<br>");
  const text = lines.map((line, row) => line.map((cell, column) => words(cell, column, row)));
  const most = Math.max(3, Math.floor(plot.clientWidth / 70));
  const title = difference ? "difference" : data.shown[compared.metric];
  if (y) {
    Plotly.newPlot(plot, [{
      type: "heatmap", z: lines.map((line) => line.map((cell) => cell?.value ?? null)), text, hoverongaps: true,
      hovertemplate: "%{text}<extra></extra>", colorbar: { thickness: 12, title: { text: title, side: "right" } }, ...colours,
    }], layout({ margin: { l: 50, r: 5, t: 8, b: 45 }, 
      xaxis: { ...ticks(x, most), range: whole(x), showgrid: false, zeroline: false },
      yaxis: { ...ticks(y, 12), range: whole(y), showgrid: false, zeroline: false },
    }), { ...PLAIN, displayModeBar: false });
    return;
  }
  const cells = lines[0];
  Plotly.newPlot(plot, [{
    type: "scatter", mode: "lines+markers", x: x ? x.words : ["all"], y: cells.map((cell) => cell?.value ?? null), text: text[0],
    error_y: { type: "data", array: cells.map((cell) => cell?.error ?? 0) }, hovertemplate: "%{text}<extra></extra>",
    line: { color: "#0072B2" }, marker: { size: 8 },
  }], layout({
    margin: { l: 60, r: 5, t: 8, b: 45 }, xaxis: { type: "category", ...(x && { range: whole(x) }), ...(x ? { title: { text: x.label } } : {}) },
    yaxis: { title: { text: title }, ...(difference ? { rangemode: "tozero", zeroline: true, zerolinewidth: 2 } : { range }) },
  }), { ...PLAIN, displayModeBar: false });
}

// The same axes for all sweeps, also where one has nothing.
const whole = (axis) => [-0.5, axis.values.length - 0.5];

// A vertical axis that has room for all values with their errors.
function padded(known) {
  if (!known.length) return [0, 1];
  const low = Math.min(...known.map(({ value, error }) => value - (error ?? 0)));
  const high = Math.max(...known.map(({ value, error }) => value + (error ?? 0)));
  const room = 0.08 * (high - low) || 0.05;
  return [low - room, high + room];
}
