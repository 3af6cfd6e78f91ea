// Timeline and charts: pictures, the values under the pointer, travel by click, zoom by drag; the same by keyboard.
// Each such element has `data-from` and `data-to` (ms since 1970 UTC) and, inside a `data-metrics` element, values.
import { BY_ITSELF, go } from "./navigate.js";
import { write, writeFull } from "./numbers.js";
import { upgrade } from "./times.js";

const DRAG_PX = 5; // less is a click with an unsteady hand
const LOOK_MS = 5_000; // how often a live timeline is looked at
const REFRESH_MS = 10_000; // hosts are sampled so often unless told otherwise
const REFRESH_PARTS = 500; // a long range is drawn again when it has moved by so small a part: two or three pixels
const VALUES = 300; // points asked for to read values from: one for every four or five pixels

const frames = () => document.querySelectorAll("main [data-from]");
const strip = () => document.getElementById("timeline");
let drag = null; // { frame, from: x of the pointer when it was pressed, x }
let drawn = 0; // when the picture was asked for
let metrics = null; // { url, points: a promise }

// -- the picture of the timeline

/** Shows the picture, unless `before`, the page until now, has the same one already. */
function show(before = null) {
  const element = strip();
  if (!element) return;
  const kept = before?.querySelector("#timeline");
  const picture = kept?.querySelector(".picture svg");
  const isOfSameHost = kept?.dataset.image.split("?")[0] === element.dataset.image.split("?")[0];
  if (picture && isOfSameHost) element.querySelector(".picture").replaceChildren(picture);
  const isByItself = document.getElementById("main").hasAttribute("data-by-itself");
  if (!picture || kept.dataset.image !== element.dataset.image) draw(element, isByItself);
}

async function draw(element, isByItself = false) {
  const url = element.dataset.image;
  drawn = Date.now();
  const answer = await fetch(url, isByItself ? { headers: BY_ITSELF } : {}).catch(() => null);
  const text = answer?.ok ? await answer.text().catch(() => "") : "";
  if (element.dataset.image !== url) return; // a newer one is on its way
  element.classList.toggle("missing", !text);
  // What is there may be of another range.
  if (!text) return element.querySelector(".picture").replaceChildren();
  const plain = text.replace(/<style>.*?<\/style>/s, ""); // its colours for standing alone; here the page has them
  const svg = new DOMParser().parseFromString(plain, "image/svg+xml").documentElement;
  element.querySelector(".picture").replaceChildren(document.adoptNode(svg));
}

/** A live timeline ends now. */
function follow() {
  const element = strip();
  if (document.hidden || drag || !element?.hasAttribute("data-follows")) return;
  const to = Date.now();
  const length = Number(element.dataset.to) - Number(element.dataset.from);
  if (to - drawn < Math.max(REFRESH_MS, length / REFRESH_PARTS)) return;
  const from = to - length;
  const ends = `from=${iso(from)}&to=${iso(to)}`;
  Object.assign(element.dataset, {
    from, to,
    image: element.dataset.image.replace(/\?.*/, `?${ends}`),
    metrics: element.dataset.metrics.replace(/\?.*/, `?${ends}`),
  });
  const labels = [...element.querySelectorAll("time.label")];
  labels.forEach((label, index) => {
    label.dateTime = iso(from + (to - from) * index / (labels.length - 1));
    upgrade(label);
  });
  draw(element, true);
}

// -- where the pointer is

const iso = (time) => new Date(time).toISOString();

function shareAt(frame, x) {
  const box = frame.getBoundingClientRect();
  return Math.min(1, Math.max(0, (x - box.left) / box.width));
}

function timeAt(frame, x) {
  const from = Number(frame.dataset.from);
  return from + shareAt(frame, x) * (Number(frame.dataset.to) - from);
}

function place(frame, name, left, width = null) {
  let element = frame.querySelector(`:scope > .${name}`);
  if (!element) {
    element = document.createElement("div");
    element.className = name;
    frame.append(element);
  }
  element.style.left = `${left * 100}%`;
  if (width !== null) element.style.width = `${width * 100}%`;
  return element;
}

