// ---- parallel coordinates: every run a line through all its settings -----------------------

const LEAST_PARALLEL = 3; // varied settings; two are a diagram already
const TICK_GAP = 0.05; // of an axis, between labels
let brushed = null; // rows inside all brushes; null without a brush

const hasParallel = () => data.axes.length >= LEAST_PARALLEL;

function setUpParallel() {
  if (!hasParallel()) return;
  byId("parallel").hidden = false;
  byId("unbrush").addEventListener("click", () => drawParallel());
  byId("controls").addEventListener("change", ({ target }) => {
    if (target.name === "scale") Plotly.restyle("lines", { "line.colorscale": view.scale });
  });
  drawParallel();
}

// Where the values of a setting stand: numbers to scale, words and a mix one apart; none below all.
function heights(axis) {
  const known = axis.values.filter((value) => value !== null);
  const numbers = known.length > 0 && known.every((value) => typeof value === "number");
  const at = known.map((value, place) => (!numbers ? place : axis.log ? Math.log10(value) : value));
  const reach = at.length > 1 ? Math.max(...at) - Math.min(...at) : 1;
  return axis.values.map((value, place) => (value === null ? Math.min(...at) - 0.12 * reach : at[place]));
}

function settingDimension(axis, index, drawn) {
  const at = heights(axis);
  const [low, high] = [Math.min(...at), Math.max(...at)];
  const kept = [];
  for (const place of at.keys()) {
    if (kept.every((other) => Math.abs(at[other] - at[place]) >= TICK_GAP * (high - low))) kept.push(place);
  }
  return {
    label: escaped(axis.label).replace(" (", "<br>("), values: drawn.map((row) => at[place(index, row)]), range: [low, high],
    tickvals: kept.map((one) => at[one]), ticktext: kept.map((one) => axis.words[one]),
  };
}

function drawParallel() {
  const accuracies = ["train_accuracy", "validation_accuracy"];
  const drawn = [...Array(size).keys()].filter((row) => accuracies.every((name) => rows[name][row] !== null));
  const outcomes = accuracies.map((name) => ({ label: data.shown[name], values: drawn.map((row) => rows[name][row]) }));
  const dimensions = [...data.axes.map((axis, index) => settingDimension(axis, index, drawn)), ...outcomes];
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  const plot = byId("lines");
  plot.style.minWidth = `${140 * dimensions.length}px`; // a narrow window scrolls
  Plotly.newPlot(plot, [{
    type: "parcoords", dimensions, labelfont: { size: 13 }, tickfont: { size: 12 }, unselected: { line: { opacity: 0.04 } },
    line: { color: outcomes[1].values, colorscale: view.scale, showscale: true, colorbar: { thickness: 14, title: { text: data.shown.validation_accuracy, side: "right" } } },
  }], {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 13 },
    margin: { l: 70, r: 10, t: 75, b: 20 },
  }, { displaylogo: false, displayModeBar: false, responsive: true });
  plot.on("plotly_restyle", () => brush(drawn));
  brush(drawn);
}

// Plotly keeps of each axis none, one, or several ranges: a row is in if it is inside one of each.
function brush(drawn) {
  const limits = byId("lines").data[0].dimensions.flatMap(({ values, constraintrange: range }) => (
    range?.length ? [{ values, ranges: Array.isArray(range[0]) ? range : [range] }] : []));
  const inside = drawn.filter((_, at) => limits.every(({ values, ranges }) => ranges.some(([low, high]) => values[at] >= low && values[at] <= high)));
  const what = data.runs ? "runs" : "cells";
  const without = size - drawn.length;
  brushed = limits.length ? new Set(inside) : null;
  byId("unbrush").disabled = !brushed;
  byId("brushed").textContent = (brushed ? `${inside.length.toLocaleString("en")} of ${drawn.length.toLocaleString("en")} ${what} inside the brushes, in the table below too.`
    : "Drag along an axis to keep only the lines that pass there; the filter of the table below selects without a mouse.")
    + (without ? ` ${without.toLocaleString("en")} ${what} without an accuracy have no line.` : "");
  byId("filter").dispatchEvent(new Event("input"));
}
