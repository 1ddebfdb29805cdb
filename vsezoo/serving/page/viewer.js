// One result, large.

import { at, find, focus, results } from "./results.js";

const dialog = document.querySelector("#viewer");
const image = dialog.querySelector("img");
const [previous, next] = dialog.querySelectorAll(".previous, .next");
const like = dialog.querySelector(".like");
const file = dialog.querySelector("a");
let current = 0;

// Open the result at a place of the grid.
export function view(place, { terms }) {
  const one = at(place);
  if (!one) return;
  current = place;
  image.alt = one.id;
  mark(!one.picture);
  if (one.picture) load(one);
  dialog.querySelector("#viewer-name").textContent = one.id;
  const score = one.score === undefined ? "" : `result ${one.rank}, score ${one.score.toFixed(4)}`;
  dialog.querySelector(".score").textContent = score;
  like.hidden = !terms;
  previous.disabled = !at(place - 1);
  next.disabled = !at(place + 1);
  if (!dialog.open) dialog.showModal();
}

// Show the small copy, which the browser has, until the picture is there.
function load(one) {
  const whole = new Image();
  image.src = one.thumbnail;
  file.href = whole.src = one.picture;
  whole.addEventListener("load", () => {
    if (at(current) === one) image.src = one.picture;
  });
  whole.addEventListener("error", () => {
    if (at(current) !== one) return;
    mark(true);
    dialog.querySelector(".score").textContent = "cannot be shown: the file was removed or changed";
  });
}

function mark(absent) {
  image.hidden = file.hidden = absent;
  dialog.classList.toggle("absent", absent);
}

function move(step) {
  view(current + step, { terms: !like.hidden });
}

function search() {
  const one = at(current);
  dialog.close();
  results.like(one);
}

previous.addEventListener("click", () => move(-1));
next.addEventListener("click", () => move(1));
like.addEventListener("click", search);
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => focus(Math.max(find(at(current)?.item), 0)));
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside its content
});
dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight") move(1);
  else if (event.key.toLowerCase() === "m" && !like.hidden) search();
  else return;
  event.preventDefault();
});
