// Drawing: the input with what the chosen unit sees, the layer's units, and the facts in words.
const inputCanvas = byId('input'), unitCanvas = byId('units');
const photo = document.querySelector('#photo');
const overlay = document.createElement('canvas');
overlay.width = width;
overlay.height = height;
// The photo loses its colours under the heat: so nobody takes them for heat.
const grey = photo && document.createElement('canvas');
function drain() {
  grey.width = width;
  grey.height = height;
  const context = grey.getContext('2d', {willReadFrequently: true});
  context.drawImage(photo, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height), pixels = image.data;
  for (let at = 0; at < pixels.length; at += 4)
    pixels[at] = pixels[at + 1] = pixels[at + 2] = 0.3 * pixels[at] + 0.59 * pixels[at + 1] + 0.11 * pixels[at + 2];
  context.putImageData(image, 0, 0);
}
let view = null;  // how the input canvas maps pixels to its own

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (name) => [1, 3, 5].map((at) => parseInt(colour(name).slice(at, at + 2), 16));

// The ramp --heat-0 ... --heat-4, weak to strong, as 256 colours.
function ramp() {
  const stops = [0, 1, 2, 3, 4].map((stop) => rgb(`--heat-${stop}`));
  return Array.from({length: 256}, (_, value) => {
    const place = value / 255 * 4, low = Math.min(3, Math.floor(place)), share = place - low;
    return stops[low].map((part, channel) => Math.round(part + share * (stops[low + 1][channel] - part)));
  });
}

function prepare(canvas) {
  const ratio = devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  const wide = Math.max(1, Math.round(box.width * ratio)), tall = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width !== wide || canvas.height !== tall) { canvas.width = wide; canvas.height = tall; }
  const context = canvas.getContext('2d');
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, wide, tall);
  return [context, wide, tall];
}

// The part of the plane to show: the image, and what the layer's units see beyond it; not much of that by itself.
function frameOf(line) {
  const frame = [0, 0, height, width];
  if (!line.unbounded) return frame;
  for (const axis of [0, 1]) {
    const spans = Array.from({length: line.grid[axis]}, (_, unit) => spanOf(line, axis, unit));
    const most = byId('beyond').checked ? Infinity : 0.15 * data.input[axis];
    frame[axis] = Math.max(-most, Math.min(0, ...spans.map(([from]) => from)));
    const end = Math.max(data.input[axis], ...spans.map(([from, extent]) => from + extent));
    frame[axis + 2] = Math.min(data.input[axis] + most, end);
  }
  return frame;
}

function drawInput() {
  const line = data.lines[state.line];
  const [context, wide, tall] = prepare(inputCanvas);
  const [top, left, bottom, right] = frameOf(line);
  const ratio = devicePixelRatio || 1, pad = 8 * ratio;
  const scale = Math.min((wide - 2 * pad) / (right - left), (tall - 2 * pad) / (bottom - top));
  const x0 = (wide - scale * (right - left)) / 2 - scale * left, y0 = (tall - scale * (bottom - top)) / 2 - scale * top;
  view = {scale, x0, y0};
  const box = (y, x, h, w) => [x0 + x * scale, y0 + y * scale, w * scale, h * scale];
  context.imageSmoothingEnabled = false;
  if (photo) context.drawImage(byId('heat').checked && grey.width ? grey : photo, ...box(0, 0, height, width));
  else {
    context.fillStyle = colour('--paper');
    context.fillRect(...box(0, 0, height, width));
  }
  paintSeen(line);
  context.drawImage(overlay, ...box(0, 0, height, width));
  if (!photo) grid(context, box, scale);
  context.strokeStyle = colour('--muted');
  context.lineWidth = ratio;
  context.strokeRect(...box(0, 0, height, width));
  if (line.grid && line.unbounded) {
    const [[top, tall], [left, wide]] = [spanOf(line, 0, state.y), spanOf(line, 1, state.x)];
    context.strokeStyle = colour('--ink');
    context.lineWidth = 1.5 * ratio;
    context.setLineDash([5 * ratio, 4 * ratio]);
    context.strokeRect(...box(top, left, tall, wide));
    context.setLineDash([]);
  }
  if (state.pixel) {
    context.strokeStyle = colour('--blue');
    context.lineWidth = 2.5 * ratio;
    const [py, px] = state.pixel;
    const grown = Math.max(0, 5 / scale - 0.5);
    context.strokeRect(...box(py - grown, px - grown, 1 + 2 * grown, 1 + 2 * grown));
  }
}

// One pixel of the overlay for each of the image: a veil over what is not seen, heat or a plain tint over what is.
function paintSeen(line) {
  const context = overlay.getContext('2d');
  const image = context.createImageData(width, height);
  const pixels = image.data;
  const paper = rgb('--paper'), mark = rgb('--mark');
  const veil = photo ? 170 : 0;
  const mask = line.grid ? maskOf(line, state.y, state.x).mask : new Uint8Array(height * width);
  const heat = byId('heat').checked && line.grid ? influence(line, state.y, state.x) : null;
  const colours = heat && ramp();
  const put = (at, [red, green, blue], alpha) => {
    pixels[at] = red; pixels[at + 1] = green; pixels[at + 2] = blue; pixels[at + 3] = alpha;
  };
  for (let y = 0, at = 0; y < height; y++) for (let x = 0; x < width; x++, at++) {
    if (!mask[at]) put(4 * at, paper, veil);
    else {
      const value = heat ? heat(y, x) : null;
      if (value === null) put(4 * at, mark, photo ? 70 : heat ? 60 : 190);
      else put(4 * at, colours[Math.round(value)], photo ? 60 + 0.62 * value : 235);
    }
  }
  context.putImageData(image, 0, 0);
}

