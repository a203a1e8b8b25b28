// What a unit sees: its exact pixels, and how strongly each of them acts on it.
const [height, width] = data.input;
const rows = [...document.querySelectorAll('[data-line]')];
const folds = Object.fromEntries([...document.querySelectorAll('[data-fold]')].map((row) => [row.dataset.fold, row]));
const state = {line: 0, y: 0, x: 0, pixel: null};

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

// 1 for each pixel that the unit sees, row by row; the last answer is kept, for it is asked for twice a redraw.
const lastMask = {key: '', mask: null, count: 0};
function maskOf(line, y, x) {
  const key = `${data.lines.indexOf(line)} ${y} ${x}`;
  if (lastMask.key === key) return lastMask;
  const mask = new Uint8Array(height * width);
  for (const [rows, columns] of productsOf(line, y, x))
    for (let r = 0; r < rows.length; r += 2) for (let py = rows[r]; py <= rows[r + 1]; py++)
      for (let c = 0; c < columns.length; c += 2) mask.fill(1, py * width + columns[c], py * width + columns[c + 1] + 1);
  let count = 0;
  for (let at = 0; at < mask.length; at++) count += mask[at];
  return Object.assign(lastMask, {key, mask, count});
}

// The numbers of the pixels that the unit sees: y * width + x.
const pixelsOf = (line, y, x) => [...maskOf(line, y, x).mask.keys()].filter((at) => maskOf(line, y, x).mask[at]);
const pixelCount = (line, y, x) => maskOf(line, y, x).count;

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

// [first pixel, extent] of a unit along an axis, on the unbounded plane: units of one phase lie `shift` apart.
function spanOf(line, axis, unit) {
  const phases = line.unbounded.phases[axis], turns = Math.floor(unit / phases.length);
  const [first, extent] = phases[unit - turns * phases.length];
  return [first + turns * line.unbounded.shift[axis], extent];
}

const cellsOf = (heat) => heat.cells ??= Uint8Array.from(atob(heat.data), (letter) => letter.charCodeAt(0));

// What was measured of a unit, and by how many pixels it is moved: that of a unit of the same phase, if there is one.
function measuredOf(line, y, x) {
  for (const heat of line.heat || []) {
    const units = [y - heat.unit[0], x - heat.unit[1]];
    if (!units[0] && !units[1]) return {heat, moved: [0, 0]};
    if (!line.unbounded) continue;
    const turns = units.map((count, axis) => count / line.unbounded.phases[axis].length);
    if (turns.every(Number.isInteger)) return {heat, moved: turns.map((count, axis) => count * line.unbounded.shift[axis])};
  }
  return null;
}

// The square root of the influence of pixel (py, px), 0 to 255 (the largest); null where it is not known.
// Where nothing was measured of a unit's phase, the Gaussian of the closed form lies on the middle of what it sees.
function influence(line, y, x) {
  const found = measuredOf(line, y, x);
  if (found) {
    const {heat: {box, cell}, moved: [top, left]} = found, cells = cellsOf(found.heat);
    const across = Math.ceil(box[3] / cell);
    return (py, px) => {
      const row = py - top - box[0], column = px - left - box[1];
      if (row < 0 || column < 0 || row >= box[2] || column >= box[3]) return null;
      return cells[Math.floor(row / cell) * across + Math.floor(column / cell)];
    };
  }
  if (!line.sigma || !line.unbounded) return () => null;
  const fall = (axis, unit, count) => {
    const [first, extent] = spanOf(line, axis, unit), middle = first + (extent - 1) / 2;
    const sigma = Math.max(line.sigma[axis], 0.3);  // a single pixel has none
    return Float64Array.from({length: count}, (_, at) => Math.exp(-0.25 * ((at - middle) / sigma) ** 2));
  };
  const rows = fall(0, y, height), columns = fall(1, x, width);
  return (py, px) => 255 * rows[py] * columns[px];
}
