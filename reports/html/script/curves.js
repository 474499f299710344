// The curves of the report: against the noise rate, and over epochs, for the methods that are ticked.
const AGAINST_RATE = [["last", "Accuracy after the last epoch"], ["best", "Best over epochs on the test set (an oracle)"],
  ["memorized", "Mislabeled samples predicted as the given label"], ["memorized_excess", "Memorized above epoch 0, points"],
  ["recovered", "Mislabeled samples predicted as the true label"], ["neither", "Mislabeled samples predicted as neither"],
  ["train_clean_accuracy", "Accuracy on clean training samples"], ["train_given_accuracy", "Training samples predicted as given"],
  ["test_calibration_error", "Calibration error on the test set"], ["seconds", "Seconds"]];
const QUANTITIES = { test_accuracy: "Test accuracy", validation_accuracy: "Accuracy on the validation set", memorized: "Memorized: predicted as the given wrong label",
  recovered: "Recovered: predicted as the true label", neither: "Neither given nor true label", train_clean_accuracy: "Accuracy on clean training samples",
  train_given_accuracy: "Training samples predicted as given", test_calibration_error: "Calibration error on the test set",
  loss_clean: "Loss of clean samples", loss_mislabeled: "Loss of mislabeled samples", loss_auroc: "AUROC of the loss, clean against mislabeled",
  split_precision: "Precision of the clean split", split_recall: "Recall of the clean split", split_size: "Samples taken as clean",
  pseudo_label_accuracy: "Accuracy of pseudo-labels" };
// What numbers on the test set are called: accuracy only where its labels are known to be right.
const measured = (setting) => block("cells").settings[setting][1];
const quantityName = (name, setting) => (name === "test_accuracy" ? measured(setting) : QUANTITIES[name] || name.replaceAll("_", " "));
const FIRST = 8;
const BANDS = "Means over the finished seeds; bands: ± sample standard deviation.";
// What the charts show now.
const view = { setting: "", noise: "", column: "", rateQuantity: "last", epochQuantity: "", labels: new Set() };
let undrawn = null;

const noiseName = (kind) => block("cells").noises[kind];
const unchanged = (row) => ["none", "as-is"].includes(cellValue("noise", row));
const finished = (row) => cellValue("status", row) === "done";
const rowsOfSetting = (setting) => allRows().filter((row) => cellValue("setting", row) === setting);

function lineLook(label) {
  const [color, marker, dash] = block("cells").looks[label];
  return { label, color, marker, dash };
}

function grouped(rows, keyOf) {
  const groups = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return groups;
}

// References, the methods with the highest mean accuracy, and oracles.
function firstLabels(rows) {
  const means = [...grouped(rows.filter(finished), (row) => cellValue("label", row))].map(([label, own]) => ({
    label, section: cellValue("section", own[0]), mean: statistics(own.map((row) => cellValue("last", row))).mean,
  }));
  const best = means.filter((m) => m.section === "method").sort((a, b) => b.mean - a.mean).slice(0, FIRST);
  const others = means.filter((m) => m.section !== "method").slice(0, 4);
  return new Set([...best, ...others].map((m) => m.label));
}

// A row of the column in which the methods memorize most, on average: where they differ. Rates above one half, at which
// labels may not tell the truth, are left out, and oracles.
function mostMemorized(rows) {
  const shares = grouped(rows.filter((row) => cellValue("section", row) !== "oracle" && cellValue("memorized", row) !== null
    && cellValue("rate", row) > 0 && cellValue("rate", row) <= 0.5), (row) => cellValue("column", row));
  const mean = (own) => statistics(own.map((row) => cellValue("memorized", row))).mean;
  return [...shares.values()].sort((a, b) => mean(b) - mean(a))[0]?.[0];
}

