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
