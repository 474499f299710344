// One chart: lines with bands of uPlot, a key, and a table of the same numbers.
const charts = new Set();

function redrawCharts() {
  for (const chart of charts) if (chart.host.isConnected) chart.draw();
    else charts.delete(chart);
}

const MARKS = {
  s: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  D: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
  d: [[0, -1.4], [0.8, 0], [0, 1.4], [-0.8, 0]],
  "^": [[0, -1.2], [1.2, 1], [-1.2, 1]],
  v: [[0, 1.2], [1.2, -1], [-1.2, -1]],
  "<": [[-1.2, 0], [1, -1.2], [1, 1.2]],
  ">": [[1.2, 0], [-1, -1.2], [-1, 1.2]],
  p: [0, 1, 2, 3, 4].map((k) => [1.25 * Math.sin((k * 2 * Math.PI) / 5), -1.25 * Math.cos((k * 2 * Math.PI) / 5)]),
  h: [0, 1, 2, 3, 4, 5].map((k) => [1.25 * Math.sin((k * Math.PI) / 3), -1.25 * Math.cos((k * Math.PI) / 3)]),
  "*": Array.from({ length: 10 }, (_, k) => {
    const r = k % 2 ? 0.6 : 1.5;
    return [r * Math.sin((k * Math.PI) / 5), -r * Math.cos((k * Math.PI) / 5)];
  }),
  P: [[-0.45, -1.3], [0.45, -1.3], [0.45, -0.45], [1.3, -0.45], [1.3, 0.45], [0.45, 0.45], [0.45, 1.3], [-0.45, 1.3],
    [-0.45, 0.45], [-1.3, 0.45], [-1.3, -0.45], [-0.45, -0.45]],
};
MARKS.X = MARKS.P.map(([x, y]) => [(x - y) * 0.75, (x + y) * 0.75]);

function tracePath(ctx, marker, x, y, size) {
  ctx.beginPath();
  if (marker === "o") ctx.arc(x, y, size, 0, 2 * Math.PI);
  else (MARKS[marker] || []).forEach(([dx, dy], i) => ctx[i ? "lineTo" : "moveTo"](x + dx * size, y + dy * size));
  ctx.closePath();
  ctx.fill();
}

function drawMarks(marker, step) {
  return (u, series, first, last) => {
    const { ctx } = u;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.fillStyle = u.series[series].stroke(u, series);
    for (let i = first; i <= last; i += step) {
      const y = u.data[series][i];
      if (y !== null && y !== undefined)
        tracePath(ctx, marker, u.valToPos(u.data[0][i], "x", true), u.valToPos(y, u.series[series].scale, true), 3.2 * ratio);
    }
    ctx.restore();
    return false;
  };
}

function swatch(line) {
  const canvas = h("canvas", { width: 60, height: 24, style: "width: 30px; height: 12px", "aria-hidden": "true" });
  const paint = () => {
    const ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, 60, 24);
    ctx.strokeStyle = ctx.fillStyle = inkFor(line.color);
    ctx.lineWidth = 3.5;
    ctx.setLineDash(line.dash.map((part) => part * 3.5));
    ctx.beginPath();
    ctx.moveTo(0, 12);
    ctx.lineTo(60, 12);
    ctx.stroke();
    ctx.setLineDash([]);
    if (line.marker) tracePath(ctx, line.marker, 30, 12, 7);
  };
  charts.add({ host: canvas, draw: paint });
  paint();
  return canvas;
}

