// What every page has: its data, the theme, copying.
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);

const theme = byId('theme');
const themes = ['system', 'light', 'dark'];
theme.addEventListener('click', () => {
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme || 'system') + 1) % 3];
  if (next === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  theme.textContent = 'Theme: ' + next;
});

function csvOf(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? '' : String(value);
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  };
  return rows.map((row) => row.map(cell).join(',') + '\n').join('');
}

function csvOfTable(table) {
  const stored = (cell) => cell.classList.contains('none') ? '' : cell.dataset.value ?? cell.textContent;
  return csvOf([...table.rows].map((row) => [...row.cells].filter((cell) => !cell.classList.contains('bars')).map(stored)));
}

// Where the page may not use the clipboard (a file opened from disk in some browsers), a selection does.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

const csvMakers = {};  // by table id, for tables that show less than they hold
document.addEventListener('click', async (event) => {
  const button = event.target.closest('button.copy');
  if (!button) return;
  const id = button.dataset.csv;
  const text = id ? (csvMakers[id] || (() => csvOfTable(byId(id))))() : button.parentElement.querySelector('pre').textContent;
  const label = button.textContent;
  button.textContent = (await copy(text)) ? 'Copied' : 'Could not copy';
  setTimeout(() => { button.textContent = label; }, 1500);
});

let opened = [];
addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll('details:not([open])')];
  opened.forEach((each) => { each.open = true; });
});
addEventListener('afterprint', () => opened.forEach((each) => { each.open = false; }));

// The words that appear beside the pointer.
const tip = document.createElement('div');
tip.className = 'tip';
tip.hidden = true;
tip.setAttribute('role', 'status');
document.body.append(tip);
addEventListener('scroll', () => { tip.hidden = true; }, {passive: true});

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth - 8 ? Math.max(8, x - 14 - box.width) : x + 14;
  tip.style.transform = `translate(${left}px, ${Math.max(8, Math.min(y - box.height / 2, innerHeight - box.height - 8))}px)`;
}

// A word that explains itself where the pointer or the focus is; a screen reader has the same as a description.
function explain(node, meaning) {
  node.removeAttribute('title');
  node.tabIndex = 0;
  node.dataset.meaning = meaning;
  // What has the focus needs a name, and a word alone has none of its own.
  node.setAttribute('role', 'note');
  node.setAttribute('aria-label', node.textContent);
  node.setAttribute('aria-description', meaning);
}
for (const word of document.querySelectorAll('abbr[title]')) explain(word, word.title);
for (const [comes, goes] of [['pointerover', 'pointerout'], ['focusin', 'focusout']]) {
  document.addEventListener(comes, ({target}) => {
    const word = target.closest?.('[data-meaning]');
    if (!word) return;
    const box = word.getBoundingClientRect();
    showTip(word.dataset.meaning, 0, 0);
    const {width, height} = tip.getBoundingClientRect();
    const below = box.bottom + 6 + height < innerHeight;
    const left = Math.max(8, Math.min(box.left, innerWidth - width - 8));
    tip.style.transform = `translate(${left}px, ${below ? box.bottom + 6 : box.top - height - 6}px)`;
  });
  document.addEventListener(goes, ({target}) => { if (target.closest?.('[data-meaning]')) tip.hidden = true; });
}
addEventListener('keydown', (event) => { if (event.key === 'Escape') tip.hidden = true; });
