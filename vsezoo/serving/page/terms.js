// What there should be more of, and less of: a field each, whose words become chips at Enter or a comma.

const fields = ["plus", "minus"].map((name) => ({
  name,
  input: document.getElementById(name),
  list: document.getElementById(`${name}-list`),
  texts: [],
}));
const form = document.querySelector("#terms");

// Return the texts of the chips, and of what is being typed.
export function readTerms() {
  return Object.fromEntries(
    fields.map(({ name, input, texts }) => [name, [...texts, input.value.trim()].filter(Boolean)]),
  );
}

export function setTerms(plus, minus) {
  [plus, minus].forEach((texts, number) => {
    fields[number].texts = [...texts];
    fields[number].input.value = "";
    draw(fields[number]);
  });
}

export function clearTerms() {
  setTerms([], []);
}

// Show removable chips: a text each, with a small picture if there is one.
export function chips(list, shown, remove) {
  const made = shown.map(({ text, thumbnail }, number) => {
    const chip = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.title = "Remove (Delete)";
    button.setAttribute("aria-label", `Remove ${text}`);
    if (thumbnail) button.append(Object.assign(new Image(), { src: thumbnail, alt: "" }));
    button.append(Object.assign(document.createElement("span"), { textContent: text }));
    button.addEventListener("click", () => remove(number));
    button.addEventListener("keydown", (event) => {
      if (!["Delete", "Backspace"].includes(event.key)) return;
      event.preventDefault();
      remove(number);
    });
    chip.append(button);
    return chip;
  });
  list.replaceChildren(...made);
}

function draw(field) {
  const shown = field.texts.map((text) => ({ text }));
  field.input.placeholder = field.texts.length ? "" : field.input.dataset.example;
  chips(field.list, shown, (number) => {
    field.texts.splice(number, 1);
    draw(field);
    field.input.focus();
    tell();
  });
}

function commit(field) {
  const text = field.input.value.trim();
  if (!text) return;
  field.texts.push(text);
  field.input.value = "";
  draw(field);
}

function tell() {
  form.dispatchEvent(new CustomEvent("change-terms"));
}

for (const field of fields) {
  const { input } = field;
  input.dataset.example = input.placeholder;
  input.addEventListener("input", tell);
  input.addEventListener("blur", () => commit(field));
  input.addEventListener("keydown", (event) => {
    if (["Enter", ","].includes(event.key) && input.value.trim()) {
      commit(field);
      tell();
    } else if (event.key === "Backspace" && !input.value && field.texts.length) {
      field.texts.pop();
      draw(field);
      tell();
    } else if (event.key === "Escape") {
      if (input.value) {
        input.value = "";
        tell();
      } else {
        document.querySelector("#query").focus();
      }
    } else if (event.key !== "Enter") {
      return;
    }
    event.preventDefault();
  });
}