function translucent(color, alpha) {
  const part = (start) => parseInt(color.slice(start, start + 2), 16);
  return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${alpha})`;
}

// uPlot's series, bands and data of lines {label, color, marker, dash, y, sd}.
function drawnLines(x, lines) {
  const made = { series: [{}], bands: [], data: [x] };
  const step = Math.max(1, Math.ceil(x.length / 9));
  for (const line of lines) {
    const stroke = () => inkFor(line.color);
    made.series.push({
      label: line.label, stroke, width: 1.8, dash: line.dash.map((part) => part * 2), spanGaps: true,
      points: line.marker ? { show: drawMarks(line.marker, step) } : { show: x.length === 1 },
    });
    made.data.push(line.y);
    if (line.sd && line.sd.some((sd) => sd)) {
      const edge = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      const at = made.series.push({ ...edge }, { ...edge }) - 2;
      for (const sign of [1, -1])
        made.data.push(line.y.map((y, i) => (y === null || line.sd[i] === null ? null : y + sign * line.sd[i])));
      made.bands.push({ series: [at, at + 1], fill: translucent(inkFor(line.color), isDark() ? 0.22 : 0.15) });
    }
  }
  return made;
}

function axis(label) {
  const ink = cssColor("--ink");
  const grid = cssColor("--grid");
  return {
    label, stroke: ink, labelFont: "13px system-ui, sans-serif", font: "12px system-ui, sans-serif", labelSize: 22,
    grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 },
  };
}

function tooltip(host, spec) {
  const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  host.append(tip);
  return (u) => {
    const { idx, left } = u.cursor;
    const known = idx === null || idx === undefined ? [] : spec.lines.filter((line) => line.y[idx] !== null);
    tip.hidden = left < 0 || !known.length;
    if (tip.hidden) return;
    known.sort((a, b) => b.y[idx] - a.y[idx]);
    tip.replaceChildren(h("strong", {}, spec.xName(spec.x[idx])));
    for (const line of known.slice(0, 14)) tip.append(h("div", {}, `${fixed(line.y[idx], spec.digits)}${spread(line, idx, spec)}  ${line.label}`));
    if (known.length > 14) tip.append(h("div", {}, `and ${known.length - 14} more`));
    const plot = u.over.getBoundingClientRect();
    const at = left + plot.left - host.getBoundingClientRect().left;
    tip.style.top = "4px";
    tip.style.left = Math.max(0, at > host.clientWidth / 2 ? at - tip.offsetWidth - 12 : at + 12) + "px";
  };
}

const spread = (line, i, spec) => (line.sd && line.sd[i] !== null ? ` ± ${fixed(line.sd[i], spec.digits)}` : "");

// Steps of an axis of whole numbers.
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

// spec: {title, note, x, xLabel, whole, xName, yLabel, digits, lines}; returns a figure that is drawn at once.
function chart(spec) {
  const host = h("div", { class: "drawing", role: "img", "aria-label": inWords(spec) });
  const keys = spec.lines.map((line) => h("li", {}, swatch(line), line.label));
  const table = h("details", { class: "unprinted" }, h("summary", {}, "Numbers of this chart"));
  table.addEventListener("toggle", () => table.open && !table.querySelector("table") && table.append(numberTable(spec)));
  const figure = h("figure", {}, h("h3", {}, spec.title), h("ul", { class: "key" }, ...keys), host,
    h("figcaption", {}, spec.note), table);
  const item = { host, plot: null, draw: () => {
    if (item.plot) item.plot.destroy();
    host.replaceChildren();
    if (!host.clientWidth) return;
    const made = drawnLines(spec.x, spec.lines);
    item.plot = new uPlot({
      width: host.clientWidth, height: host.clientHeight, legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: padded } }, series: made.series, bands: made.bands,
      axes: [{ ...axis(spec.xLabel), ...(spec.whole ? { incrs: WHOLE } : spec.x.length < 9 ? { splits: () => spec.x } : {}) }, { ...axis(spec.yLabel), size: spec.digits > 1 ? 64 : 50 }], hooks: { setCursor: [tooltip(host, spec)] },
    }, made.data, host);
  } };
  charts.add(item);
  new ResizeObserver(() => {
    if (host.clientWidth && (!item.plot || item.plot.width !== host.clientWidth)) item.draw();
  }).observe(host);
  return figure;
}

const padded = (u, low, high) => (low === high ? [low - 1, high + 1] : [low - (high - low) * 0.03, high + (high - low) * 0.03]);

function inWords(spec) {
  const last = spec.x.length - 1;
  const ends = spec.lines.filter((line) => line.y[last] !== null && line.y[last] !== undefined).sort((a, b) => b.y[last] - a.y[last]);
  const range = ends.length ? ` At ${spec.xName(spec.x[last])} highest ${ends[0].label} with ${fixed(ends[0].y[last], spec.digits)}, lowest ${ends.at(-1).label} with ${fixed(ends.at(-1).y[last], spec.digits)}.` : "";
  return `Line chart: ${spec.title}, ${spec.lines.length} lines.${range} The numbers are in the table below.`;
}

function numberTable(spec) {
  const head = h("tr", {}, h("th", { scope: "col" }, spec.xLabel), ...spec.lines.map((line) => h("th", { scope: "col" }, line.label)));
  const rows = spec.x.map((x, i) => h("tr", {}, h("th", { scope: "row" }, spec.xName(x)),
    ...spec.lines.map((line) => h("td", {}, fixed(line.y[i], spec.digits) + spread(line, i, spec)))));
  const table = h("table", {}, h("caption", {}, `${spec.title}: ${spec.yLabel}`), h("thead", {}, head), h("tbody", {}, ...rows));
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Numbers of this chart" }, table);
}
