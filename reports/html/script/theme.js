// Light, dark, or as the system says; charts are drawn again, and printed in light.
const root = document.documentElement;
const THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function stored() {
  try {
    return localStorage.getItem("bench-theme") || "";
  } catch {
    return ""; // some browsers keep nothing for files
  }
}

function setTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  document.getElementById("theme").textContent = THEMES[theme];
  try {
    localStorage.setItem("bench-theme", theme);
  } catch {
    // as above
  }
  redrawCharts();
}

function startTheme() {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(root.dataset.theme || "") + 1) % names.length];
    setTheme(next);
    say(THEMES[next]);
  });
  setTheme(stored() in THEMES ? stored() : "");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
  let themeBefore = "";
  let closed = [];
  addEventListener("beforeprint", () => {
    themeBefore = root.dataset.theme || "";
    closed = [...document.querySelectorAll("#report details:not([open])")];
    for (const details of closed) details.open = true;
    root.dataset.theme = "light";
    root.classList.add("printing"); // charts as wide as a sheet of paper
    drawAllCharts();
    redrawCharts();
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
    root.classList.remove("printing");
    setTheme(themeBefore);
  });
}

// A colour of the style sheet as the browser resolves it, for the canvas.
function cssColor(name) {
  const probe = h("span", { style: `color: var(${name})` });
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

function isDark() {
  const theme = root.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Colours that would be too dark on a dark page.
const LIGHTER = { "#000000": "#ffffff", "#777777": "#a9a9a9", "#0072B2": "#4a9edb" };
const inkFor = (color) => (isDark() && LIGHTER[color]) || color;
