// Decisions on suspects, and the CSV that they make of the data set.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const cards = [...document.querySelectorAll(".suspect")].filter((card) => card.querySelector("fieldset"));
const SPLIT = data.header.indexOf("split");
let saved = true;

// What was decided on a card: the row, and its new label; null removes the image, undefined leaves all as it is.
function decision(card) {
  const [row, proposed] = data.suspects[card.dataset.n];
  const kind = card.querySelector("input:checked")?.value;
  const other = card.querySelector("select").value;
  const label = { accept: data.classes[proposed], remove: null }[kind];
  return { row, kind, label: kind === "other" && other !== "" ? data.classes[other] : label };
}

function correctedRows(found) {
  const labels = new Map(found.filter((one) => one.label !== undefined).map((one) => [one.row, one.label]));
  return data.rows.flatMap((row, n) => {
    if (!labels.has(n)) return [row];
    return labels.get(n) === null ? [] : [row.with(data.column, labels.get(n))];
  });
}

// A field in quotes where it needs them, as RFC 4180 has it.
const quoted = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csv = (rows) => [data.header, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");

// Classes that would have no training image left, which no run accepts.
function emptied(rows) {
  const labels = (all) => new Set(all.filter((row) => row[SPLIT] === "train").map((row) => row[data.column]));
  const left = labels(rows);
  return data.classes.flatMap((name, n) => (labels(data.rows).has(name) && !left.has(name) ? [data.shown[n]] : []));
}

function show() {
  const found = cards.map(decision);
  const count = (kind) => found.filter((one) => one.kind === kind).length;
  const others = found.filter((one) => one.kind === "other" && one.label !== undefined).length;
  cards.forEach((card, n) => card.classList.toggle("done", found[n].kind !== undefined));
  const open = found.length - count("accept") - count("keep") - count("remove") - others;
  const parts = [[count("accept") + others, "corrected"], [count("remove"), "removed"], [count("keep"), "kept"], [open, "undecided"]];
  const lost = emptied(correctedRows(found));
  const warning = lost.length ? ` · no training image left: ${lost.join(", ")}` : "";
  document.getElementById("counts").textContent = parts.map(([n, what]) => `${n} ${what}`).join(" · ") + warning;
}

function save() {
  const text = csv(correctedRows(cards.map(decision)));
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "corrections.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000); // once the browser has taken it
  saved = true;
}

// A list of classes is filled when it is first needed: with many classes and suspects all of them would be large.
function fill(event) {
  const select = event.target;
  if (select.tagName !== "SELECT" || select.length > 1) return;
  data.shown.forEach((name, n) => select.add(new Option(name, n)));
}

for (const card of cards) card.querySelector("fieldset").disabled = false;
document.addEventListener("focusin", fill);
document.addEventListener("pointerdown", fill);
document.addEventListener("change", (event) => {
  const other = event.target.closest(".other");
  if (event.target.tagName === "SELECT") other.querySelector("input").checked = event.target.value !== "";
  saved = false;
  show();
});
addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});
document.getElementById("save").hidden = false;
document.getElementById("save").addEventListener("click", save);
show();
