// Accuracy against a cost, with the Pareto front, the winner's last training and the published networks.
function scatter(study, id, key, title) {
  const {state, count, place} = study;
  const costs = data[key], score = data.score;
  const front = data.fronts[key].map((number) => place.get(number));
  const cost = study.axes.find((axis) => axis.key === key), accuracy = study.axes.find((axis) => axis.key === 'score');
  const height = 340;
  const xs = new Float64Array(count + data.published.length), ys = new Float64Array(xs.length);
  let sx, sy, width, marks, density, brush, others, top, order, ceiling;

  const published = () => !state.published ? [] : data.published.map((each, at) => count + at)
    .filter((index) => data.published[index - count].near && data.published[index - count][key] !== null);

  function layout(svg, wide, _, box) {
    width = wide;
    const shown = study.shown();
    others = published();
    const far = others.map((index) => data.published[index - count]);
    const last = data.last ? [data.last] : [];
    const [low, high] = extent([...costs.slice(0, shown), ...[...far, ...last].map((each) => each[key])]);
    const log = high / Math.max(1, low) > 8;
    const range = log ? [low / 1.15, high * 1.15] : padded([low, high], 0.05);
    // The last training, longer and on test, may lie far above all trials: then it is drawn at the edge with its
    // value, for a scale that reaches it would press the trials together.
    // Trials that were stopped early do not stretch the scale either: below it they are marked at its edge.
    const near = extent([...study.reach, ...far.map((each) => each.accuracy)]);
    const above = last.some(({accuracy}) => accuracy > near[1] + 0.5 * Math.max(near[1] - near[0], 0.02));
    const reach = padded(above ? near : extent([...near, ...last.map((each) => each.accuracy)]), 0.06);
    if (above) reach[1] += 0.12 * (reach[1] - reach[0]);
    ceiling = above ? reach[1] : Infinity;
    [sx, sy] = frame(svg, width, height, {low: range[0], high: range[1], log, title, show: short},
      {low: reach[0], high: reach[1], title: 'accuracy (%)', show: (value) => String(+(100 * value).toPrecision(4))});
    for (let index = 0; index < shown; index++) { xs[index] = sx(costs[index]); ys[index] = sy(Math.max(reach[0], score[index])); }
    others.forEach((index, at) => { xs[index] = sx(far[at][key]); ys[index] = sy(far[at].accuracy); });
    const kinds = ['cross dim', 'dot dim', 'front', 'cross', 'dot'];
    marks = Object.fromEntries(kinds.map((kind) => [kind, make('path', {class: kind}, svg)]));
    density = shown <= MANY ? null : [new Density(box, width, height, '--blue'), new Density(box, width, height, '--strong-rule')];
    const steps = front.filter((index) => index < shown).map((index, at) => {
      const x = round(xs[index]), y = round(ys[index]);
      return at ? `H${x}V${y}` : `M${x},${y}`;
    });
    marks.front.setAttribute('d', steps.join(''));
    drawPublished(svg, far);
    drawWinner(svg, shown);
    brush = make('rect', {class: 'brush'}, svg);
    top = make('g', {}, svg);
    listen(study, svg, {
      nearest: (x, y) => {
        const other = nearestOf(xs, ys, others, x, y, 12);
        return other >= 0 ? other : nearestOf(xs, ys, study.active, x, y);
      },
      order: () => order ??= [...[...study.active].sort((a, b) => xs[a] - xs[b]), ...others],
      at: (index) => [xs[index], ys[index]],
      missed: () => study.limit([[key, null], ['score', null]]),
    });
    rectangle(svg);
  }

  // The names are put where they cover neither a mark, another name nor the border; one without such a place is left out.
  function drawPublished(svg, far) {
    const texts = make('g', {}, svg);
    const around = (x, y) => [x - 7, y - 7, x + 7, y + 7];
    const taken = others.map((index) => around(xs[index], ys[index]));
    if (data.last) taken.push(around(...lastPlace()));
    if (study.best < study.shown()) taken.push(around(xs[study.best], ys[study.best]));
    make('path', {class: 'published', d: others.map((index) => `M${round(xs[index])},${round(ys[index]) - 5}l5,9h-10z`).join('')}, svg);
    const free = ([left, roof, right, floor]) => left > 54 && right < width - 4
      && !taken.some((each) => each[2] > left && each[0] < right && each[3] > roof && each[1] < floor);
    others.forEach((index, at) => {
      const text = far[at].name, wide = 6.4 * text.length, x = xs[index], y = ys[index];
      const found = [[x + 8, y + 4], [x - 8 - wide, y + 4], [x - wide / 2, y - 9], [x - wide / 2, y + 16]]
        .find(([left, base]) => free([left, base - 9, left + wide, base + 2]));
      if (!found) return;
      taken.push([found[0], found[1] - 9, found[0] + wide, found[1] + 2]);
      make('text', {x: round(found[0] + wide / 2), y: round(found[1]), 'text-anchor': 'middle', class: 'name'}, texts, text);
    });
  }

  const lastPlace = () => [round(sx(data.last[key])), round(sy(Math.min(data.last.accuracy, ceiling)) + (ceiling < Infinity ? 9 : 0))];

  function drawWinner(svg, shown) {
    const {best} = study;
    const diamond = (x, y) => `M${x},${y - 8}l8,8l-8,8l-8,-8z`;
    if (best !== undefined && best < shown) {
      const x = round(xs[best]), y = round(ys[best]);
      if (data.last) make('path', {class: 'climb', d: `M${x},${y}L${lastPlace()}`}, svg);
      make('path', {class: 'winner', d: diamond(x, y)}, svg);
    }
    if (!data.last) return;
    const [x, y] = lastPlace();
    make('path', {class: 'winner last', d: diamond(x, y)}, svg);
    if (ceiling === Infinity) return;
    const end = x > width / 2;
    make('text', {x: x + (end ? -14 : 14), y: y + 4, 'text-anchor': end ? 'end' : 'start', class: 'strong'}, svg,
      `${percents(data.last.accuracy)} ↑ above the scale`);
  }

  function refresh(svg) {
    order = null;
    const shown = study.shown();
    const paths = {dot: '', cross: '', 'dot dim': '', 'cross dim': ''};
    if (density) density.forEach((each) => each.clear());
    for (let index = 0; index < shown; index++) {
      const complete = study.stateOf(index) === 'complete', kept = study.keeps(index);
      if (density) { density[kept ? 0 : 1].stamp(xs[index], ys[index], complete ? DOT : CROSS); continue; }
      const x = round(xs[index]), y = round(ys[index]);
      paths[(complete ? 'dot' : 'cross') + (kept ? '' : ' dim')] += complete ? `M${x},${y}h.01` : `M${x - 3.5},${y - 3.5}l7,7m-7,0l7,-7`;
    }
    if (density) density.forEach((each) => each.paint(0.35));
    else for (const kind in paths) marks[kind].setAttribute('d', paths[kind]);
    drawBrush();
    svg.setAttribute('aria-label', `${title} against accuracy, ${study.active.length} trials`
      + (others.length ? ` and ${others.length} published networks` : '') + '. Arrow keys move, Enter marks and opens.');
  }

  function drawBrush() {
    const [x, y] = [state.limits.get(key), state.limits.get('score')];
    brush.setAttribute('visibility', x || y ? 'visible' : 'hidden');
    const edges = (limit, scale) => (limit ?? [-Infinity, Infinity]).map((value) => scale(Math.max(scale.low, Math.min(scale.high, value))));
    const [left, right] = edges(x, sx), [one, two] = edges(y, sy);
    const box = {x: left, width: Math.max(0, right - left), y: Math.min(one, two), height: Math.abs(two - one)};
    for (const name in box) brush.setAttribute(name, round(box[name]));
  }

  // A mouse or a pen drags a rectangle; a finger scrolls the page.
  function rectangle(svg) {
    let start = null, dragged = false;
    const where = (event) => { const box = svg.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    const ordered = (a, b) => a < b ? [a, b] : [b, a];
    const height = (y) => { const value = sy.invert(y); return value <= sy.low ? -Infinity : value; };
    const follow = everyFrame(([x0, y0], [x1, y1], light) => study.limit([
      [cost.key, ordered(sx.invert(x0), sx.invert(x1))], [accuracy.key, ordered(height(y0), height(y1))]], light));
    svg.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'touch' || event.button) return;
      start = where(event);
      dragged = false;
    });
    svg.addEventListener('pointermove', (event) => {
      if (!start) return;
      const now = where(event);
      if (!dragged && Math.hypot(now[0] - start[0], now[1] - start[1]) < 6) return;
      if (!dragged) { dragged = true; tip.hidden = true; svg.setPointerCapture(event.pointerId); }
      follow(start, now, true);
    });
    svg.addEventListener('pointerup', (event) => {
      if (dragged) follow(start, where(event), false);
      start = null;
    });
    svg.addEventListener('click', (event) => { if (dragged) { dragged = false; event.stopImmediatePropagation(); } }, true);
  }

  function highlight() {
    top.replaceChildren();
    for (const index of study.special()) {
      if (score[index] === null) continue;
      ring(top, xs[index], ys[index], data.number[index]);
    }
  }
  studyChart(study, id, height, 0, {layout, refresh, highlight});
}
