// One stream of patches per open page. When it breaks, the page says so and comes back by itself; the server then
// sends the whole page's values once.
import { apply, isHeld, mayMoveAll, release } from "./patch.js";

const HELD_MS = 500; // how often it is looked whether the rows may move again
const RETRY_MS = 3000; // after the server refused; what merely broke the browser retries by itself
let source = null;
let retry = 0;

function say(state, text) {
  const dot = document.getElementById("live-dot");
  if (!dot) return;
  dot.className = `live-dot ${state}`;
  if (dot.textContent !== text) dot.textContent = text; // it is read aloud when it changes
}

/** The stream is open. A page about a host that sends nothing is not live for all that. */
function sayOpen() {
  const host = document.querySelector(".of-host .word[data-f=state]");
  if (host && !host.classList.contains("up")) say("", `host is ${host.textContent}`);
  else say("on", isHeld() ? "live, order of rows held" : "live");
}

export function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

export function start() {
  disconnect();
  const main = document.getElementById("main");
  if (!main.dataset.live) return;
  const url = new URL(main.dataset.live, location.href);
  url.searchParams.set("since", main.dataset.version ?? "");
  const mine = source = new EventSource(url);
  mine.onopen = sayOpen;
  mine.onmessage = (event) => {
    const patch = JSON.parse(event.data);
    if (patch.again) return askAgain();
    main.dataset.version = patch.version;
    apply(patch);
    sayOpen();
  };
  mine.onerror = () => {
    say("broken", "reconnecting");
    if (mine.readyState === EventSource.CLOSED && mine === source) retry = setTimeout(again, RETRY_MS);
  };
  release();
}

document.addEventListener("released", () => { if (source?.readyState === EventSource.OPEN) sayOpen(); });

/** All of the page would be a long patch; asked for like any page, it comes compressed. Not under the pointer. */
function askAgain() {
  disconnect(); // what comes next differs from what this page does not show
  if (!mayMoveAll()) {
    say("", "not up to date");
    retry = setTimeout(askAgain, HELD_MS);
    return;
  }
  document.dispatchEvent(new Event("again"));
  retry = setTimeout(start, RETRY_MS); // a new page has a stream of its own; this is for when none comes
}

// The server refused: it may be too busy, or nobody is signed in here any more, and then the page leads to the sign-in.
async function again() {
  const answer = await fetch(location.href, { method: "HEAD" }).catch(() => null);
  if (answer?.status === 401) location.reload();
  else start();
}

// A page in the background needs no patches; it gets the present when it is looked at again.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) disconnect();
  else if (!source) start();
});
