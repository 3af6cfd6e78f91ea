// From sample to sample by key. While a page is on its way, one more step can wait, not a queue of them: held down, the
// key goes as fast as pages come, and stops when it is let go.
import { go } from "./navigate.js";

let walking = false;
let waiting = null;

/** Follows the link of this id, again for each press that came meanwhile, up to one. */
export async function step(id, repeated) {
  waiting = { id, repeated };
  if (walking) return;
  walking = true;
  while (waiting) {
    const { id, repeated } = waiting;
    waiting = null;
    const link = document.getElementById(id);
    // Steps of a key that is held down are one step for the back button.
    if (link?.getAttribute("href")) await go(link.href, { how: repeated ? "replace" : "push", keep: true });
  }
  walking = false;
}
