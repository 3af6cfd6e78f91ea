// Buttons that copy: `data-copy` is the text, or `data-copy-of` the id of the element that has it.
const SAID_MS = 2_000; // long enough to be read

function textOf(button) {
  const { copy, copyOf } = button.dataset;
  return copyOf ? document.getElementById(copyOf).textContent : copy;
}

/** Where a page is not served over TLS, or the browser asks for leave first, there is only the older way. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("the browser does not copy");
  }
}

async function press(button) {
  const label = button.textContent;
  const said = await copy(textOf(button)).then(() => "Copied", () => "Not copied");
  button.textContent = said;
  button.focus();
  setTimeout(() => { if (button.textContent === said) button.textContent = label; }, SAID_MS);
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy], button[data-copy-of]");
    if (button && !button.disabled) press(button);
  });
}
