// Tables that are in the page: sorted by a column within each section, filtered by the name of the row.
function cellNumber(row, column) {
  const cell = row.cells[column];
  if (column === 0) return cell.textContent;
  if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
  const number = parseFloat(cell.textContent.replace(/[\s,]/g, "").replace("−", "-"));
  return Number.isNaN(number) ? null : number;
}

function sortTable(table, head, column) {
  const sign = head.getAttribute("aria-sort") === "descending" || (column === 0 && head.getAttribute("aria-sort") === "none") ? 1 : -1;
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("title"));
    rows.sort((a, b) => compare(cellNumber(a, column), cellNumber(b, column), sign));
    body.append(...rows);
  }
  markSorted(head, sign);
}

function markSorted(head, sign) {
  for (const other of head.parentElement.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  say(`Sorted by ${head.dataset.whole || head.textContent}, ${sign > 0 ? "ascending" : "descending"}.`);
}

function makeSortable(table) {
  for (const head of table.querySelectorAll("thead th[aria-sort]")) {
    head.dataset.name = head.textContent; // printed instead of the button
    const whole = head.dataset.whole; // with the name of its group of columns
    const button = h("button", { type: "button", "aria-label": whole && whole !== head.dataset.name ? whole : null, onclick: () => sortTable(table, head, head.cellIndex) });
    button.append(...head.childNodes);
    head.append(button);
  }
}

function filterRows(text) {
  const wanted = text.trim().toLowerCase();
  let shown = 0;
  let all = 0;
  for (const row of document.querySelectorAll("table.sortable tbody tr:not(.title)")) {
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    if (row.closest(".setting").hidden) continue;
    all += 1;
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("row-count").textContent = wanted ? `${shown} of ${all} rows` : "";
}

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
  const filter = document.getElementById("row-filter");
  const settings = document.getElementById("setting-filter");
  filter.addEventListener("input", () => filterRows(filter.value));
  settings.addEventListener("change", () => {
    for (const section of document.querySelectorAll(".setting"))
      section.hidden = settings.value !== "" && section.id !== "setting-" + settings.value;
    filterRows(filter.value);
  });
  document.getElementById("table-tools").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("table-tools").hidden = false;
}
