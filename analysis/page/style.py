"""Style and script of the certificate's page, as text: the page is one file.

Contrast: every text colour has at least 4.5 : 1 on its ground, in light and in dark. The six
colours of curves keep apart for colour-blind eyes, and each has a marker of its own besides.
"""

STYLE = """
:root{--paper:#fcfbf8;--card:#fff;--ink:#1f1e1b;--soft:#65625a;--line:#e2dfd6;--faint:#f3f1ea;
--link:#1d4f91;--met:#1d6b43;--met-bg:#e2f1e8;--bad:#a3231c;--bad-bg:#fae5e2;--open:#7a5200;
--open-bg:#faeed2;--all:#d5d2c8;--window:#eef3fa;
--c0:#1d5fae;--c1:#c2410c;--c2:#0f7f68;--c3:#9b3fa3;--c4:#8a6a00;--c5:#4b5563;
--text:"Charter","Bitstream Charter","Sitka Text",Cambria,Georgia,serif;
--ui:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--code:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media(prefers-color-scheme:dark){:root{--paper:#15171a;--card:#1b1e22;--ink:#e7e5df;--soft:#a5a39b;
--line:#33373d;--faint:#20242a;--link:#8fbcf5;--met:#7fd6a3;--met-bg:#173526;--bad:#ff9f97;
--bad-bg:#43201d;--open:#f0c46a;--open-bg:#3a2e12;--all:#3b4047;--window:#1f2a38;
--c0:#74aef5;--c1:#ff9a62;--c2:#4fd0b2;--c3:#dc93e4;--c4:#e2c14d;--c5:#b6bec9}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.6 var(--text)}
main{max-width:80rem;margin:0 auto;padding:0 1.5rem 6rem}
header{display:grid;grid-template-columns:minmax(0,1.7fr) minmax(0,1fr);gap:0 4rem;
padding:4rem 0 1.5rem;align-items:end}
header nav{grid-column:1/-1;padding-top:1.1rem;border-top:1px solid var(--line)}
header .facts>div{grid-template-columns:5.5rem 1fr}
aside{margin:1.2rem 0 0;padding:1.1rem 1.4rem 1.2rem;background:var(--faint);border-radius:6px;
font-size:.95rem;columns:2 24rem;column-gap:2.5rem}
aside h2{column-span:all;margin:0 0 .5rem;padding:0;border:0;font-size:1.1rem}
aside p{margin:0;max-width:none}
.kicker{margin:0;font:600 .78rem/1 var(--ui);letter-spacing:.14em;text-transform:uppercase;
color:var(--soft)}
h1{margin:.7rem 0 .6rem;font-size:clamp(1.9rem,4.5vw,2.9rem);line-height:1.15;font-weight:600;
letter-spacing:-.01em;text-wrap:balance}
h2{margin:4rem 0 1rem;padding-top:1.1rem;border-top:1px solid var(--line);font-size:1.45rem;
line-height:1.25;font-weight:600}
h4{margin:0 0 .3rem;font:600 .82rem/1.3 var(--ui)}
p,section>ul{max-width:44rem}
p{margin:.7rem 0}
a{color:var(--link);text-decoration-thickness:1px;text-underline-offset:2px}
code{font:.86em var(--code)}
.lead{font-size:1.15rem;color:var(--soft)}
.tally{display:flex;gap:3px;height:10px;margin:1.6rem 0 .7rem}
.tally span{min-width:6px;border-radius:2px;background:var(--met)}
.tally .not-met{background:var(--bad)}.tally .not-resolved{background:var(--open)}
.counts{display:flex;flex-wrap:wrap;gap:.3rem 1.8rem;margin:0 0 1.6rem;padding:0;list-style:none;
font:.95rem var(--ui)}
.counts b{font-size:1.25rem;font-variant-numeric:tabular-nums}
.counts .met{color:var(--met)}.counts .not-met{color:var(--bad)}
.counts .not-resolved{color:var(--open)}
.facts{margin:1rem 0;font:.88rem/1.5 var(--ui)}
.facts>div{display:grid;grid-template-columns:9.5rem 1fr;gap:.2rem 1rem;padding:.22rem 0}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;margin-top:1.6rem;font:.9rem var(--ui)}
.scroll{overflow-x:auto;margin:1rem 0;border:1px solid var(--line);border-radius:6px;
background:var(--card)}
.scroll:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible,
summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:separate;border-spacing:0;width:100%;font:.84rem/1.4 var(--ui);
font-variant-numeric:tabular-nums}
caption{padding:.7rem .6rem .5rem;text-align:left;color:var(--soft);font-size:.84rem}
th,td{padding:.42rem .6rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{white-space:nowrap;font-weight:600;color:var(--soft);background:var(--faint)}
tbody th{position:sticky;left:0;font-weight:400;background:var(--card);white-space:nowrap;
z-index:1}
tbody tr:hover>*{background:var(--faint)}
tbody th a{text-decoration:none}tbody th a:hover{text-decoration:underline}
td.n,th.n{text-align:right;white-space:nowrap}
thead button{all:unset;cursor:pointer;font:inherit;color:inherit}
thead button::after{content:"\\2195";opacity:.45;margin-left:.35em}
thead [aria-sort=ascending] button::after{content:"\\2191";opacity:1}
thead [aria-sort=descending] button::after{content:"\\2193";opacity:1}
.chip{display:inline-block;padding:.02rem .5rem;border-radius:1rem;font:600 .8rem/1.5 var(--ui);
white-space:nowrap;border:1px solid transparent}
.chip.met{color:var(--met);background:var(--met-bg)}
.chip.not-met,.chip.failed{color:var(--bad);background:var(--bad-bg);border-color:currentColor}
.chip.not-resolved{color:var(--open);background:var(--open-bg);border:1px dashed}
.chip.plain{color:var(--soft);background:var(--faint);font-weight:400}
.claim{display:inline-flex;gap:.5rem;align-items:start}
.seen{display:inline-block;vertical-align:top;line-height:1.35}
.print{display:block;color:var(--soft);font-size:.86em;white-space:nowrap}
.seen small{display:block;color:var(--soft);font-size:.86em;white-space:nowrap}
.none,.measure,.key,.family{color:var(--soft)}
.key{font:.84rem var(--ui)}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:6px;background:var(--card)}
details>summary{padding:.6rem .9rem;cursor:pointer;font:.92rem/1.7 var(--ui)}
details[open]>summary{border-bottom:1px solid var(--line)}
.body .facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));
column-gap:2.5rem}
.body{padding:.2rem .9rem .6rem}
summary code{font-weight:600;font-size:.95em}
.measure::before,.family::before{content:"\\00b7";margin:0 .45em}
.family{margin-right:.6em}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,13.5rem),1fr));
gap:1.3rem 1.1rem;margin-top:1rem;margin-bottom:1rem}
.panels.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr))}
figure{margin:0;min-width:0}
figure svg[role=img]{display:block;width:100%;height:auto}
figcaption{font:.8rem/1.55 var(--ui)}
.legend{margin:.2rem 0 0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem;
font:.8rem/1.6 var(--ui)}
.swatch{width:22px;height:12px;margin-right:.35rem;vertical-align:-1px}
svg.defs{position:absolute;width:0;height:0}
.tx,.ty,.slope{font:10px var(--ui);fill:var(--soft)}
.ty{text-anchor:end}.tx{text-anchor:middle}
.grid{stroke:var(--line);stroke-width:.7}
.axis,.tick{stroke:var(--soft);stroke-width:.8;fill:none}
.window{fill:var(--window)}
.l{fill:none;stroke-width:1.7;stroke-linejoin:round}
.all{fill:none;stroke:var(--all);stroke-width:.8}
.bar{stroke:var(--soft);stroke-width:1}
.ref{fill:none;stroke:var(--soft);stroke-width:1.1;stroke-dasharray:4 3}
.m{stroke:var(--card);stroke-width:.6}
.l.c0{stroke:var(--c0)}.l.c1{stroke:var(--c1)}.l.c2{stroke:var(--c2)}
.l.c3{stroke:var(--c3)}.l.c4{stroke:var(--c4)}.l.c5{stroke:var(--c5)}
.m.c0{fill:var(--c0)}.m.c1{fill:var(--c1)}.m.c2{fill:var(--c2)}
.m.c3{fill:var(--c3)}.m.c4{fill:var(--c4)}.m.c5{fill:var(--c5)}
.m.open{fill:var(--card);stroke:var(--c0);stroke-width:1.3}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
.script{display:none}.js .script{display:block}
form.script{font:.9rem var(--ui)}
form label{display:inline-block;margin:.2rem 1rem .2rem 0;color:var(--soft)}
input,select,button{font:inherit;color:var(--ink);background:var(--card);
border:1px solid var(--line);border-radius:4px;padding:.25rem .5rem}
p.script{font:.88rem var(--ui)}
output{color:var(--soft)}
[hidden]{display:none}
@media(max-width:40rem){body{font-size:16px}main{padding:0 1rem 4rem}
header{padding-top:2.2rem;grid-template-columns:minmax(0,1fr)}
aside{padding:.9rem 1rem}
h2{margin-top:3rem}.facts>div{grid-template-columns:1fr;gap:0;padding:.3rem 0}
th,td{padding:.4rem .6rem}tbody th{max-width:9rem;white-space:normal;overflow-wrap:break-word}
.panels{grid-template-columns:repeat(auto-fill,minmax(min(100%,9.5rem),1fr))}
.panels.wide{grid-template-columns:1fr}form label{display:block}
input[type=search],select{width:100%}}
@media print{body{font-size:10pt}.script,nav{display:none!important}
.scroll{overflow:visible}details,figure,tr{break-inside:avoid}}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
"""

