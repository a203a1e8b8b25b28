// What the page of a search shows: which trials are chosen, marked and hovered. Every chart draws this one state.
function openStudy() {
  const {number, score, params, macs, rf, names} = data;
  const count = number.length;
  const scored = score.filter((value) => value !== null).length;  // these come first, the best one ahead
  const values = data.values.map((each) => Array.isArray(each) ? each : each.at.map((at) => at === null ? null : each.words[at]));
  const place = new Map(number.map((each, index) => [each, index]));
  const stateOf = (index) => data.states[data.state[index]];

  function axisOf(key, title, column) {
    const words = column.some((value) => typeof value === 'string');
    const found = words ? [...new Set(column.filter((value) => value !== null))].map(String).sort() : null;
    const order = words ? new Map(found.map((word, at) => [word, at])) : null;
    const numbers = words ? column.map((value) => value === null ? null : order.get(String(value))) : column;
    const show = words ? (value) => found[Math.round(value)] ?? '' : key === 'score' ? percents : short;
    return {key, title, values: numbers, names: found, show, range: extent(numbers)};
  }
  // The scale of the accuracy is fitted to completed trials: those that were stopped early would press them together.
  const whole = score.filter((value, index) => value !== null && stateOf(index) === 'complete');
  const reach = extent(whole.length > 1 ? whole : score);
  const axes = [...names.map((name, at) => axisOf('dimension ' + name, name, values[at])), axisOf('params', 'params', params),
    axisOf('macs', 'MACs', macs), axisOf('rf', 'RF', rf), axisOf('score', 'accuracy', score)];
  axes.at(-1).fitted = reach;

  const atFirst = Number(byId('top').value);
  const state = {top: atFirst, states: new Set(data.states), limits: new Map(), hover: -1, marked: new Set(), published: true};
  const charts = [];   // each {layout, refresh, highlight}
  const kept = new Uint8Array(count);
  let active = [];

  const passes = (index, limits) => {
    if (index >= state.top || score[index] === null || !state.states.has(stateOf(index))) return false;
    for (const [axis, [low, high]] of limits) {
      const value = axis.values[index];
      if (value === null || value === undefined || value < low || value > high) return false;
    }
    return true;
  };

  const tellPublished = ({name, params: size, macs: work, accuracy, conditions, source}) => [
    `${name}, published`, `test accuracy ${percents(accuracy)}`, `params ${short(size)}`,
    ...(work === null ? [] : [`MACs ${millions(work)}`]), conditions, source].join('\n');

  const study = {
    count, scored, values, place, stateOf, axes, state, charts,
    best: place.get(data.winner),
    reach,
    // 0 to 4: where its accuracy lies within the scale; below the scale is 0.
    rank: (index) => Math.max(0, Math.min(4, Math.floor(5 * (score[index] - reach[0]) / (reach[1] - reach[0] || 1)))),
    get active() { return active; },
    keeps: (index) => kept[index] === 1,
    shown: () => Math.min(state.top, scored),

    // `light`: while something is dragged; what is not a picture follows when it is let go.
    update(light = false) {
      const limits = axes.filter((axis) => state.limits.has(axis.key)).map((axis) => [axis, state.limits.get(axis.key)]);
      active = [];
      for (let index = 0; index < count; index++) {
        kept[index] = passes(index, limits) ? 1 : 0;
        if (kept[index]) active.push(index);
      }
      byId('shown').textContent = `${active.length.toLocaleString('en')} shown`;
      for (const chart of charts) chart.refresh(light);
    },

    limit(pairs, light = false) {
      for (const [key, limit] of pairs) {
        if (limit) state.limits.set(key, limit);
        else state.limits.delete(key);
        study.limited(key, limit);
      }
      study.update(light);
    },
    limited() {},   // the fields for numbers listen here

    tell(index) {
      if (index >= count) return tellPublished(data.published[index - count]);
      const lines = [`trial ${number[index]}${index === study.best ? ' (winner)' : ''}, ${stateOf(index)}`];
      if (score[index] !== null) lines.push(`accuracy ${percents(score[index])}`);
      if (data.loss && data.loss[index] !== null) lines.push(`loss ${data.loss[index]}`);
      lines.push(`params ${params[index].toLocaleString('en')}`, `MACs ${millions(macs[index])}`, `RF ${rf[index]}`);
      names.forEach((name, at) => { if (values[at][index] !== null) lines.push(`${name} ${values[at][index]}`); });
      return lines.join('\n');
    },

    hover(index, x, y) {
      if (index < 0) tip.hidden = true;
      else if (x !== undefined) showTip(study.tell(index), x, y);
      if (index === state.hover) return;
      state.hover = index;
      for (const chart of charts) chart.highlight();
    },

    // `focus`: the keyboard goes where the trial is opened.
    mark(index, focus = false) {
      if (index >= count) return;
      if (!state.marked.delete(index)) state.marked.add(index);
      for (const chart of charts) chart.highlight();
      study.opened(index, focus);
    },
    opened() {},   // the panel that shows one trial listens here

    // What is hovered or marked is drawn again, above everything else; the rest stays as it is.
    special: () => [...state.marked, state.hover].filter((index) => index >= 0 && index < state.top),

    clear() {
      state.limits.clear();
      state.marked.clear();
      study.opened(-1, false);
      state.top = atFirst;
      state.states = new Set(data.states);
      for (const axis of axes) study.limited(axis.key, null);
      for (const chart of charts) chart.layout();
      study.update();
    },
  };
  return study;
}