function useSetting(setting) {
  const rows = rowsOfSetting(setting);
  view.setting = setting;
  const kinds = distinct(rows.filter((row) => cellValue("rate", row) > 0).map((row) => cellValue("noise", row)));
  const done = rows.filter(finished);
  const columns = distinct(done.map((row) => cellValue("column", row)));
  const telling = mostMemorized(done) ?? done[0];
  view.noise = kinds.includes(view.noise) ? view.noise : kinds.find((kind) => telling && kind === cellValue("noise", telling)) ?? kinds[0] ?? "";
  view.column = columns.includes(view.column) ? view.column : telling ? cellValue("column", telling) : "";
  view.labels = firstLabels(rows);
}

function rateChart(rows) {
  const kept = rows.filter((row) => finished(row) && view.labels.has(cellValue("label", row)) &&
    (cellValue("noise", row) === view.noise || unchanged(row)) && cellValue(view.rateQuantity, row) !== null);
  const x = distinct(kept.map((row) => cellValue("rate", row))).sort((a, b) => a - b);
  if (!view.noise || !x.length) return h("p", {}, "Nothing to draw against a noise rate here.");
  const lines = [...grouped(kept, (row) => cellValue("label", row))].map(([label, own]) => {
    const points = x.map((rate) => statistics(own.filter((row) => cellValue("rate", row) === rate).map((row) => cellValue(view.rateQuantity, row))));
    return { ...lineLook(label), y: points.map((p) => p.mean), sd: points.map((p) => p.sd) };
  });
  const name = Object.fromEntries(AGAINST_RATE)[view.rateQuantity];
  const unit = view.rateQuantity === "seconds" || view.rateQuantity === "memorized_excess" ? "" : " (%)";
  return chart({
    title: `${rateName(name)} against noise rate`, x: x.map((rate) => rate * 100), lines, digits: 1,
    xLabel: `${noiseName(view.noise)} noise, rate (%)`, xName: (rate) => `${Number(rate.toPrecision(4))} %`, yLabel: rateName(name) + unit,
    note: `${BANDS} Rate 0 is clean labels.`,
  });
}

const rateName = (name) => (view.rateQuantity === "last" ? measured(view.setting) : name);

function epochChart(rows) {
  const kept = rows.filter((row) => finished(row) && view.labels.has(cellValue("label", row)) && cellValue("column", row) === view.column);
  const found = kept.map((row) => [cellValue("label", row), curvesOf(row)]).filter(([, held]) => held && held.series[view.epochQuantity]);
  const x = distinct(found.flatMap(([, held]) => held.epochs)).sort((a, b) => a - b);
  if (!x.length) return h("p", {}, "No finished cell of these methods has this curve here.");
  const lines = [...grouped(found, ([label]) => label)].map(([label, own]) => {
    const at = new Map(x.map((epoch) => [epoch, []]));
    for (const [, held] of own)
      held.series[view.epochQuantity].forEach((y, i) => y !== null && at.get(held.epochs[i]).push(y));
    const points = x.map((epoch) => statistics(at.get(epoch)));
    const flat = points.length > 1 && points.slice(1).every((p) => p.mean === null);
    return { ...lineLook(label), y: points.map((p) => (flat ? points[0].mean : p.mean)), sd: points.map((p) => (flat ? null : p.sd)) };
  });
  const percent = found[0][1].scale[view.epochQuantity] ? " (%)" : "";
  const [name, meaning] = quantityName(view.epochQuantity, view.setting).split(": ");
  const said = meaning ? `${sentence(meaning)}. ` : "";
  return chart({
    title: `${name} over epochs, ${view.column}`, x, lines, digits: percent ? 1 : 3,
    xLabel: "Epoch", whole: true, xName: (epoch) => `epoch ${epoch}`, yLabel: name + percent,
    note: `${said}${BANDS} Epoch 0 is before training; a method that does not train is a level line.`,
  });
}

// Known quantities in their order, then the methods' own.
function quantityNames(setting) {
  const order = Object.keys(QUANTITIES);
  const place = (name) => order.indexOf(name) + 1 || order.length + 1;
  const names = Object.keys(block("curves-" + settingNames().indexOf(setting)).scale);
  return names.sort((a, b) => place(a) - place(b) || collator.compare(a, b));
}

