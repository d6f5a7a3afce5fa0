// The charts: Vega draws what explorer.js computed, and a table beside them says the same.
const drawing = (() => {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const views = {};

  /** The chart of that name; what Vega says of a set without rows (no band, nothing beyond the runs) is no news. */
  const view = (name) => (views[name] ??= vegaEmbed(`#chart-${name}`, specs[name],
    { mode: "vega", renderer: "svg", actions: false, logLevel: 1 }).then((made) => made.view));

  async function draw(name, sets, description) {
    const made = await view(name);
    for (const [set, rows] of Object.entries(sets)) made.data(set, rows);
    await made.description(description).runAsync();
  }

  /** Widths follow the page, also the printed one. */
  const resize = () => Object.values(views).forEach(async (each) => {
    const made = await each;
    made.width(made.container().clientWidth).run();
  });

  function table(name, heading, columns, rows) {
    const made = document.createElement("table");
    made.dataset.chart = name;
    made.createCaption().textContent = heading;
    const head = made.createTHead().insertRow();
    for (const column of columns) head.append(Object.assign(document.createElement("th"), { textContent: column, scope: "col" }));
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      for (const value of row) line.insertCell().textContent = value;
    }
    const place = document.getElementById("chart-tables");
    const old = place.querySelector(`[data-chart="${name}"]`);
    if (old) old.replaceWith(made); else place.append(made);
  }

  /** Shares of values in equal bins from the least to the largest of them. */
  function bins(values, number) {
    const low = Math.min(...values), width = Math.max((Math.max(...values) - low) / number, 1e-3);
    const shares = new Array(number).fill(0);
    for (const value of values) shares[Math.min(Math.floor((value - low) / width), number - 1)] += 1 / values.length;
    return shares.map((share, k) => ({ from: low + k * width, to: low + (k + 1) * width, share })).filter((bin) => bin.share > 0);
  }

  return { draw, resize, table, bins };
})();
