// The token: taken from the address that `vsezoo serve` prints, or asked for.

import { unlock } from "./service.js";

const dialog = document.querySelector("#gate");
const input = dialog.querySelector("input");
const wrong = dialog.querySelector(".wrong");

export const gate = { enter, ask };

// Take the token out of the address, where the history of the browser would keep it.
async function enter() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  await unlock(found);
}

// Ask for the token until the service accepts one.
function ask() {
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

dialog.addEventListener("cancel", (event) => event.preventDefault());
dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const isRight = await unlock(input.value.trim()).catch(() => false);
  wrong.hidden = isRight;
  if (isRight) {
    input.value = "";
    dialog.close();
  } else {
    input.select();
  }
});
