// The receptive-field explorer: choosing a layer, a unit, a pixel, with the mouse or the keyboard.
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
  drawStrip();
}

function moveTo(y, x) {
  const {grid} = data.lines[state.line];
  if (!grid) return;
  state.y = Math.max(0, Math.min(grid[0] - 1, y));
  state.x = Math.max(0, Math.min(grid[1] - 1, x));
  draw();
}

const buttonOf = (row) => row.querySelector('button');
const isOpen = (id) => buttonOf(folds[id]).getAttribute('aria-expanded') === 'true';
function fold(id, open) {
  buttonOf(folds[id]).setAttribute('aria-expanded', open);
  const inClosed = (row) => {
    for (let each = row.dataset.in; each; each = folds[each].dataset.in) if (!isOpen(each)) return true;
    return false;
  };
  for (const row of [...rows, ...Object.values(folds)]) row.hidden = inClosed(row);
  drawStrip();
}
for (const [id, row] of Object.entries(folds)) buttonOf(row).addEventListener('click', () => fold(id, !isOpen(id)));

// Up and down go through layers and headings alike; left folds the group of the focused row, right unfolds a heading.
function step(from, key) {
  const stops = [...document.querySelectorAll('[data-line], .fold button')].filter((each) => each.offsetParent !== null);
  const lines = stops.filter((each) => each.dataset.line);
  const at = stops.indexOf(from);
  const next = {ArrowDown: stops[at + 1], ArrowUp: stops[at - 1], Home: lines[0], End: lines.at(-1)}[key];
  if (!next) return;
  if (next.dataset.line) choose(+next.dataset.line, true);
  else next.focus();
}
byId('layers').addEventListener('keydown', (event) => {
  const from = event.target.closest('[data-line], .fold button');
  if (!from) return;
  const row = from.closest('tr');
  if (event.key === 'ArrowLeft') {
    const id = row.dataset.fold && isOpen(row.dataset.fold) ? row.dataset.fold : row.dataset.in;
    if (id) { fold(id, false); buttonOf(folds[id]).focus(); }
  } else if (event.key === 'ArrowRight') { if (row.dataset.fold) fold(row.dataset.fold, true); }
  else if (['ArrowDown', 'ArrowUp', 'Home', 'End'].includes(event.key)) step(from, event.key);
  else return;
  event.preventDefault();
});
for (const row of rows) {
  row.addEventListener('click', () => choose(+row.dataset.line, true));
  row.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') choose(+row.dataset.line, false); });
}

const MOVES = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
const moveOf = (event) => MOVES[event.key]?.map((part) => part * (event.shiftKey ? 8 : 1));

function unitAt(event) {
  const {grid} = data.lines[state.line];
  const box = unitCanvas.getBoundingClientRect();
  const side = Math.min(box.width / grid[1], box.height / grid[0]);
  return [Math.floor((event.clientY - box.top - (box.height - side * grid[0]) / 2) / side),
    Math.floor((event.clientX - box.left - (box.width - side * grid[1]) / 2) / side)];
}
for (const kind of ['pointermove', 'click'])
  unitCanvas.addEventListener(kind, (event) => { if (data.lines[state.line].grid) moveTo(...unitAt(event)); });
unitCanvas.addEventListener('keydown', (event) => {
  const move = moveOf(event);
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
  const move = moveOf(event);
  if (event.key === 'Escape') state.pixel = null;
  else if (move) {
    const [py, px] = state.pixel || [Math.floor(height / 2), Math.floor(width / 2)];
    state.pixel = [Math.max(0, Math.min(height - 1, py + move[0])), Math.max(0, Math.min(width - 1, px + move[1]))];
    event.preventDefault();
  } else return;
  draw();
});
// Play walks the layers that are shown, to the last: from the first where nothing was chosen yet, else from the chosen
// one. Any other choice stops it.
let timer = null;
function play(on) {
  clearInterval(timer);
  timer = null;
  byId('play').textContent = on ? 'Pause' : 'Play';
  byId('play').setAttribute('aria-pressed', on);
  if (!on) return;
  const shown = rows.filter((row) => !row.hidden).map((row) => +row.dataset.line);
  let at = [data.opens, shown.at(-1)].includes(state.line) ? 0 : Math.max(0, shown.indexOf(state.line));
  choose(shown[at], false);
  timer = setInterval(() => {
    at += 1;
    if (at >= shown.length) { play(false); return; }
    choose(shown[at], false);
    // Where the picture stays while the page scrolls, the row is kept in view; elsewhere that would hide the picture.
    if (getComputedStyle(document.querySelector('.panel')).position === 'sticky') rows[shown[at]].scrollIntoView({block: 'nearest'});
  }, 900);
}
byId('play').addEventListener('click', () => play(timer === null));
byId('layers').addEventListener('pointerdown', () => play(false));
byId('layers').addEventListener('keydown', () => play(false));
for (const option of ['beyond', 'heat']) byId(option).addEventListener('change', draw);
theme.addEventListener('click', draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
new ResizeObserver(draw).observe(inputCanvas);
photo?.decode().then(() => { drain(); draw(); }, () => {});

// Lint names layers: a button there chooses the layer, and opens what it is folded into.
for (const button of document.querySelectorAll('[data-layer]')) button.addEventListener('click', () => {
  const index = data.lines.findIndex((line) => line.name === button.dataset.layer);
  if (index < 0) return;
  for (let id = rows[index].dataset.in; id; id = folds[id].dataset.in) fold(id, true);
  choose(index, true);
});

state.line = data.opens;
if (data.lines[state.line].grid) [state.y, state.x] = data.lines[state.line].grid.map((units) => Math.floor(units / 2));
choose(state.line, false);
new ResizeObserver(drawStrip).observe(byId('layers'));
