// ---- the page: start, copying, dark and light ---------------------------------------------
// Plotly draws; the functions above ask the data for it, and fill the panel and the table.

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpacked("packed-plotly");
  document.head.append(script);
  unpack(JSON.parse(await unpacked("packed-data")));
  setUpTheme();
  setUpCopying();
  if (data.axes.length) setUpDiagram();
  setUpVariance();
  setUpFailures();
  setUpTable();
  setUpParallel();
  setUpComparison();
  byId("loading").remove();
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

function setUpTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => {
    if (data.axes.length) draw();
    if (hasParallel()) Plotly.relayout("lines", { "font.color": getComputedStyle(document.documentElement).getPropertyValue("--ink") });
    if (data.comparison) drawComparison();
  };
  system.addEventListener("change", redraw);
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
    root.dataset.theme = dark ? "light" : "dark";
    redraw();
  });
}

start();
