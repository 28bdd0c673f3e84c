// Listens to /ticks and writes what it says into the page: numbers, a strip of the
// last minute, the log of the clock. Then: the buttons that read slow streams.

const listener = document.querySelector("[data-ticks]");
if (listener) listen(listener);
const tryout = document.querySelector("[data-slow]");
if (tryout) offer(tryout);

function listen(section) {
  const seen = [];
  const source = new EventSource(section.dataset.ticks);
  source.onmessage = (event) => {
    const tick = JSON.parse(event.data);
    const clock = new Date(tick.time).toLocaleTimeString([], { hour12: false });
    const values = { ...tick.connections, clock };
    for (const element of document.querySelectorAll("[data-live]")) {
      const value = values[element.dataset.live];
      element.textContent = typeof value === "number" ? value.toLocaleString("en") : value;
    }
    section.classList.toggle("held", tick.connections.in_use > 0);
    seen.push(tick.connections);
    if (seen.length > 60) seen.shift();
    draw(section.querySelector(".strip .line"), seen);
    log(section.querySelector("[data-log]"), tick, clock);
  };
  // A page that is left must not keep its stream for the way back.
  addEventListener("pagehide", () => source.close());
}

// draw puts the newest value at the right edge; the whole height is all connections.
function draw(line, seen) {
  if (!line) return;
  const points = seen.map((c, i) => `${240 - 4 * (seen.length - 1 - i)} ${47 - 44 * Math.min(1, c.in_use / c.max)}`);
  line.setAttribute("d", "M" + points.join("L"));
}

function log(body, tick, clock) {
  if (!body) return;
  const row = body.insertRow(0);
  const sale = tick.sale;
  for (const text of [clock, sale?.product, sale?.region, sale?.total, tick.connections.in_use]) {
    row.insertCell().textContent = text ?? "";
  }
  row.cells[1].className = "text";
  row.cells[2].className = "wide";
  for (const i of [3, 4]) row.cells[i].className = "number";
  while (body.rows.length > 8) body.deleteRow(-1);
}

function offer(box) {
  const status = box.querySelector("[role=status]");
  const buttons = [...box.querySelectorAll("button")];
  for (const button of buttons) {
    button.onclick = async () => {
      for (const b of buttons) b.disabled = true;
      const keep = "keep" in button.dataset;
      status.textContent = keep
        ? "Four responses run, and each holds its connection until it ends."
        : "Four responses run. Look at the number above: none of them holds a connection.";
      const address = `${box.dataset.slow}?chunks=25&delay=200ms${keep ? "&keep=yes" : ""}`;
      const results = await Promise.allSettled([1, 2, 3, 4].map(() => read(address)));
      const done = results.filter((r) => r.status === "fulfilled");
      const chunks = done.reduce((sum, r) => sum + r.value, 0);
      status.textContent = `${done.length} of 4 streams complete, ${chunks} chunks read.`;
      for (const b of buttons) b.disabled = false;
    };
  }
  box.hidden = false;
}

// read counts the chunks of one stream, a line each.
async function read(address) {
  const response = await fetch(address, { cache: "no-store" });
  if (!response.ok) throw new Error(response.statusText);
  const text = await response.text();
  return text.split("\n").length - 1;
}
