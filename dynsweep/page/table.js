// ---- failures, and the table -------------------------------------------------------------

const PAGE = 50; // rows

// Which value of an axis a row has.
const place = (axis, row) => cells.at[axis][rows.cell[row]];

function places(row) {
  const words = data.axes.map((axis, index) => `${axis.label} ${axis.words[place(index, row)]}`);
  return [...words, ...(data.runs ? [`seed ${rows.seed[row]}`] : [])].join(", ");
}

function setUpFailures() {
  const bad = rows.status.flatMap((status, row) => (status ? [row] : []));
  if (!bad.length) return;
  byId("failures").hidden = false;
  const list = byId("failures").querySelector("ul");
  for (const row of bad.slice(0, 200)) {
    const error = rows.errors?.[row] ? `: ${rows.errors[row]}` : "";
    list.append(element("li", `${data.statuses[rows.status[row]]}: ${places(row)}${error}`));
  }
  if (bad.length > 200) list.append(element("li", `${bad.length - 200} more in the table below`));
}

function setUpTable() {
  const columns = [
    ...data.axes.map((axis, index) => ({
      name: axis.name, of: (row) => axis.values[place(index, row)], text: (row) => axis.words[place(index, row)],
    })),
    ...(data.runs ? [{ name: "seed", of: (row) => rows.seed[row] }] : [{ name: "runs", of: (row) => rows.runs[row] }]),
    { name: "status", of: (row) => data.statuses[rows.status[row]] },
    ...quantities().map(([name]) => ({ name, of: (row) => rows[name][row] })),
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
  return [...Array(size).keys()].filter((row) => (!brushed || brushed.has(row)) && tests.every((test) => test(row)));
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
  byId("found").textContent = `${state.order.length.toLocaleString("en")} of ${size.toLocaleString("en")} ${data.runs ? "runs" : "cells"}`;
  byId("page").textContent = `page ${state.page + 1} of ${pages}`;
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page >= pages - 1;
}
