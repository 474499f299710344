// Routes: "#/cell/KEY" is the page of a cell, every other hash a place in the report.
let place = 0;

function route() {
  const cell = /^#\/cell\/(.+)$/.exec(location.hash);
  const report = document.getElementById("report");
  if (cell) {
    if (!report.hidden) place = scrollY;
    showCell(decodeURIComponent(cell[1]));
    return;
  }
  if (!report.hidden) return;
  report.hidden = false;
  document.getElementById("cell").hidden = true;
  document.getElementById("cell").replaceChildren();
  document.title = "Benchmark report";
  const target = document.getElementById(location.hash.slice(1));
  if (location.hash === "#cells-list" && place) scrollTo(0, place);
  else if (target) target.scrollIntoView();
  redrawCharts();
}

for (const section of document.querySelectorAll(".scripted")) section.hidden = false;
startTheme();
startTables();
startCells();
startCurves();
addEventListener("hashchange", route);
route();
