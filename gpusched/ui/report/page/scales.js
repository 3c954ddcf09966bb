// Numbers to places and colours. Nothing here knows what is drawn.

const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

/** The colour at 0 (worst) … 1 (best). */
function ramp(t, alpha = 1) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // The ends that would vanish on the ground are left out.
  const at = (dark ? 0.18 + 0.82 * t : 0.9 * t) * (VIRIDIS.length - 1);
  const i = Math.min(VIRIDIS.length - 2, Math.max(0, Math.floor(at)));
  const mix = VIRIDIS[i].map((low, k) => Math.round(low + (VIRIDIS[i + 1][k] - low) * (at - i)));
  return `rgba(${mix[0]},${mix[1]},${mix[2]},${alpha})`;
}

/** Six digits, as everywhere else. */
function short(value) {
  if (typeof value !== "number") return String(value);
  return String(Number(value.toPrecision(6)));
}

/** Round values between two others, ends included where they are round. */
function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** A numeric scale from [low, high] to [0, 1]; logarithmic where asked for and possible. */
function numeric(low, high, log) {
  if (log && low > 0) {
    const a = Math.log(low), b = Math.log(high);
    const marks = [];
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
      const mark = Number((10 ** p).toPrecision(6));
      if (mark >= low * 0.999 && mark <= high * 1.001) marks.push(mark);
    }
    return { at: (v) => b > a ? (Math.log(v) - a) / (b - a) : 0.5, marks: marks.length > 1 ? marks : [low, high] };
  }
  return { at: (v) => high > low ? (v - low) / (high - low) : 0.5, marks: ticks(low, high, 5) };
}

/** A scale for named values, spread evenly. */
function named(values) {
  const keys = values.map(String);
  const places = new Map(keys.map((key, i) => [key, keys.length > 1 ? i / (keys.length - 1) : 0.5]));
  return { at: (v) => places.has(String(v)) ? places.get(String(v)) : 0.5, marks: values.length <= 12 ? values : [], named: true };
}

function scaleOf(axis) {
  if (axis.values) {
    const numbers = axis.values.every((v) => typeof v === "number") && axis.values.length > 12;
    return numbers ? numeric(Math.min(...axis.values), Math.max(...axis.values), false) : named(axis.values);
  }
  return numeric(axis.min, axis.max, axis.log);
}