SCRIPT = """
'use strict';
document.documentElement.classList.add('js');
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const key = cell => cell.dataset.sort ?? cell.textContent.trim();
function compare(a, b) {
  if (a === '' || b === '') return (a === '') - (b === '');
  const x = Number(a), y = Number(b);
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}
function sort(table, column, down) {
  const body = table.tBodies[0], sign = down ? -1 : 1;
  const rows = [...body.rows].map(row => [key(row.cells[column]), row]);
  rows.sort(([a], [b]) => (a === '' || b === '' ? 1 : sign) * compare(a, b));
  body.append(...rows.map(([, row]) => row));
}
for (const table of all('table.sortable')) {
  const heads = all('thead th', table);
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      sort(table, column, down);
    });
  });
}
const form = document.getElementById('filters');
function filter() {
  const words = form.text.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0, total = 0;
  for (const row of all('#summary tbody tr')) {
    const fits = words.every(word => row.dataset.text.includes(word))
      && (!form.family.value || row.dataset.family === form.family.value)
      && (!form.verdict.value || row.dataset.verdict === form.verdict.value);
    row.hidden = !fits;
    shown += fits;
    total += 1;
  }
  form.shown.value = shown + ' of ' + total;
}
form.addEventListener('input', filter);
form.addEventListener('submit', event => event.preventDefault());
filter();
for (const button of all('[data-fold]'))
  button.addEventListener('click', () => {
    for (const part of all('#sheets details')) part.open = button.dataset.fold === 'open';
  });
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === 'DETAILS') { target.open = true; target.scrollIntoView(); }
}
addEventListener('hashchange', unfold);
unfold();
"""
