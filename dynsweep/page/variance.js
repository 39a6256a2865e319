// ---- what matters: shares of the variance as bars -----------------------------------------

const BARS = ["#0072B2", "#E69F00"]; // blue and orange: told apart by everyone

function setUpVariance() {
  const { effects, shares, notes } = data.variance;
  const section = byId("variance");
  section.hidden = !effects.length && !notes.length;
  section.append(...notes.map((note) => element("p", note, { class: "note" })));
  if (!effects.length) {
    section.querySelector("p").remove();
    byId("shares").remove();
    return;
  }
  const told = Object.entries(shares).map(([name, parts]) => `${name}: ${effects.map((effect, at) => `${effect} ${percent(parts[at])}`).join(", ")}`);
  byId("shares").setAttribute("aria-label", told.join("; "));
  drawVariance();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawVariance);
  byId("theme").addEventListener("click", drawVariance);
}

const tenths = (share) => (share === null ? null : (Math.round(share * 1000) || 0) / 10); // of a percent
const percent = (share) => (share === null ? "none" : `${tenths(share).toFixed(1)} %`);

function drawVariance() {
  const { effects, shares } = data.variance;
  const plot = byId("shares");
  const narrow = plot.clientWidth < 600;
  const all = Object.values(shares).flat().map(tenths);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const room = (narrow ? 0.55 : 0.1) * (high - low); // for the numbers beside the bars
  plot.style.height = `${90 + 42 * effects.length}px`;
  Plotly.react(plot, Object.entries(shares).map(([name, parts], at) => ({
    type: "bar", orientation: "h", name, y: effects, x: parts.map(tenths),
    text: parts.map(percent), textposition: "outside", cliponaxis: false, marker: { color: BARS[at] },
    hovertemplate: "%{y}: %{text}<extra>%{fullData.name}</extra>",
  })), layout({
    barmode: "group", bargap: 0.3, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
    xaxis: { title: { text: "share (%)", standoff: 12 }, range: [low && low - room, high + room], fixedrange: true },
    yaxis: {
      autorange: "reversed", fixedrange: true, tickvals: effects,
      ticktext: effects.map((words) => (narrow ? words.replaceAll(", ", ",<br>").replace(" together", "<br>together") : words)),
    },
  }), { displayModeBar: false, responsive: true });
}
