// A patch into the page. Values change in place at once; rows come, go and move only while neither the pointer is in
// the table nor "freeze" is on. New rows are tinted and gone ones struck through until the next sample.
import { number } from "./rows.js";
import { upgrade } from "./times.js";

const held = new Map(); // by table: what waits until rows may move again
let frozen = false;

const byId = (id) => document.getElementById(id);

export function isFrozen() { return frozen; }

export function setFrozen(on) {
  frozen = on;
  byId("freeze")?.setAttribute("aria-pressed", String(on));
  if (!on) release();
}

/** A new page: held patches belong to the old one; freeze stays on. */
export function forget() { held.clear(); }

export function showFrozen() { byId("freeze")?.setAttribute("aria-pressed", String(frozen)); }

export function apply(patch) {
  for (const field of patch.fields ?? []) setField(...field);
  for (const change of patch.tables ?? []) {
    const table = byId(change.id);
    if (!table) { location.reload(); return; }
    for (const cell of change.cells ?? []) setCell(...cell);
    if (change.more !== undefined) {
      const link = document.querySelector(`[data-more="${change.id}"]`);
      if (link) link.textContent = change.more;
    }
    hold(table, change, patch.whole);
    if (mayMove(table)) settle(table);
  }
}

function setField(name, text, shade, time, href) {
  for (const element of document.querySelectorAll(`[data-f="${name}"]`)) {
    if (href) element.href = href;
    if (href && !text) continue; // the place has a text of its own
    if (element.tagName === "TIME" && time) {
      element.dateTime = time;
      upgrade(element);
    } else if (element.textContent !== text) element.textContent = text;
    if (element.classList.contains("word")) element.className = `word ${shade}`;
  }
}

function setCell(id, column, text = "", shade, note, time, outline) {
  const cell = (byId(id) ?? waiting(id))?.cells[column];
  if (!cell) return;
  const place = cell.querySelector(".t") ?? cell;
  if (time && place.tagName === "TIME") {
    place.dateTime = time;
    upgrade(place);
  } else place.textContent = text;
  if (outline) cell.querySelector(".spark path")?.setAttribute("d", outline);
  if (note) { const element = cell.querySelector(".note"); if (element) element.textContent = note; }
  cell.className = shade ? `${cell.classList[0]} ${shade}` : cell.classList[0];
}

/** A row that came while rows may not move. */
function waiting(id) {
  for (const { rows } of held.values()) if (rows.has(id)) return rows.get(id);
  return null;
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = `<table><tbody>${html}</tbody></table>`;
  const row = template.content.querySelector("tr");
  row.querySelectorAll("time").forEach(upgrade);
  return row;
}

function hold(table, change, whole) {
  const kept = held.get(table.id) ?? { rows: new Map(), gone: new Set(), order: null, whole: false };
  held.set(table.id, kept);
  if (whole) { kept.rows.clear(); kept.gone.clear(); kept.order = change.order ?? []; kept.whole = true; }
  for (const [id, html] of change.rows ?? []) {
    const row = parse(html);
    const shown = byId(id);
    kept.gone.delete(id);
    if (shown && !whole && sameFrame(shown, row)) replaceRow(shown, row);
    else kept.rows.set(id, row);
  }
  for (const id of change.gone ?? []) {
    kept.rows.delete(id);
    kept.gone.add(id);
    byId(id)?.classList.add("gone");
  }
  if (change.order) kept.order = change.order;
}

/** A row of another shape can be exchanged in place unless it opened or closed, which moves others. */
function sameFrame(shown, row) {
  return shown.ariaLevel === row.ariaLevel && shown.cells.length === row.cells.length;
}

function replaceRow(shown, row) {
  const focused = document.activeElement === shown;
  const kept = ["fresh", "marked"].filter((name) => shown.classList.contains(name));
  row.className = [row.className, ...kept].join(" ").trim();
  shown.replaceWith(row);
  if (focused) { row.tabIndex = -1; row.focus({ preventScroll: true }); }
}

function mayMove(table) {
  return !frozen && !table.tBodies[0].matches(":hover");
}

/** Whether every table may move. */
export function mayMoveAll() { return !frozen && !document.querySelector("main tbody:hover"); }

/** Whether rows wait for their order. */
export function isHeld() { return [...held.values()].some(({ order }) => order); }

/** Everything that waits, in all tables whose rows may move. */
export function release() {
  for (const id of held.keys()) {
    const table = byId(id);
    if (table && mayMove(table)) settle(table);
  }
  document.dispatchEvent(new Event("released"));
}

function settle(table) {
  const kept = held.get(table.id);
  if (!kept) return;
  held.delete(table.id);
  const body = table.tBodies[0];
  for (const row of body.querySelectorAll(":scope > .gone")) if (!kept.gone.has(row.id)) remove(row);
  for (const row of body.querySelectorAll(":scope > .fresh")) row.classList.remove("fresh");
  for (const [id, row] of kept.rows) {
    if (!kept.whole && !byId(id)) row.classList.add("fresh");
    const shown = byId(id);
    if (shown) replaceRow(shown, row); else body.append(row);
  }
  if (kept.order) {
    if (kept.whole) {
      const wanted = new Set(kept.order);
      for (const row of [...body.rows]) if (row.id && !wanted.has(row.id)) remove(row);
    }
    arrange(body, kept.order);
  }
  if (table.getAttribute("role") === "treegrid" && (kept.order || kept.rows.size)) number(body);
}

function remove(row) {
  if (row.nextElementSibling?.classList.contains("detail")) row.nextElementSibling.remove();
  row.remove();
}

/** Brings the rows into `order`; gone ones stay where they are, behind the row they followed. */
function arrange(body, order) {
  let at = body.firstElementChild;
  for (const id of order) {
    while (at && (at.classList.contains("gone") || at.classList.contains("detail"))) at = at.nextElementSibling;
    if (at?.id === id) { at = at.nextElementSibling; continue; }
    const row = byId(id);
    if (!row) continue;
    const detail = row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;
    body.insertBefore(row, at);
    if (detail) body.insertBefore(detail, at);
  }
}

document.addEventListener("pointerout", (event) => {
  const body = event.target.closest?.("tbody");
  if (body && !body.contains(event.relatedTarget)) release();
});
