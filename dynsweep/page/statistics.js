"use strict";
// ---- the payload: numbers and words -----------------------------------------------------

let data, cells, rows, size; // the payload; statistics by cell; rows of the table, and how many
const byId = (id) => document.getElementById(id);

function unpack(payload) {
  data = payload;
  cells = data.cells;
  // Of very many runs the payload has the cells alone: then these are the rows of the table.
  const status = (runs, at) => (cells.failed[at] === runs ? 2 : Number(cells.failed[at] + cells.diverged[at] === runs));
  const means = Object.fromEntries(Object.keys(data.shown).map((name) => [name, cells.of[name].mean]));
  rows = data.runs || { ...means, cell: cells.runs.map((_, at) => at), runs: cells.runs, status: cells.runs.map(status) };
  size = rows.status.length;
}

// What has a value anywhere: name and words.
const quantities = () => Object.entries(data.shown).filter(([name]) => cells.of[name].count.some((count) => count > 0));

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

const escaped = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);

// Mean and standard error of a quantity, and how many runs. A cell's own are those of its table.
// Several cells, where a setting is averaged over, are pooled here: any setting can be chosen for
// that, or be an axis, which are too many tables to be written into the page.
function statistics(chosen, metric) {
  const { mean, error, count } = cells.of[metric];
  const held = chosen.filter((cell) => count[cell] > 0);
  const counts = Object.fromEntries(["runs", "diverged", "failed"].map((name) => [name, sum(chosen, (cell) => cells[name][cell])]));
  if (held.length < 2) return { mean: held.length ? mean[held[0]] : null, error: held.length ? error[held[0]] : null, ...counts };
  const n = sum(held, (cell) => count[cell]);
  const pooled = sum(held, (cell) => count[cell] * mean[cell]) / n;
  const within = sum(held, (cell) => count[cell] * (count[cell] - 1) * (error[cell] ?? 0) ** 2);
  const between = sum(held, (cell) => count[cell] * (mean[cell] - pooled) ** 2);
  return { mean: pooled, error: Math.sqrt((within + between) / (n - 1) / n), ...counts };
}

function meanText({ mean, error }) {
  if (mean === null) return "none";
  return error === null ? shown(mean) : `${shown(mean)} ± ${shown(error, 2)}`;
}
