// The page of a search: every chart shows the same trials, and what is marked in one is marked in all.
if (data.number && data.number.length) search();
if (data.epochs) training();

function training() {
  const {train_loss, val_loss, train_accuracy, val_accuracy} = data.epochs;
  if (!train_loss.length) return;
  const pair = (train, val) => [
    {label: 'train (augmented)', values: train, kind: 'line front'}, {label: 'validation', values: val, kind: 'line on'}];
  lineChart('loss', 'cross-entropy (nats)', (value) => String(+value.toPrecision(3)), pair(train_loss, val_loss));
  lineChart('accuracy', 'accuracy (%)', (value) => String(+(100 * value).toPrecision(4)), pair(train_accuracy, val_accuracy));
}

function search() {
  const count = data.number.length;
  const scored = data.score.filter((value) => value !== null).length;
  const column = new Map(data.names.map((name, index) => [name, data.values[index]]));
  const place = new Map(data.number.map((number, index) => [number, index]));
  const axes = [...data.names.map((name) => axisOf(name, name, column.get(name))),
    axisOf('params', 'params', data.params), axisOf('macs', 'MACs', data.macs), axisOf('rf', 'RF', data.rf),
    axisOf('score', 'accuracy', data.score)];
  const atFirst = Number(byId('top').value);
  const state = {top: atFirst, states: new Set(['complete', 'pruned', 'failed']), limits: new Map(), hover: -1, marked: new Set()};
  const redraws = [];
  let active = [];

  function axisOf(key, title, values) {
    const words = values.some((value) => typeof value === 'string');
    const names = words ? [...new Set(values.filter((value) => value !== null))].map(String).sort() : null;
    const numbers = words ? values.map((value) => value === null ? null : names.indexOf(String(value))) : values;
    const show = words ? (value) => names[Math.round(value)] ?? '' : key === 'score' ? percents : short;
    return {key, title, values: numbers, names, show, range: extent(numbers)};
  }

  const passes = (index) => {
    if (index >= state.top || data.score[index] === null || !state.states.has(data.states[data.state[index]])) return false;
    for (const axis of axes) {
      const limit = state.limits.get(axis.key);
      const value = axis.values[index];
      if (limit && (value === null || value === undefined || value < limit[0] || value > limit[1])) return false;
    }
    return true;
  };

  function tell(index) {
    const lines = [`trial ${data.number[index]}${data.number[index] === data.winner ? ' (winner)' : ''}, ${data.states[data.state[index]]}`];
    if (data.score[index] !== null) lines.push(`accuracy ${percents(data.score[index])}`);
    lines.push(`params ${data.params[index].toLocaleString('en')}`, `MACs ${millions(data.macs[index])}`, `RF ${data.rf[index]}`);
    for (const [name, values] of column) if (values[index] !== null) lines.push(`${name} ${values[index]}`);
    return lines.join('\n');
  }

  function hover(index, x, y) {
    if (index < 0) tip.hidden = true;
    else showTip(tell(index), x, y);
    if (index === state.hover) return;
    state.hover = index;
    highlights.forEach((each) => each());
  }

  function mark(index) {
    if (!state.marked.delete(index)) state.marked.add(index);
    highlights.forEach((each) => each());
  }

  // What is hovered or marked is drawn again, above everything else; the rest stays as it is.
  const highlights = [];
  const special = () => state.hover >= 0 ? [...state.marked, state.hover] : [...state.marked];

  function update() {
    active = [];
    for (let index = 0; index < count; index++) if (passes(index)) active.push(index);
    byId('shown').textContent = `${active.length.toLocaleString('en')} shown`;
    redraws.forEach((each) => each());
  }

  // --- scatter ---------------------------------------------------------------------------------------------------
  function scatter(id, key, title) {
    const costs = data[key];
    const all = [...Array(count).keys()].filter((index) => data.score[index] !== null);
    const front = data.fronts[key].map((number) => place.get(number));
    let points = [], sx, sy, node, top;
    const redraw = canvas(id, 320, (svg, width, height) => {
      node = svg;
      const chosen = all.filter((index) => index < state.top);
      const [low, high] = extent(chosen.map((index) => costs[index]));
      const log = high / Math.max(1, low) > 8;
      const range = log ? [low / 1.1, high * 1.1] : padded([low, high], 0.04);
      const reach = padded(extent(chosen.map((index) => data.score[index])), 0.06);
      [sx, sy] = frame(svg, width, height, {low: range[0], high: range[1], log, title, show: short},
        {low: reach[0], high: reach[1], title: 'validation accuracy (%)', show: (value) => String(+(100 * value).toPrecision(4))});
      const on = new Set(active);
      points = active.map((index) => [sx(costs[index]), sy(data.score[index]), index]).sort((a, b) => a[0] - b[0]);
      const paths = {dot: '', cross: '', 'dot dim': '', 'cross dim': ''};
      for (const index of chosen) {
        const x = round(sx(costs[index])), y = round(sy(data.score[index]));
        const kind = data.states[data.state[index]] === 'complete' ? 'dot' : 'cross';
        const name = on.has(index) ? kind : kind + ' dim';
        paths[name] += kind === 'dot' ? `M${x},${y}h.01` : `M${x - 3.5},${y - 3.5}l7,7m-7,0l7,-7`;
      }
      for (const name of ['cross dim', 'dot dim']) make('path', {class: name, d: paths[name]}, svg);
      const steps = front.filter((index) => index < state.top).map((index, at) => {
        const x = round(sx(costs[index])), y = round(sy(data.score[index]));
        return at ? `H${x}V${y}` : `M${x},${y}`;
      });
      make('path', {class: 'front', d: steps.join('')}, svg);
      for (const name of ['cross', 'dot']) make('path', {class: name, d: paths[name]}, svg);
      const best = place.get(data.winner);
      if (best !== undefined && best < state.top) {
        const x = round(sx(costs[best])), y = round(sy(data.score[best]));
        make('path', {class: 'winner', d: `M${x},${y - 8}l8,8l-8,8l-8,-8z`}, svg);
      }
      top = make('g', {}, svg);
      listen(svg, () => points);
      svg.setAttribute('aria-label', `${title} against validation accuracy, ${active.length} trials. Arrow keys move, Enter marks.`);
      paint();
    });
    const paint = () => {
      if (!top) return;
      top.replaceChildren();
      for (const index of special()) {
        if (data.score[index] === null || index >= state.top) continue;
        const x = round(sx(costs[index])), y = round(sy(data.score[index]));
        make('circle', {cx: x, cy: y, r: 8, class: 'ring'}, top);
        make('text', {x: x + 12, y: y + 4, class: 'strong'}, top, data.number[index]);
      }
    };
    redraws.push(redraw);
    highlights.push(paint);
  }

  // Pointer and keys over a chart whose trials have places [x, y, index] in it.
  function listen(svg, places) {
    svg.setAttribute('tabindex', 0);
    svg.setAttribute('role', 'application');
    const nearest = (event) => {
      const box = svg.getBoundingClientRect();
      const x = event.clientX - box.left, y = event.clientY - box.top;
      let found = -1, least = 26 ** 2;
      for (const [px, py, index] of places()) {
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) { least = distance; found = index; }
      }
      return found;
    };
    svg.addEventListener('pointermove', (event) => hover(nearest(event), event.clientX, event.clientY));
    svg.addEventListener('pointerleave', () => hover(-1));
    svg.addEventListener('click', (event) => { const index = nearest(event); if (index >= 0) mark(index); });
    svg.addEventListener('blur', () => hover(-1));
    svg.addEventListener('keydown', (event) => {
      const known = places();
      if (!known.length) return;
      const at = known.findIndex((each) => each[2] === state.hover);
      const moves = {ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: known.length - 1};
      if (event.key in moves) {
        const [x, y, index] = known[(Math.max(-1, moves[event.key]) + known.length) % known.length];
        const box = svg.getBoundingClientRect();
        hover(index, box.left + x, box.top + y);
      } else if ((event.key === 'Enter' || event.key === ' ') && state.hover >= 0) mark(state.hover);
      else if (event.key === 'Escape') hover(-1);
      else return;
      event.preventDefault();
    });
  }

  // --- learning curves -------------------------------------------------------------------------------------------
  function learning() {
    const values = (index) => data.curves[index];
    const best = place.get(data.winner);
    let sx, sy, top, ends = [];
    const steps = Math.max(2, ...data.curves.map((curve) => curve.length));
    const redraw = canvas('learning', 340, (svg, width, height) => {
      const chosen = active.filter((index) => values(index).length);
      const [low, high] = padded(extent(chosen.flatMap(values)), 0.05);
      [sx, sy] = frame(svg, width, height,
        {low: 1, high: steps, title: 'epoch', show: (value) => Number.isInteger(value) ? String(value) : ''},
        {low, high, title: 'validation accuracy (%)', show: (value) => String(+(100 * value).toPrecision(4))});
      const kind = chosen.length > 60 ? 'line dim' : 'line';
      make('path', {class: kind, d: chosen.map((index) => polyline(values(index), sx, sy)).join('')}, svg);
      if (best !== undefined && chosen.includes(best)) {
        make('path', {class: 'line best', d: polyline(values(best), sx, sy)}, svg);
      }
      ends = [];
      for (const index of chosen) values(index).forEach((value, at) => {
        if (value !== null) ends.push([sx(at + 1), sy(value), index]);
      });
      const last = (index) => { const curve = values(index); return [sx(curve.length), sy(curve[curve.length - 1] ?? low), index]; };
      const order = chosen.map(last).sort((a, b) => a[1] - b[1]);
      let keys = false;  // keys step from trial to trial, the pointer finds any point of a curve
      svg.addEventListener('keydown', () => { keys = true; }, true);
      svg.addEventListener('pointermove', () => { keys = false; }, true);
      svg.addEventListener('click', () => { keys = false; }, true);
      top = make('g', {}, svg);
      listen(svg, () => keys ? order : ends);
      svg.setAttribute('aria-label', `Learning curves of ${chosen.length} trials, best first by arrow keys; Enter marks.`);
      paint();
    });
    const paint = () => {
      if (!top) return;
      top.replaceChildren();
      for (const index of special()) {
        if (!values(index).length || index >= state.top) continue;
        make('path', {class: 'line on', d: polyline(values(index), sx, sy)}, top);
      }
    };
    redraws.push(redraw);
    highlights.push(paint);
  }

  // --- parallel coordinates --------------------------------------------------------------------------------------
  function parallel() {
    let scales = [], step = 0, left = 46, top = null;
    const path = (index) => {
      let text = '', pen = 'M';
      axes.forEach((axis, at) => {
        const value = axis.values[index];
        if (value === null || value === undefined) { pen = 'M'; return; }
        text += `${pen}${round(left + at * step)},${round(scales[at](value))}`;
        pen = 'L';
      });
      return text;
    };
    const redraw = canvas('parallel', 340, (svg, width, height) => {
      step = (width - left - 40) / Math.max(1, axes.length - 1);
      scales = axes.map((axis) => scale(axis.range[0], axis.range[1], height - 34, 44, false));
      const on = new Set(active);
      const rest = [];
      for (let index = 0; index < Math.min(state.top, scored); index++) if (!on.has(index)) rest.push(index);
      make('path', {class: 'line dim', d: rest.map(path).join('')}, svg);
      make('path', {class: active.length > 300 ? 'line dim' : 'line', d: active.map(path).join('')}, svg);
      const best = place.get(data.winner);
      if (on.has(best)) make('path', {class: 'line best', d: path(best)}, svg);
      top = make('g', {}, svg);
      axes.forEach((axis, at) => brushable(svg, axis, round(left + at * step), scales[at], height, at));
      const ends = active.map((index) => [left + (axes.length - 1) * step, scales[axes.length - 1](data.score[index]), index]);
      listen(svg, () => ends);
      svg.setAttribute('aria-label', `Parallel coordinates of ${active.length} trials; arrow keys move, Enter marks.`);
      paint();
    }, 74 * axes.length);
    const paint = () => {
      if (!top) return;
      top.replaceChildren();
      for (const index of special()) if (index < state.top) make('path', {class: 'line on', d: path(index)}, top);
    };

    function brushable(svg, axis, x, map, height, at) {
      make('path', {d: `M${x},44V${height - 34}`, class: 'axis'}, svg);
      make('text', {x, y: 14, 'text-anchor': 'middle', class: 'strong'}, svg, axis.title.length > 12 ? axis.title.slice(0, 11) + '…' : axis.title);
      make('text', {x, y: 34, 'text-anchor': 'middle'}, svg, axis.show(axis.range[1]));
      make('text', {x, y: height - 16, 'text-anchor': 'middle'}, svg, axis.show(axis.range[0]));
      const limit = state.limits.get(axis.key);
      const box = make('rect', {class: 'brush', x: x - 9, width: 18, y: 0, height: 0}, svg);
      const show = (low, high) => {
        const from = map(Math.min(high, axis.range[1])), to = map(Math.max(low, axis.range[0]));
        box.setAttribute('y', Math.min(from, to));
        box.setAttribute('height', Math.abs(to - from));
      };
      if (limit) show(...limit);
      const band = make('rect', {class: 'band', x: x - 16, y: 38, width: 32, height: height - 66}, svg);
      band.dataset.axis = axis.key;
      let start = null;
      const value = (event) => map.invert(Math.max(44, Math.min(height - 34, event.clientY - svg.getBoundingClientRect().top)));
      band.addEventListener('pointerdown', (event) => {
        start = value(event);
        band.setPointerCapture(event.pointerId);
        event.preventDefault();
      });
      band.addEventListener('pointermove', (event) => {
        if (start !== null) show(Math.min(start, value(event)), Math.max(start, value(event)));
      });
      band.addEventListener('pointerup', (event) => {
        if (start === null) return;
        const [low, high] = [start, value(event)].sort((a, b) => a - b);
        start = null;
        limitTo(axis, Math.abs(map(high) - map(low)) < 4 ? null : [low, high]);
      });
      band.addEventListener('click', (event) => event.stopPropagation());
    }
    redraws.push(redraw);
    highlights.push(paint);
  }

  // --- limits by number ------------------------------------------------------------------------------------------
  const inputs = new Map();
  function limitTo(axis, limit) {
    if (limit) state.limits.set(axis.key, limit);
    else state.limits.delete(axis.key);
    const pair = inputs.get(axis.key);
    if (pair) pair.forEach((input, at) => { input.value = limit && Number.isFinite(limit[at]) ? +limit[at].toPrecision(5) : ''; });
    update();
  }
  for (const axis of axes) {
    if (axis.names) continue;
    const label = document.createElement('fieldset');
    label.className = 'limit';
    const legend = document.createElement('legend');
    legend.textContent = axis.title;
    label.append(legend);
    const pair = ['from', 'to'].map((word, at) => {
      const input = document.createElement('input');
      input.type = 'number';
      input.step = 'any';
      input.placeholder = String(axis.range[at]);
      input.setAttribute('aria-label', `${axis.title} ${word}`);
      label.append(input);
      return input;
    });
    pair.forEach((input) => input.addEventListener('change', () => {
      const [low, high] = pair.map((each) => each.value === '' ? null : Number(each.value));
      limitTo(axis, low === null && high === null ? null : [low ?? -Infinity, high ?? Infinity]);
    }));
    inputs.set(axis.key, pair);
    byId('filters').append(label);
  }

  // --- the table of trials ---------------------------------------------------------------------------------------
  function trialTable() {
    const most = 300;
    const table = byId('trials-table');
    const heads = [...table.tHead.rows[0].cells];
    const seconds = (value) => {
      if (value < 60) return value.toFixed(1) + ' s';
      const whole = Math.round(value), minutes = Math.floor(whole / 60);
      return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    };
    const group = (value) => typeof value === 'number' ? value.toLocaleString('en') : value;
    const columns = [[data.number, String], [data.state.map((at) => data.states[at]), String], [data.score, percents],
      [data.params, group], [data.macs, millions], [data.rf, group], ...data.values.map((values) => [values, group]),
      [data.curves.map((curve) => curve.length), String], [data.seconds, seconds]];
    let sort = -1, down = false, order = [...Array(count).keys()];
    const visible = () => order.filter((index) => data.score[index] === null
      ? state.top >= scored && !state.limits.size && state.states.has(data.states[data.state[index]]) : passes(index));
    const draw = () => {
      const rows = visible();
      table.tBodies[0].replaceChildren(...rows.slice(0, most).map((index) => {
        const row = document.createElement('tr');
        row.className = 'pickable';
        row.dataset.index = index;
        row.tabIndex = 0;
        columns.forEach(([values, show], at) => {
          const cell = document.createElement(at ? 'td' : 'th');
          const value = values[index];
          const none = value === null || value === undefined;
          cell.textContent = none ? '-' : show(value);
          cell.className = (heads[at].className + (none ? ' none' : '')).trim();
          row.append(cell);
        });
        return row;
      }));
      byId('more').textContent = rows.length > most
        ? `${(rows.length - most).toLocaleString('en')} more rows: narrow the choice above, or copy all of them as CSV.` : '';
      paint();
    };
    const paint = () => {
      for (const row of table.tBodies[0].rows) {
        row.classList.toggle('pinned', state.marked.has(+row.dataset.index));
        row.classList.toggle('hover', +row.dataset.index === state.hover);
      }
    };
    heads.forEach((head, at) => {
      head.setAttribute('aria-sort', 'none');
      head.tabIndex = 0;
      const sortBy = () => {
        down = sort === at ? !down : at === 2;
        sort = at;
        const values = columns[at][0];
        const sign = down ? -1 : 1;
        order.sort((a, b) => {
          const x = values[a] ?? null, y = values[b] ?? null;
          if (x === null || y === null) return (x === null) - (y === null) || a - b;
          return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
        });
        heads.forEach((each) => each.setAttribute('aria-sort', 'none'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        draw();
      };
      head.addEventListener('click', sortBy);
      head.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' || event.key === ' ') { sortBy(); event.preventDefault(); }
      });
    });
    const rowOf = (event) => event.target.closest('tbody tr');
    table.addEventListener('click', (event) => { const row = rowOf(event); if (row) mark(+row.dataset.index); });
    table.addEventListener('keydown', (event) => {
      const row = rowOf(event);
      if (row && (event.key === 'Enter' || event.key === ' ')) { mark(+row.dataset.index); event.preventDefault(); }
    });
    table.addEventListener('pointerover', (event) => {
      const row = rowOf(event);
      state.hover = row ? +row.dataset.index : -1;
      highlights.forEach((each) => each());
    });
    table.addEventListener('pointerleave', () => hover(-1));
    csvMakers['trials-table'] = () => csvOf([heads.map((head) => head.textContent),
      ...visible().map((index) => columns.map(([values]) => values[index]))]);
    redraws.push(draw);
    highlights.push(paint);
  }

  scatter('by-params', 'params', 'parameters');
  scatter('by-macs', 'macs', 'multiply-accumulates per image');
  learning();
  parallel();
  trialTable();

  byId('top').addEventListener('input', (event) => {
    const wanted = Math.floor(Number(event.target.value));
    state.top = wanted >= 1 ? Math.min(wanted, scored) : scored;
    update();
  });
  for (const box of document.querySelectorAll('[data-state]')) box.addEventListener('change', () => {
    if (box.checked) state.states.add(box.dataset.state);
    else state.states.delete(box.dataset.state);
    update();
  });
  byId('clear').addEventListener('click', () => {
    state.limits.clear();
    state.marked.clear();
    state.top = atFirst;
    byId('top').value = atFirst;
    for (const pair of inputs.values()) pair.forEach((input) => { input.value = ''; });
    for (const box of document.querySelectorAll('[data-state]')) { box.checked = true; state.states.add(box.dataset.state); }
    update();
  });
  update();
}