// Lines between pixels, where they are large enough.
function grid(context, box, scale) {
  if (scale < 7) return;
  context.strokeStyle = colour('--strong-rule');
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.beginPath();
  for (let y = 1; y < height; y++) {
    const [left, top, wide] = box(y, 0, 0, width);
    context.moveTo(left, Math.round(top) + 0.5);
    context.lineTo(left + wide, Math.round(top) + 0.5);
  }
  for (let x = 1; x < width; x++) {
    const [left, top, , tall] = box(0, x, height, 0);
    context.moveTo(Math.round(left) + 0.5, top);
    context.lineTo(Math.round(left) + 0.5, top + tall);
  }
  context.stroke();
  context.globalAlpha = 1;
}

function drawUnits() {
  const line = data.lines[state.line];
  const [context, wide, tall] = prepare(unitCanvas);
  if (!line.grid) return;
  const [rows, columns] = line.grid;
  const side = Math.min(wide / columns, tall / rows);
  const gap = side > 6 ? 1 : 0;
  const left = (wide - side * columns) / 2, top = (tall - side * rows) / 2;
  const cell = (y, x) => [left + x * side, top + y * side, side - gap, side - gap];
  context.fillStyle = colour('--strong-rule');
  if (gap) for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) context.fillRect(...cell(y, x));
  else context.fillRect(left, top, side * columns, side * rows);
  if (state.pixel) {
    context.fillStyle = colour('--blue');
    for (const [y, x] of seenBy(line, ...state.pixel)) context.fillRect(...cell(y, x));
  }
  context.fillStyle = colour('--mark');
  const [x, y, w, h] = cell(state.y, state.x);
  const grown = Math.max(0, (5 - w) / 2);
  context.fillRect(x - grown, y - grown, w + 2 * grown, h + 2 * grown);
}

const sides = (values) => values[0].toFixed(1) === values[1].toFixed(1)
  ? values[0].toFixed(1) : values.map((value) => value.toFixed(1)).join(' x ');

function tell() {
  const line = data.lines[state.line];
  head(line);
  const facts = [];
  if (line.grid) {
    const products = productsOf(line, state.y, state.x);
    const ends = (axis) => [Math.min(...products.map((each) => each[axis][0])), Math.max(...products.map((each) => each[axis].at(-1)))];
    facts.push(['unit', `${state.y}, ${state.x} of ${line.grid.join('x')}`]);
    if (products.length && products.every(([rows, columns]) => rows.length && columns.length))
      facts.push(['rows', ends(0).join(' to ')], ['columns', ends(1).join(' to ')]);
    const count = pixelCount(line, state.y, state.x);
    facts.push([line.bounding ? 'pixels, at most' : 'pixels', `${count.toLocaleString('en')} of ${(height * width).toLocaleString('en')}`]);
  } else facts.push(['units', 'not a map of the image']);
  const extents = line.unbounded && [spanOf(line, 0, state.y)[1], spanOf(line, 1, state.x)[1]];
  facts.push(['unbounded', extents ? `${[...new Set(extents)].join(' x ')} px` : line.field]);
  if (line.measured) facts.push(['sigma, measured', `${sides(line.measured)} px`]);
  if (line.sigma) facts.push(['closed form', `${sides(line.sigma)} px`]);
  const named = (lines) => lines.map((index) => data.lines[index].name).join(' and ');
  if (line.reads.length) facts.push([line.reads.length > 1 ? 'joins' : 'reads', named(line.reads)]);
  if (readers[state.line].length > 1) facts.push(['read by', named(readers[state.line])]);
  if (state.pixel && line.grid)
    facts.push([`pixel ${state.pixel.join(', ')}`, `seen by ${seenBy(line, ...state.pixel).length.toLocaleString('en')} units`]);
  byId('readout').replaceChildren(...facts.flatMap(([name, value]) => {
    const dt = document.createElement('dt'), dd = document.createElement('dd');
    dt.append(term(name));
    dd.textContent = value;
    return [dt, dd];
  }));
}

function term(name) {
  if (!data.words[name]) return name;
  const word = document.createElement('abbr');
  word.textContent = name;
  explain(word, data.words[name]);
  return word;
}

// The layer in one line, and the sum that makes its receptive field.
const SUMS = {
  '+': 'field = field of the input + (kernel - 1) x dilation x jump of the input',
  max: 'a join sees all that one of its maps sees',
};
function head(line) {
  byId('now-name').textContent = line.name;
  const settings = line.window ? line.window.split('/').map((value, at) => `${['kernel', 'stride', 'dilation', 'groups'][at]} ${value}`) : [];
  byId('now-op').replaceChildren([line.op, ...settings].join(', '));
  for (const flag of line.flags) byId('now-op').append(', ', term(flag));
  byId('sum').textContent = line.formula || `receptive field: ${line.field}${/^\d/.test(line.field) ? ' px' : ''}`;
  byId('sum-words').textContent = !line.formula ? '' : SUMS[line.formula.includes('max') ? 'max' : '+'];
}

function draw() { drawInput(); drawUnits(); tell(); }
