// Charts in SVG. A set of marks is one path, however many marks it has, so that thousands redraw at once.
const SVG = 'http://www.w3.org/2000/svg';

function make(tag, attributes, parent, text) {
  const node = document.createElementNS(SVG, tag);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const round = (value) => Math.round(value * 10) / 10;

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

// About `count` round numbers within [low, high].
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high * (1 + 1e-9) + 1e-12; at++) found.push(at * step);
  return found;
}

function scale(low, high, from, to, log) {
  const bend = log ? Math.log : (value) => value;
  const a = bend(low), b = bend(high);
  const map = (value) => from + (to - from) * (b > a ? (bend(value) - a) / (b - a) : 0.5);
  map.invert = (place) => {
    const bent = a + (b - a) * (place - from) / (to - from);
    return log ? Math.exp(bent) : bent;
  };
  map.low = low; map.high = high;
  map.ticks = (count) => log ? logTicks(low, high, count) : ticks(low, high, count);
  return map;
}

function logTicks(low, high, count) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const digit of [1, 2, 5]) {
      const value = digit * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  return found.length > 1 ? found : ticks(low, high, count);
}

const short = (value) => {
  const size = Math.abs(value);
  if (size >= 1e9) return +(value / 1e9).toPrecision(3) + ' G';
  if (size >= 1e6) return +(value / 1e6).toPrecision(3) + ' M';
  if (size >= 1e4) return +(value / 1e3).toPrecision(3) + ' k';
  return String(+value.toPrecision(4));
};
// As the tables of the page show them.
const millions = (value) => value >= 1e9
  ? (value / 1e9).toLocaleString('en', {minimumFractionDigits: 2, maximumFractionDigits: 2}) + ' G'
  : value >= 1e6 ? (value / 1e6).toLocaleString('en', {minimumFractionDigits: 2, maximumFractionDigits: 2}) + ' M'
  : value >= 1e3 ? (value / 1e3).toFixed(1) + ' k' : String(value);
const percents = (value) => (100 * value).toFixed(2) + ' %';

// An empty SVG that fills its place; redrawn when the place changes its width.
function canvas(id, height, draw, least = 0) {
  const place = byId(id);
  if (!place) return () => {};
  let svg = null;
  const redraw = () => {
    const width = Math.max(least, Math.floor(place.clientWidth));
    if (!width) return;
    const focused = svg !== null && svg === document.activeElement;
    const fresh = make('svg', {width, height, viewBox: `0 0 ${width} ${height}`});
    draw(fresh, width, height);
    place.replaceChildren(fresh);
    svg = fresh;
    if (focused) svg.focus({preventScroll: true});
  };
  let last = 0;
  new ResizeObserver(() => {
    if (place.clientWidth !== last) { last = place.clientWidth; redraw(); }
  }).observe(place);
  return redraw;
}

// Frame with grid lines, tick labels and axis titles; returns the scales.
function frame(svg, width, height, x, y) {
  const left = 52, right = width - 12, top = 26, bottom = height - 40;
  const sx = scale(x.low, x.high, left + 6, right - 6, x.log);
  const sy = scale(y.low, y.high, bottom - 4, top + 4, false);
  let grid = '';
  for (const value of sy.ticks(5)) {
    grid += `M${left},${round(sy(value))}H${right}`;
    make('text', {x: left - 8, y: round(sy(value)) + 4, 'text-anchor': 'end'}, svg, y.show(value));
  }
  let lastLabel = -Infinity;
  for (const value of sx.ticks(Math.max(2, width / 110))) {
    const at = round(sx(value));
    grid += `M${at},${bottom}v4`;
    if (at - lastLabel < 44) continue;
    lastLabel = at;
    make('text', {x: at, y: bottom + 18, 'text-anchor': 'middle'}, svg, x.show(value));
  }
  make('path', {d: grid, class: 'grid'}, svg);
  make('path', {d: `M${left},${bottom}H${right}`, class: 'axis'}, svg);
  make('text', {x: right, y: height - 4, 'text-anchor': 'end', class: 'title'}, svg, x.title);
  make('text', {x: 0, y: 12, class: 'title'}, svg, y.title);
  return [sx, sy];
}

function padded([low, high], share) {
  const pad = (high - low || Math.abs(high) || 1) * share;
  return [low - pad, high + pad];
}

// Curves with one value a step: series are {label, values, kind}.
const wholeNumber = (value) => Number.isInteger(value) ? String(value) : '';

function lineChart(id, label, show, series, height = 300) {
  const known = series.filter((each) => each.values.some((value) => value !== null));
  const steps = Math.max(...known.map((each) => each.values.length));
  const [low, high] = padded(extent(known.flatMap((each) => each.values)), 0.05);
  canvas(id, height, (svg, width) => {
    const [sx, sy] = frame(svg, width, height,
      {low: 1, high: Math.max(2, steps), title: 'epoch', show: wholeNumber}, {low, high, title: label, show});
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', label + ' by epoch; the numbers are in the table below.');
    known.forEach(({label: name, values, kind}, index) => {
      make('path', {d: polyline(values, sx, sy), class: kind}, svg);
      const x = width - 150, y = 14 + 16 * index;
      make('path', {d: `M${x},${y - 4}h22`, class: kind}, svg);
      make('text', {x: x + 28, y}, svg, name);
    });
  })();
}

function polyline(values, sx, sy) {
  let path = '', pen = 'M', count = 0;
  values.forEach((value, index) => {
    if (value === null) { pen = 'M'; return; }
    path += `${pen}${round(sx(index + 1))},${round(sy(value))}`;
    pen = 'L';
    count++;
  });
  return count === 1 ? path + 'h.01' : path;
}
