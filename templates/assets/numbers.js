// Numbers as the server writes them: at most three significant digits, sizes in binary steps.
const STEPS = ["", " k", " M", " G", " T", " P"];

function threeDigits(value, decimals) {
  if (value < 9.995) return value.toFixed(decimals);
  if (value < 99.95) return value.toFixed(1);
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

function size(bytes) {
  let step = 0;
  for (; bytes >= 999.5 && step + 1 < STEPS.length; step++) bytes /= 1024;
  return (step === 0 || bytes >= 99.95 ? bytes.toFixed(0) : threeDigits(bytes, 2)) + STEPS[step];
}

const WAYS = {
  percent: (value) => threeDigits(value, 1),
  load: (value) => threeDigits(value, 2),
  bytes: size,
  rate: size,
  count: (value) => Math.round(value).toLocaleString("en"),
};

export function write(value, unit) {
  return value === null || value === undefined ? "–" : WAYS[unit](value);
}

/** The same with its unit. */
export function writeFull(value, unit) {
  const text = write(value, unit);
  if (text === "–" || unit === "load" || unit === "count") return text;
  if (unit === "percent") return `${text} %`;
  const bytes = / [kMGTP]$/.test(text) ? `${text.replace("k", "K")}iB` : `${text} B`;
  return unit === "rate" ? `${bytes}/s` : bytes;
}
