// Rows: numbering in the tree, moving between them, and their details.
import { upgrade } from "./times.js";

const NARROW = "(max-width: 1180px)"; // below it, columns are hidden

/** Sibling numbers after rows came, went or moved. */
export function number(body) {
  const families = [];
  const close = (level) => {
    while (families.length > level) {
      const family = families.pop();
      family?.forEach((row, index) => { row.ariaPosInSet = index + 1; row.ariaSetSize = family.length; });
    }
  };
  for (const row of body.rows) {
    if (!row.id) continue;
    const level = Number(row.ariaLevel);
    close(level);
    (families[level - 1] ??= []).push(row);
  }
  close(0);
}

const bodies = () => [...document.querySelectorAll("main table.rows tbody")];
const rowsOf = (body) => [...body.rows].filter((row) => row.id);

export function current() {
  const row = document.activeElement?.closest?.("tbody tr[id]");
  return row ?? null;
}

export function focusRow(row) {
  if (!row) return;
  row.tabIndex = -1;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

/** To the next row, behind the last one of a table to the first of the next table. */
export function move(by) {
  const row = current();
  const rows = bodies().flatMap(rowsOf);
  focusRow(row ? rows[rows.indexOf(row) + by] : rows[by > 0 ? 0 : rows.length - 1]);
}

export function parentOf(row) {
  const level = Number(row.ariaLevel);
  let above = row.previousElementSibling;
  while (above && !(above.id && Number(above.ariaLevel) < level)) above = above.previousElementSibling;
  return above;
}

/** Opens or closes a row's details: the columns that are hidden here, and of a process what the row has not. */
export function detail(row) {
  const next = row.nextElementSibling;
  if (next?.classList.contains("detail")) { next.remove(); return; }
  const heads = row.closest("table").tHead.rows[0].cells;
  const list = document.createElement("dl");
  [...row.cells].forEach((cell, index) => {
    if (cell.offsetParent || cell.matches(".command, .executable, .unit, .container")) return;
    line(list, heads[index].textContent.trim(), cell.title || cell.textContent.trim());
  });
  const opened = document.createElement("tr");
  opened.className = "detail";
  const cell = opened.insertCell();
  // Columns that a narrow screen hides are not there to be spanned.
  cell.colSpan = [...row.cells].filter((shown) => shown.offsetParent).length;
  cell.append(list);
  row.after(opened);
  const link = row.querySelector("td.name a.t") ?? row.querySelector("td a.t");
  if (link?.pathname.includes("/processes/")) facts(link, list);
  if (link) cell.append(opener(link));
}

/** A line of a list; without a value none. */
function line(list, label, value) {
  if (value === null || value === undefined || value === "") return null;
  const place = document.createElement("dd");
  place.append(value);
  list.append(Object.assign(document.createElement("dt"), { textContent: label }), place);
  return place;
}

function opener(link) {
  const place = document.createElement("p");
  place.append(Object.assign(document.createElement("a"), { className: "button", href: link.href, textContent: "Open" }));
  return place;
}

/** A text of a host, with every character visible that would hide or reorder others. */
export function visible(text) {
  const named = (character) => `‹U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`;
  return text?.replace(/[\p{Cc}\p{Cf}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu, named);
}

/** What is known of a process beside its figures, asked as programs ask. */
async function facts(link, list) {
  const answer = await fetch(`/api/v1${link.pathname}${link.search}`).catch(() => null);
  if (!answer?.ok || !list.isConnected) return;
  const process = await answer.json();
  for (const [label, text] of [["Command line", visible(process.command_line)], ["Executable", visible(process.executable)]]) {
    const place = line(list, label, text);
    if (!place) continue;
    place.className = "mono";
    place.append(" ", copier(label, text));
  }
  line(list, "Unit", visible(process.unit));
  line(list, "Container", visible(process.container));
  const started = Object.assign(document.createElement("time"), { className: "at", dateTime: process.started_at });
  upgrade(started);
  line(list, "Started", started);
  const parent = process.ancestors.find((ancestor) => ancestor.pid === process.parent_pid);
  if (parent) line(list, "Parent", linkTo(process.host, parent));
  line(list, "PID", String(process.pid))?.append(" ", copier("PID", String(process.pid)));
}

function linkTo(host, process) {
  const link = document.createElement("a");
  link.href = `/hosts/${host}/processes/${process.pid}?${new URLSearchParams({ started: process.started_at })}`;
  link.textContent = `${visible(process.name)} ${process.pid}`;
  return link;
}

function copier(label, text) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
  button.dataset.copy = text;
  button.ariaLabel = `Copy ${label}`;
  return button;
}

export function start() {
  const narrow = matchMedia(NARROW);
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tbody tr[id]");
    if (!row || event.target.closest("a, button") || String(getSelection())) return;
    if (narrow.matches) detail(row);
    focusRow(row);
  });
  document.addEventListener("dblclick", (event) => {
    const row = event.target.closest("tbody tr[id]");
    if (row && !narrow.matches && !event.target.closest("a, button")) { getSelection().removeAllRanges(); detail(row); }
  });
}
