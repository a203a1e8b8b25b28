// Learning curves: validation accuracy by epoch, a line a trial.
function learning(study) {
  const {curves, score} = data;
  const steps = Math.max(2, ...curves.map((curve) => curve.length));
  const height = 360;
  const xs = new Float64Array(steps), ys = new Float64Array(study.count * steps);
  let lines, best, top, order, byTop;
  const geometry = (index) => curves[index].length ? {xs, ys, from: index * steps} : null;

  function layout(svg, width, _, place) {
    const shown = study.shown();
    const indices = [...Array(shown).keys()].filter((index) => curves[index].length);
    const [low, high] = padded(extent(indices.flatMap((index) => curves[index])), 0.05);
    const [sx, sy] = frame(svg, width, height, {low: 1, high: steps, title: 'epoch', show: wholeNumber},
      {low, high, title: 'validation accuracy (%)', show: (value) => String(+(100 * value).toPrecision(4))});
    for (let at = 0; at < steps; at++) xs[at] = sx(at + 1);
    ys.fill(NaN);
    for (const index of indices) curves[index].forEach((value, at) => { if (value !== null) ys[index * steps + at] = sy(value); });
    lines = new Lines(place, make('g', {}, svg), width, height, indices, geometry, 'line', study.rank);
    best = make('path', {class: 'line best'}, svg);
    top = make('g', {}, svg);
    listen(study, svg, {nearest, order: () => order ??= lastPoints(), at: end});
  }

  // From the lowest curve to the highest.
  const lastPoints = () => study.active.filter((index) => curves[index].length).sort((a, b) => end(b)[1] - end(a)[1]);
  function end(index) {
    let at = curves[index].length - 1;
    while (at > 0 && curves[index][at] === null) at--;
    return [xs[at], ys[index * steps + at]];
  }

  // The curve that passes nearest above or below the pointer, at the epoch that it points at.
  function nearest(x, y) {
    const at = xs.reduce((found, each, step) => Math.abs(each - x) < Math.abs(xs[found] - x) ? step : found, 0);
    let found = -1, least = 26;
    for (const index of study.active) {
      const distance = Math.abs(ys[index * steps + at] - y);
      if (distance < least) { least = distance; found = index; }
    }
    return found;
  }

  function refresh(svg) {
    order = null;
    lines.show(study.keeps);
    const line = study.best !== undefined && study.keeps(study.best) && geometry(study.best);
    best.setAttribute('d', line ? pathOf(line.xs, line.ys, line.from) : '');
    svg.setAttribute('aria-label', `Learning curves of ${study.active.length} trials, lowest first by arrow keys; Enter marks and opens.`);
  }

  function highlight() {
    top.replaceChildren();
    for (const index of study.special()) {
      const line = geometry(index);
      if (line) make('path', {class: 'line on', d: pathOf(line.xs, line.ys, line.from)}, top);
    }
  }
  studyChart(study, 'learning', height, 0, {layout, refresh, highlight});

  bigTable(study, 'curves-table', [[data.number, String], [data.state.map((at) => data.states[at]), String],
    ...Array.from({length: steps}, (_, at) => [curves.map((curve) => curve[at] ?? null), percents])], (index) => study.keeps(index));
}
