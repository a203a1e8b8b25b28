// Many lines or dots on few pixels: how often each pixel is covered is counted, and the count becomes opacity.
// Ten thousand polylines are counted in milliseconds, none is hidden by the others, and one that leaves is subtracted.
const MANY = 1500;  // above this many trials a chart is a density; below it, SVG

class Density {
  constructor(place, width, height, variable) {
    this.width = width;
    this.height = height;
    this.variable = variable;
    this.counts = new Int32Array(width * height);
    this.node = document.createElement('canvas');
    this.node.width = width;
    this.node.height = height;
    this.node.setAttribute('aria-hidden', 'true');
    this.context = this.node.getContext('2d');
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    place.prepend(this.node);
  }

  clear() { this.counts.fill(0); }

  // A line through (xs[i], ys[from + i]); NaN breaks it. `sign` is 1 to add it, -1 to take it away.
  line(xs, ys, from, sign) {
    let before = NaN;
    for (let at = 0; at < xs.length; at++) {
      const y = ys[from + at];
      if (before === before && y === y) this.segment(xs[at - 1], before, xs[at], y, sign);
      else if (y === y && !(ys[from + at + 1] === ys[from + at + 1] && at + 1 < xs.length)) {
        this.segment(xs[at] - 2, y, xs[at] + 2, y, sign);  // a point with no neighbour
      }
      before = y;
    }
  }

  // Each step along the longer axis shares its 16 parts of coverage between the two pixels it lies between.
  segment(x0, y0, x1, y1, sign) {
    const {counts, width} = this;
    const dx = x1 - x0, dy = y1 - y0;
    if (Math.abs(dx) >= Math.abs(dy)) {
      const slope = dx ? dy / dx : 0;
      for (let x = Math.ceil(x0), y = y0 + slope * (x - x0); x < x1; x++, y += slope) {
        const row = y | 0, part = (16 * (y - row)) | 0, place = row * width + x;
        counts[place] += sign * (16 - part);
        counts[place + width] += sign * part;
      }
    } else {
      const slope = dx / dy, low = Math.min(y0, y1), high = Math.max(y0, y1);
      for (let y = Math.ceil(low), x = x0 + slope * (y - y0); y < high; y++, x += slope) {
        const column = x | 0, part = (16 * (x - column)) | 0, place = y * width + column;
        counts[place] += sign * (16 - part);
        counts[place + 1] += sign * part;
      }
    }
  }

  // `mask` is a list of [dx, dy, parts of 16].
  stamp(x, y, mask) {
    const column = Math.round(x), row = Math.round(y);
    for (const [dx, dy, parts] of mask) {
      const at = column + dx, line = row + dy;
      if (at >= 0 && at < this.width && line >= 0 && line < this.height) this.counts[line * this.width + at] += parts;
    }
  }

  // `one` is the opacity of a pixel that is covered once.
  paint(one) {
    const [r, g, b] = colour(this.variable);
    const rgb = b << 16 | g << 8 | r;
    const steps = new Uint32Array(8192);
    for (let parts = 1; parts < steps.length; parts++) {
      steps[parts] = (Math.round(255 * (1 - (1 - one) ** (parts / 16))) << 24 | rgb) >>> 0;
    }
    const {counts, pixels} = this;
    for (let at = 0; at < counts.length; at++) {
      const parts = counts[at];
      pixels[at] = steps[parts < 8192 ? parts : 8191];
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

// The numbers of a CSS variable such as #0067a8.
function colour(variable) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

const maskOf = (inside, reach) => {
  const found = [];
  for (let dy = -reach; dy <= reach; dy++) for (let dx = -reach; dx <= reach; dx++) {
    const parts = Math.round(16 * inside(dx, dy));
    if (parts > 0) found.push([dx, dy, parts]);
  }
  return found;
};
const edge = (distance) => Math.max(0, Math.min(1, distance + 0.5));
const DOT = maskOf((x, y) => edge(3 - Math.hypot(x, y)), 4);
const CROSS = maskOf((x, y) => Math.hypot(x, y) > 5 ? 0 : edge(0.7 - Math.abs(Math.abs(x) - Math.abs(y)) / Math.SQRT2), 4);

// The lines of a chart, those that the choice keeps above the others: SVG paths or a density, by how many there are.
// `geometry` gives for a trial its line as {xs, ys, from}, or null; `rank` its colour, 0 to 4.
class Lines {
  constructor(place, group, width, height, indices, geometry, kind, rank) {
    this.indices = indices;
    this.geometry = geometry;
    this.kind = kind;
    this.rank = rank;
    if (indices.length <= MANY) {
      this.rest = make('path', {class: 'line dim'}, group);
      this.chosen = [0, 1, 2, 3, 4].map(() => make('path', {}, group));  // the most accurate above the others
      return;
    }
    this.all = new Density(place, width, height, '--strong-rule');
    this.some = new Density(place, width, height, '--blue');
    this.all.node.after(this.some.node);
    this.inside = new Uint8Array(indices.length);
    for (const index of indices) this.put(this.all, index, 1);
    this.repaint();
  }

  put(density, index, sign) {
    const line = this.geometry(index);
    if (line) density.line(line.xs, line.ys, line.from, sign);
  }

  // `keeps` says of a trial whether it is among the chosen.
  show(keeps) {
    if (!this.all) {
      const rest = [], chosen = [[], [], [], [], []];
      for (const index of this.indices) {
        const line = this.geometry(index);
        if (line) (keeps(index) ? chosen[this.rank(index)] : rest).push(pathOf(line.xs, line.ys, line.from));
      }
      this.rest.setAttribute('d', rest.join(''));
      const thin = this.indices.length - rest.length > 60 ? ' thin' : '';
      chosen.forEach((paths, at) => {
        this.chosen[at].setAttribute('d', paths.join(''));
        this.chosen[at].setAttribute('class', `${this.kind} rank-${at}${thin}`);
      });
      return;
    }
    this.count = 0;
    this.indices.forEach((index, at) => {
      const now = keeps(index) ? 1 : 0;
      this.count += now;
      if (now === this.inside[at]) return;
      this.inside[at] = now;
      this.put(this.some, index, now ? 1 : -1);
    });
    this.some.paint(strength(this.count));
    this.all.node.hidden = this.count === this.indices.length;
  }

  repaint() {
    if (!this.all) return;
    this.all.paint(strength(this.indices.length));
    if (this.count !== undefined) this.some.paint(strength(this.count));
  }
}

const strength = (count) => Math.max(0.006, Math.min(0.5, 120 / Math.max(1, count)));

function pathOf(xs, ys, from) {
  let path = '', pen = 'M', drawn = 0;
  for (let at = 0; at < xs.length; at++) {
    const y = ys[from + at];
    if (y !== y) { pen = 'M'; continue; }
    path += `${pen}${round(xs[at])},${round(y)}`;
    pen = 'L';
    drawn++;
  }
  return drawn === 1 ? path + 'h.01' : path;
}
