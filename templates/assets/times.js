// Times in the reader's zone, the exact UTC time in their title; ages go on by themselves between patches.
const UNITS = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
const ZONED = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const OF_THIS_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit", second: "2-digit" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const CLOCK_TO_THE_SECOND = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DAY_MS = 86_400_000;
const SECONDS_BELOW_MS = 600_000; // two labels might lie in one minute
let ahead = 0; // how far the server's clock is ahead of this one, in ms

/** On a page that is not live, how long ago its host was heard of is told as of when the page was made. */
function nowFor(element) {
  const { live, now } = document.getElementById("main").dataset;
  return element.dataset.f && !live ? Number(now) : Date.now() + ahead;
}

function age(element, time) {
  const seconds = Math.max(0, Math.floor((nowFor(element) - time) / 1000));
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size).toLocaleString("en")} ${unit}`;
}

/** In tables and beside words, what goes without saying is left out: the day of today, the year of this year. */
function momentOf(element, time) {
  const [then, now] = [new Date(time), new Date()];
  if (!element.matches(".clock, td time")) return ZONED.format(time);
  if (then.toDateString() === now.toDateString()) return CLOCK_TO_THE_SECOND.format(time);
  return (then.getFullYear() === now.getFullYear() ? OF_THIS_YEAR : ZONED).format(time);
}

function written(element, time) {
  if (element.classList.contains("ago")) return age(element, time);
  if (!element.classList.contains("label")) return momentOf(element, time);
  const { from, to } = (element.closest("[data-from]") ?? element.closest(".plot").querySelector("[data-from]")).dataset;
  const length = to - from;
  const format = length < SECONDS_BELOW_MS ? CLOCK_TO_THE_SECOND : length < DAY_MS ? CLOCK : DAY_AND_CLOCK;
  return format.format(time);
}

export function upgrade(element) {
  const exact = element.dateTime;
  const time = Date.parse(exact);
  if (Number.isNaN(time)) return;
  const text = written(element, time);
  if (element.textContent !== text) element.textContent = text;
  if (element.title !== exact) element.title = exact;
}

export function upgradeAll(root = document) {
  root.querySelectorAll("time").forEach(upgrade);
}

export function setClock() {
  const now = Number(document.getElementById("main").dataset.now);
  if (now) ahead = now - Date.now();
}

/** Tells the server the reader's zone, for times that are typed. Whether fields of this page are in another one. */
export function tellZone() {
  const zone = ZONED.resolvedOptions().timeZone;
  const told = `fleetps-zone=${zone}`;
  if (document.cookie.split("; ").includes(told)) return false;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${told}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  return [...document.querySelectorAll(".zone")].some((shown) => shown.textContent !== zone);
}

export function start() {
  setClock();
  upgradeAll();
  setInterval(() => { if (!document.hidden) document.querySelectorAll("time.ago").forEach(upgrade); }, 1000);
}
