// Rows: numbering in the tree, moving between them, and their details.

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

export function move(by) {
  const row = current();
  const rows = rowsOf(row?.closest("tbody") ?? bodies()[0] ?? { rows: [] });
  focusRow(row ? rows[rows.indexOf(row) + by] : rows[by > 0 ? 0 : rows.length - 1]);
}

export function parentOf(row) {
  const level = Number(row.ariaLevel);
  let above = row.previousElementSibling;
  while (above && !(above.id && Number(above.ariaLevel) < level)) above = above.previousElementSibling;
  return above;
}

/** Opens or closes a row's details: every column's heading and value, the hidden ones too. */
export function detail(row) {
  const next = row.nextElementSibling;
  if (next?.classList.contains("detail")) { next.remove(); return; }
  const heads = row.closest("table").tHead.rows[0].cells;
  const list = document.createElement("dl");
  [...row.cells].forEach((cell, index) => {
    const name = document.createElement("dt");
    name.textContent = heads[index].innerText.trim() || heads[index].textContent.trim();
    const value = document.createElement("dd");
    if (cell.matches(".command, .executable")) value.className = "mono";
    value.textContent = cell.title || cell.textContent.trim();
    list.append(name, value);
  });
  const opened = document.createElement("tr");
  opened.className = "detail";
  const cell = opened.insertCell();
  // Columns that a narrow screen hides are not there to be spanned.
  cell.colSpan = [...row.cells].filter((shown) => shown.offsetParent).length;
  cell.append(list);
  row.after(opened);
}

export function start() {
  const narrow = matchMedia("(max-width: 700px)");
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
