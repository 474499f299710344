// Routes: "#/cell/KEY" is the page of a cell, every other hash a place in the report.
// Who comes back from a cell finds the report where it was left; who chose a part of the report lands at its heading.
const left = { at: 0, hash: "", key: "", part: false };

function route() {
  const cell = /^#\/cell\/(.+)$/.exec(location.hash);
  const report = document.getElementById("report");
  if (cell) {
    if (!report.hidden) Object.assign(left, { at: scrollY, hash: before });
    left.key = decodeURIComponent(cell[1]);
    showCell(left.key);
  } else if (report.hidden) {
    report.hidden = false;
    document.getElementById("cell").hidden = true;
    document.getElementById("cell").replaceChildren();
    document.title = "Benchmark report";
    redrawCharts();
    land();
  }
  before = location.hash;
  left.part = false;
}

let before = location.hash;

function land() {
  if (left.key && !left.part) reveal(left.key);
  const link = document.querySelector(`#cells-table a[href="#/cell/${CSS.escape(left.key)}"]`);
  if (link && !left.part && ["#cells-list", left.hash].includes(location.hash)) {
    link.focus({ preventScroll: true });
    if (left.at) scrollTo(0, left.at);
    else link.scrollIntoView({ block: "center" });
    return;
  }
  const target = document.getElementById(location.hash.slice(1)) || document.getElementById("overview");
  const heading = target.querySelector("h1, h2, h3") || target;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  target.scrollIntoView();
}

document.querySelector(".top").addEventListener("click", () => (left.part = !document.getElementById("cell").hidden));
addEventListener("keydown", (event) => {
  const typing = event.target.closest && event.target.closest("input, select");
  if (event.key === "Escape" && !typing && !document.getElementById("cell").hidden) location.hash = "#cells-list";
});
for (const section of document.querySelectorAll(".scripted")) section.hidden = false;
startTheme();
startTables();
startCells();
startCurves();
addEventListener("hashchange", route);
route();

// Tables far down are laid out after the page is open; a screen reader is given nothing of them before.
const waiting = [...document.querySelectorAll(".setting")];
function layOut() {
  const section = waiting.shift();
  if (section) section.style.contentVisibility = "visible";
  if (waiting.length) setTimeout(layOut);
}
setTimeout(layOut, 150);
