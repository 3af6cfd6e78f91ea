// Signals processes of the table: those that are marked, or the one that is chosen. The form that follows names them all.

/** The pid of a row; none for rows that stand for several processes, and for other tables. */
function pidOf(row) {
  return row?.querySelector('a.t[href*="/processes/"]')?.pathname.match(/\/processes\/(\d+)$/)?.[1] ?? null;
}

const button = () => document.getElementById("signal");
const marked = () => [...document.querySelectorAll("#processes tr.marked")].map(pidOf).filter(Boolean);

/** Shows the button when something is chosen, and where it leads. */
function refresh(row) {
  const link = button();
  if (!link) return;
  const chosen = marked();
  const pids = chosen.length ? chosen : [pidOf(row)].filter(Boolean);
  link.hidden = !pids.length;
  const url = new URL(link.href);
  url.searchParams.set("pid", pids.join(","));
  link.href = url.pathname + url.search;
  link.textContent = pids.length > 1 ? `Signal ${pids.length}…` : "Signal…";
}

export function mark(row) {
  if (!button() || !pidOf(row)) return;
  row.classList.toggle("marked");
  refresh(row);
}

export function signal(row) {
  refresh(row);
  if (button() && !button().hidden) button().click();
}

export function start() {
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("#processes tbody tr[id]");
    if (row) refresh(row);
  });
}
