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

// Figures for people, as the commands print them (ui/words.py): four digits, and exponents of two.
const DIGITS = 4, whole = (value) => Number.isInteger(value) && Math.abs(value) < 1e15;
const exponent = (value) => Number(value.toExponential(DIGITS - 1).split("e")[1]);
const scientific = (value, decimals) => value.toExponential(decimals).replace(/e([+-])(\d)$/, "e$10$2");

/** A value: 0.3, 64, 1e-05. */
function short(value) {
  if (typeof value !== "number" || whole(value)) return String(value);
  const size = exponent(value), digits = Number(value.toPrecision(DIGITS));
  if (size >= -4 && size < DIGITS) return String(digits);
  return scientific(digits, undefined);
}

/** A score: 0.9820. */
function score(value) {
  if (value === 0) return value.toFixed(DIGITS - 1);
  const size = exponent(value);
  return size >= -4 && size < DIGITS ? value.toFixed(DIGITS - 1 - size) : scientific(value, DIGITS - 1);
}

/** How to write figures that stand below each other: all with as many decimals as the middle one needs. */
function columnOf(values) {
  const sizes = values.filter((v) => typeof v === "number" && v !== 0).map(Math.abs).sort((a, b) => a - b);
  const middle = sizes.length ? sizes[Math.floor((sizes.length - 1) / 2)] : 1;
  if (middle < 1e-4 || middle >= 10 ** DIGITS) return score;
  const decimals = Math.max(0, DIGITS - 1 - Math.floor(Math.log10(middle)));
  return (v) => (v === 0 || (Math.abs(v) >= 10 ** -decimals && Math.abs(v) < 1e6) ? v.toFixed(decimals) : scientific(v, DIGITS - 1));
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
