// Every trial in its turn, the best completed one so far, and who descends from whom.
function course(study) {
  const {state, place} = study;
  const loss = data.by === 'loss';
  const values = loss ? data.loss : data.score;
  const better = loss ? (a, b) => a < b : (a, b) => a > b;
  const height = 320, xs = new Float64Array(study.count), ys = new Float64Array(study.count);
  const complete = (index) => study.stateOf(index) === 'complete';
  const turns = [...Array(study.scored).keys()].sort((a, b) => data.number[a] - data.number[b]);
  const way = data.way.map((number) => place.get(number)).filter((index) => index !== undefined);
  let sx, sy, top, order, marks;

  function layout(svg, width) {
    const whole = turns.filter(complete);
    // Fitted to the trials that were completed: one that was stopped early is marked at the edge, where it lies beyond.
    const [low, high] = padded(extent((whole.length ? whole : turns).map((index) => values[index])), 0.08);
    const show = loss ? (value) => String(+value.toPrecision(4)) : (value) => String(+(100 * value).toPrecision(4));
    [sx, sy] = frame(svg, width, height, {low: 0, high: Math.max(1, ...data.number), title: 'trial', show: wholeNumber},
      {low, high, title: loss ? 'validation loss (nats)' : 'validation accuracy (%)', show});
    for (const index of turns) {
      xs[index] = sx(data.number[index]);
      ys[index] = sy(Math.max(low, Math.min(high, values[index])));
    }
    const parents = [];
    if (data.parent) for (const index of turns) {
      const from = place.get(data.parent[index]);
      if (from !== undefined && from < study.scored) parents.push(`M${spot(from)}L${spot(index)}`);
    }
    make('path', {class: 'parent', d: parents.join('')}, svg);
    make('path', {class: 'line way', d: way.map((index, at) => `${at ? 'L' : 'M'}${spot(index)}`).join('')}, svg);
    make('path', {class: 'line best', d: bestSoFar(whole)}, svg);
    marks = Object.fromEntries(['cross dim', 'dot dim', 'cross', 'dot'].map((kind) => [kind, make('path', {class: kind}, svg)]));
    const presets = data.preset ? turns.filter((index) => data.preset[index] !== null) : [];
    make('path', {class: 'square', d: presets.map((index) => `M${round(xs[index]) - 4.5},${round(ys[index]) - 4.5}h9v9h-9z`).join('')}, svg);
    const {best} = study;
    if (best < study.scored) make('path', {class: 'winner', d: `M${round(xs[best])},${round(ys[best]) - 8}l8,8l-8,8l-8,-8z`}, svg);
    top = make('g', {}, svg);
    listen(study, svg, {nearest: (x, y) => nearestOf(xs, ys, study.active, x, y),
      order: () => order ??= [...study.active].sort((a, b) => xs[a] - xs[b]), at: (index) => [xs[index], ys[index]]});
  }

  const spot = (index) => `${round(xs[index])},${round(ys[index])}`;

  function bestSoFar(whole) {
    let best = -1, path = '';
    for (const index of whole) {
      if (best >= 0 && !better(values[index], values[best])) continue;
      path += best < 0 ? `M${spot(index)}` : `H${round(xs[index])}V${round(ys[index])}`;
      best = index;
    }
    return best < 0 ? '' : `${path}H${round(sx(sx.high))}`;
  }

  function refresh(svg, light) {
    order = null;
    if (light && turns.length > MANY) return;  // thousands of marks follow when the mouse is let go
    const paths = {dot: '', cross: '', 'dot dim': '', 'cross dim': ''};
    for (const index of turns) {
      const [x, y] = [round(xs[index]), round(ys[index])];
      const kind = (complete(index) ? 'dot' : 'cross') + (study.keeps(index) ? '' : ' dim');
      paths[kind] += complete(index) ? `M${x},${y}h.01` : `M${x - 3},${y - 3}l6,6m-6,0l6,-6`;
    }
    for (const kind in paths) marks[kind].setAttribute('d', paths[kind]);
    svg.setAttribute('aria-label', `${study.active.length} trials in their order, and the best so far. Arrow keys move, Enter marks and opens.`);
  }

  function highlight() {
    top.replaceChildren();
    for (const index of study.special()) if (index < study.scored) ring(top, xs[index], ys[index], data.number[index]);
  }
  studyChart(study, 'best-so-far', height, 0, {layout, refresh, highlight});
}

// How the receptive field grows over the layers of a network, with the size of the image and what is required.
// The field of each layer, in the element of that id, over the side of the image and what the budget requires.
function grow(id, names, sizes, image) {
  const least = data.least ?? null;
  canvas(id, 260, (svg, width, height) => {
    const high = Math.max(...sizes, image, least || 0);
    const [sx, sy] = frame(svg, width, height, {low: 1, high: Math.max(2, sizes.length), title: 'layer', show: wholeNumber},
      {low: 0, high: high * 1.08, title: 'receptive field (pixels)', show: short});
    const rule = (value, words, kind) => {
      make('path', {d: `M${round(sx(1))},${round(sy(value))}H${round(sx(sx.high))}`, class: kind}, svg);
      make('text', {x: round(sx(sx.high)), y: round(sy(value)) + 13, class: 'name', 'text-anchor': 'end'}, svg, words);
    };
    rule(image, `side of the image, ${image}`, 'axis');
    if (least) rule(least, `required, ${least}`, 'required');
    let path = '';
    sizes.forEach((size, at) => { path += `${at ? 'H' : 'M'}${round(sx(at + 1))}${at ? 'V' : ','}${round(sy(size))}`; });
    make('path', {d: path, class: 'line best'}, svg);
    make('path', {d: sizes.map((size, at) => `M${round(sx(at + 1))},${round(sy(size))}h.01`).join(''), class: 'dot small'}, svg);
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', `The receptive field ends at ${sizes.at(-1)} pixels after ${sizes.length} layers; the tables below have each layer.`);
    svg.addEventListener('pointermove', (event) => {
      const box = svg.getBoundingClientRect();
      const at = Math.max(0, Math.min(sizes.length - 1, Math.round(sx.invert(event.clientX - box.left)) - 1));
      showTip(`${names[at]}: ${sizes[at]} pixels`, event.clientX, event.clientY);
    });
    svg.addEventListener('pointerleave', () => { tip.hidden = true; });
  })();
}
