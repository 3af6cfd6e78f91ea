// A long table appears from its top: rows below the screen are laid out in the frames after, so that what somebody typed or
// clicked shows at once. They are in the page meanwhile, where patches and keys find them.
const ROW_PX = 26; // the height of a row in `table.css`; rows of narrow screens are higher, so fewer are needed
const IN_A_FRAME = 50; // rows that come with each frame: some 20 ms on a slow machine
let later = []; // those that wait, in order

/** Hides the rows of `page` that are below the screen, but for where `kept` is, which is to have the focus. */
export function holdBack(page, kept) {
  const atOnce = Math.ceil(innerHeight / ROW_PX);
  later = [...page.querySelectorAll(".rows > tbody")].flatMap((body) => [...body.rows].slice(atOnce));
  if (kept && later.some((row) => row.id === kept || row.querySelector(`[id="${CSS.escape(kept)}"]`))) later = [];
  for (const row of later) row.hidden = true;
}

/** Shows what waits, some with each frame, until it is all there or another page has come. */
export function show() {
  if (!later.length) return;
  requestAnimationFrame(() => setTimeout(() => {
    for (const row of later.splice(0, IN_A_FRAME)) row.hidden = false;
    show();
  }));
}