function clear(name) {
  document.querySelectorAll(`.${name}`).forEach((element) => element.remove());
}

/** The crosshair, in all frames at once, and the values there. */
async function point(frame, x) {
  const share = shareAt(frame, x);
  const time = timeAt(frame, x);
  for (const other of frames()) place(other, "cursor", share);
  sayPrograms(time);
  const holder = frame.closest("[data-metrics]");
  if (!holder) return;
  const found = nearest(await pointsOf(holder.dataset.metrics), time);
  if (!document.querySelector(".cursor")) return; // the pointer has left meanwhile
  say(frame, share, time, found);
}

function pointsOf(url) {
  if (metrics?.url !== url) {
    const points = fetch(`${url}&points=${VALUES}`).then((answer) => answer.ok ? answer.json() : { points: [] })
      .then((answer) => answer.points.map((point) => ({ ...point, from: Date.parse(point.from), to: Date.parse(point.to) })))
      .catch(() => []);
    metrics = { url, points };
  }
  return metrics.points;
}

/** The use of each program in the part of a breakdown that holds `time`. */
function sayPrograms(time) {
  for (const list of document.querySelectorAll("[data-bounds]")) {
    const bounds = list.dataset.bounds.split(" ").map(Number);
    const part = bounds.findIndex((bound, place) => bound <= time && time < bounds[place + 1]);
    for (const item of list.children) {
      const value = item.dataset.values.split(" ")[part] ?? "-";
      item.querySelector(".then").textContent = writeFull(value === "-" ? null : Number(value), list.dataset.unit);
    }
  }
}

/** The part of the span that holds `time`, or the nearest one within a hundredth of the span. */
function nearest(points, time) {
  const away = (point) => Math.max(point.from - time, time - point.to, 0);
  let best = null;
  for (const point of points) if (!best || away(point) < away(best)) best = point;
  const span = points.length ? points[points.length - 1].to - points[0].from : 0;
  return best && away(best) <= Math.max(span / 100, 60_000) ? best : null;
}

function say(frame, share, time, found) {
  for (const cell of document.querySelectorAll("[data-v]")) {
    const value = found?.[cell.dataset.v];
    cell.textContent = ("full" in cell.dataset ? writeFull : write)(value, cell.dataset.unit);
  }
  const clock = document.getElementById("values-at");
  if (clock) { clock.dateTime = iso(time); upgrade(clock); }
  if (frame !== strip()) return;
  const tip = place(frame, "tip", share);
  tip.classList.toggle("left", share > 0.5);
  const moment = document.createElement("time");
  moment.className = "at";
  moment.dateTime = iso(time);
  upgrade(moment);
  const memory = found && found.memory_total_bytes ? found.memory_used_bytes * 100 / found.memory_total_bytes : null;
  const text = found ? ` · CPU ${write(found.cpu_percent, "percent")} % · Memory ${write(memory, "percent")} %` : " · nothing came";
  tip.replaceChildren(moment, text);
}

// -- click and drag

function urlOf(changes) {
  const form = strip().querySelector("form.parts");
  const url = new URL(form.action);
  const parameters = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(changes)) if (value) parameters.set(name, value);
  url.search = parameters.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return url.href;
}

function release(event) {
  const { frame, from } = drag;
  drag = null;
  clear("zoom");
  const [start, end] = [from, event.clientX].sort((a, b) => a - b).map((x) => timeAt(frame, x));
  if (Math.abs(event.clientX - from) < DRAG_PX) {
    go(urlOf({ at: iso(timeAt(frame, event.clientX)) }), { keep: true });
    return;
  }
  const at = new URL(location.href).searchParams.get("at");
  const inside = at && Date.parse(at) >= start && Date.parse(at) <= end;
  go(urlOf({ from: iso(start), to: iso(Math.max(end, start + 1000)), at: inside ? at : null }), { keep: true });
}

// -- by keyboard

const STEPS = 100; // how many steps are from end to end
let handleInUse = -1; // the place of the one that travelled, which has the focus again on the page there

