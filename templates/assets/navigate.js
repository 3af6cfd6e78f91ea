// Links and forms inside the app fetch the same URL as without scripts, replace the main part, and keep scroll, focus
// and open menus. Every state stays a URL; the back button works.
import { disconnect, start as connect } from "./live.js";
import { setClock, upgradeAll } from "./times.js";
import { holdBack, show } from "./later.js";
import { forget, showFrozen } from "./patch.js";

const TYPING_PAUSE_MS = 150; // long enough for the next letter, short enough to feel at once
const QUICK_PAUSE_MS = 20; // where the answer takes less than a letter: two keys pressed together are one question
/** Of a request that nobody made by hand: it is no use of the session. */
export const BY_ITSELF = { "x-fleetps-by-itself": "1" };
const TOLD = ["matching", "shown", "problem"]; // fields that say what a filter or another page of rows has brought
let latest = 0; // the newest request; an older answer that comes later is dropped

const told = Object.assign(document.createElement("p"), { className: "unseen", role: "status" });
const main = () => document.getElementById("main");

/** Whether a click on this link stays inside the app. */
function isInside(link) {
  if (link.getAttribute("href").startsWith("#")) return false;
  const url = new URL(link.href);
  return url.origin === location.origin && !link.target && !link.download &&
    /^\/(hosts\/[^/]+(\/(system|history|events|diff|processes\/\d+))?|events|top|search|glossary)?$/.test(url.pathname);
}

/**
 * Shows `href`; `how` is push, replace or none (history moves by itself), `keep` leaves the page scrolled as it is, `quiet`
 * is for what nobody asked for: it keeps the present page when there is no other, or when somebody goes somewhere meanwhile.
 */
export async function go(href, { how = "push", keep = false, focus = null, quiet = false } = {}) {
  const request = quiet ? latest : ++latest;
  const url = new URL(href, location.href);
  url.hash = "";
  let text, answer;
  try {
    answer = await fetch(url, { headers: { accept: "text/html", ...(quiet ? BY_ITSELF : {}) } });
    if (new URL(answer.url).pathname === "/sign-in") return location.assign(url);
    if (quiet && !answer.ok) return;
    text = await answer.text();
  } catch {
    if (request === latest && !quiet) location.assign(url);
    return;
  }
  if (request !== latest || (quiet && location.href !== href)) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  if (!fresh.getElementById("main")) return location.assign(url);
  // A typed time becomes exact on the way, so that the address means the same to everybody.
  const shown = answer.redirected ? answer.url : url;
  if (how === "push") history.pushState(null, "", shown);
  if (how === "replace") history.replaceState(null, "", shown);
  swap(fresh, { keep, focus, quiet });
}

/** Puts the fresh main part into the page, and tells those who draw into it: the event `swap` has the part before. */
function swap(fresh, { keep, focus, quiet }) {
  const before = main();
  const after = document.adoptNode(fresh.getElementById("main"));
  after.toggleAttribute("data-by-itself", quiet);
  const active = document.activeElement;
  const focusId = focus ?? (before.contains(active) ? active.id : "");
  const caret = active instanceof HTMLInputElement && active.type === "search"
    ? { id: active.id, value: active.value, from: active.selectionStart, to: active.selectionEnd } : null;
  const open = [...before.querySelectorAll("details[open]")].map((details) => details.id);
  disconnect();
  forget();
  if (!keep || !scrollY) holdBack(after, focusId);
  before.replaceWith(after);
  document.title = fresh.title;
  const navs = [...fresh.querySelectorAll(".top nav")];
  document.querySelectorAll(".top nav").forEach((nav, at) => { if (navs[at]) nav.replaceWith(document.adoptNode(navs[at])); });
  if (keep) open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  if (caret && keep) {
    const input = document.getElementById(caret.id);
    if (input) {
      input.value = caret.value;
      input.focus({ preventScroll: true });
      input.setSelectionRange(caret.from, caret.to);
    }
  } else if (focusId && document.getElementById(focusId)) {
    const element = document.getElementById(focusId);
    if (element.tagName === "TR") element.tabIndex = -1;
    element.focus({ preventScroll: true });
  }
  if (!keep) scrollTo(0, 0);
  setClock();
  upgradeAll();
  showFrozen();
  tell(after);
  document.dispatchEvent(new CustomEvent("swap", { detail: before }));
  connect();
  show();
}

/** Says what came to those who hear the page: a region that is replaced together with its text is not read aloud. */
function tell(page) {
  const texts = TOLD.map((name) => page.querySelector(`[data-f=${name}]`)?.textContent).filter(Boolean);
  const text = texts.join(", ");
  if (told.textContent !== text) told.textContent = text;
}

/** The URL that a GET form leads to when `button` sends it, without empty fields. */
function urlOf(form, button = null) {
  const url = new URL(form.action);
  const values = [...new FormData(form, button)].filter(([, value]) => value !== "");
  const lists = new Map();
  const hasTime = values.some(([name]) => ["at", "from", "to"].includes(name));
  for (const [name, value] of values) if (name !== "zone" || hasTime) lists.set(name, lists.has(name) ? `${lists.get(name)},${value}` : value);
  url.search = new URLSearchParams([...lists]).toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return url.href;
}

let typing = 0;
let wishes = 0;
let asked = Promise.resolve(); // the question of what was typed that is under way

/** Asks what is typed in a field. One question at a time: what is typed meanwhile is asked when its answer has come. */
function typed(field, pause) {
  const wish = ++wishes;
  clearTimeout(typing);
  typing = setTimeout(async () => {
    await asked;
    // The answer has brought a field of its own, unless somebody went to another page meanwhile.
    const present = field.isConnected ? field : document.getElementById(field.id);
    if (wish !== wishes || present?.form?.action !== field.form.action) return;
    asked = go(urlOf(present.form), { how: "replace", keep: true });
  }, pause);
}

export function start() {
  document.body.append(told);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (!isInside(link)) return;
    event.preventDefault();
    const isTwist = link.classList.contains("twist");
    go(link.href, {
      how: isTwist || link.href === location.href ? "replace" : "push",
      keep: isTwist || "keep" in link.dataset,
      focus: isTwist ? link.closest("tr").id : null,
    });
  });
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return; // a question is posted, and its answer is a page of its own
    event.preventDefault();
    event.target.closest("details")?.removeAttribute("open");
    go(urlOf(event.target, event.submitter), { keep: true });
  });
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (field.type === "search") typed(field, "quick" in field.dataset ? QUICK_PAUSE_MS : TYPING_PAUSE_MS);
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    }
  });
  addEventListener("popstate", () => go(location.href, { how: "none", keep: true }));
}