function methodChoices(rows, redraw) {
  const labels = distinct(rows.map((row) => cellValue("label", row)));
  const boxes = labels.map((label) => {
    const box = h("input", { type: "checkbox", checked: view.labels.has(label), onchange: () => {
      view.labels[box.checked ? "add" : "delete"](label);
      redraw();
    } });
    return h("label", {}, box, swatch(lineLook(label)), label);
  });
  const setAll = (on) => {
    for (const [i, box] of boxes.entries()) {
      if (box.hidden) continue;
      box.firstChild.checked = on;
      view.labels[on ? "add" : "delete"](labels[i]);
    }
    redraw();
  };
  const filter = h("input", { type: "search", placeholder: "part of a name", "aria-label": "Methods with", autocomplete: "off", oninput: () => {
    for (const [i, box] of boxes.entries()) box.hidden = !labels[i].toLowerCase().includes(filter.value.trim().toLowerCase());
  } });
  return h("fieldset", { class: "live" }, h("legend", {}, "Methods in the charts"),
    h("div", { class: "row" }, filter, h("button", { type: "button", onclick: () => setAll(true) }, "All"),
      h("button", { type: "button", onclick: () => setAll(false) }, "None")), h("div", { class: "choices" }, ...boxes));
}

function drawCurves() {
  const rows = rowsOfSetting(view.setting);
  const body = document.getElementById("curves-body");
  const rate = h("div", { id: "rate-chart" });
  const epoch = h("div", { id: "epoch-chart" });
  const redrawRate = () => rate.replaceChildren(rateChart(rows));
  const redrawEpoch = () => epoch.replaceChildren(epochChart(rows));
  const set = (name, redraw) => (chosen) => { view[name] = chosen; redraw(); };
  const kinds = distinct(rows.filter((row) => cellValue("rate", row) > 0).map((row) => cellValue("noise", row)));
  const columns = distinct(rows.filter(finished).map((row) => cellValue("column", row)));
  const known = AGAINST_RATE.filter(([name]) => rows.some((row) => cellValue(name, row) !== null))
    .map(([name, text]) => [name, name === "last" ? `${measured(view.setting)} after the last epoch` : text]);
  const quantities = quantityNames(view.setting);
  if (!quantities.includes(view.epochQuantity)) view.epochQuantity = quantities.includes("memorized") ? "memorized" : quantities[0] || "";
  const settings = settingNames().map((name) => [name, shortName(name)]);
  const open = body.querySelector("details.choose")?.open ?? false;
  body.replaceChildren(
    settings.length === 1 ? "" : h("div", { class: "tools live" }, select("Setting", settings, view.setting, (name) => { useSetting(name); drawCurves(); })),
    h("div", { class: "beside" }, rate, epoch),
    h("details", { class: "choose live", open }, h("summary", {}, "Choose methods, noise and quantities"),
      methodChoices(rows, () => { redrawRate(); redrawEpoch(); }),
      h("div", { class: "tools" }, select("Quantity", known, view.rateQuantity, set("rateQuantity", redrawRate)),
        kinds.length > 1 ? select("Noise", kinds.map((kind) => [kind, noiseName(kind)]), view.noise, set("noise", redrawRate)) : null,
        select("Quantity over epochs", quantities.map((name) => [name, quantityName(name, view.setting)]), view.epochQuantity, set("epochQuantity", redrawEpoch)),
        select("Noise and rate", columns.map((column) => [column, column]), view.column, set("column", redrawEpoch)))));
  redrawRate();
  redrawEpoch();
}

// Charts wait until the page is open.
function startCurves() {
  undrawn = () => {
    undrawn = null;
    useSetting(settingNames()[0]);
    drawCurves();
  };
  setTimeout(drawAllCharts, 100);
}

function drawAllCharts() {
  if (undrawn) undrawn();
}
