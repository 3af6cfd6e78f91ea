// Suggestions below the box of the head, while somebody types there: a combobox with a list. The server finds and orders them
// (`/api/v1/suggest`); each is a link, and Enter without one chosen sends the form, as without scripts.
import { write } from "./numbers.js";
import { visible } from "./rows.js";

const URL_OF = "/api/v1/suggest";
const PAUSE_MS = 100; // shorter than between two letters of most, so that a word is asked once or twice
const KINDS = [["hosts", "Hosts"], ["programs", "Programs"], ["users", "Users"], ["units", "Units"], ["processes", "Processes"]];
const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

let field, popup, note, list, said;
let timer = 0;
let asked = 0; // the newest question; an older answer that comes later is dropped
let request = null; // what is under way, to be cancelled

const options = () => [...list.querySelectorAll("[role=option]")];
const chosen = () => document.getElementById(field.getAttribute("aria-activedescendant") ?? "");
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

function choose(option) {
  chosen()?.removeAttribute("aria-selected");
  if (!option) return field.removeAttribute("aria-activedescendant");
  option.setAttribute("aria-selected", "true");
  field.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

/** The next option in this direction; between the last and the first lies the text itself. */
function move(by) {
  const places = [null, ...options()];
  choose(places.at((places.indexOf(chosen()) + by) % places.length));
}

/** Waits for no answer any more. */
function forget() {
  clearTimeout(timer);
  asked += 1;
  request?.abort();
}

function close() {
  forget();
  show([], "");
}

/** What was asked for is opened: the keys are those of its page now. */
function leave() {
  close();
  field.blur();
}

function show(groups, text) {
  choose(null);
  list.replaceChildren(...groups);
  note.textContent = text;
  const isOpen = groups.length > 0;
  list.hidden = !isOpen;
  note.hidden = !text;
  popup.hidden = !isOpen && !text;
  field.ariaExpanded = String(isOpen);
}

function option(id, href, text, facts) {
  const link = make("a", { id: `suggestion-${id}`, href, role: "option", tabIndex: -1 }, make("span", { className: "t", textContent: text }));
  if (facts) link.append(" ", make("small", { textContent: facts }));
  return link;
}

/** "1 process", "73 processes". */
const some = (number, one, several) => `${write(number, "count")} ${number === 1 ? one : several}`;

function facts(one) {
  if (one.state) return one.state === "up" ? "" : one.state;
  if (one.host) return `${one.pid} on ${one.host}${one.cpu_percent === null ? "" : `, ${write(one.cpu_percent, "percent")} %`}`;
  return `${some(one.processes, "process", "processes")} on ${some(one.hosts, "host", "hosts")}`;
}

function group(name, members) {
  const group = make("div", { role: "group" }, make("span", { className: "kind", textContent: name, ariaHidden: "true" }), ...members);
  group.ariaLabel = name;
  return group;
}

function draw(answer) {
  const groups = KINDS.filter(([kind]) => answer[kind].length).map(([kind, name]) =>
    group(name, answer[kind].map((one, place) => option(`${kind}-${place}`, one.page, visible(one.name), facts(one)))));
  const results = answer.results.map((one, place) =>
    option(`results-${place}`, one.page, `All results for “${one.q}”`, one.at ? `at ${CLOCK.format(Date.parse(one.at))}` : ""));
  if (results.length) groups.push(group("Search", results));
  const hasNames = KINDS.some(([kind]) => answer[kind].length);
  const isOfPast = hasNames && answer.results.some((one) => one.at);
  const lead = answer.at ? `; the links lead to ${CLOCK.format(Date.parse(answer.at))}` : "";
  const problem = answer.problem && `At column ${answer.problem.column}: ${answer.problem.message}`;
  show(groups, problem ?? (isOfPast ? `Names as of now${lead}` : ""));
  said.textContent = problem ?? some(options().length, "suggestion", "suggestions");
}

async function ask() {
  const text = field.value.trim();
  forget();
  if (!text) return show([], "");
  const number = asked;
  request = new AbortController();
  const at = new URL(location.href).searchParams.get("at");
  const query = new URLSearchParams(at ? { q: text, at } : { q: text });
  try {
    const answer = await fetch(`${URL_OF}?${query}`, { headers: { accept: "application/json" }, signal: request.signal });
    const suggestions = answer.ok ? await answer.json() : null;
    if (number !== asked) return;
    if (suggestions) draw(suggestions); else show([], "");
  } catch {
    // Cancelled, or the server is away: what is typed can still be sent.
    if (number === asked) show([], "");
  }
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const isOpen = field.ariaExpanded === "true";
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (isOpen) move(event.key === "ArrowDown" ? 1 : -1); else ask();
  } else if (event.key === "Escape" && !popup.hidden) {
    event.stopPropagation(); // the first one closes the list, the next one leaves the field
    close();
  } else if (event.key === "Enter" && chosen()) {
    event.preventDefault();
    chosen().click();
  }
}

function build() {
  note = make("p", { id: "find-note", hidden: true });
  list = make("div", { id: "suggestions", role: "listbox", hidden: true });
  list.ariaLabel = "Suggestions";
  popup = make("div", { className: "suggestions", hidden: true }, note, list);
  said = make("span", { className: "unseen", role: "status" });
  field.form.append(popup, said);
  Object.assign(field, { role: "combobox", ariaExpanded: "false", ariaAutoComplete: "list" });
  field.setAttribute("aria-controls", list.id);
  field.setAttribute("aria-describedby", note.id);
}

export function start() {
  field = document.getElementById("find");
  if (!field) return;
  build();
  field.addEventListener("input", () => {
    forget();
    choose(null); // of an older text
    timer = setTimeout(ask, PAUSE_MS);
  });
  field.addEventListener("keydown", press);
  field.addEventListener("blur", close);
  field.form.addEventListener("submit", leave);
  // The pointer leaves the focus in the field, so that the list is there until the click.
  popup.addEventListener("mousedown", (event) => event.preventDefault());
  popup.addEventListener("click", () => setTimeout(leave));
  document.addEventListener("swap", close);
}
