// What is typed into a form is not lost when it is refused: because the session has ended in another tab, the page is too old, or
// the server is busy. It waits in this tab, and is filled in again where the form is. Nothing is sent by itself, passwords and
// fields with `data-secret` are never kept, and nobody else who signs in gets it.
// A page that answers a form which is not through has `data-refused` on its main part.
const KEY = "fleetps-form";
const LONGEST = 256 * 1024; // letters of all fields: a long question in SQL
const KEPT_MS = 3_600_000; // a pause; whoever comes back later begins anew
const NEVER = ["password", "hidden", "file", "submit", "button", "image", "reset"];

const person = () => document.querySelector("[data-person]")?.textContent ?? "";
const isKept = (field) => field.name && !NEVER.includes(field.type) && !("secret" in field.dataset);
const isTick = (field) => field.type === "checkbox" || field.type === "radio";
const fieldsOf = (form) => [...form.elements].filter(isKept);
const formsTo = (action) => [...document.querySelectorAll("main form[method=post]")].filter((form) => form.action === action);

function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return kept && Date.now() - kept.at < KEPT_MS ? kept : null;
  } catch { return null; }
}

function write(kept) {
  try {
    if (kept) sessionStorage.setItem(KEY, JSON.stringify(kept));
    else sessionStorage.removeItem(KEY);
  } catch { /* a browser that keeps nothing */ }
}

/** What a field has: its text, or whether and with which value it is marked. */
const valueOf = (field) => isTick(field) ? [field.value, field.checked] : [...(field.selectedOptions ?? [field])].map((one) => one.value);

/** Keeps what is sent, until the answer says whether it is through. */
function keep(form) {
  if (document.querySelector("main[data-refused]")) {
    // Between a form and what it does: a password sends it once more, and whoever signs in has not sent it yet.
    const kept = read();
    if (kept && kept.action === form.action) write({ ...kept, refused: false });
    return;
  }
  if (location.pathname.startsWith("/welcome/")) return; // the address is a secret
  const fields = fieldsOf(form).map((field) => [field.name, valueOf(field)]);
  const kept = { at: Date.now(), person: person(), page: location.pathname + location.search, action: form.action,
    place: formsTo(form.action).indexOf(form), fields, refused: false };
  write(JSON.stringify(fields).length <= LONGEST ? kept : null);
}

function fill(form, fields) {
  const places = new Map();
  for (const [name, value] of fields) {
    const place = places.get(name) ?? 0;
    places.set(name, place + 1);
    const field = fieldsOf(form).filter((one) => one.name === name)[place];
    if (!field) continue;
    if (isTick(field)) field.checked = field.value === value[0] ? value[1] : field.checked;
    else if (field.options) for (const option of field.options) option.selected = value.includes(option.value);
    else field.value = value[0] ?? "";
  }
}

function note(form) {
  const words = Object.assign(document.createElement("p"), { id: "kept", className: "problem", role: "status" });
  const discard = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: "Discard it" });
  discard.addEventListener("click", () => { write(null); form.reset(); words.remove(); });
  words.append("What you typed is here again. It was not sent: look at it, and send it once more. ", discard);
  form.closest("details")?.setAttribute("open", "");
  form.before(words);
}

/** Looks whether this page is the answer to a form, or has the form whose text waits. */
function look() {
  const kept = read();
  if (!kept) return write(null);
  if (document.querySelector("main[data-refused]")) return write({ ...kept, refused: true });
  if (!kept.refused || (person() && person() !== kept.person)) return write(null);
  const form = formsTo(kept.action)[kept.place];
  if (location.pathname + location.search !== kept.page || !form || document.getElementById("kept")) return;
  fill(form, kept.fields);
  note(form);
}

export function start() {
  document.addEventListener("submit", (event) => {
    if (event.target.matches("main form[method=post]")) keep(event.target);
    else if (event.target.matches("header form[method=post]")) write(null); // signs out
  });
  document.addEventListener("swap", look);
  look();
}
