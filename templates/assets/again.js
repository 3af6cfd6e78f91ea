// Pages that are not live but end now are asked again while somebody looks at them and is in the middle of nothing.
// One without an answer is not: it would be asked in vain again and again, and says how to. Such a page has an element with `data-again`: the length of what it shows, in ms. A live page that has missed more than
// patches bring is asked again at once (the event `again`).
import { go } from "./navigate.js";

const LOOK_MS = 1_000;
const LEAST_MS = 10_000; // hosts are sampled so often unless told otherwise
const PARTS = 500; // a long range is asked again when it has moved by so small a part: two or three pixels
const IN_USE = "tbody:hover, .chart:hover, .timeline:hover, details[open], .detail, :focus-visible, input:focus, select:focus, textarea:focus, .key[aria-pressed=true]";

let made = Date.now();

function isInUse() {
  const main = document.getElementById("main");
  return main.querySelector(IN_USE) || document.querySelector("dialog[open]") || String(getSelection());
}

function look() {
  const length = Number(document.querySelector("main [data-again]")?.dataset.again ?? NaN);
  if (document.hidden || document.getElementById("unanswered") || !(Date.now() - made >= Math.max(LEAST_MS, length / PARTS)) || isInUse()) return;
  made = Date.now(); // an answer that does not come is waited for as long
  again();
}

function again() { go(location.href, { how: "none", keep: true, quiet: true }); }

export function start() {
  document.addEventListener("swap", () => { made = Date.now(); });
  document.addEventListener("again", again);
  setInterval(look, LOOK_MS);
}
