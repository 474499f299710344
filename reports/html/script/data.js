// Data of the page, parsed when first needed, and small helpers for elements.
const parsed = new Map();

function block(name) {
  if (!parsed.has(name)) parsed.set(name, JSON.parse(document.getElementById("data-" + name).textContent));
  return parsed.get(name);
}

function value(column, row) {
  if (column.raw) return column.raw[row];
  return column.values[column.codes ? column.codes[row] : 0];
}

const cellValue = (name, row) => value(block("cells").columns[name], row);
const allRows = () => Array.from({ length: block("cells").count }, (_, row) => row);
const distinct = (items) => [...new Set(items)];
const shortName = (setting) => block("cells").settings[setting][2];
const settingNames = () => Object.keys(block("cells").settings);

// Curves of a cell: {epochs, series: {quantity: numbers or null}}, or null where it has none.
function curvesOf(row) {
  const held = block("curves-" + settingNames().indexOf(cellValue("setting", row)));
  const entry = held.cells[row];
  if (!entry) return null;
  const series = {};
  for (const [name, text] of Object.entries(entry[1])) {
    const scale = held.scale[name] || 1;
    series[name] = text.split(",").map((part) => (part === "" ? null : Number(part) / scale));
  }
  return { epochs: held.epochs[entry[0]], series, scale: held.scale };
}

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), given);
    else if (given === true) element.setAttribute(name, "");
    else if (given !== false && given !== null) element.setAttribute(name, given);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function select(label, options, chosen, change) {
  const box = h("select", { onchange: () => change(box.value) });
  for (const [key, text] of options) box.append(h("option", { value: key, selected: key === chosen }, text));
  return h("label", {}, label + " ", box);
}

const fixed = (number, digits = 1) =>
  number === null || number === undefined || Number.isNaN(number) ? "–" : number.toFixed(digits).replace("-", "−");

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

const say = (text) => (document.getElementById("said").textContent = text);

function statistics(numbers) {
  const n = numbers.length;
  if (!n) return { n, mean: null, sd: null };
  const mean = numbers.reduce((sum, x) => sum + x, 0) / n;
  const squares = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { n, mean, sd: n > 1 ? Math.sqrt(squares / (n - 1)) : null };
}

const collator = new Intl.Collator("en", { numeric: true });

// Absent values stand last in either direction.
function compare(a, b, sign) {
  const none = (x) => x === null || x === undefined || x === "" || Number.isNaN(x);
  if (none(a) || none(b)) return none(a) - none(b);
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
}
