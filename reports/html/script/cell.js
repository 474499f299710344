// The page of one cell: numbers, curves, commands, and everything its record says of where it came from.
const GROUPS = { accuracy: "Accuracy (fractions)", noise: "Noise", data: "Data", cost: "Cost", cell: "Settings of the cell", provenance: "Provenance", attempts: "Earlier attempts", oracle: "What the run was told" };
const CURVE_COLORS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#000000"];
const CURVE_MARKS = ["o", "s", "^", "D", "v", "P", "X", "p"];

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\"'\"'") + "'");

function commands(row) {
  const sets = Object.values(block("details").sets).map((column) => value(column, row)).filter((text) => text !== null);
  return [["Run this record again and compare the bits", `bench reproduce ${cellValue("key", row)}`],
    ["Run the same cell in any store", "bench run " + sets.map((text) => "--set " + quoted(text)).join(" ")]];
}

function commandBox([title, text]) {
  const button = h("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(box.firstChild); // a file may not write to the clipboard everywhere
      say("Selected; copy it with the keyboard.");
    }
  } }, "Copy");
  const box = h("div", { class: "command" }, h("pre", {}, text), button);
  return h("div", {}, h("h3", {}, title), box);
}

function inText(given) {
  if (Array.isArray(given)) return given.map((item) => (typeof item === "object" && item !== null ? JSON.stringify(item) : String(item))).join(", ");
  return String(given);
}

function factTables(row) {
  const groups = new Map(Object.keys(GROUPS).map((name) => [name, []]));
  for (const [name, column] of Object.entries(block("details").columns)) {
    const given = value(column, row);
    const [group, ...rest] = name.split(".");
    if (given !== null && groups.has(group)) groups.get(group).push([rest.join(" · ").replaceAll("_", " ") || group, inText(given)]);
  }
  return [...groups].filter(([, facts]) => facts.length).map(([group, facts]) =>
    h("table", { id: "facts-" + group }, h("caption", {}, GROUPS[group]), h("tbody", {}, ...facts.map(([name, text]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text))))));
}

function curveCharts(row) {
  const held = curvesOf(row);
  if (!held || !held.epochs.length) return [h("p", {}, "The record holds no curve.")];
  const line = (name, i) => ({ label: quantityName(name, cellValue("setting", row)), color: CURVE_COLORS[i % 8], marker: CURVE_MARKS[i % 8], dash: i < 8 ? [] : [4, 2], y: held.series[name] });
  const names = Object.keys(held.series);
  const shares = names.filter((name) => held.scale[name]);
  const others = names.filter((name) => !held.scale[name]);
  const base = { x: held.epochs, xLabel: "Epoch", xName: (epoch) => `epoch ${epoch}` };
  const made = shares.length ? [chart({ ...base, title: "Shares and accuracies over epochs", yLabel: "%", digits: 1, lines: shares.map(line),
    note: "Epoch 0 is before training; the last point stands after the method's final step." })] : [];
  if (!others.length) return made;
  const place = h("div");
  const draw = (name) => place.replaceChildren(chart({ ...base, title: quantityName(name), yLabel: quantityName(name).split(":")[0], digits: 3, lines: [line(name, 0)], note: "As the record has it." }));
  draw(others[0]);
  return [...made, h("div", { class: "tools live" }, select("Other quantity", others.map((name) => [name, quantityName(name)]), others[0], draw)), place];
}

// The same cell with other seeds.
function siblings(row) {
  const same = ["setting", "label", "column"];
  const rows = allRows().filter((other) => same.every((name) => cellValue(name, other) === cellValue(name, row)));
  if (rows.length < 2) return null;
  return h("p", {}, "Seeds of this cell: ", ...rows.flatMap((other) => [other === row ? h("strong", {}, String(cellValue("seed", other)))
    : h("a", { href: "#/cell/" + cellValue("key", other) }, String(cellValue("seed", other))), " "]));
}

function cellHead(row) {
  const status = cellValue("status", row);
  const number = status === "done" ? `, ${measured(cellValue("setting", row)).toLowerCase()} ${fixed(cellValue("last", row))} %` : "";
  const reason = cellValue("reason", row);
  return [h("p", {}, h("a", { href: "#cells-list" }, "← Back to the report")),
    h("h1", { id: "cell-title", tabindex: "-1" }, `${cellValue("label", row)}, ${cellValue("column", row)}, seed ${cellValue("seed", row)}`),
    h("p", { class: "lead" }, block("cells").settings[cellValue("setting", row)][0]),
    h("p", {}, h("span", { class: "status" + (status === "done" ? "" : " bad") }, statusWords(status)), number, ". Key ", h("code", {}, cellValue("key", row)), "."),
    reason ? h("p", { class: "warn" }, "Reason: " + reason) : null].filter(Boolean);
}

function showCell(key) {
  const row = allRows().find((other) => cellValue("key", other) === key);
  const place = document.getElementById("cell");
  document.getElementById("report").hidden = true;
  place.hidden = false;
  place.setAttribute("aria-labelledby", "cell-title");
  if (row === undefined) {
    place.replaceChildren(h("p", {}, h("a", { href: "#cells-list" }, "← Back to the report")), h("h1", { id: "cell-title", tabindex: "-1" }, "No such cell"), h("p", {}, `This report has no cell with the key ${key}.`));
  } else {
    place.replaceChildren(...cellHead(row), siblings(row) || "", h("h2", {}, "Make it again"), ...commands(row).map(commandBox),
      h("p", {}, "Where the store is not the default one, add --store. A plugin that was used must be installed, or named with --plugin."),
      h("h2", {}, "Curves"), ...curveCharts(row), h("h2", {}, "Record"), h("div", { class: "facts" }, ...factTables(row)));
  }
  document.title = document.getElementById("cell-title").textContent;
  scrollTo(0, 0);
  document.getElementById("cell-title").focus({ preventScroll: true });
}