// A chart of the study: `layout` draws what depends on size and on "Top" into a fresh SVG, `refresh` what depends on
// the choice, `highlight` what is marked. Only the former replaces nodes, so a drag is never cut off.
function studyChart(study, id, height, least, {layout, refresh, highlight}) {
  const place = byId(id);
  let svg = null, laid = -1;
  const chart = {
    layout() {
      const width = Math.max(least, Math.floor(place.clientWidth));
      if (!width) return;
      const focused = svg !== null && svg === document.activeElement;
      svg = make('svg', {width, height, viewBox: `0 0 ${width} ${height}`});
      place.replaceChildren(svg);
      layout(svg, width, height, place);
      if (focused) svg.focus({preventScroll: true});
    },
    refresh(light) { if (svg) { refresh(svg, light); highlight(); } },
    highlight() { if (svg) highlight(); },
  };
  study.charts.push(chart);
  chart.layout();
  new ResizeObserver(() => {
    if (place.clientWidth === laid) return;
    const first = laid < 0;
    laid = place.clientWidth;
    if (!first || !svg) { chart.layout(); chart.refresh(); }
  }).observe(place);
  const repaint = () => { chart.layout(); chart.refresh(); };
  theme.addEventListener('click', repaint);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
}

// Pointer and keys over a chart. `nearest(x, y)` finds what is there; `order()` is the keyboard's way from trial to trial,
// `at(index)` the place of one on the chart. The index may be of a published network; only trials are marked.
function listen(study, svg, {nearest, order, at, missed}) {
  svg.setAttribute('tabindex', 0);
  svg.setAttribute('role', 'application');
  const found = (event) => {
    const box = svg.getBoundingClientRect();
    return nearest(event.clientX - box.left, event.clientY - box.top);
  };
  svg.addEventListener('pointermove', (event) => { if (!event.buttons) study.hover(found(event), event.clientX, event.clientY); });
  svg.addEventListener('pointerleave', () => study.hover(-1));
  svg.addEventListener('click', (event) => {
    const index = found(event);
    if (index < 0) { if (missed) missed(); return; }
    study.mark(index);
    study.hover(index, event.clientX, event.clientY);
  });
  svg.addEventListener('blur', () => study.hover(-1));
  svg.addEventListener('keydown', (event) => {
    const known = order();
    if (!known.length) return;
    const now = known.indexOf(study.state.hover);
    const moves = {ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: known.length - 1};
    if (event.key in moves) {
      const index = known[(Math.max(-1, moves[event.key]) + known.length) % known.length];
      const [x, y] = at(index), box = svg.getBoundingClientRect();
      study.hover(index, box.left + x, box.top + y);
    } else if ((event.key === 'Enter' || event.key === ' ') && study.state.hover >= 0) study.mark(study.state.hover, true);
    else if (event.key === 'Escape') study.hover(-1);
    else return;
    event.preventDefault();
  });
}

// Calls `work` at most once a frame while something is dragged.
function everyFrame(work) {
  let waiting = null;
  return (...given) => {
    const first = waiting === null;
    waiting = given;
    if (first) requestAnimationFrame(() => { const last = waiting; waiting = null; work(...last); });
  };
}

function ring(group, x, y, words) {
  make('circle', {cx: round(x), cy: round(y), r: 8, class: 'ring'}, group);
  make('text', {x: round(x) + 12, y: round(y) + 4, class: 'strong'}, group, words);
}

function nearestOf(xs, ys, indices, x, y, reach = 26) {
  let found = -1, least = reach * reach;
  for (let at = 0; at < indices.length; at++) {
    const index = indices[at], dx = xs[index] - x, dy = ys[index] - y, distance = dx * dx + dy * dy;
    if (distance < least) { least = distance; found = index; }
  }
  return found;
}
