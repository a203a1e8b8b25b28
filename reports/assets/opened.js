// One trial opened: where it comes from, its network layer by layer, its curve beside the best one's.
function openedTrial(study) {
  const panel = byId('opened');
  let shown = -1, from = null;

  const add = (parent, tag, text, kind) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    parent.append(node);
    return node;
  };

  function open(index, focus) {
    if (index >= study.count) return;
    if (focus) from = document.activeElement;
    shown = index;
    panel.hidden = false;
    panel.replaceChildren();
    const head = add(panel, 'div', undefined, 'caption');
    const title = add(head, 'h2', (data.preset && data.preset[index]) || `Trial ${data.number[index]}`);
    title.tabIndex = -1;
    const shut = add(head, 'button', 'Close');
    shut.type = 'button';
    shut.addEventListener('click', close);
    facts(index);
    network(index);
    growth(index);
    curve(index);
    if (focus) title.focus();
  }

  function close() {
    panel.hidden = true;
    if (from && from.isConnected) {
      from.focus({preventScroll: true});
      study.hover(shown);
    }
    from = null;
  }

  function facts(index) {
    const list = add(panel, 'dl', undefined, 'readout');
    const fact = (name, value) => { add(list, 'dt', name); return add(list, 'dd', value); };
    fact('state', study.stateOf(index) + (index === study.best ? ', winner' : ''));
    if (data.score[index] !== null) fact('validation accuracy', `${percents(data.score[index])}, n = 1 run`);
    if (data.loss && data.loss[index] !== null) fact('validation loss', String(data.loss[index]));
    fact('parameters', data.params[index].toLocaleString('en'));
    fact('MACs', millions(data.macs[index]));
    fact('receptive field', `${data.rf[index]} px`);
    fact('epochs', String(data.curves[index].length));
    const parent = data.parent && study.place.get(data.parent[index]);
    if (parent !== undefined && parent !== null) {
      const button = add(fact('comes from'), 'button', (data.preset && data.preset[parent]) || `trial ${data.number[parent]}`);
      button.type = 'button';
      button.addEventListener('click', () => { open(parent, false); panel.querySelector('h2').focus(); });
      fact('changed', data.moves[index] || 'nothing');
    }
  }

  function network(index) {
    const {stages, layers, known, of} = data.networks;
    const found = known[of[index]];
    add(panel, 'h3', 'Network');
    if (!found.length) { add(panel, 'p', 'The record has no layers.', 'why'); return; }
    const widest = Math.max(...found.flatMap(([, each]) => each.map((layer) => layers[layer][1])), 1);
    const list = add(panel, 'ol', undefined, 'layered');
    for (const [stage, each] of found) {
      const item = add(list, 'li');
      add(item, 'b', stages[stage]);
      const inner = add(item, 'ul');
      for (const layer of each) {
        const [words, width] = layers[layer];
        const row = add(inner, 'li', words);
        // As long as the share of the widest layer; the number is in the words.
        row.style.setProperty('--share', `${round(100 * width / widest)}%`);
      }
    }
  }

  function growth(index) {
    const found = data.growths && data.growths.of[index];
    if (!found) return;
    add(panel, 'h3', 'How the receptive field grows, layer by layer');
    add(panel, 'div', undefined, 'plot low').id = 'opened-growth';
    grow('opened-growth', data.growths.names[found[0]], data.growths.sizes[found[1]], data.image);
  }

  function curve(index) {
    if (!data.curves[index].some((value) => value !== null)) return;
    add(panel, 'h3', 'Validation accuracy by epoch');
    add(panel, 'div', undefined, 'plot low').id = 'opened-curve';
    const best = study.best ?? 0;
    const series = [{label: `trial ${data.number[index]}`, values: data.curves[index], kind: 'line on'}];
    if (best !== index) series.unshift({label: study.best === undefined ? 'best trial' : 'winner', values: data.curves[best], kind: 'line best'});
    lineChart('opened-curve', 'accuracy (%)', (value) => String(+(100 * value).toPrecision(4)), series, 210);
  }

  panel.addEventListener('keydown', (event) => { if (event.key === 'Escape') close(); });
  study.opened = (index, focus) => {
    if (study.state.marked.has(index)) open(index, focus);
    else if (index === shown || index < 0) close();
  };
}