/** A slider over each frame. It is here, and not in the page, because without scripts it could do nothing. */
function addHandles() {
  frames().forEach((frame, place) => {
    const handle = document.createElement("div");
    Object.assign(handle, { className: "handle", tabIndex: 0, role: "slider", ariaValueMin: "0", ariaValueMax: String(STEPS), ariaValueNow: String(STEPS) });
    handle.ariaLabel = `Moment of ${frame.querySelector("svg")?.getAttribute("aria-label") ?? "CPU and memory over time"}`;
    frame.append(handle);
    if (place === handleInUse) handle.focus({ preventScroll: true });
  });
  handleInUse = -1;
}

/** Where a key moves a slider from `now`; none for other keys. */
function moved(event, now) {
  const step = event.shiftKey ? STEPS / 10 : 1;
  const to = { ArrowLeft: now - step, ArrowRight: now + step, Home: 0, End: STEPS }[event.key];
  return to === undefined ? null : Math.min(STEPS, Math.max(0, to));
}

async function steer(event) {
  const handle = event.target;
  const frame = handle.parentElement;
  const now = Number(handle.ariaValueNow);
  const from = Number(frame.dataset.from);
  if (event.key === "Enter" && strip()) {
    handleInUse = [...frames()].indexOf(frame);
    const at = from + (Number(frame.dataset.to) - from) * now / STEPS;
    go(urlOf({ at: iso(at) }), { keep: true });
  } else {
    const to = moved(event, now);
    if (to === null) return;
    handle.ariaValueNow = String(to);
    const box = frame.getBoundingClientRect();
    event.preventDefault();
    event.stopPropagation();
    await point(frame, box.left + box.width * to / STEPS);
    const said = frame.querySelector(".tip") ?? frame.closest("section, figure")?.querySelector(".caption");
    handle.ariaValueText = said?.innerText ?? "";
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

// -- legends

/** Shows one line or layer of a chart, and the others faintly; or all again. */
function isolate(button) {
  const scope = button.closest("section, figure");
  const isLayer = button.closest("[data-values]");
  const chart = scope.querySelector(isLayer ? ".chart.stack" : ".chart");
  const on = button.getAttribute("aria-pressed") !== "true";
  for (const other of (isLayer ? button.closest("ul") : button.parentElement).querySelectorAll("[data-isolate]")) {
    other.setAttribute("aria-pressed", String(on && other === button));
  }
  for (const path of chart.querySelectorAll("path:not(.grid, .gap, .alert)")) {
    path.classList.toggle("faded", on && !path.getAttribute("class").replace(" faded", "").endsWith(` ${button.dataset.isolate}`));
  }
}

export function start() {
  const frameOf = (event) => event.target.closest?.("main [data-from]");
  document.addEventListener("pointerdown", (event) => {
    const frame = frameOf(event);
    if (!frame || event.button || !strip()) return;
    event.preventDefault();
    drag = { frame, from: event.clientX };
  });
  document.addEventListener("pointermove", (event) => {
    if (drag) {
      const [left, right] = [drag.from, event.clientX].map((x) => shareAt(drag.frame, x)).sort((a, b) => a - b);
      if (Math.abs(event.clientX - drag.from) >= DRAG_PX) place(drag.frame, "zoom", left, right - left);
    }
    const frame = drag?.frame ?? frameOf(event);
    if (frame) point(frame, event.clientX);
    else { clear("cursor"); clear("tip"); }
  });
  document.addEventListener("pointerup", (event) => { if (drag) release(event); });
  document.addEventListener("pointercancel", () => { drag = null; clear("zoom"); });
  // The buttons below the pointer are for pages without scripts, and for the keyboard.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("form.parts") && event.detail) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => { if (event.target.matches?.(".handle")) steer(event); }, { capture: true });
  document.addEventListener("focusout", (event) => { if (event.target.matches?.(".handle")) { clear("cursor"); clear("tip"); } });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-isolate]");
    if (button) isolate(button);
  });
  document.addEventListener("swap", (event) => { show(event.detail); addHandles(); });
  show();
  addHandles();
  setInterval(follow, LOOK_MS);
}
