// Parallel coordinates: an axis a dimension, a line a trial; a drag along an axis limits it.
function parallel(study) {
  const {state} = study;
  // An axis on which all trials are the same, or filled up to the same, shows nothing: its value is given in words.
  const level = (axis) => (axis.key === 'params' || axis.key === 'macs') && !data.fronts[axis.key];
  const varied = study.axes.filter((axis) => axis.range[0] < axis.range[1] && !level(axis));
  const axes = varied.length > 1 ? varied : study.axes;
  const same = study.axes.filter((axis) => !axes.includes(axis)).map((axis) =>
    `${axis.title} ${[...new Set(axis.range.map(axis.show))].join(' to ')}`);
  byId('constant').textContent = same.length ? `The same for all trials${level(study.axes.at(-4)) || level(study.axes.at(-3)) ? ', or nearly' : ''}: ${same.join(', ')}.` : '';
  const height = 380, roof = 46, floor = height - 36, left = 46;
  const least = (innerWidth < 700 ? 78 : 66) * axes.length;
  const xs = new Float64Array(axes.length), ys = new Float64Array(study.count * axes.length);
  const last = axes.length - 1;
  let scales, lines, best, top, order, boxes;
  const geometry = (index) => ({xs, ys, from: index * axes.length});

  function layout(svg, width, _, place) {
    const step = (width - left - 44) / Math.max(1, last);
    const ends = (axis) => axis.fitted ?? axis.range;
    scales = axes.map((axis) => scale(...ends(axis), floor, roof, false));
    const shown = study.shown();
    axes.forEach((axis, at) => {
      xs[at] = left + at * step;
      for (let index = 0; index < shown; index++) {
        const value = axis.values[index];
        ys[index * axes.length + at] = value === null || value === undefined ? NaN : Math.min(floor + 8, scales[at](value));
      }
    });
    lines = new Lines(place, make('g', {}, svg), width, height, [...Array(shown).keys()], geometry, 'line', study.rank);
    best = make('path', {class: 'line best'}, svg);
    top = make('g', {}, svg);
    boxes = axes.map((axis, at) => brushable(svg, axis, round(xs[at]), scales[at], Math.min(16, step / 2 - 2)));
    listen(study, svg, {nearest, order: () => order ??= [...study.active].sort((a, b) => a - b),
      at: (index) => [xs[last], ys[index * axes.length + last]]});
  }

  // The line that passes nearest where the pointer is, between two axes.
  function nearest(x, y) {
    let at = 0;
    while (at < last - 1 && xs[at + 1] < x) at++;
    const share = (x - xs[at]) / (xs[at + 1] - xs[at] || 1);
    let found = -1, least = 14;
    for (const index of study.active) {
      const from = index * axes.length + at, distance = Math.abs(ys[from] + share * (ys[from + 1] - ys[from]) - y);
      if (distance < least) { least = distance; found = index; }
    }
    return found;
  }

  function refresh(svg) {
    order = null;
    lines.show(study.keeps);
    const on = study.best !== undefined && study.keeps(study.best);
    best.setAttribute('d', on ? pathOf(xs, ys, study.best * axes.length) : '');
    boxes.forEach((show, at) => show(state.limits.get(axes[at].key)));
    svg.setAttribute('aria-label', `Parallel coordinates of ${study.active.length} trials, best first by arrow keys; Enter marks and opens.`);
  }

  function highlight() {
    top.replaceChildren();
    for (const index of study.special()) make('path', {class: 'line on', d: pathOf(xs, ys, index * axes.length)}, top);
  }

  function brushable(svg, axis, x, map, half) {
    make('path', {d: `M${x},${roof}V${floor}`, class: 'axis'}, svg);
    const title = make('text', {x, y: 14, 'text-anchor': 'middle', class: 'strong'}, svg, axis.title.length > 12 ? axis.title.slice(0, 11) + '…' : axis.title);
    if (axis.title.length > 12) make('title', {}, title, axis.title);
    if (axis.names && axis.names.length <= 8) axis.names.forEach((name, at) => {
      make('text', {x: x + 5, y: map(at) + 4, class: 'name'}, svg, name.length > 11 ? name.slice(0, 10) + '…' : name);
    });
    else for (const [value, y] of [[map.high, 34], [map.low, height - 16]]) {
      make('text', {x, y, 'text-anchor': 'middle'}, svg, axis.show(value));
    }
    const box = make('rect', {class: 'brush', x: x - 9, width: 18, y: 0, height: 0}, svg);
    const show = (limit) => {
      const from = limit ? map(Math.min(limit[1], map.high)) : 0, to = limit ? map(Math.max(limit[0], map.low)) : 0;
      box.setAttribute('y', Math.min(from, to));
      box.setAttribute('height', Math.abs(to - from));
    };
    const band = make('rect', {class: 'band', x: x - half, y: roof - 8, width: 2 * half, height: floor - roof + 16}, svg);
    band.dataset.axis = axis.key;
    let start = null;
    const value = (event) => map.invert(Math.max(roof, Math.min(floor, event.clientY - svg.getBoundingClientRect().top)));
    const follow = everyFrame((from, to, light) => {
      const [least, high] = from < to ? [from, to] : [to, from];
      const low = axis.fitted && least <= map.low ? -Infinity : least;  // with those that lie below the scale
      study.limit([[axis.key, Math.abs(map(high) - map(least)) < 4 ? null : [low, high]]], light);
    });
    band.addEventListener('pointerdown', (event) => {
      start = value(event);
      band.setPointerCapture(event.pointerId);
      event.preventDefault();
      event.stopPropagation();
    });
    band.addEventListener('pointermove', (event) => { if (start !== null) follow(start, value(event), true); });
    band.addEventListener('pointerup', (event) => {
      if (start !== null) follow(start, value(event), false);
      start = null;
    });
    band.addEventListener('pointercancel', () => { start = null; });
    band.addEventListener('click', (event) => event.stopPropagation());
    return show;
  }
  studyChart(study, 'parallel', height, least, {layout, refresh, highlight});
}
