// Tables of trials: the page holds the first rows, the script the rest; they sort, follow the choice and copy as CSV.
const ROWS = 300;  // rows drawn at most; the CSV has all

// `columns` are [values by index, how one is shown]; `keeps` says which trials have a row.
function bigTable(study, id, columns, keeps) {
  const {state} = study;
  const table = byId(id);
  const more = byId(id + '-more');
  const heads = [...table.tHead.rows[0].cells];
  const order = [...Array(study.count).keys()];
  let sort = -1, down = false;
  const visible = () => order.filter(keeps);

  function rowFor(index) {
    const row = document.createElement('tr');
    row.className = 'pickable';
    row.dataset.index = index;
    row.tabIndex = 0;
    row.setAttribute('aria-label', `trial ${data.number[index]}, ${study.stateOf(index)}`);
    columns.forEach(([values, show], at) => {
      const cell = document.createElement(at ? 'td' : 'th');
      if (!at) cell.scope = 'row';
      const value = values[index], none = value === null || value === undefined;
      cell.textContent = none ? '-' : show(value);
      cell.className = (heads[at].className + (none ? ' none' : '')).trim();
      row.append(cell);
    });
    return row;
  }

  const chart = {
    layout() {},
    refresh(light) {
      if (light) return;
      const rows = visible();
      table.tBodies[0].replaceChildren(...rows.slice(0, ROWS).map(rowFor));
      more.textContent = rows.length > ROWS
        ? `${(rows.length - ROWS).toLocaleString('en')} more rows: narrow the choice above, or copy all of them as CSV.` : '';
      chart.highlight();
    },
    highlight() {
      for (const row of table.tBodies[0].rows) {
        row.classList.toggle('pinned', state.marked.has(+row.dataset.index));
        row.classList.toggle('hover', +row.dataset.index === state.hover);
      }
    },
  };
  study.charts.push(chart);

  heads.forEach((head, at) => {
    head.setAttribute('aria-sort', 'none');
    head.tabIndex = 0;
    const sortBy = () => {
      down = sort === at ? !down : columns[at][1] === percents;
      sort = at;
      const values = columns[at][0], sign = down ? -1 : 1;
      order.sort((a, b) => {
        const x = values[a] ?? null, y = values[b] ?? null;
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
      });
      heads.forEach((each) => each.setAttribute('aria-sort', 'none'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      chart.refresh();
    };
    head.addEventListener('click', sortBy);
    head.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') { sortBy(); event.preventDefault(); }
    });
  });
  const rowOf = (event) => event.target.closest('tbody tr');
  table.addEventListener('click', (event) => { const row = rowOf(event); if (row) study.mark(+row.dataset.index); });
  table.addEventListener('keydown', (event) => {
    const row = rowOf(event);
    if (row && (event.key === 'Enter' || event.key === ' ')) { study.mark(+row.dataset.index, true); event.preventDefault(); }
  });
  table.addEventListener('pointerover', (event) => { const row = rowOf(event); study.hover(row ? +row.dataset.index : -1); });
  table.addEventListener('pointerleave', () => study.hover(-1));
  csvMakers[id] = () => csvOf([heads.map((head) => head.textContent),
    ...visible().map((index) => columns.map(([values]) => values[index]))]);
}

function trialTable(study) {
  const {state} = study;
  const seconds = (value) => {
    if (value < 60) return value.toFixed(1) + ' s';
    const whole = Math.round(value), minutes = Math.floor(whole / 60);
    return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const group = (value) => typeof value === 'number' ? value.toLocaleString('en') : value;
  const columns = [[data.number, String], [data.state.map((at) => data.states[at]), String], [data.score, percents],
    [data.params, group], [data.macs, millions], [data.rf, group], ...study.values.map((values) => [values, group]),
    [data.curves.map((curve) => curve.length), String], [data.seconds, seconds]];
  // Trials without an accuracy have no place in a chart, but one in the table while nothing is filtered.
  bigTable(study, 'trials-table', columns, (index) => data.score[index] === null
    ? state.top >= study.scored && !state.limits.size && state.states.has(study.stateOf(index)) : study.keeps(index));
}
