// The pages work without this. It adds: copying, light or dark, keys, and regions that keep up to date.
(() => {
'use strict';
const root = document.documentElement, $ = (q, of) => (of || document).querySelector(q);
root.classList.add('js');
const remember = (key, value) => {
  try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; }
};
const theme = remember('theme');
if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
const turn = () => {
  const dark = getComputedStyle(root).colorScheme === 'dark' ||
    (!root.dataset.theme && matchMedia('(prefers-color-scheme: dark)').matches);
  root.dataset.theme = dark ? 'light' : 'dark';
  remember('theme', root.dataset.theme);
};
const button = $('[data-theme-switch]');
if (button) { button.hidden = false; button.addEventListener('click', turn); }

// Off loopback a page over plain HTTP has no clipboard API.
const copy = async (code) => {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(code.textContent);
  getSelection().selectAllChildren(code);
  document.execCommand('copy');
  getSelection().removeAllRanges();
};
document.addEventListener('click', async (event) => {
  const one = event.target.closest('[data-copy]');
  if (!one) return;
  await copy(one.previousElementSibling);
  one.textContent = 'Copied';
  setTimeout(() => { one.textContent = 'Copy'; }, 1500);
});

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input,select,textarea')) return;
  const to = { ArrowLeft: '[rel=prev]', ArrowRight: '[rel=next]' }[event.key];
  if (event.key === '/') { const find = $('main [type=search]') || $('#find'); if (find) { event.preventDefault(); find.focus(); } }
  else if (event.key === 'r') location.reload();
  else if (event.key === 't') turn();
  else if (to && $(to)) location = $(to).href;
});

// Regions are fetched anew when something came in, and now and then since times grow old. What somebody
// reads, selects or fills in stays as it is.
const live = $('#live'), regions = () => document.querySelectorAll('[data-live]');
if (!live || !regions().length) return;
let due = false, busy = false, pointed = null;
document.addEventListener('pointerover', (event) => { pointed = event.target.closest('[data-live] tr, [data-live] a, [data-live] button'); });
const isHeld = (region) => region.contains(document.activeElement) || $('details[open]', region) ||
  (pointed && region.contains(pointed)) || (!getSelection().isCollapsed && region.contains(getSelection().anchorNode));
const say = (text) => { live.hidden = !text; live.textContent = text; };
const refresh = async () => {
  if (document.hidden || busy) return;
  busy = true;
  due = false;
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (answer.redirected) { say('Signed out: reload'); return; }
    if (!answer.ok) { say('No answer, status ' + answer.status); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    let held = false;
    for (const region of regions()) {
      const next = fresh.getElementById(region.id);
      if (!next || next.innerHTML === region.innerHTML) continue;
      if (isHeld(region)) held = true; else region.replaceWith(next);
    }
    say(held ? 'Updates paused' : '');
  } catch { say('No answer'); } finally { busy = false; }
};
const bell = new EventSource('/api/v1/stream');
for (const kind of ['message', 'skipped']) bell.addEventListener(kind, () => { due = true; });
let seconds = 0;
setInterval(() => { seconds += 1; if (due || seconds % 5 === 0) refresh(); }, 1000);
})();
