// The strip of the graph beside the table: a dot a row, a line to the next layer, an arc for what skips others.
// What the chosen layer reads is drawn strongly and marked in the table; where many arcs would cross, the others are left out.
const SVG = 'http://www.w3.org/2000/svg';
const LANES = 5, LANE = 9, TRUNK = 9;  // arcs side by side at most; pixels between two; pixels right of the trunk
const strip = document.createElementNS(SVG, 'svg');
strip.setAttribute('class', 'strip');
strip.setAttribute('aria-hidden', 'true');
byId('layers').parentElement.prepend(strip);

const edges = data.lines.flatMap((line, to) => line.reads.map((from) => ({from, to})));
const readers = data.lines.map((_, from) => edges.filter((edge) => edge.from === from).map((edge) => edge.to));
const skips = (edge) => edge.to - edge.from > 1;

// Each arc the innermost lane that is free over its length, the short ones first; null where they need too many.
function lanesOf(arcs) {
  const taken = [];
  for (const arc of [...arcs].sort((a, b) => a.to - a.from - (b.to - b.from) || a.from - b.from)) {
    const free = taken.findIndex((lane) => lane.every((other) => arc.to <= other.from || arc.from >= other.to));
    arc.lane = free < 0 ? taken.length : free;
    (taken[arc.lane] ??= []).push(arc);
  }
  return taken.length;
}
const everyLane = lanesOf(edges.filter(skips));

function drawStrip() {
  const chosen = state.line;
  const near = edges.filter((edge) => edge.to === chosen || edge.from === chosen);
  const all = everyLane <= LANES;
  const arcs = (all ? edges : near).filter(skips);
  // Too many readers of one layer (a dense block) share the outermost lanes.
  const used = Math.min(LANES, all ? everyLane : lanesOf(arcs));
  const wide = TRUNK + LANE * used + 8, trunk = wide - TRUNK;
  const box = strip.parentElement.getBoundingClientRect();
  const tall = byId('layers').getBoundingClientRect().height;
  strip.setAttribute('width', wide);
  strip.setAttribute('height', tall);
  strip.parentElement.style.paddingLeft = `${wide}px`;
  const heights = data.lines.map((_, index) => heightOf(index, box.top));
  const parts = [];
  for (const edge of edges.filter((each) => !skips(each))) {
    const [top, bottom] = [heights[edge.from], heights[edge.to]];
    if (top !== bottom) parts.push(['path', {d: `M${trunk},${top}V${bottom}`, class: kindOf(edge, chosen)}]);
  }
  const order = (edge) => near.includes(edge) ? 1 : 0;
  for (const edge of [...arcs].sort((a, b) => order(a) - order(b))) {
    const [top, bottom] = [heights[edge.from], heights[edge.to]];
    if (top === bottom) continue;
    const x = Math.max(3, trunk - LANE * (Math.min(edge.lane, LANES - 1) + 1)), bend = Math.min(7, (bottom - top) / 2, trunk - x);
    parts.push(['path', {class: kindOf(edge, chosen), d: `M${trunk},${top}H${x + bend}Q${x},${top} ${x},${top + bend}`
      + `V${bottom - bend}Q${x},${bottom} ${x + bend},${bottom}H${trunk}`}]);
  }
  const read = new Set(data.lines[chosen].reads);
  data.lines.forEach((line, index) => {
    const kind = index === chosen ? 'node chosen' : read.has(index) ? 'node read' : 'node';
    const y = heights[index], half = index === chosen || read.has(index) ? 4.5 : 3;
    // A join is a diamond, any other layer a dot.
    parts.push(line.reads.length > 1 ? ['path', {class: kind, d: `M${trunk},${y - half - 1}l${half + 1},${half + 1}l-${half + 1},${half + 1}l-${half + 1},-${half + 1}z`}]
      : ['circle', {class: kind, cx: trunk, cy: y, r: half}]);
  });
  strip.replaceChildren(...parts.map(([tag, attributes]) => {
    const node = document.createElementNS(SVG, tag);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    return node;
  }));
  for (const row of rows) row.classList.toggle('read', read.has(+row.dataset.line));
}

const kindOf = (edge, chosen) => edge.to === chosen ? 'edge in' : edge.from === chosen ? 'edge out' : 'edge';

// The middle of a layer's row; of one that is folded away, that of the heading which hides it.
function heightOf(index, top) {
  let row = rows[index];
  while (row.hidden && row.dataset.in) row = folds[row.dataset.in];
  const box = row.cells[0].getBoundingClientRect();
  return Math.round(2 * (box.top + box.height / 2 - top)) / 2;
}
