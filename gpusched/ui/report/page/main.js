// The page: data into sections. Text from the search is only ever set as text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = new Map(DATA.trials.map((trial) => [trial.id, trial]));
const $ = (id) => document.getElementById(id);
function make(tag, text, parent, kind) { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; if (parent) parent.append(e); return e; }

// Quality: the place among the scores, 0 worst … 1 best; the same colour in every plot.
const better = (a, b) => (DATA.direction === "max" ? b.score - a.score : a.score - b.score);
const scored = DATA.trials.filter((trial) => trial.score !== null).sort((a, b) => better(a, b) || a.id - b.id);
scored.forEach((trial, i) => { trial.quality = scored.length > 1 ? 1 - i / (scored.length - 1) : 1; });
for (const trial of DATA.trials) if (trial.quality === undefined) trial.quality = 0;
const tell = (id) => { const t = byId.get(id); return `trial ${id}: ${t.score === null ? t.state : DATA.objective + " " + score(t.score)} after ${t.epochs} epochs`; };
const valueList = (trial, parent) => { const list = make("dl", undefined, parent); for (const [name, value] of Object.entries(trial.values)) { make("dt", name, list); make("dd", short(value), list); } };

// ---- head
document.title = `${DATA.name} – gpusched`;
$("name").textContent = DATA.name;
$("state").textContent = `${DATA.state} · ${DATA.algorithm}, seed ${DATA.seed} · ${DATA.made}`;
const best = DATA.best === null ? null : byId.get(DATA.best);
for (const [label, value] of [
  [`best ${DATA.objective} (${DATA.direction})`, best && best.score !== null ? score(best.score) : "none yet"],
  ["trials", DATA.trials_all ? `${DATA.trials_done} of ${DATA.trials_all}` : DATA.trials_done],
  ["failed", DATA.failed], ...(DATA.stopped ? [["stopped", DATA.stopped]] : []), ["epochs", DATA.epochs_done], ...(DATA.epochs_saved ? [["epochs saved by early stopping", DATA.epochs_saved]] : []), ["time", DATA.time],
  ["slots busy", DATA.busy === null ? "–" : `${Math.round(100 * DATA.busy)} %`],
]) { const box = make("div", undefined, $("figures")); make("span", label, box); make("b", value, box); }
if (best) { make("div", DATA.best_words, $("best")); valueList(best, $("best")); } else make("div", "No epoch has been reported.", $("best"));
for (const line of DATA.advice) make("li", line, $("advice"));
if (!DATA.advice.length) make("li", "Nothing in the figures calls for a change.", $("advice"));

// ---- learning curves
{
  const drawn = DATA.trials.filter((trial) => trial.curves.length);
  const last = Math.max(1, ...drawn.map((trial) => Math.max(...trial.curves.map((c) => c.length))));
  const x = numeric(1, Math.max(2, last), DATA.rungs.length > 1), y = numeric(...range(drawn.flatMap((t) => t.curves.flat()).filter((v) => v !== null)), false);
  x.marks = DATA.rungs.length > 1 ? DATA.rungs : x.marks.filter(Number.isInteger);
  $("curves-hint").textContent = `${DATA.objective} by epoch, bright is better${DATA.rungs.length ? "; dashed: where rungs end, at epoch " + DATA.rungs.join(", ") : ""}. Click a line to select its trial everywhere.`;
  let paths = new Map();
  makePlot($("curves"), 380, (g, width, height) => {
    const box = { left: 62, top: 10, width: width - 74, height: height - 48 };
    const [px, py] = frame(g, box, x, y, "epoch");
    g.save(); g.beginPath(); g.rect(box.left, box.top - 4, box.width + 8, box.height + 8); g.clip();
    g.setLineDash([4, 4]); g.strokeStyle = cssColor("--soft"); g.lineWidth = 1;
    for (const stop of DATA.rungs) { g.beginPath(); g.moveTo(px(stop), box.top); g.lineTo(px(stop), box.top + box.height); g.stroke(); }
    g.setLineDash([]);
    paths = new Map(drawn.map((t) => [t.id, t.curves.flatMap((c) => [...c.map((v, i) => (v === null ? null : [px(i + 1), py(v)])), null])]));
    drawPaths(g, drawn, paths);
    g.restore();
  }, (mx, my) => nearest(paths, mx, my), tell);
}

