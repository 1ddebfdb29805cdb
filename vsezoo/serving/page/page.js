// The search: what is looked for, its address, and its answers.

import { gate } from "./gate.js";
import { focus, find, at, results, show } from "./results.js";
import { ask, onLocked, search } from "./service.js";
import { chips, clearTerms, readTerms, setTerms } from "./terms.js";
import { view } from "./viewer.js";

const PAUSE = 120; // milliseconds after the last key
const PAGE = 24;
const MOST = 480;

const element = (id) => document.getElementById(id);
const [query, file, status, problem, more] = ["query", "file", "status", "problem", "more"].map(element);
const format = new Intl.NumberFormat("en");

let collection = { size: 0, name: "", terms: false, uploads: false, pictures: false };
let subject = null; // an image to search with: { item, id, thumbnail }, or { file, id, thumbnail }
let count = PAGE;
let timer = 0;
let asking = new AbortController();

function readState() {
  return { query: query.value.trim(), subject, ...readTerms() };
}

// Search when no key has been pressed for a moment.
function plan(pause = PAUSE) {
  clearTimeout(timer);
  count = PAGE;
  timer = setTimeout(run, pause);
}

async function run() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const state = readState();
  const isSearch = state.query || state.plus.length || state.subject;
  keep(state);
  element("clear").hidden = !(isSearch || state.minus.length);
  const late = setTimeout(() => results.list.setAttribute("aria-busy", "true"), 400);
  try {
    const answer = isSearch ? await search(state, count, signal) : await ask(`sample?k=${PAGE}`, { signal });
    if (signal.aborted) return;
    problem.hidden = true;
    draw(answer, state, isSearch);
  } catch (error) {
    if (!signal.aborted) complain(error);
  } finally {
    clearTimeout(late);
    if (!signal.aborted) results.list.removeAttribute("aria-busy");
  }
}

function draw(answer, state, isSearch) {
  const found = answer.results ?? answer.items;
  show(found, collection);
  const total = format.format(collection.size);
  const some = found.length === collection.size ? "All" : `${format.format(found.length)} of`;
  status.textContent = isSearch ? `The ${found.length} best of ${total} images` : `${some} ${total} images in ${collection.name}`;
  if (!isSearch && state.minus.length) status.textContent += ". Say what to look for, too.";
  if (answer.note) status.textContent = answer.note;
  status.classList.toggle("warning", Boolean(answer.note));
  more.hidden = !isSearch || found.length < count || count >= Math.min(MOST, collection.size);
  if (subject && !subject.file && !subject.id && find(subject.item) >= 0) setSubject(at(find(subject.item)));
  const title = state.query || state.plus.join(", ") || (subject?.id ? `Like ${subject.id}` : "");
  document.title = title ? `${title} – ${collection.name}` : `Search ${collection.name}`;
}

function complain(error) {
  const [strong, span] = problem.querySelectorAll("strong, span");
  strong.textContent = error.message;
  span.textContent = error.remedy ?? "";
  status.textContent = "";
  problem.hidden = false;
}

// The address of the page names the search, so that it can be kept and shared; of a picture it cannot.
function keep(state) {
  const named = new URLSearchParams();
  if (state.query) named.set("q", state.query);
  for (const name of ["plus", "minus"]) for (const text of state[name]) named.append(name, text);
  if (state.subject && !state.subject.file) named.set("item", state.subject.item);
  const address = `${location.pathname}${named.size ? `?${named}` : ""}`;
  if (address !== location.pathname + location.search) history.replaceState(null, "", address);
}

function restore() {
  const named = new URLSearchParams(location.search);
  const item = named.get("item");
  query.value = named.get("q") ?? "";
  setTerms(named.getAll("plus"), named.getAll("minus"));
  setSubject(item && /^\d+$/.test(item) ? { item: Number(item), id: "", thumbnail: "" } : null);
  plan(0);
}

function setSubject(one) {
  if (subject?.file && subject !== one) URL.revokeObjectURL(subject.thumbnail);
  subject = one;
  const shown = one && { text: one.id || "an image", thumbnail: one.thumbnail };
  chips(element("subject"), shown ? [shown] : [], () => {
    setSubject(null);
    plan(0);
    query.focus();
  });
  query.placeholder = one ? "And what else?" : "Describe what you are looking for";
}

function searchLike(one) {
  if (!collection.terms || !one) return;
  history.pushState(null, "", location.href);
  query.value = "";
  clearTerms();
  setSubject(one);
  plan(0);
  scrollTo({ top: 0 });
  query.focus();
}

function searchPicture(chosen) {
  if (!chosen || !collection.uploads) return;
  if (!chosen.type.startsWith("image/")) {
    complain({ message: `${chosen.name} is not a picture.`, remedy: "Drop a JPEG, PNG or WebP file." });
    return;
  }
  history.pushState(null, "", location.href);
  setSubject({ file: chosen, id: chosen.name, thumbnail: URL.createObjectURL(chosen) });
  plan(0);
}

function clear() {
  query.value = "";
  clearTerms();
  setSubject(null);
  plan(0);
  query.focus();
}

// Events

results.open = (place) => view(place, collection);
results.like = searchLike;
results.leave = () => query.focus();
query.addEventListener("input", () => plan());
element("terms").addEventListener("change-terms", () => plan());
element("search").addEventListener("submit", (event) => {
  event.preventDefault();
  plan(0);
});
element("clear").addEventListener("click", clear);
element("choose").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  searchPicture(file.files[0]);
  file.value = "";
});
more.addEventListener("click", async () => {
  const first = count;
  count = Math.min(count + PAGE, MOST);
  await run();
  focus(first);
});
problem.querySelector("button").addEventListener("click", () => begin());
addEventListener("popstate", restore);

query.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") {
    event.preventDefault();
    focus();
  } else if (event.key === "Escape") {
    event.preventDefault();
    clear();
  }
});
addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, dialog");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    query.focus();
    query.select();
  }
});

const hasFile = (event) => collection.uploads && [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFile(event)) return;
  event.preventDefault();
  element("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) element("drop").hidden = true;
});
addEventListener("drop", (event) => {
  element("drop").hidden = true;
  if (!hasFile(event)) return;
  event.preventDefault();
  searchPicture(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) searchPicture(event.clipboardData.files[0]);
});

async function begin() {
  problem.hidden = true;
  try {
    await gate.enter();
    collection = await ask("collection");
    element("about").textContent = `${format.format(collection.size)} images in ${collection.name}, searched with ${collection.model}`;
    element("choose").hidden = !collection.uploads;
    element("terms").hidden = !collection.terms;
    document.querySelector(".like-key").hidden = !collection.terms;
    restore();
  } catch (error) {
    complain(error);
  }
}

onLocked(gate.ask);
begin();
