// The receptive-field explorer: one layer, one unit, and the exact pixels that it sees.
const [height, width] = data.input;
const inputCanvas = byId('input'), unitCanvas = byId('units');
const photo = document.querySelector('#photo');
const state = {line: 0, y: 0, x: 0, pixel: null};
let view = null;  // how the input canvas maps pixels to its own

// The unit's pixels as [rows, columns] pairs of runs [first, last, first, last, ...].
function productsOf(line, y, x) {
  if (line.units) {
    const numbers = line.sets[line.units[y * line.grid[1] + x]];
    const found = [];
    for (let at = 0; at < numbers.length; at += 2) found.push([data.masks[numbers[at]], data.masks[numbers[at + 1]]]);
    return found;
  }
  return [[data.masks[line.rows[y]], data.masks[line.columns[x]]]];
}

const within = (runs, value) => {
  for (let at = 0; at < runs.length; at += 2) if (value >= runs[at] && value <= runs[at + 1]) return true;
  return false;
};
const sees = (line, y, x, py, px) => productsOf(line, y, x).some(([rows, columns]) => within(rows, py) && within(columns, px));

// Every pixel that the unit sees, as a Set of y * width + x.
function pixelsOf(line, y, x) {
  const found = new Set();
  for (const [rows, columns] of productsOf(line, y, x))
    for (let r = 0; r < rows.length; r += 2) for (let py = rows[r]; py <= rows[r + 1]; py++)
      for (let c = 0; c < columns.length; c += 2) for (let px = columns[c]; px <= columns[c + 1]; px++) found.add(py * width + px);
  return found;
}

const countOf = (runs) => { let sum = 0; for (let at = 0; at < runs.length; at += 2) sum += runs[at + 1] - runs[at] + 1; return sum; };

