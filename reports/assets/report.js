// The page of a search or of a training run: its charts and the controls that all of them listen to.
if (data.epochs) training();
if (data.growth) grow('growth', data.growth.names, data.growth.sizes, data.growth.image);
if (data.number && data.score.some((value) => value !== null)) search();

function training() {
  const {train_loss, val_loss, train_accuracy, val_accuracy} = data.epochs;
  if (!train_loss.length) return;
  const pair = (train, val) => [
    {label: 'train (augmented)', values: train, kind: 'line front'}, {label: 'validation', values: val, kind: 'line on'}];
  lineChart('loss', 'cross-entropy (nats)', (value) => String(+value.toPrecision(3)), pair(train_loss, val_loss));
  lineChart('accuracy-by-epoch', 'accuracy (%)', (value) => String(+(100 * value).toPrecision(4)), pair(train_accuracy, val_accuracy));
}

function search() {
  const study = openStudy();
  const {state} = study;
  openedTrial(study);
  course(study);
  if (byId('by-params')) scatter(study, 'by-params', 'params', 'parameters');
  if (byId('by-macs')) scatter(study, 'by-macs', 'macs', 'multiply-accumulates per image');
  learning(study);
  parallel(study);
  trialTable(study);
  numberFields(study);

  const layAll = () => study.charts.forEach((chart) => chart.layout());
  byId('top').addEventListener('input', (event) => {
    const wanted = Math.floor(Number(event.target.value));
    state.top = wanted >= 1 ? Math.min(wanted, study.scored) : study.scored;
    layAll();
    study.update();
  });
  const boxes = [...document.querySelectorAll('[data-state]')];
  for (const box of boxes) box.addEventListener('change', () => {
    if (box.checked) state.states.add(box.dataset.state);
    else state.states.delete(box.dataset.state);
    study.update();
  });
  const published = byId('published');
  if (published) published.addEventListener('change', () => {
    state.published = published.checked;
    layAll();
    study.update();
  });
  byId('clear').addEventListener('click', () => {
    study.clear();
    byId('top').value = state.top;
    for (const box of boxes) box.checked = true;
  });
  study.update();
}

// Limits by number: the brushes' keyboard.
function numberFields(study) {
  const inputs = new Map();
  for (const axis of study.axes) {
    if (axis.names) continue;
    const field = document.createElement('fieldset');
    field.className = 'limit';
    const legend = document.createElement('legend');
    legend.textContent = axis.title;
    field.append(legend);
    const pair = ['from', 'to'].map((word, at) => {
      const input = document.createElement('input');
      input.type = 'number';
      input.step = 'any';
      input.placeholder = String(+axis.range[at].toPrecision(5));
      input.setAttribute('aria-label', `${axis.title} ${word}`);
      field.append(input);
      return input;
    });
    pair.forEach((input) => input.addEventListener('change', () => {
      const [low, high] = pair.map((each) => each.value === '' ? null : Number(each.value));
      study.limit([[axis.key, low === null && high === null ? null : [low ?? -Infinity, high ?? Infinity]]]);
    }));
    inputs.set(axis.key, pair);
    byId('filters').append(field);
  }
  study.limited = (key, limit) => {
    const pair = inputs.get(key);
    if (!pair || pair.includes(document.activeElement)) return;
    pair.forEach((input, at) => { input.value = limit && Number.isFinite(limit[at]) ? +limit[at].toPrecision(5) : ''; });
  };
}
