// ---- the chosen cell ---------------------------------------------------------------------

function closePanel() {
  byId("panel").hidden = true;
  byId("plot").focus();
  Plotly.Plots.resize("plot");
}

function open(lines) {
  mark(lines);
  const [x, y] = view.cursor;
  const chosen = lines[y][x];
  const panel = byId("panel");
  const title = element("h3", describe(x, y, chosen).slice(0, data.axes.length).join(", "));
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
  for (const [name, words] of quantities()) {
    const line = element("tr");
    line.append(element("td", words), element("td", meanText(statistics(chosen, name))));
    table.append(line);
  }
  const { runs, diverged, failed } = statistics(chosen, view.metric);
  panel.append(table, element("p", `${runs} runs, ${diverged} diverged, ${failed} failed`));
  if (!data.runs) return;
  const wanted = new Set(chosen);
  const own = rows.cell.flatMap((cell, row) => (wanted.has(cell) ? [row] : []));
  const values = own.map((row) => `${rows.seed[row]}: ${shown(rows[view.metric][row])}`);
  const most = 40;
  const list = values.slice(0, most).join(", ") + (values.length > most ? ", …" : "");
  panel.append(element("p", `${data.shown[view.metric]} by seed: ${list}`));
  picture(panel, own);
  trajectory(panel, own);
  panel.append(command(own));
}

function picture(panel, own) {
  const place = data.sprite ? data.sprite.rows.findIndex((row) => own.includes(row)) : -1;
  if (place < 0) return;
  const { image, tile, columns, rows: typical } = data.sprite;
  const factor = 216 / tile;
  const box = element("div", "", { class: "tile", role: "img", "aria-label": "decision regions" });
  box.style.backgroundImage = `url(${image})`;
  box.style.backgroundSize = `${columns * tile * factor}px auto`;
  box.style.backgroundPosition = `${-(place % columns) * tile * factor}px ${-Math.floor(place / columns) * tile * factor}px`;
  const figure = element("figure");
  figure.append(box, element("figcaption", `decision regions, seed ${rows.seed[typical[place]]}`));
  panel.append(figure);
}

function trajectory(panel, own) {
  const row = data.trajectories ? own.find((run) => data.trajectories[run]) : undefined;
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

// The overrides of the first of some runs, with the seeds of all.
function command(own) {
  const seeds = [...new Set(own.map((row) => rows.seed[row]))];
  const typed = rows.command[own[0]].map((token) => rows.tokens[token]);
  const words = typed.map((word) => (word.startsWith("seed=") ? `seed=${seeds.join(",")}` : word));
  const multirun = seeds.length > 1 && words.some((word) => word.startsWith("seed=")) ? ["-m"] : [];
  const box = element("div", "", { class: "command" });
  box.append(element("code", ["dynsweep", ...multirun, ...words].join(" ")));
  box.append(element("button", "Copy", { type: "button", "data-copy": "" }));
  return box;
}
