// The live page: it listens to "events" and draws what they say. Everything that it
// keeps and draws is bounded, however long it stays open.
(() => {
  "use strict";

  const MOST = { records: 300, rows: 40, wires: 24, holds: 300, queue: 20, statements: 256 };
  const NS = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  // What is counted since the start, under the keys that dbstatus has for it.
  const SITE = [["total_requests", "requests"], ["answered_1xx", "answered 1xx"], ["answered_2xx", "2xx"], ["answered_3xx", "3xx"], ["answered_4xx", "4xx"],
    ["answered_5xx", "5xx"], ["unanswered", "not answered"], ["total_streams", "streams"], ["refused_streams", "streams refused"],
    ["kept_streams", "streams that kept a connection"], ["held_responses", "responses that began while holding"]];
  const POOL = [["leases", "leases"], ["waited", "had to wait"], ["wait_seconds", "together for"], ["refused", "refused"], ["exhausted", "waited in vain"],
    ["queue_full", "turned away"], ["statements", "statements"], ["failed", "failed"], ["canceled", "cancelled"], ["opened", "opened"], ["closed", "closed"],
    ["dead", "found dead"], ["quarantined", "quarantined"], ["leaked", "left open"], ["pings", "pings"]];

  const state = {
    source: null, process: "", debug: false, now: 0, heard: 0, span: 30_000, paused: false,
    records: new Map(), wires: new Map(), databases: [], skipped: 0, newer: 0,
    rows: new Map(), wireRows: new Map(), chosen: null,
  };

  // ---- small things

  function h(tag, props, ...children) {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(props || {})) {
      if (v === undefined || v === null || v === false) continue;
      if (k === "class") e.className = v;
      else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
      else e.setAttribute(k, v === true ? "" : v);
    }
    e.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
    return e;
  }

  function svg(tag, props) {
    const e = document.createElementNS(NS, tag);
    for (const [k, v] of Object.entries(props || {})) e.setAttribute(k, v);
    return e;
  }

  function say(e, text) { if (e.textContent !== text) e.textContent = text; }
  const number = (n) => n.toLocaleString("en");
  const plural = (n, one, more) => `${number(n)} ${n === 1 ? one : more || one + "s"}`;

  function time(ms) {
    if (ms < 1) return `${Math.max(0, ms).toFixed(2)} ms`;
    if (ms < 10) return `${ms.toFixed(1)} ms`;
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
    const s = Math.round(ms / 1000);
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  }

  function size(n) {
    if (n < 1000) return `${n} B`;
    if (n < 1e6) return `${(n / 1e3).toFixed(1)} kB`;
    return `${(n / 1e6).toFixed(1)} MB`;
  }

  const warnOf = (alias) => { const d = state.databases.find((d) => d.alias === alias); return d && d.warn > 0 ? d.warn : Infinity; };
  const clock = () => (state.paused || !state.heard ? state.now : state.now + (performance.now() - state.heard));

  // ---- what a hold was

  // gaps are the times in which a hold did nothing: between statements, and while rows
  // were open that nobody read.
  function gaps(hold, now) {
    const found = [];
    let at = hold.got;
    for (const [sent, answered] of hold.statements) {
      if (sent > at) found.push([at, sent]);
      at = Math.max(at, answered ?? now);
    }
    const end = hold.back ?? now;
    if (end > at) found.push([at, end]);
    return found;
  }

  const idleNow = (hold, now) => { const all = gaps(hold, now); const last = all[all.length - 1]; return last && last[1] === now ? last[1] - last[0] : 0; };
  const holding = (r) => r.holds.filter((x) => x.got !== null && x.back === null);

  // ---- bars

  const KINDS = ["life", "wait", "hold", "rows", "statement", "warn", "block", "stream", "ticks", "end", "bad"];

  function lane() {
    const e = svg("svg", { class: "lane", "aria-hidden": "true" });
    e.paths = {};
    for (const kind of KINDS) e.append((e.paths[kind] = svg("path", { class: "b-" + kind })));
    return e;
  }

  class Bars {
    constructor(from, to, width, height) {
      this.from = from; this.to = to; this.width = width; this.unit = height / 24; this.scale = width / (to - from);
      this.d = {};
    }
    x(t) { return Math.min(this.width + 8, Math.max(-8, (t - this.from) * this.scale)); }
    seen(a, b) { return b >= this.from && a <= this.to; }
    add(kind, path) { this.d[kind] = (this.d[kind] || "") + path; }
    box(kind, a, b, y, height, least) {
      if (!this.seen(a, b)) return;
      const x = this.x(a), w = Math.max(least || 1, this.x(b) - x), u = this.unit;
      this.add(kind, `M${x.toFixed(1)} ${(y * u).toFixed(1)}h${w.toFixed(1)}v${(height * u).toFixed(1)}h${(-w).toFixed(1)}z`);
    }
    line(kind, a, b, y) {
      if (this.seen(a, b)) this.add(kind, `M${this.x(a).toFixed(1)} ${(y * this.unit).toFixed(1)}H${Math.max(this.x(b), this.x(a) + 1).toFixed(1)}`);
    }
    hold(hold, now, over) {
      if (hold.asked !== null && (hold.got === null || hold.got - hold.asked > 0.2)) {
        this.box("wait", hold.asked, hold.got ?? hold.back ?? over ?? now, 4, 11, 2);
      }
      if (hold.got === null) return;
      const end = hold.back ?? now, warn = warnOf(hold.alias);
      this.box("hold", hold.got, end, 4, 11, 3);
      for (const [a, b] of gaps(hold, now)) if (b - a >= warn) this.box("warn", a, b, 4, 11, 2);
      for (const [sent, answered, ended] of hold.statements) {
        if (answered !== null && (ended ?? now) > answered && (ended ?? now) - answered < warn) this.box("rows", answered, ended ?? now, 4, 11, 1);
        this.box("statement", sent, answered ?? now, 4, 11, 1.5);
      }
      for (const [a, b] of hold.blocks) {
        const to = b ?? end;
        if (this.seen(a, to)) this.add("block", `M${this.x(a).toFixed(1)} ${4 * this.unit}V${1.5 * this.unit}H${Math.max(this.x(to), this.x(a) + 3).toFixed(1)}V${4 * this.unit}`);
      }
    }
    record(r, now) {
      const end = r.ended ?? now;
      this.line("life", r.begun, end, 19);
      for (const hold of r.holds) this.hold(hold, now, r.ended);
      if (r.stream !== null) this.box("stream", r.stream, end, 17, 4, 2);
      for (const t of r.ticks) if (this.seen(t, t)) this.add("ticks", `M${this.x(t).toFixed(1)} ${15.6 * this.unit}v${6.6 * this.unit}`);
      if (r.ended === null) return;
      if (r.error || r.status >= 500) {
        if (this.seen(r.ended, r.ended)) { const x = this.x(r.ended), u = this.unit; this.add("bad", `M${x - 4} ${15 * u}l8 ${8 * u}m0 ${-8 * u}l-8 ${8 * u}`); }
      } else this.box("end", r.ended, r.ended, 15, 8, 1.6);
    }
    into(svg) {
      for (const kind of KINDS) {
        const d = this.d[kind] || "", path = svg.paths[kind];
        if (path.getAttribute("d") !== d) path.setAttribute("d", d);
      }
    }
  }

  function legend() {
    const kinds = [
      ["waits", (b) => b.box("wait", 2, 98, 4, 15)],
      ["statement", (b) => b.box("statement", 2, 98, 4, 15)],
      ["rows open", (b) => b.box("rows", 2, 98, 4, 15)],
      ["held", (b) => b.box("hold", 2, 98, 4, 15)],
      ["held idle for long", (b) => b.box("warn", 2, 98, 4, 15)],
      ["block", (b) => { b.box("hold", 2, 98, 8, 11); b.add("block", `M2 ${8 * b.unit}V${4 * b.unit}H24V${8 * b.unit}`); }],
      ["streams, a tick a chunk", (b) => { b.box("stream", 2, 98, 9, 7); for (const t of [15, 45, 75]) b.add("ticks", `M${b.x(t)} ${5 * b.unit}v${14 * b.unit}`); }],
      ["over", (b) => b.box("end", 50, 52, 4, 15, 2)],
    ];
    for (const [text, draw] of kinds) {
      const e = lane(), b = new Bars(0, 100, 26, 16);
      draw(b); b.into(e);
      $("legend").append(h("li", {}, e, text));
    }
  }

  // ---- what comes in

  function connect() {
    state.source = new EventSource("events");
    state.source.onmessage = (m) => hear(JSON.parse(m.data));
    state.source.onerror = () => mark("lost", "reconnecting");
  }

  function mark(kind, text) {
    const e = $("state");
    e.className = "state " + kind;
    say(e, text);
  }

  function hear(f) {
    if (f.process) greet(f.process);
    state.now = f.now; state.heard = performance.now(); state.debug = f.debug; state.databases = f.databases; state.skipped += f.skipped;
    mark("live", "live");
    for (const r of f.records) keep(r);
    forget();
    $("records").dataset.kept = state.records.size;
    showDatabases();
    showQueue(f.queue);
    showTotals($("totals"), SITE, f.site);
    say($("counts"), `${number(f.running)} running, ${number(f.finished)} finished` + (state.skipped ? `, ${number(state.skipped)} of them too many to be drawn` : ""));
    if (f.advice) showAdvice(f.advice);
    arrange();
    draw();
  }

  function greet(p) {
    const id = `${p.pid} ${p.started}`;
    if (state.process !== id) {
      state.records.clear(); state.wires.clear(); state.skipped = 0; state.process = id;
    }
    const at = (p.addresses || []).map((a) => ` · ${a}`).join("");
    $("process").replaceChildren("process ", h("strong", {}, String(p.pid)), at + " · ", h("span", { class: "wide" }, `${p.program} ${p.version} · `), p.go);
  }

  function keep(r) {
    state.records.delete(r.id); // the last one heard of is the last one
    state.records.set(r.id, r);
    r.holds.forEach((hold) => {
      if (hold.got === null) return;
      const key = `${hold.alias} ${hold.connection}`;
      let wire = state.wires.get(key);
      if (!wire) state.wires.set(key, (wire = new Map()));
      wire.set(`${r.id} ${hold.got}`, hold);
      if (wire.size > MOST.holds) wire.delete(wire.keys().next().value);
    });
  }

  function forget() {
    for (const [id, r] of state.records) {
      if (state.records.size <= MOST.records) break;
      if (r.ended !== null || state.records.size > 2 * MOST.records) state.records.delete(id);
    }
    const known = new Set(state.databases.flatMap((d) => d.connections.map((c) => `${d.alias} ${c.id}`)));
    for (const [key, wire] of state.wires) {
      if (known.has(key)) continue;
      for (const [k, hold] of wire) if (hold.back !== null && hold.back < state.now - 120_000) wire.delete(k);
      if (!wire.size || state.wires.size > 4 * MOST.wires) state.wires.delete(key);
    }
  }

  // showTotals says what was counted since the start. Zeros are left out.
  function showTotals(box, names, numbers) {
    if (!box.dd) {
      box.dd = {};
      const list = h("dl", { class: "gauges" });
      for (const [key, name] of names) {
        box.dd[key] = h("dd", {}, "0");
        list.append(h("div", {}, h("dt", {}, name), box.dd[key]));
      }
      box.append(h("summary", {}, "Since the start"), list);
      box.hidden = false;
    }
    for (const [key, dd] of Object.entries(box.dd)) {
      say(dd, key === "wait_seconds" ? time(numbers[key] * 1000) : number(numbers[key]));
      dd.parentNode.hidden = !numbers[key];
    }
  }

  // ---- connections

  function showDatabases() {
    const box = $("databases");
    if (!box.made) { box.replaceChildren(); box.made = new Map(); }
    if (!state.databases.length && !box.firstChild) box.append(h("p", { class: "quiet" }, "This site has no database."));
    for (const d of state.databases) {
      let e = box.made.get(d.alias);
      if (!e) {
        e = {
          slots: h("div", { class: "slots", "aria-hidden": "true" }), gauges: h("dl", { class: "gauges" }),
          wires: h("ol", { class: "wires", "aria-label": `Connections of ${d.alias}` }), more: h("p", { class: "quiet" }), rows: new Map(), dd: {},
          totals: h("details", { class: "totals" }),
        };
        for (const [key, name] of [["in_use", "in use"], ["open", "open"], ["idle", "idle"], ["waiting", "waiting"], ["dedicated", "dedicated"], ["leases", "leases"], ["waited", "had to wait"], ["refused", "refused"]]) {
          e.dd[key] = h("dd", {}, "0");
          e.gauges.append(h("div", {}, h("dt", {}, name), e.dd[key]));
        }
        box.append(h("section", { class: "database", "aria-label": `Database ${d.alias}` },
          h("div", { class: "top" }, h("h3", {}, d.alias + " ", h("small", {}, d.engine)), e.slots, e.gauges), e.wires, e.more, e.totals));
        box.made.set(d.alias, e);
      }
      for (const [key, dd] of Object.entries(e.dd)) {
        say(dd, key === "in_use" ? `${d.in_use} of ${d.max}` : number(d[key]));
        dd.parentNode.classList.toggle("alarm", (key === "waiting" && d.waiting > 0) || (key === "in_use" && d.in_use >= d.max));
        dd.parentNode.hidden = (key === "dedicated" || key === "refused") && !d[key];
      }
      showTotals(e.totals, POOL, d);
      showSlots(e.slots, d);
      showWires(e, d);
    }
  }

  function showSlots(box, d) {
    const kinds = d.connections.filter((c) => !(c.holder && c.holder.dedicated)).slice(0, 40).map((c) =>
      c.holder && d.warn > 0 && c.holder.idle >= d.warn ? "late" : c.state);
    const all = Math.min(40, Math.max(d.max, kinds.length));
    while (box.children.length < all) box.append(h("i"));
    while (box.children.length > all) box.lastChild.remove();
    [...box.children].forEach((e, i) => { const kind = kinds[i] || ""; if (e.className !== kind) e.className = kind; });
  }

  function showWires(e, d) {
    const shown = d.connections.slice(0, MOST.wires), ids = new Set(shown.map((c) => c.id));
    for (const [id, row] of e.rows) if (!ids.has(id)) { row.li.remove(); e.rows.delete(id); }
    for (const c of shown) {
      let row = e.rows.get(c.id);
      if (!row) {
        row = { name: h("span", { class: "name" }), time: h("span", { class: "time" }), sub: h("span", { class: "sub" }), lane: lane(), key: `${d.alias} ${c.id}` };
        row.li = h("li", {}, h("div", { class: "who" }, h("span", { class: "n" }, `#${c.id}`), row.name, row.time, row.sub), row.lane);
        e.rows.set(c.id, row);
        e.wires.append(row.li);
      }
      const holder = c.holder;
      row.name.className = holder ? "name" : "name idlename";
      if (!holder) {
        say(row.name, c.state === "idle" ? "idle" : "on its way");
        say(row.time, "");
        row.sub.className = "sub";
        say(row.sub, `open for ${time(c.age)}`);
        continue;
      }
      const late = d.warn > 0 && holder.idle >= d.warn && !holder.dedicated;
      say(row.name, holder.name + (holder.dedicated ? " (dedicated)" : ""));
      say(row.time, `held ${time(holder.held)}`);
      row.sub.className = late ? "sub alarm" : "sub";
      say(row.sub, [`idle ${time(holder.idle)}`, holder.block && "in a block", !holder.block && holder.open && "rows open", holder.streaming && "streaming", holder.at].filter(Boolean).join(" · "));
      row.sub.title = holder.last;
    }
    const hidden = d.connections.length + d.more - shown.length;
    say(e.more, shown.length ? (hidden > 0 ? `${plural(hidden, "connection")} more` : "") : "No connection is open.");
    e.more.hidden = !e.more.textContent;
  }

  function showQueue(queue) {
    const box = $("queue");
    if (!queue.length) {
      if (box.firstChild?.tagName !== "P") box.replaceChildren(h("p", { class: "quiet" }, "Nobody waits for a connection."));
      return;
    }
    const now = clock();
    box.replaceChildren(h("ol", { class: "cards" }, ...queue.slice(0, MOST.queue).map((q) =>
      h("li", {}, h("span", { class: "time" }, time(now - q.since)), h("span", {}, q.name), h("span", { class: "quiet" }, `${q.alias} · ${q.at}`)))));
  }

  // ---- requests

  // held reports whether the reader is about to choose: then nothing moves away.
  const looking = () => $("records").matches(":hover") || $("records").contains(document.activeElement);

  function arrange() {
    const all = [...state.records.values()].sort((a, b) => (a.ended === null) !== (b.ended === null) ? (a.ended === null ? -1 : 1) : b.begun - a.begun).slice(0, MOST.rows);
    const list = $("records"), wanted = new Set(all.map((r) => r.id));
    if (looking() && state.rows.size) {
      const newer = all.filter((r) => !state.rows.has(r.id)).length;
      const room = MOST.rows - state.rows.size;
      if (newer > 0 && room <= 0) {
        $("newer").hidden = false;
        say($("newer"), `Held still while you choose: ${newer} newer`);
      } else for (const r of all) if (!state.rows.has(r.id)) list.append(row(r).li);
    } else {
      $("newer").hidden = true;
      for (const [id, e] of state.rows) if (!wanted.has(id)) { e.li.remove(); state.rows.delete(id); }
      all.forEach((r, i) => {
        const e = state.rows.get(r.id) || row(r);
        if (list.children[i] !== e.li) list.insertBefore(e.li, list.children[i] || null);
      });
    }
    for (const [id, e] of state.rows) { const r = state.records.get(id); if (r) write(e, r); }
    rove();
  }

  function row(r) {
    const e = { badge: h("span", { class: "badge" }), name: h("span", { class: "name" }), time: h("span", { class: "time" }), sub: h("span", { class: "sub" }), lane: lane() };
    e.button = h("button", { type: "button", class: "row", tabindex: "-1", "aria-haspopup": "dialog", "data-id": r.id, onclick: () => open(r.id) },
      h("span", { class: "who" }, e.badge, e.name, e.time, e.sub), e.lane);
    e.li = h("li", {}, e.button);
    state.rows.set(r.id, e);
    return e;
  }

  function write(e, r) {
    const now = clock(), failed = r.error || r.status >= 500;
    e.record = r;
    e.badge.className = "badge" + (r.ended === null ? " running" : failed ? " bad" : "");
    say(e.badge, r.ended === null ? (r.stream !== null ? "stream" : "runs") : r.request ? String(r.status || "–") : "task");
    say(e.name, r.name);
    say(e.time, time((r.ended ?? now) - r.begun));
    const held = holding(r), late = held.some((x) => idleNow(x, now) >= warnOf(x.alias));
    const parts = [];
    for (const x of held) parts.push(`holds ${x.alias} #${x.connection}` + (idleNow(x, now) >= 1000 ? `, idle ${time(idleNow(x, now))}` : ""));
    if (r.ended === null && !held.length) parts.push(waiting(r) ? "waits for a connection" : "holds nothing");
    if (r.queries) parts.push(plural(r.queries, "statement"));
    if (r.repeated) parts.push(`${r.repeated} × one line`);
    if (r.chunks) parts.push(plural(r.chunks, "chunk"));
    if (r.bytes) parts.push(size(r.bytes));
    if (r.error) parts.push(r.error);
    e.sub.className = late ? "sub alarm" : "sub";
    say(e.sub, parts.join(" · "));
  }

  const waiting = (r) => { const last = r.holds[r.holds.length - 1]; return !!last && last.got === null && !last.error && last.back === null; };

  // One row can be reached by Tab, the others by the arrows.
  function rove() {
    const buttons = [...$("records").querySelectorAll("button")];
    if (!buttons.length) return;
    const chosen = buttons.find((b) => b === document.activeElement) || buttons.find((b) => b.dataset.id === state.chosen) || buttons[0];
    for (const b of buttons) { const v = b === chosen ? "0" : "-1"; if (b.getAttribute("tabindex") !== v) b.setAttribute("tabindex", v); }
  }

  $("records").addEventListener("keydown", (event) => {
    const buttons = [...$("records").querySelectorAll("button")], i = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (event.key === "Escape") document.activeElement.blur();
    if (to === undefined || i < 0) return;
    event.preventDefault();
    const b = buttons[Math.min(buttons.length - 1, Math.max(0, to))];
    state.chosen = b.dataset.id;
    b.focus();
    rove();
  });
  $("newer").addEventListener("click", () => { document.activeElement.blur(); arrange(); draw(); });

  // ---- drawing

  function draw() {
    const now = clock(), from = now - state.span;
    const some = $("records").querySelector(".lane");
    if (some) axis(some.clientWidth, from, now);
    for (const e of state.rows.values()) if (e.record) into(e.lane, from, now, (b) => b.record(e.record, now));
    for (const e of ($("databases").made || new Map()).values()) {
      for (const wire of e.rows.values()) {
        into(wire.lane, from, now, (b) => { for (const hold of (state.wires.get(wire.key) || new Map()).values()) b.hold({ ...hold, asked: null }, now); });
      }
    }
  }

  function into(e, from, to, fill) {
    const width = e.clientWidth;
    if (!width) return;
    const b = new Bars(from, to, width, e.clientHeight);
    fill(b);
    b.into(e);
  }

  function axis(width, from, to) {
    const e = $("axis"), steps = width < 500 ? 3 : 6, span = to - from;
    while (e.children.length < 2 * (steps + 1)) e.append(svg("path"), svg("text"));
    while (e.children.length > 2 * (steps + 1)) e.lastChild.remove();
    for (let i = 0; i <= steps; i++) {
      const x = (width * i) / steps, ago = Math.round((span * (steps - i)) / steps / 1000), [line, text] = [e.children[2 * i], e.children[2 * i + 1]];
      line.setAttribute("d", `M${x.toFixed(1)} 14v4`);
      text.setAttribute("x", x.toFixed(1)); text.setAttribute("y", "11");
      text.setAttribute("text-anchor", i === 0 ? "start" : i === steps ? "end" : "middle");
      say(text, ago ? `−${ago} s` : "now");
    }
  }

  let last = 0;
  function tick(t) {
    if (!state.paused && state.heard && t - last > (calm.matches ? 1000 : 60) && !document.hidden) { last = t; draw(); }
    requestAnimationFrame(tick);
  }

  // ---- what if

  function showAdvice(all) {
    const used = all.filter((a) => a.early.rate > 0 || a.without.in_use > 0);
    if (!used.length) return;
    const f = (n) => n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 2 : n < 100 ? 1 : 0 });
    $("advice").replaceChildren(...used.map((a) => {
      const line = (name, of) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, of(a.early)), h("td", { class: "number" }, of(a.without)));
      return h("section", { class: "advice", "aria-label": `What if, ${a.alias}` },
        h("p", { class: "verdict" }, h("strong", {}, `${a.alias}: `), `the load of the last ${time(a.seconds * 1000)} needs MAX_CONNECTIONS: `, h("strong", {}, String(a.early.needed)),
          `. It is ${a.max}. If each request kept its connection to its end, it would need `, h("strong", {}, String(a.without.needed)), "."),
        h("table", {}, h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col", class: "number" }, "released early, as it is"), h("th", { scope: "col", class: "number" }, "kept to the end"))),
          h("tbody", {}, line("λ, how many begin", (l) => `${f(l.rate)} /s`), line("W, how long each lasts", (l) => time(l.time * 1000)), line("L = λ × W, in use on average", (l) => f(l.in_use)),
            line("L of the busiest five seconds", (l) => f(l.peak)), line("needed: that L + 3 × √L", (l) => h("strong", {}, String(l.needed))))),
        h("p", { class: "quiet" }, "Little's law: as many are in use on average as begin in a second, times the seconds that each lasts. Three times the root of the busiest five seconds is room for chance."));
    }));
  }

  // ---- a request in full

  const dialog = $("detail");

  async function open(id) {
    let d;
    try {
      const answer = await fetch(`records/${id}`);
      d = await answer.json();
    } catch {
      d = { problem: "The process does not answer." };
    }
    dialog.replaceChildren(sheet(id, d));
    if (!dialog.open) dialog.showModal();
    const e = dialog.querySelector(".lane");
    if (e) {
      const end = d.ended ?? clock(), margin = Math.max(0.5, (end - d.begun) * 0.02);
      into(e, d.begun - margin, end + margin, (b) => b.record(d, end));
    }
  }

  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  function sheet(id, d) {
    const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
    if (d.problem) return h("div", { class: "sheet" }, h("div", { class: "top" }, h("h2", { id: "detail-title" }, "Not there"), close), h("p", {}, d.problem));
    const at = (t) => time(t - d.begun), end = d.ended ?? clock();
    const facts = [["took", time(end - d.begun) + (d.ended === null ? ", and runs" : "")], d.request && ["status", d.status || "none yet"], d.bytes && ["sent", size(d.bytes)],
      d.first !== null && ["first byte after", at(d.first)], d.chunks && ["chunks", number(d.chunks)], d.tag && ["X-Request-ID", d.tag], d.parent && ["runs in", `record ${d.parent}`], d.error && ["error", d.error]];
    const buttons = h("div", {}, d.ended === null && h("button", { type: "button", onclick: () => open(id) }, "Look again"), " ", close);
    return h("div", { class: "sheet" },
      h("div", { class: "top" }, h("h2", { id: "detail-title" }, d.name), buttons),
      h("dl", { class: "facts" }, ...facts.filter(Boolean).map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", { class: k === "error" ? "err" : "" }, String(v))))),
      lane(),
      h("section", {}, h("h3", {}, "Its connections"), story(d, at)),
      ...d.groups.map((g) => h("p", { class: "warning" }, h("strong", {}, `${g.count} times the same statement`), ` from ${g.at}, ${time(g.took)} together. One query with a join or an IN would do: `, h("code", {}, g.text))),
      h("section", {}, h("h3", {}, d.statements.length ? plural(d.queries, "statement") : "No statement"),
        h("ol", { class: "statements" }, ...d.statements.map((s, i) => statement(id, d, s, i, at))),
        d.unkept > 0 && h("p", { class: "quiet" }, `${plural(d.unkept, "statement")} more, which were not kept.`)));
  }

  function story(d, at) {
    const list = h("ul", { class: "story" }), now = d.ended ?? clock();
    if (!d.holds.length) list.append(h("li", {}, "It has held none."));
    if (d.more_holds) list.append(h("li", {}, `${plural(d.more_holds, "lease")} before these.`));
    d.holds.forEach((x, i) => {
      const l = d.leases[i];
      if (x.got === null) {
        list.append(h("li", {}, `${at(x.asked)}: asked for ${x.alias} at `, h("code", {}, l.at), x.error ? `, and got none: ${x.error}` : ", and waits"));
        return;
      }
      const idle = x.back === null ? gaps(x, now).reduce((sum, [a, b]) => sum + b - a, 0) : l.idle;
      const late = gaps(x, now).some(([a, b]) => b - a >= warnOf(x.alias));
      list.append(h("li", { class: late ? "late" : "" }, `${at(x.got)}: leased ${x.alias} #${x.connection} at `, h("code", {}, l.at), ` after ${time(x.got - x.asked)}; held `, h("b", {}, time((x.back ?? now) - x.got)),
        `, ${time(idle)} of it idle; `, x.back === null ? h("b", {}, "not given back yet") : `given back by “${x.reason}” at ${at(x.back)}`,
        x.back !== null && l.back_at && " at ", x.back !== null && l.back_at && h("code", {}, l.back_at), x.back !== null && !l.kept && ", and closed"));
    });
    if (d.first !== null) list.append(h("li", {}, `${at(d.first)}: the first byte`));
    return list;
  }

  function statement(id, d, s, i, at) {
    const out = h("div", { role: "status" });
    const explain = d.explains && s.select && h("button", { type: "button", "aria-label": `Explain statement ${i + 1}`, onclick: () => plan(id, i, out) }, "Explain");
    return h("li", { class: s.control ? "control" : "" }, h("code", {}, s.text),
      h("div", { class: "meta" }, h("b", {}, s.answered === null ? "runs" : time(s.answered - s.sent)), h("span", {}, `at ${at(s.sent)}`), !s.control && h("span", {}, plural(s.rows, "row")), h("code", {}, s.at),
        s.error && h("span", { class: "err" }, s.error), explain), out);
  }

  async function plan(id, i, out) {
    out.replaceChildren(h("p", { class: "quiet" }, "Asking the database…"));
    let a;
    try {
      const answer = await fetch("explain", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ record: id, statement: i }) });
      a = await answer.json();
    } catch {
      a = { problem: "the process does not answer" };
    }
    out.replaceChildren(a.plan ? h("pre", { class: "plan", tabindex: "0", "aria-label": "The plan" }, a.plan.join("\n")) : h("p", { class: "quiet" }, `No plan: ${a.problem}.`));
  }

  // ---- controls

  function pause(on) {
    state.now = clock();
    state.paused = on;
    $("pause").setAttribute("aria-pressed", String(on));
    if (on) {
      state.source.close(); // nobody looks: nothing has to be recorded for this page
      mark("paused", "paused");
    } else connect();
  }

  $("pause").addEventListener("click", () => pause(!state.paused));
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "p" || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    pause(!state.paused);
  });
  for (const radio of document.querySelectorAll("input[name=span]")) {
    radio.addEventListener("change", () => { state.span = Number(radio.value) * 1000; draw(); });
  }
  addEventListener("resize", draw);

  legend();
  connect();
  requestAnimationFrame(tick);
})();
