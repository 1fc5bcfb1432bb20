// The pages work without this. It adds: copying, light or dark, keys, live regions.
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

// Plain HTTP off loopback has no clipboard API.
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

// With Shift a click ticks all rows up to it.
let last;
document.addEventListener('click', ({ target, shiftKey }) => {
  const all = [...document.querySelectorAll('[name=pick]')], at = all.indexOf(target), from = all.indexOf(last);
  const every = target.matches('[data-all]'), on = every ? all.some((one) => !one.checked) : target.checked;
  if (!every && at < 0) return;
  all.forEach((one, n) => { if (every || (shiftKey && from >= 0 && (n - at) * (n - from) <= 0)) one.checked = on; });
  last = target;
  $('[data-ticked]').textContent = all.filter((one) => one.checked).length + ' ticked';
});

const keys = $('#keys'), opener = $('[data-keys]');
if (opener && keys) { opener.hidden = false; opener.addEventListener('click', () => keys.showModal()); }
const places = { o: '/', e: '/events', d: '/dead', r: '/rejected', h: '/handlers', s: '/sources', c: '/config', l: '/log' };
let goes = false;
document.addEventListener('keydown', (event) => {
  const field = event.target.closest('input,select,textarea');
  if (event.key === 'Escape' && field) { field.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || field || (keys && keys.open)) return;
  const to = { ArrowLeft: '[rel=prev]', ArrowRight: '[rel=next]', Escape: '.crumbs a' }[event.key];
  if (goes && places[event.key]) location = places[event.key];
  else if (event.key === '/') { const find = $('main [type=search]') || $('#find'); if (find) { event.preventDefault(); find.focus(); } }
  else if (event.key === 'r') location.reload();
  else if (event.key === 't') turn();
  else if (event.key === 'p' && pace) { pace.value = pace.value === '0' ? '5' : '0'; pace.dispatchEvent(new Event('change')); }
  else if (event.key === '?' && keys) keys.showModal();
  else if (to && $(to)) location = $(to).href;
  goes = event.key === 'g';
});

// Regions are fetched anew; what is read or filled in stays as it is.
const live = $('#live'), pace = $('#pace'), regions = () => document.querySelectorAll('[data-live]');
if (!live || !pace || !$('[data-live]:not(#nav)')) return;
pace.parentElement.hidden = false;
const kept = remember('pace');
if ([...pace.options].some((one) => one.value === kept)) pace.value = kept;
let n_new = 0, left = 0, busy = false, pointed = null, seconds = 0, rests = 0;
const rows = () => document.querySelectorAll('#list tbody tr').length;
document.addEventListener('pointerover', (event) => { pointed = event.target.closest('[data-live] tr, [data-live] a, [data-live] button'); });
const isHeld = (region) => region.contains(document.activeElement) || $('details[open],[name=pick]:checked', region) ||
  (pointed && region.contains(pointed)) || (!getSelection().isCollapsed && region.contains(getSelection().anchorNode));
const say = (text) => { live.hidden = !text; live.textContent = text; };
const waits = () => say('Updates paused' + (n_new ? ', ' + n_new + ' new' : ''));
const refresh = async (forced) => {
  if (document.hidden || busy || (!forced && Date.now() < rests)) return;
  busy = true;
  const n_seen = n_new, began = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (answer.redirected) return say('Signed out: reload');
    if (!answer.ok) return say('No answer, status ' + answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    let held = false;
    for (const region of regions()) {
      const next = fresh.getElementById(region.id);
      if (!next || next.innerHTML === region.innerHTML) continue;
      if (!forced && isHeld(region)) held = true; else region.replaceWith(next);
    }
    if (held) return waits();
    n_new -= n_seen;
    if (!location.search) left += Math.max(0, n_seen - rows());
    const to = $('#list nav a:last-child');
    if (left && to) to.textContent = left + ' came faster than shown';
    say('');
    rests = Date.now() + 10 * Math.min(Date.now() - began, 6000);
  } catch { say('No answer'); } finally { busy = false; }
};
live.addEventListener('click', () => { pointed = null; refresh(true); });
const paused = () => pace.value === '0';
pace.addEventListener('change', () => { remember('pace', pace.value); if (paused()) waits(); else refresh(true); });
const bell = new EventSource('/api/v1/stream');
bell.addEventListener('message', () => { n_new += 1; });
bell.addEventListener('skipped', (event) => { n_new += JSON.parse(event.data).count; });
if (paused()) waits();
setInterval(() => {
  seconds += 1;
  if (paused()) { if (n_new) waits(); return; }
  // With the shortest paces what came is shown at once.
  const every = Number(pace.value);
  if (seconds % every === 0 || (n_new && every <= 5)) refresh(false);
}, 1000);
})();
