// The grid of results: its cards, and moving among them with the arrow keys.

const list = document.querySelector("#results");
const template = document.querySelector("#card");
let cards = new Map(); // by item: a card that stays is moved, and its picture is not loaded again
let shown = [];
let active = 0;

export const results = { list, open: () => {}, like: () => {}, leave: () => {} };

// Show results, or items without scores.
export function show(found, { pictures, terms }) {
  const best = Math.max(...found.map((one) => one.score ?? 0));
  list.classList.toggle("pictures", pictures);
  const kept = new Map();
  for (const one of found) kept.set(one.item, fill(cards.get(one.item) ?? make(one, pictures), one, best, terms));
  cards = kept;
  shown = found;
  list.replaceChildren(...cards.values());
  activate(0);
}

export function find(item) {
  return shown.findIndex((one) => one.item === item);
}

export function at(place) {
  return shown[place];
}

export function focus(place = active) {
  if (!shown.length) return;
  activate(Math.min(Math.max(place, 0), shown.length - 1));
  const button = list.children[active].querySelector(".open");
  button.focus({ preventScroll: true });
  button.scrollIntoView({ block: "nearest" });
}

function make(one, pictures) {
  const card = template.content.firstElementChild.cloneNode(true);
  const image = card.querySelector("img");
  card.querySelector(".name").textContent = one.id;
  card.querySelector(".name").title = one.id;
  card.querySelector(".stand-in").textContent = one.id.split("/").pop();
  card.classList.toggle("absent", !pictures);
  if (one.thumbnail) {
    image.addEventListener("error", () => card.classList.add("absent"));
    image.src = one.thumbnail;
  }
  card.querySelector(".open").addEventListener("click", () => results.open(place(card)));
  card.querySelector(".like").addEventListener("click", () => results.like(shown[place(card)]));
  card.addEventListener("focusin", () => activate(place(card)));
  return card;
}

function fill(card, one, best, terms) {
  const score = card.querySelector(".score");
  const ranked = one.score !== undefined;
  score.textContent = ranked ? one.score.toFixed(3) : "";
  score.title = ranked ? `Score ${one.score}` : "";
  const share = ranked && best > 0 ? Math.max(one.score / best, 0) : 0;
  card.querySelector(".bar").style.setProperty("--share", share);
  card.classList.toggle("ranked", ranked);
  const rank = ranked ? `result ${one.rank}, score ${one.score.toFixed(3)}, ` : "";
  card.querySelector(".open").setAttribute("aria-label", `${rank}${one.id}`);
  card.querySelector(".like").hidden = !terms;
  card.querySelector(".like").setAttribute("aria-label", `More like ${one.id}`);
  return card;
}

function place(card) {
  return [...list.children].indexOf(card);
}

// Only the buttons of the active card are reached by Tab.
function activate(chosen) {
  active = chosen;
  [...list.children].forEach((card, number) => {
    for (const button of card.querySelectorAll("button")) button.tabIndex = number === active ? 0 : -1;
  });
}

// Return the place that an arrow key leads to from the active card; -1: above the first row.
function follow(key) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (step) return Math.max(active + step, 0);
  if (key === "Home") return 0;
  if (key === "End") return shown.length - 1;
  const tops = [...list.children].map((card) => card.offsetTop);
  const columns = tops.filter((top) => top === tops[0]).length;
  const next = active + (key === "ArrowDown" ? columns : -columns);
  const last = shown.length - 1;
  return next > last && tops[active] < tops[last] ? last : next > last ? active : Math.max(next, -1);
}

list.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".card")) return;
  if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    const next = follow(event.key);
    if (next < 0) results.leave();
    else focus(next);
  } else if (event.key === "Escape") {
    results.leave();
  } else if (event.key.toLowerCase() === "m") {
    results.like(shown[active]);
  } else {
    return;
  }
  event.preventDefault();
});
