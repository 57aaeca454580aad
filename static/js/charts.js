// Draws what the table behind a chart says, with uPlot. Without scripts the server's
// own drawing stays, and the table is there for everybody.

const HEIGHT = 240;
const DAY = 24 * 60 * 60;
const LABELS = 160; // pixels beside the plot, for the names of lines
const APART = 15; // pixels between two of them
const narrow = matchMedia("(max-width: 45rem)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const inUtc = { day: "numeric", month: "short", timeZone: "UTC" };
const onAxis = new Intl.DateTimeFormat("en-GB", inUtc);
const withYear = new Intl.DateTimeFormat("en-GB", { ...inUtc, year: "2-digit" });
const whole = new Intl.NumberFormat("en-US");
const wholeSteps = [...Array(13).keys()].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power));
const drawings = new Map(); // figure -> uPlot

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function read(figure) {
  const table = figure.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const scale = figure.dataset.unit === "money" ? 100 : 1;
  const heads = [...table.tHead.rows[0].cells].slice(1);
  return {
    rows, // of the table
    starts: rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000),
    series: heads.map((head, index) => ({
      label: head.textContent.trim(),
      colour: `--series-${"rest" in head.dataset ? 0 : index + 1}`,
      values: head.dataset.values
        .split(" ")
        .map((text) => (text === "-" ? null : Number(text) / scale)),
    })),
  };
}

// Cents, and as many decimals more as tell the steps of an axis apart.
function decimalsOf(step) {
  let decimals = 2;
  const isWhole = (number) => Math.abs(number - Math.round(number)) < number / 1e6;
  while (decimals < 15 && !isWhole(step * 10 ** decimals)) decimals += 1;
  return decimals;
}

function amounts(splits) {
  const decimals = decimalsOf(splits[1] - splits[0] || 1); // of one alone there is none
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return splits.map((amount) => `$${amount.toLocaleString("en-US", digits)}`);
}

function shorten(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let cut = text;
  while (cut && context.measureText(`${cut}…`).width > width) cut = [...cut].slice(0, -1).join("");
  return `${cut}…`;
}

// Moves what is in the way of others: up, then back down from the top.
function keepApart(ends, top, bottom, gap) {
  ends.sort((one, other) => one.y - other.y);
  let lowest = bottom;
  for (const end of [...ends].reverse()) {
    end.y = Math.min(end.y, lowest);
    lowest = end.y - gap;
  }
  let highest = top;
  for (const end of ends) {
    end.y = Math.max(end.y, highest);
    highest = end.y + gap;
  }
}

function nameLines(plot, series) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const ends = series.map(({ label, colour: name, values }) => {
    const last = values.findLast((value) => value !== null) ?? 0;
    return { label, name, y: plot.valToPos(last, "y", true) };
  });
  keepApart(ends, bbox.top, bbox.top + bbox.height, APART * ratio);
  ctx.save();
  ctx.font = `${12 * ratio}px ${colour("--font")}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  for (const end of ends) {
    ctx.fillStyle = colour(end.name);
    const x = bbox.left + bbox.width + 8 * ratio;
    ctx.fillText(shorten(ctx, end.label, (LABELS - 12) * ratio), x, end.y);
  }
  ctx.restore();
}

// What there was on a day, in the words of the table.
function tell(readout, rows, series, index) {
  const row = index === null || index === undefined ? null : rows[index];
  if (!row) {
    readout.textContent = "";
    return;
  }
  const cells = [...row.cells].map((cell) => cell.textContent.trim());
  const parts = series.map(({ label }, number) =>
    series.length > 1 ? `${label} ${cells[number + 1]}` : cells[number + 1],
  );
  readout.textContent = `${cells[0]}: ${parts.join(", ")}`;
}

function axes(figure, starts) {
  const ofMoney = figure.dataset.unit === "money";
  const years = starts.at(-1) - starts[0] > 366 * DAY;
  const font = `12px ${colour("--font")}`;
  const usual = { stroke: colour("--quiet"), font, ticks: { show: false } };
  return [
    {
      ...usual,
      size: 30,
      grid: { show: false },
      space: years ? 90 : 60,
      incrs: [1, 2, 7, 14, 30, 60, 90, 180, 365, 730].map((days) => days * DAY),
      values: (plot, splits) =>
        splits.map((second) => (years ? withYear : onAxis).format(second * 1000)),
    },
    {
      ...usual,
      size: 70,
      grid: { stroke: colour("--line"), width: 1 },
      incrs: ofMoney ? undefined : wholeSteps,
      values: (plot, splits) =>
        ofMoney ? amounts(splits) : splits.map((value) => whole.format(value)),
    },
  ];
}

function options(figure, { rows, starts, series }, readout) {
  const ofBars = figure.dataset.chart === "bars";
  const named = !ofBars && !narrow.matches;
  const half = (starts[1] - starts[0]) / 2;
  return {
    width: figure.clientWidth,
    height: HEIGHT,
    padding: [10, named ? LABELS : 30, 0, 0],
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { range: (plot, first, last) => [first - half, last + half] },
      y: { range: (plot, least, most) => [0, uPlot.rangeNum(0, most || 1, 0.1, true)[1]] },
    },
    axes: axes(figure, starts),
    series: [
      {},
      ...series.map(({ label, colour: name }) => ({
        label,
        stroke: colour(name),
        width: ofBars ? 0 : 2,
        fill: ofBars ? colour(name) : undefined,
        paths: ofBars ? uPlot.paths.bars({ size: [0.8, 60] }) : uPlot.paths.linear(),
        points: { show: !ofBars && starts.length <= 31, size: 5, fill: colour(name) },
      })),
    ],
    hooks: {
      draw: named ? [(plot) => nameLines(plot, series)] : [],
      setCursor: [(plot) => tell(readout, rows, series, plot.cursor.idx)],
    },
  };
}

function draw(figure) {
  drawings.get(figure)?.destroy();
  const [drawing, readout] = figure.querySelectorAll(".drawing, .readout");
  const found = read(figure);
  const data = [found.starts, ...found.series.map(({ values }) => values)];
  drawings.set(figure, new uPlot(options(figure, found, readout), data, drawing));
}

function take(figure) {
  const drawing = document.createElement("div");
  drawing.className = "drawing";
  drawing.setAttribute("aria-hidden", "true"); // the table says the same
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.setAttribute("aria-hidden", "true");
  figure.querySelector(".plot").after(drawing, readout);
  figure.classList.add("drawn");
  draw(figure);
  new ResizeObserver(() => {
    const width = figure.clientWidth;
    const plot = drawings.get(figure);
    if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }).observe(figure);
}

function drawAll() {
  drawings.forEach((plot, figure) => draw(figure));
}

function takeAll(part) {
  for (const figure of part.querySelectorAll("figure[data-chart]:not(.drawn)")) {
    if (figure.querySelector(".plot")) take(figure);
  }
}

document.addEventListener("DOMContentLoaded", () => takeAll(document));
document.addEventListener("lucid:theme", drawAll);
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