// ---- parallel coordinates
{
  const seen = new Set(), axes = DATA.space.filter((axis) => !seen.has(axis.name) && seen.add(axis.name)).map((axis) => ({ name: axis.name, scale: scaleOf(axis), of: (t) => t.values[axis.name] }));
  const [low, high] = range(scored.map((t) => t.score));
  const goal = numeric(low, high, false);
  axes.push({ name: DATA.objective, scale: { ...goal, at: (v) => Math.min(1, Math.max(0, goal.at(v))) }, of: (t) => t.score ?? undefined });
  const canvas = $("parallel"), brushes = new Map();
  let paths = new Map(), at = [], box = null, dragging = null;
  const place = (axis, t) => { const v = axis.of(t); return v === undefined || v === null ? undefined : axis.scale.at(v); };
  const keep = () => {
    store.kept = brushes.size ? new Set(DATA.trials.filter((t) => [...brushes].every(([i, [a, b]]) => { const p = place(axes[i], t); return p !== undefined && p >= a && p <= b; })).map((t) => t.id)) : null;
    redraw();
  };
  makePlot(canvas, 360, (g, width, height) => {
    box = { left: 50, top: 40, width: width - 110, height: height - 60 };
    at = axes.map((_, i) => box.left + (axes.length > 1 ? (box.width * i) / (axes.length - 1) : 0));
    const py = (p) => box.top + (1 - p) * box.height;
    paths = new Map(scored.map((t) => [t.id, axes.map((axis, i) => { const p = place(axis, t); return p === undefined ? null : [at[i], py(p)]; })]));
    drawPaths(g, scored, paths);
    const room = axes.length > 1 ? box.width / (axes.length - 1) - 8 : box.width;
    axes.forEach((axis, i) => {
      g.strokeStyle = cssColor("--soft"); g.lineWidth = 1; g.beginPath(); g.moveTo(at[i], box.top); g.lineTo(at[i], box.top + box.height); g.stroke();
      g.fillStyle = cssColor("--ink"); g.textAlign = "center"; g.textBaseline = "bottom"; g.fillText(clipped(g, axis.name, Math.max(60, room)), at[i], box.top - (i % 2 && room < 70 ? 22 : 9));
      g.textAlign = "left"; g.textBaseline = "middle";
      for (const mark of axis.scale.marks) {
        const p = axis.scale.at(mark); if (p < -0.001 || p > 1.001) continue;
        const text = clipped(g, short(mark), Math.max(30, room - 12)), wide = g.measureText(text).width;
        g.globalAlpha = 0.8; g.fillStyle = cssColor("--card"); g.fillRect(at[i] + 4, py(p) - 7, wide + 4, 14); g.globalAlpha = 1;
        g.fillStyle = cssColor("--soft"); g.fillText(text, at[i] + 6, py(p));
      }
      if (brushes.has(i)) { const [a, b] = brushes.get(i); g.fillStyle = cssColor("--accent"); g.globalAlpha = 0.35; g.fillRect(at[i] - 6, py(b), 12, Math.max(2, py(a) - py(b))); g.globalAlpha = 1; }
    });
  }, (mx, my) => (dragging ? null : nearest(paths, mx, my)), tell);
  const near = (mx) => at.findIndex((a) => Math.abs(a - mx) < 12);
  canvas.addEventListener("mousedown", (event) => { const r = canvas.getBoundingClientRect(), i = near(event.clientX - r.left), my = event.clientY - r.top; canvas.dragged = false; if (i < 0) return; if (my < box.top) { brushes.delete(i); keep(); canvas.dragged = true; return; } dragging = { i, from: my }; });
  addEventListener("mousemove", (event) => {
    if (!dragging) return;
    const my = event.clientY - canvas.getBoundingClientRect().top;
    if (Math.abs(my - dragging.from) < 4 && !canvas.dragged) return;
    canvas.dragged = true;
    const p = (v) => Math.min(1, Math.max(0, 1 - (v - box.top) / box.height)), ends = [p(dragging.from), p(my)].sort((a, b) => a - b);
    brushes.set(dragging.i, ends); keep();
  });
  addEventListener("mouseup", () => { dragging = null; });
}

