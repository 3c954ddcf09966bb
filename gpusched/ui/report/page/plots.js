// Plots on canvases. All share one selection: a click in any of them selects a trial in every one.

const plots = [];
const store = { selected: null, hover: null, kept: null };

function cssColor(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function redraw() { for (const plot of plots) plot.draw(); }

/** The trial, or null to let go; every plot, the table and the panel follow. */
function select(id) {
  store.selected = id;
  redraw();
  for (const listener of store.listeners) listener(id);
}
store.listeners = [];

/** A canvas that is sharp on any display, redrawn on resize; `paint(g, width, height)` and `find(x, y)` → trial or null. */
function makePlot(canvas, height, paint, find, tell) {
  const plot = {
    draw() {
      const ratio = devicePixelRatio || 1, width = canvas.clientWidth;
      if (!width) return;
      const w = Math.round(width * ratio), h = Math.round(height * ratio);
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
      canvas.style.height = height + "px";
      const g = canvas.getContext("2d");
      g.setTransform(ratio, 0, 0, ratio, 0, 0);
      g.clearRect(0, 0, width, height);
      g.font = "12px system-ui, 'Liberation Sans', sans-serif";
      g.lineJoin = "round";
      paint(g, width, height);
    },
  };
  const tip = document.getElementById("tip");
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  let waiting = false;
  canvas.addEventListener("mousemove", (event) => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const found = find(...place(event));
      if (found !== store.hover) { store.hover = found; plot.draw(); }
      tip.hidden = found === null;
      if (found !== null) {
        tip.textContent = tell(found);
        tip.style.left = Math.min(innerWidth - tip.offsetWidth - 8, event.clientX + 12) + "px";
        tip.style.top = event.clientY + 14 + "px";
      }
    });
  });
  canvas.addEventListener("mouseleave", () => { store.hover = null; tip.hidden = true; plot.draw(); });
  canvas.addEventListener("click", (event) => { if (!canvas.dragged) select(find(...place(event))); });
  new ResizeObserver(() => plot.draw()).observe(canvas);
  plots.push(plot);
  return plot;
}

/** Trials in the order of drawing: what matters last, on top. */
function layered(trials) {
  const top = (t) => (t.id === store.selected ? 3 : t.id === store.hover ? 2 : t.id === DATA.best ? 1 : 0);
  return [...trials].sort((a, b) => top(a) - top(b) || a.quality - b.quality);
}

function strokeOf(trial, many) {
  if (trial.id === store.selected || trial.id === store.hover) return [cssColor("--accent"), 3];
  const shown = !store.kept || store.kept.has(trial.id);
  const dim = store.selected !== null ? 0.35 : 1;
  return [ramp(trial.quality, shown ? (many ? 0.45 : 0.85) * dim : 0.04), trial.id === DATA.best ? 2.5 : 1.2];
}

/** Axes with marks; returns the functions from values to pixels. */
function frame(g, box, x, y, xName, xText = short) {
  g.strokeStyle = cssColor("--line"); g.fillStyle = cssColor("--soft"); g.lineWidth = 1;
  const px = (v) => box.left + x.at(v) * box.width, py = (v) => box.top + (1 - y.at(v)) * box.height;
  g.textAlign = "right"; g.textBaseline = "middle";
  for (const mark of y.marks) { const at = py(mark); g.beginPath(); g.moveTo(box.left, at); g.lineTo(box.left + box.width, at); g.stroke(); g.fillText(short(mark), box.left - 7, at); }
  g.textAlign = "center"; g.textBaseline = "top";
  let free = -Infinity;
  for (const mark of x.marks) {
    const at = px(mark), text = clipped(g, xText(mark), 90), half = g.measureText(text).width / 2;
    if (at - half < free) continue;
    free = at + half + 6;
    g.fillText(text, Math.min(box.left + box.width - half + 8, at), box.top + box.height + 7);
  }
  g.textAlign = "right";
  if (xName) g.fillText(clipped(g, xName, box.width), box.left + box.width, box.top + box.height + 22);
  return [px, py];
}

function clipped(g, text, width) {
  text = String(text);
  if (g.measureText(text).width <= width) return text;
  while (text.length > 1 && g.measureText(text + "…").width > width) text = text.slice(0, -1);
  return text + "…";
}

/** How far a point is from a line between two others, in pixels. */
function distance(x, y, [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length ? Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) : 0;
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}

/** The trial whose path (a list of points, null for a gap) is nearest, within reach. */
function nearest(paths, x, y, reach = 9) {
  let best = null, least = reach;
  for (const [id, path] of paths) {
    if (store.kept && !store.kept.has(id)) continue;
    for (let i = 0; i < path.length; i++) {
      const here = path[i], before = path[i - 1];
      if (!here) continue;
      if (before ? x < before[0] - reach || x > here[0] + reach : Math.abs(x - here[0]) > reach) continue;
      const d = distance(x, y, before || here, here);
      if (d < least) { least = d; best = id; }
    }
  }
  return best;
}

function drawPaths(g, trials, paths) {
  const many = trials.length > 60;
  for (const trial of layered(trials)) {
    const [color, width] = strokeOf(trial, many);
    g.strokeStyle = g.fillStyle = color; g.lineWidth = width;
    g.beginPath();
    let down = false;
    const path = paths.get(trial.id) || [];
    path.forEach((point, i) => {
      if (!point) { down = false; return; }
      down ? g.lineTo(...point) : g.moveTo(...point);
      if (!down && !path[i + 1]) g.arc(...point, width, 0, 7);
      down = true;
    });
    g.stroke();
  }
}

/** The middle of the values fills the plot: a few that diverged do not press the others flat. */
function range(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const q = (p) => sorted[Math.round(p * (sorted.length - 1))];
  let [low, high] = [sorted[0], sorted[sorted.length - 1]];
  const spread = q(0.9) - q(0.1);
  if (spread > 0) { low = Math.max(low, q(0.1) - 2.5 * spread); high = Math.min(high, q(0.9) + 2.5 * spread); }
  const pad = (high - low || Math.abs(high) || 1) * 0.04;
  return [low - pad, high + pad];
}
