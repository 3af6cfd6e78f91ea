// The key map, and the help that is made from it.
import { isFrozen, setFrozen } from "./patch.js";
import { current, detail, focusRow, move, parentOf } from "./rows.js";
import { mark, signal } from "./signal.js";
import { step } from "./steps.js";

const click = (element) => element?.click();
/** A link whose text is empty leads nowhere now. */
const turn = (id) => { const link = document.getElementById(id); if (link?.textContent) link.click(); };
const inView = (name) => document.querySelector(`.switch a[data-view="${name}"]`);

function expand() {
  const row = current();
  if (row?.ariaExpanded === "false") click(row.querySelector(".twist"));
  else if (row?.ariaExpanded === "true") move(1);
}

function collapse() {
  const row = current();
  if (row?.ariaExpanded === "true") click(row.querySelector(".twist"));
  else if (row) focusRow(parentOf(row));
}

const KEYS = [
  { keys: ["/"], does: "Filter", run: () => (document.getElementById("q") ?? document.getElementById("find"))?.select() },
  { keys: ["g"], does: "Find anything", run: () => document.getElementById("find")?.select() },
  { keys: ["j", "ArrowDown"], does: "Next row", run: () => move(1), needs: "rows" },
  { keys: ["k", "ArrowUp"], does: "Previous row", run: () => move(-1), needs: "rows" },
  { keys: ["ArrowRight"], does: "Expand, or to the first child", run: expand, needs: "row" },
  { keys: ["ArrowLeft"], does: "Collapse, or to the parent", run: collapse, needs: "row" },
  { keys: ["Enter"], does: "Open what the row names", run: enter, needs: "row" },
  { keys: ["d"], does: "The row's details", run: () => detail(current()), needs: "row" },
  { keys: ["x"], does: "Mark or unmark the process", run: () => mark(current()), needs: "row" },
  { keys: ["s"], does: "Signal the marked processes, or this one", run: () => signal(current()), needs: "row" },
  { keys: ["t"], does: "Tree or flat", run: () => click(inView("Tree")?.ariaCurrent ? inView("Flat") : inView("Tree")) },
  { keys: ["n"], does: "Next hosts", run: () => turn("hosts-after") },
  { keys: ["p"], does: "Previous hosts", run: () => turn("hosts-before") },
  { keys: ["["], does: "Previous snapshot", run: (event) => step("earlier", event.repeat) },
  { keys: ["]"], does: "Next snapshot", run: (event) => step("later", event.repeat) },
  { keys: ["c"], does: "What changed since this snapshot", run: () => click(document.getElementById("changed-since")) },
  { keys: ["l"], does: "Back to live", run: () => step("to-live", false) },
  { keys: ["f"], does: "Freeze the rows, or let them move", run: () => click(document.getElementById("freeze")) },
  { keys: ["?"], does: "This help", run: help },
];
const NAMES = { ArrowDown: "↓", ArrowUp: "↑", ArrowRight: "→", ArrowLeft: "←" };

function enter() {
  const row = current();
  const link = row.querySelector("td.name a.t") ?? row.querySelector("td.host a") ?? row.querySelector("td a.t");
  if (link) click(link); else detail(row);
}

function help() {
  document.querySelector("dialog")?.remove();
  const dialog = document.createElement("dialog");
  const head = document.createElement("h2");
  head.textContent = "Keys";
  const list = document.createElement("dl");
  for (const { keys, does } of KEYS) {
    const term = document.createElement("dt");
    for (const key of keys) term.append(Object.assign(document.createElement("kbd"), { textContent: NAMES[key] ?? key }));
    list.append(term, Object.assign(document.createElement("dd"), { textContent: does }));
  }
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(Object.assign(document.createElement("button"), { textContent: "Close" }));
  form.addEventListener("submit", (event) => { event.stopPropagation(); event.preventDefault(); dialog.close(); });
  dialog.setAttribute("aria-label", "Keys");
  dialog.append(head, list, form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (target.matches("input, textarea, select")) {
      if (event.key === "Escape" || (event.key === "ArrowDown" && target.type === "search")) { target.blur(); if (event.key !== "Escape") move(1); }
      return;
    }
    if (event.key === "Enter" && target.closest("a, button, summary")) return;
    const bound = KEYS.find(({ keys }) => keys.includes(event.key));
    if (!bound || (bound.needs === "row" && !current())) return;
    if (event.key.startsWith("Arrow") && !current()) return; // arrows scroll until a row is chosen
    event.preventDefault();
    bound.run(event);
  });
  document.getElementById("help-button").addEventListener("click", help);
  document.addEventListener("click", (event) => {
    if (event.target.closest("#freeze")) setFrozen(!isFrozen());
  });
}