// ---- slices
{
  const names = new Set(), [low, high] = range(scored.map((t) => t.score)), most = Math.max(1, ...DATA.trials.map((t) => t.epochs));
  for (const axis of DATA.space) {
    if (names.has(axis.name) || names.size >= 24) continue;
    names.add(axis.name);
    const canvas = make("canvas", undefined, $("slices")), x = scaleOf(axis), y = numeric(low, high, false);
    let dots = [];
    makePlot(canvas, 210, (g, width, height) => {
      const box = { left: 56, top: 8, width: width - 72, height: height - 50 };
      const [px, py] = frame(g, box, x, y, axis.name + (axis.log ? " (log)" : ""));
      dots = scored.filter((t) => t.values[axis.name] !== undefined && t.values[axis.name] !== null).map((t) => ({ t, x: px(t.values[axis.name]) + (x.named ? ((t.id * 7919) % 11 - 5) : 0), y: Math.min(box.top + box.height, Math.max(box.top, py(t.score))), r: (2 + 3 * Math.sqrt(t.epochs / most)) * (scored.length > 300 ? 0.6 : 1) }));
      const order = layered(dots.map((d) => d.t)).map((t) => t.id), rank = new Map(order.map((id, i) => [id, i]));
      for (const d of [...dots].sort((a, b) => rank.get(a.t.id) - rank.get(b.t.id))) {
        g.fillStyle = strokeOf(d.t, false)[0];
        g.beginPath(); g.arc(d.x, d.y, d.t.id === store.selected || d.t.id === store.hover ? d.r + 2 : d.r, 0, 7); g.fill();
      }
    }, (mx, my) => { let found = null, least = 9; for (const d of dots) { const away = Math.hypot(d.x - mx, d.y - my); if (away < least && (!store.kept || store.kept.has(d.t.id))) { least = away; found = d.t.id; } } return found; }, tell);
  }
}

// ---- importance
$("importance-hint").textContent = `Share of the variance of scores' ranks that is lost where this value is not known, combinations with other values included (total effect, by a random forest), with all trials compared at epoch ${DATA.importance_epoch}.`;
for (const { name, share } of DATA.importance) {
  const row = make("div", undefined, $("importance"), "bar");
  make("span", name, row).title = name;
  const hold = make("div", undefined, row); make("i", undefined, hold).style.width = `${100 * (share ?? 0)}%`;
  make("b", share === null ? "too few" : `${Math.round(100 * share)} %`, row);
}

// ---- device timeline
{
  const lane = DATA.slots.length > 24 ? 10 : 20, height = 40 + lane * Math.max(1, DATA.slots.length), end = Math.max(DATA.seconds, 1e-9);
  $("timeline-hint").textContent = DATA.busy === null ? "Nothing has run." : `Every job in its slot; bright is better, gaps in a bar are idle time: ${Math.round(100 * (1 - DATA.busy))} % of the time that slots were there, pauses left out.`;
  let bars = [];
  makePlot($("timeline"), height, (g, width) => {
    const box = { left: 90, top: 6, width: width - 104, height: height - 40 };
    const x = numeric(0, end, false), px = (v) => box.left + x.at(v) * box.width;
    g.fillStyle = cssColor("--soft"); g.textAlign = "right"; g.textBaseline = "middle";
    DATA.slots.forEach((label, i) => { if (lane > 10 || i % 2 === 0) g.fillText(clipped(g, label, 80), box.left - 8, box.top + (i + 0.5) * lane); });
    g.globalAlpha = 0.5; g.fillStyle = cssColor("--line");
    DATA.offered.forEach((stays, i) => { for (const [from, to] of stays) g.fillRect(px(from), box.top + i * lane + 1, Math.max(1, px(to) - px(from)), lane - 3); });
    g.globalAlpha = 1;
    bars = DATA.spans.map(([slot, id, start, stop]) => ({ id, x: px(start), w: Math.max(1, px(stop ?? end) - px(start) - 0.5), y: box.top + slot * lane + 1 }));
    for (const bar of bars) {
      const trial = byId.get(bar.id), lost = trial && trial.state === "failed";
      g.fillStyle = bar.id === store.selected || bar.id === store.hover ? cssColor("--accent") : lost ? cssColor("--lost") : ramp(trial ? trial.quality : 0, store.kept && !store.kept.has(bar.id) ? 0.12 : 0.9);
      g.fillRect(bar.x, bar.y, bar.w, lane - 3);
    }
    g.fillStyle = cssColor("--soft"); g.textAlign = "center"; g.textBaseline = "top";
    for (const mark of x.marks) g.fillText(end > 7200 ? `${short(mark / 3600)} h` : end > 300 ? `${short(mark / 60)} min` : `${mark} s`, px(mark), box.top + box.height + 4);
  }, (mx, my) => { const bar = bars.find((b) => mx >= b.x - 1 && mx <= b.x + b.w + 1 && my >= b.y && my < b.y + lane); return bar ? bar.id : null; }, tell);
}

