// The list of cells: filtered, sorted, the first few, then a hundred rows at a time.
const FEW = 20;
const PAGE = 100;
const LISTED = [["key", "Cell"], ["label", "Method"], ["column", "Noise"], ["seed", "Seed"], ["last", "Test (%)"],
  ["memorized", "Memorized (%)"], ["seconds", "Seconds"], ["status", "Status"], ["setting", "Setting"]];
const TEXTS = ["label", "column", "status", "setting"];
const listed = () => (settingNames().length > 1 ? LISTED : LISTED.slice(0, -1));
const list = { text: "", setting: "", status: "", by: "", sign: 1, shown: FEW };

const statusWords = (status) => block("cells").signs[status] || (status === "done" ? "finished" : status);

function listedRows() {
  const words = list.text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = allRows().filter((row) => {
    if (list.setting && cellValue("setting", row) !== list.setting) return false;
    if (list.status && cellValue("status", row) !== list.status) return false;
    if (!words.length) return true;
    const text = ["key", "label", "column", "status", "reason", "setting"].map((name) => cellValue(name, row) || "").join(" ") + " seed=" + cellValue("seed", row);
    return words.every((word) => text.toLowerCase().includes(word));
  });
  return list.by ? rows.sort((a, b) => compare(sortValue(a), sortValue(b), list.sign)) : rows;
}

// Noise is sorted by kind and then rate, not by its words.
const sortValue = (row) => (list.by === "column" ? `${cellValue("noise", row)} ${cellValue("rate", row).toFixed(4)}` : cellValue(list.by, row));

function listedEntry(name, row) {
  const given = cellValue(name, row);
  if (name === "key") return h("th", { scope: "row" }, h("a", { href: "#/cell/" + given }, h("code", {}, given)));
  if (name === "status") return h("td", { class: "left status" + (given === "done" ? "" : " bad"), title: cellValue("reason", row) || null }, statusWords(given));
  if (name === "setting") return h("td", { class: "text" }, shortName(given));
  if (TEXTS.includes(name)) return h("td", { class: "left" }, given);
  return h("td", {}, name === "seed" ? String(given) : fixed(given));
}

function fillList() {
  const rows = listedRows();
  const body = document.querySelector("#cells-table tbody");
  body.replaceChildren(...rows.slice(0, list.shown).map((row) => h("tr", {}, ...listed().map(([name]) => listedEntry(name, row)))));
  document.getElementById("cells-count").textContent = `${rows.length} of ${block("cells").count} cells` + (rows.length > list.shown ? `, the first ${list.shown} shown` : "");
  document.getElementById("cells-more").hidden = rows.length <= list.shown;
}

// Lengthens the list to where a cell stands, unless that is very far down.
function reveal(key) {
  const at = listedRows().findIndex((row) => cellValue("key", row) === key);
  if (at < list.shown || at >= 10 * PAGE) return;
  list.shown = at + 1;
  fillList();
}

function listHead([name, text]) {
  const head = h("th", { scope: "col", "aria-sort": "none", "data-name": text, class: TEXTS.includes(name) ? "left" : null });
  head.append(h("button", { type: "button", onclick: () => {
    list.sign = list.by === name ? -list.sign : ["last", "memorized", "seconds"].includes(name) ? -1 : 1;
    list.by = name;
    list.shown = FEW;
    fillList();
    markSorted(head, list.sign);
  } }, text));
  return head;
}

function showMore() {
  const first = list.shown;
  list.shown += PAGE;
  fillList();
  if (document.getElementById("cells-more").hidden) document.querySelectorAll("#cells-table tbody a")[first].focus();
}

function startCells() {
  const change = (name) => (chosen) => { list[name] = chosen; list.shown = FEW; fillList(); };
  const box = h("input", { type: "search", id: "cells-filter", placeholder: "method, noise, seed=2, key, reason", autocomplete: "off", oninput: () => change("text")(box.value) });
  const statuses = distinct(allRows().map((row) => cellValue("status", row))).map((status) => [status, statusWords(status)]);
  const settings = settingNames().map((name) => [name, shortName(name)]);
  const table = h("table", { id: "cells-table" }, h("caption", { id: "cells-caption" }, "Every recorded cell; its key leads to its page."),
    h("thead", {}, h("tr", {}, ...listed().map(listHead))), h("tbody"));
  document.getElementById("cells-body").append(
    h("div", { class: "tools live" }, h("label", {}, "Cells with ", box), select("Status", [["", "all"], ...statuses], "", change("status")),
      settings.length === 1 ? "" : select("Setting", [["", "all"], ...settings], "", change("setting"))),
    h("p", { class: "count", id: "cells-count", role: "status" }),
    h("div", { class: "scroll", role: "region", tabindex: "0", "aria-labelledby": "cells-caption" }, table),
    h("button", { type: "button", id: "cells-more", class: "live", onclick: showMore }, `Show ${PAGE} more`));
  fillList();
}
