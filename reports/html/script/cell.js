// The page of one cell: numbers, curves, commands, and everything its record says of where it came from.
const GROUPS = { accuracy: "Accuracy (fractions)", noise: "Noise", data: "Data", cost: "Cost", cell: "Settings of the cell", provenance: "Provenance", attempts: "Earlier attempts", oracle: "What the run was told" };
const HASH = /^(sha256:)?[0-9a-f]{12,}$/;
// What a cell's charts show, each one thing: the first group that has a curve. A line has the colour of its method.
const CHARTS = [
  ["Accuracy", [["test_accuracy", "validation_accuracy"]]],
  ["What becomes of mislabeled samples", [["memorized", "recovered", "neither"]]],
  ["What tells clean samples from mislabeled ones", [["split_precision", "split_recall"], ["loss_clean", "loss_mislabeled"], ["loss_auroc"], ["train_given_accuracy"]]],
];
const STROKES = [["o", []], ["s", [4, 2]], ["^", [1, 1.5]]];

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\"'\"'") + "'");

function commands(row) {
  const sets = Object.values(block("details").sets).map((column) => value(column, row)).filter((text) => text !== null);
  return [["Run this record and compare the bits", `bench reproduce ${cellValue("key", row)}`],
    ["Run the same cell in any store, under the packaged settings", "bench run " + sets.map((text) => "--set " + quoted(text)).join(" ")]];
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
  const hashes = [];
  for (const [name, column] of Object.entries(block("details").columns)) {
    const given = value(column, row);
    const [group, ...rest] = name.split(".");
    if (given === null || !groups.has(group)) continue;
    const fact = [rest.join(" · ").replaceAll("_", " ") || group, inText(given)];
    if (HASH.test(fact[1])) hashes.push([`${group} · ${fact[0]}`, fact[1]]);
    else groups.get(group).push(fact);
  }
  const table = (id, title, facts) => h("table", { id: "facts-" + id }, h("caption", {}, title),
    h("tbody", {}, ...facts.map(([name, text]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text)))));
  const made = [...groups].filter(([, facts]) => facts.length).map(([group, facts]) => table(group, GROUPS[group], facts));
  return [h("div", { class: "facts" }, ...made), hashes.length ? h("details", {}, h("summary", {}, `Digests (${hashes.length})`), h("div", { class: "facts" }, table("digests", "Digests", hashes))) : ""];
}

function cellLines(row, names, held) {
  const { color } = lineLook(cellValue("label", row));
  return names.map((name, i) => ({ label: quantityName(name, cellValue("setting", row)), color, marker: STROKES[i % 3][0], dash: STROKES[i % 3][1], y: held.series[name] }));
}

function curveCharts(row) {
  const held = curvesOf(row);
  if (!held || !held.epochs.length) return [h("p", {}, "The record holds no curve.")];
  const base = { x: held.epochs, xLabel: "Epoch", whole: true, xName: (epoch) => `epoch ${epoch}` };
  const share = (name) => held.scale[name];
  const drawn = CHARTS.flatMap(([title, groups]) => {
    const names = groups.map((group) => group.filter((name) => held.series[name])).find((group) => group.length);
    return names ? [[title, names]] : [];
  });
  const made = drawn.map(([title, names]) => chart({ ...base, title, yLabel: share(names[0]) ? "%" : names[0] === "loss_auroc" ? "AUROC" : "Loss", digits: share(names[0]) ? 1 : 3,
    lines: cellLines(row, names, held), note: "" }));
  const taken = drawn.flatMap(([, names]) => names);
  const others = Object.keys(held.series).filter((name) => !taken.includes(name));
  const all = [h("p", { class: "count" }, "Epoch 0 is before training; the last point stands after the method's final step."), h("div", { class: "beside three" }, ...made)];
  if (!others.length) return all;
  const place = h("div");
  const draw = (name) => place.replaceChildren(chart({ ...base, title: quantityName(name), yLabel: share(name) ? "%" : quantityName(name).split(":")[0], digits: share(name) ? 1 : 3, lines: cellLines(row, [name], held), note: "" }));
  const more = h("details", { class: "live" }, h("summary", {}, "Other quantities"), h("div", { class: "tools" }, select("Quantity", others.map((name) => [name, quantityName(name)]), others[0], draw)), place);
  more.addEventListener("toggle", () => more.open && !place.firstChild && draw(others[0]));
  return [...all, more];
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
    h("p", { class: "lead" }, shortName(cellValue("setting", row))),
    h("p", {}, h("span", { class: "status" + (status === "done" ? "" : " bad") }, sentence(statusWords(status))), number, ". Key ", h("code", {}, cellValue("key", row)), "."),
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
    place.replaceChildren(...cellHead(row), siblings(row) || "", h("h2", {}, "Curves"), ...curveCharts(row), h("h2", {}, "Run it again"), ...commands(row).map(commandBox),
      h("p", { class: "count" }, "Where the store is not the default one, add --store. A plugin that was used must be installed, or named with --plugin."),
      h("h2", {}, "Record"), ...factTables(row));
  }
  document.title = document.getElementById("cell-title").textContent;
  scrollTo(0, 0);
  document.getElementById("cell-title").focus({ preventScroll: true });
}