// ---- failed and stopped trials
{
  const lost = DATA.trials.filter((t) => t.reason !== undefined && (t.state === "failed" || t.state === "stopped"));
  $("failures-card").hidden = !lost.length;
  const show = (trial, where, reason) => {
    const details = make("details", undefined, where), summary = make("summary", undefined, details);
    make("b", `trial ${trial.id} ${trial.state}`, summary); if (reason) summary.append(": " + trial.reason);
    if (trial.traceback) make("pre", trial.traceback, details);
    valueList(trial, details);
    details.addEventListener("toggle", () => { if (details.open) select(trial.id); });
  };
  // Trials that failed for the same reason stand together.
  const several = DATA.failures.filter((group) => group.trials.length > 1);
  for (const group of several) {
    const details = make("details", undefined, $("failures"));
    make("summary", group.reason, details);
    for (const id of group.trials) show(byId.get(id), details, false);
  }
  const told = new Set(several.flatMap((group) => group.trials));
  for (const trial of lost) if (!told.has(trial.id)) show(trial, $("failures"), true);
}

// ---- every trial
{
  const names = [...new Set(DATA.trials.flatMap((t) => Object.keys(t.values)))];
  const accounts = DATA.trials.some((t) => t.gpu_seconds !== undefined) ? [["GPU seconds", (t) => t.gpu_seconds], ["GPU memory (GiB)", (t) => t.gpu_gib], ["GPU load", (t) => t.gpu_utilisation]] : [];
  const places = DATA.trials.some((t) => t.place) ? [["place", (t) => t.place]] : [];
  const figures = [["trial", (t) => t.id], ["state", (t) => t.state], [DATA.objective, (t) => t.score], ["epochs", (t) => t.epochs], ...places, ["seconds", (t) => t.seconds], ...accounts];
  const columns = [...figures, ...names.map((name) => [name, (t) => t.values[name]])];
  // Digits that were typed stand as they are; those of drawn values and of figures are as many in a whole column.
  const forms = columns.map(([, of]) => { const numbers = DATA.trials.map(of).filter((v) => typeof v === "number"); return numbers.every((v) => Number(short(v)) === v) && of !== columns[2][1] ? short : columnOf(numbers); });
  $("trials-hint").textContent = DATA.rule;
  const table = $("trials"), head = make("tr", undefined, make("thead", undefined, table)), body = make("tbody", undefined, table);
  const rows = new Map();
  for (const trial of [...scored, ...DATA.trials.filter((t) => t.score === null)]) {
    const row = make("tr", undefined, body);
    row.dataset.trial = trial.id;
    columns.forEach(([name, of], i) => { const v = of(trial); make("td", v === undefined || v === null ? "" : typeof v === "number" ? forms[i](v) : String(v), row, name === "state" ? trial.state : ""); });
    row.addEventListener("click", () => select(trial.id));
    rows.set(trial.id, row);
  }
  let sorted = null, turned = 1;
  columns.forEach(([name, of], i) => {
    make("th", name, head).addEventListener("click", () => {
      turned = sorted === i ? -turned : i === 2 && DATA.direction === "max" ? -1 : 1; sorted = i;
      const compare = (a, b) => { const [u, v] = [of(a), of(b)]; if (u === v) return a.id - b.id; if (u === undefined || u === null) return 1; if (v === undefined || v === null) return -1; return turned * (typeof u === "number" && typeof v === "number" ? u - v : String(u).localeCompare(String(v))); };
      body.append(...[...DATA.trials].sort(compare).map((t) => rows.get(t.id)));
    });
  });
  store.listeners.push((id) => { for (const [key, row] of rows) row.classList.toggle("selected", key === id); });
}

// ---- the selected trial
store.listeners.push((id) => {
  const panel = $("selected"), trial = byId.get(id);
  panel.replaceChildren();
  panel.hidden = trial === undefined;
  if (!trial) return;
  make("button", "×", panel).addEventListener("click", () => select(null));
  make("b", `trial ${id}`, panel);
  make("div", `${trial.state}${trial.score === null ? "" : `, ${DATA.objective} ${score(trial.score)}`}, ${trial.epochs} epochs${trial.place ? ", " + trial.place : ""}, ${short(trial.seconds)} s`, panel, "hint");
  if (trial.reason) make("div", trial.reason, panel, "failed");
  valueList(trial, panel);
});
addEventListener("keydown", (event) => { if (event.key === "Escape") select(null); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
redraw();