function pixelCount(line, y, x) {
  const products = productsOf(line, y, x);
  if (products.length === 1) return countOf(products[0][0]) * countOf(products[0][1]);
  return products.length ? pixelsOf(line, y, x).size : 0;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

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

// The part of the plane to show: the image, and around it what the layer's units see beyond its edges.
function frameOf(line) {
  let [top, left, bottom, right] = [0, 0, height, width];
  if (line.unbounded && byId('beyond').checked) {
    const {start, jump, size} = line.unbounded;
    top = Math.min(top, start[0]); left = Math.min(left, start[1]);
    bottom = Math.max(bottom, start[0] + (line.grid[0] - 1) * jump[0] + size[0]);
    right = Math.max(right, start[1] + (line.grid[1] - 1) * jump[1] + size[1]);
  }
  return [top, left, bottom, right];
}

function drawInput() {
  const line = data.lines[state.line];
  const [context, wide, tall] = prepare(inputCanvas);
  const [top, left, bottom, right] = frameOf(line);
  const pad = 8 * (devicePixelRatio || 1);
  const scale = Math.min((wide - 2 * pad) / (right - left), (tall - 2 * pad) / (bottom - top));
  const x0 = (wide - scale * (right - left)) / 2 - scale * left, y0 = (tall - scale * (bottom - top)) / 2 - scale * top;
  view = {scale, x0, y0};
  const box = (y, x, h, w) => [x0 + x * scale, y0 + y * scale, w * scale, h * scale];
  context.imageSmoothingEnabled = false;
  if (photo) context.drawImage(photo, ...box(0, 0, height, width));
  else checker(context, box);
  context.globalAlpha = photo ? 0.62 : 0.5;
  context.fillStyle = colour('--paper');
  context.fillRect(...box(0, 0, height, width));
  context.globalAlpha = 1;
  if (line.grid) {
    const mark = colour('--mark');
    for (const [rows, columns] of productsOf(line, state.y, state.x))
      for (let r = 0; r < rows.length; r += 2) for (let c = 0; c < columns.length; c += 2) {
        const place = [rows[r], columns[c], rows[r + 1] - rows[r] + 1, columns[c + 1] - columns[c] + 1];
        if (photo) context.drawImage(photo, place[1], place[0], place[3], place[2], ...box(...place));
        context.globalAlpha = photo ? 0.3 : 0.75;
        context.fillStyle = mark;
        context.fillRect(...box(...place));
        context.globalAlpha = 1;
      }
    if (line.unbounded) {
      const {start, jump, size} = line.unbounded;
      context.strokeStyle = mark;
      context.lineWidth = 1.5 * (devicePixelRatio || 1);
      context.setLineDash([5, 4]);
      context.strokeRect(...box(start[0] + state.y * jump[0], start[1] + state.x * jump[1], size[0], size[1]));
      context.setLineDash([]);
    }
  }
  context.strokeStyle = colour('--muted');
  context.lineWidth = 1;
  context.strokeRect(...box(0, 0, height, width));
  if (state.pixel) {
    context.strokeStyle = colour('--blue');
    context.lineWidth = 2 * (devicePixelRatio || 1);
    const [py, px] = state.pixel;
    const grown = Math.max(0, 5 / scale - 0.5);
    context.strokeRect(...box(py - grown, px - grown, 1 + 2 * grown, 1 + 2 * grown));
  }
}

function checker(context, box) {
  const side = Math.max(1, Math.round(Math.max(height, width) / 32));
  context.fillStyle = colour('--rule');
  context.fillRect(...box(0, 0, height, width));
  context.fillStyle = colour('--strong-rule');
  for (let y = 0; y < height; y += side) for (let x = (y / side) % 2 * side; x < width; x += 2 * side)
    context.fillRect(...box(y, x, Math.min(side, height - y), Math.min(side, width - x)));
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

// The units of the layer that see a pixel.
function seenBy(line, py, px) {
  const found = [];
  if (line.units) {
    for (let y = 0; y < line.grid[0]; y++) for (let x = 0; x < line.grid[1]; x++) if (sees(line, y, x, py, px)) found.push([y, x]);
    return found;
  }
  const columns = [];
  line.columns.forEach((mask, x) => { if (within(data.masks[mask], px)) columns.push(x); });
  line.rows.forEach((mask, y) => { if (within(data.masks[mask], py)) for (const x of columns) found.push([y, x]); });
  return found;
}

function tell() {
  const line = data.lines[state.line];
  const facts = [['layer', line.name], ['op', line.op]];
  if (line.grid) {
    const products = productsOf(line, state.y, state.x);
    const ends = (axis) => [Math.min(...products.map((each) => each[axis][0])), Math.max(...products.map((each) => each[axis].at(-1)))];
    facts.push(['unit', `row ${state.y}, column ${state.x} of ${line.grid.join('x')}`]);
    if (products.length) {
      const [rows, columns] = [ends(0), ends(1)];
      facts.push(['rows', rows.join(' to ')], ['columns', columns.join(' to ')]);
    }
    const count = pixelCount(line, state.y, state.x);
    facts.push([line.bounding ? 'pixels, at most' : 'pixels', `${count.toLocaleString('en')} of ${(height * width).toLocaleString('en')}`]);
  } else facts.push(['units', 'not a map of the image']);
  facts.push(['unbounded', line.field]);
  if (state.pixel && line.grid)
    facts.push([`pixel ${state.pixel.join(', ')}`, `seen by ${seenBy(line, ...state.pixel).length.toLocaleString('en')} units`]);
  byId('readout').replaceChildren(...facts.flatMap(([name, value]) => {
    const dt = document.createElement('dt'), dd = document.createElement('dd');
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

function draw() { drawInput(); drawUnits(); tell(); }

const rows = [...document.querySelectorAll('[data-line]')];
function choose(index, focus) {
  const line = data.lines[index], before = data.lines[state.line];
  // The unit that looks at the same place of the image stays chosen.
  if (line.grid) {
    const old = before.grid || [1, 1];
    state.y = Math.min(line.grid[0] - 1, Math.floor((state.y + 0.5) / old[0] * line.grid[0]));
    state.x = Math.min(line.grid[1] - 1, Math.floor((state.x + 0.5) / old[1] * line.grid[1]));
  }
  state.line = index;
  for (const row of rows) {
    const chosen = +row.dataset.line === index;
    row.setAttribute('aria-selected', chosen);
    row.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) row.focus();
  }
  draw();
}

function moveTo(y, x) {
  const {grid} = data.lines[state.line];
  if (!grid) return;
  state.y = Math.max(0, Math.min(grid[0] - 1, y));
  state.x = Math.max(0, Math.min(grid[1] - 1, x));
  draw();
}

for (const row of rows) {
  row.addEventListener('click', () => choose(+row.dataset.line, true));
  row.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') choose(+row.dataset.line, false); });
  row.addEventListener('keydown', (event) => {
    const visible = rows.filter((each) => each.offsetParent !== null);
    const at = visible.indexOf(row);
    const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: visible.length - 1}[event.key];
    if (next === undefined || !visible[next]) return;
    choose(+visible[next].dataset.line, true);
    event.preventDefault();
  });
}
for (const button of document.querySelectorAll('.fold button')) button.addEventListener('click', () => {
  const open = button.getAttribute('aria-expanded') === 'false';
  button.setAttribute('aria-expanded', open);
  for (const row of button.closest('tbody').querySelectorAll('[data-line]')) row.hidden = !open;
});

function unitAt(event) {
  const {grid} = data.lines[state.line];
  const box = unitCanvas.getBoundingClientRect();
  const side = Math.min(box.width / grid[1], box.height / grid[0]);
  return [Math.floor((event.clientY - box.top - (box.height - side * grid[0]) / 2) / side),
    Math.floor((event.clientX - box.left - (box.width - side * grid[1]) / 2) / side)];
}
unitCanvas.addEventListener('pointermove', (event) => { if (data.lines[state.line].grid) moveTo(...unitAt(event)); });
unitCanvas.addEventListener('click', (event) => { if (data.lines[state.line].grid) moveTo(...unitAt(event)); });
unitCanvas.addEventListener('keydown', (event) => {
  const step = event.shiftKey ? 8 : 1;
  const move = {ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step]}[event.key];
  if (!move) return;
  moveTo(state.y + move[0], state.x + move[1]);
  event.preventDefault();
});
inputCanvas.addEventListener('click', (event) => {
  const ratio = devicePixelRatio || 1;
  const box = inputCanvas.getBoundingClientRect();
  const py = Math.floor(((event.clientY - box.top) * ratio - view.y0) / view.scale);
  const px = Math.floor(((event.clientX - box.left) * ratio - view.x0) / view.scale);
  const inside = py >= 0 && px >= 0 && py < height && px < width;
  const same = state.pixel && state.pixel[0] === py && state.pixel[1] === px;
  state.pixel = inside && !same ? [py, px] : null;
  draw();
});
inputCanvas.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') state.pixel = null;
  else {
    const step = event.shiftKey ? 8 : 1;
    const move = {ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step]}[event.key];
    if (!move) return;
    const [py, px] = state.pixel || [Math.floor(height / 2), Math.floor(width / 2)];
    state.pixel = [Math.max(0, Math.min(height - 1, py + move[0])), Math.max(0, Math.min(width - 1, px + move[1]))];
    event.preventDefault();
  }
  draw();
});
byId('beyond').addEventListener('change', draw);
theme.addEventListener('click', draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
new ResizeObserver(draw).observe(inputCanvas);

const first = Math.max(0, data.lines.findIndex((line) => line.judged));
if (data.lines[first].grid) {
  state.y = Math.floor(data.lines[first].grid[0] / 2);
  state.x = Math.floor(data.lines[first].grid[1] / 2);
}
state.line = first;
choose(first, false);
