// Sorting and filtering; the page reads the same without it.
"use strict";

const number = (text) => (text === "" ? NaN : Number.parseFloat(text));

function compare(kind) {
  return (one, other) => {
    if (kind === "text") return one.localeCompare(other, "en", { numeric: true });
    const [a, b] = [number(one), number(other)];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return a - b;
  };
}

function sortable(table) {
  const body = table.tBodies[0];
  const declared = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, place) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();

  heads.forEach((head, place) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      // Upwards, downwards, then the suite's own order again. Empty cells stay last.
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort ?? "none"];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next !== "none") head.ariaSort = next;
      const order = compare(head.dataset.sort);
      const filled = declared.filter((row) => value(row, place) !== "");
      const empty = declared.filter((row) => value(row, place) === "");
      filled.sort((one, other) => order(value(one, place), value(other, place)));
      if (next === "descending") filled.reverse();
      body.append(...(next === "none" ? declared : [...filled, ...empty]));
    });
  });
}

function filterable(input, count) {
  const tables = [...document.querySelectorAll("table.verdicts")];
  const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
  const shownText = (row) => `${row.cells[0].textContent} ${row.querySelector(".pill").textContent}`.toLowerCase();
  const words = new Map(rows.map((row) => [row, shownText(row)]));
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/);
    rows.forEach((row) => (row.hidden = !wanted.every((word) => words.get(row).includes(word))));
    tables.forEach((table) => (table.closest(".scroll").hidden = [...table.tBodies[0].rows].every((row) => row.hidden)));
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = input.value.trim() ? `${shown} of ${rows.length} rows` : "";
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelector(".tools").hidden = false;
filterable(document.querySelector("#filter"), document.querySelector("#matches"));

// What a value or a mark says, while the pointer or the keyboard is on it.
const tip = document.createElement("div");
tip.id = "tip";
tip.setAttribute("role", "tooltip");
tip.hidden = true;
document.body.append(tip);
function say(event) {
  const marked = event.target.closest?.("[data-tip]");
  tip.hidden = !marked;
  if (!marked) return;
  tip.textContent = marked.dataset.tip;
  const place = marked.getBoundingClientRect();
  const left = Math.min(Math.max(place.left, 8), innerWidth - tip.offsetWidth - 8);
  const above = place.top - tip.offsetHeight - 8;
  tip.style.left = `${Math.max(left, 8)}px`;
  tip.style.top = `${above > 8 ? above : place.bottom + 8}px`;
}
addEventListener("pointerover", say);
addEventListener("focusin", say);
addEventListener("focusout", () => (tip.hidden = true));
addEventListener("scroll", () => (tip.hidden = true), { passive: true });

// A link to a closed recipe opens it.
const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
  const open = event.key === "Escape" && document.activeElement?.closest("details[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});
