// Who waits and who has come, on the page that adds hosts, asked again while somebody looks at it. The rest of the page stays:
// it may show a token, which is shown only once.
import { BY_ITSELF } from "./navigate.js";
import { upgradeAll } from "./times.js";

const EVERY_MS = 3_000; // a person who has pasted a line waits for its host

let isAsked = false;
let shown = ""; // what came last: screen readers say what changes, and nothing has

async function ask(section) {
  const answer = await fetch(section.dataset.arrivals, { headers: { accept: "text/html", ...BY_ITSELF } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("arrivals");
  const selection = getSelection();
  const isInUse = section.contains(document.activeElement) || (!selection.isCollapsed && selection.containsNode(section, true));
  if (!fresh || !section.isConnected || isInUse || fresh.innerHTML === shown) return;
  shown = fresh.innerHTML;
  section.replaceChildren(...fresh.childNodes);
  upgradeAll(section);
}

async function look() {
  const section = document.getElementById("arrivals");
  if (!section || document.hidden || isAsked) return;
  isAsked = true;
  try {
    await ask(section);
  } catch {
    // The server is away for a moment; it is asked again.
  } finally {
    isAsked = false;
  }
}

export function start() {
  setInterval(look, EVERY_MS);
}
