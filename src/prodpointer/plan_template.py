"""What of the page of a plan is the same for every plan: its style, its script and its skeleton."""

from __future__ import annotations

from string import Template

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1b1f24; --soft: #59636e; --line: #d9dee3; --head: #eef1f4;
  --decision: #b45309; --safe: #1f6f8b; --nothing: #848f9a; --focus: #0b57b0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1317; --card: #181d23; --text: #e8ebee; --soft: #9aa5b1; --line: #2e363f; --head: #222931;
    --decision: #f0a44b; --safe: #5cb8d6; --nothing: #7a8794; --focus: #78b4ff;
  }
}
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --text: #000; --soft: #444; --line: #999; --head: #fff;
    --decision: #b45309; --safe: #1f6f8b; --nothing: #848f9a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 1.5rem clamp(.75rem, 2vw, 2rem) 3rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
main { max-width: 110rem; margin: 0 auto; display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem 1.25rem; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 0 0 .5rem; font-size: 1.05rem; }
p, ul, dl { margin: 0; }
code { font-family: ui-monospace, "Liberation Mono", monospace; font-size: .9em; }
code, dd, td, th { overflow-wrap: anywhere; }
.soft, dt, .next li, .next p + p { color: var(--soft); }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .1rem 1.25rem; margin-top: .5rem; }
dd { margin: 0; }
.next p { max-width: 75em; }
.next p + p { margin-top: .5rem; }
.next ul { padding-left: 1.25rem; }
.bar { display: block; width: 100%; height: 1.75rem; margin-bottom: .75rem; }
.bar rect { stroke: var(--card); stroke-width: 2px; }
.swatch { width: .9rem; height: .9rem; flex: none; }
svg .decision { fill: url(#decision) var(--decision); }
svg .safe { fill: var(--safe); }
svg .nothing { fill: url(#nothing) var(--nothing); }
.ink { stroke: var(--decision); }
.paper { fill: var(--decision); fill-opacity: .45; }
.dot { fill: var(--nothing); }
.air { fill: var(--nothing); fill-opacity: .2; }
.counts { display: flex; flex-wrap: wrap; gap: .25rem 2rem; padding: 0; list-style: none; }
.counts li { display: flex; align-items: center; gap: .5rem; font-variant-numeric: tabular-nums; }
.counts b { font-size: 1.35rem; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; line-height: 1.4; }
th, td { padding: .35rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { background: var(--head); }
.number, .number button { text-align: right; font-variant-numeric: tabular-nums; }
.reasons table { table-layout: fixed; min-width: 44rem; }
.reasons .number { width: 5.5rem; }
.reasons th:nth-child(3) { width: 12.5rem; }
.reasons th:nth-child(4) { width: 25%; }
td.decision::before, tr.decision td:nth-child(2)::before { content: "▲ "; content: "▲ " / ""; color: var(--decision); }
td.safe::before, tr.safe td:nth-child(2)::before { content: "● "; content: "● " / ""; color: var(--safe); }
td.nothing::before, tr.nothing td:nth-child(2)::before { content: "○ "; content: "○ " / ""; color: var(--soft); }
#models { min-width: 72rem; }
#models thead th { padding: 0; }
#models td { white-space: pre-line; font-variant-numeric: tabular-nums; }
#models tbody th { font-weight: 600; }
#models .version { font-size: .93em; }
#models .version button { padding-right: 0; }
th button {
  position: relative; width: 100%; padding: .35rem 1.2rem .35rem .6rem; border: 0; background: none;
  font: inherit; text-align: left;
}
th button, td button { color: inherit; }
th button:enabled, td button:enabled { cursor: pointer; }
th button:enabled::after { position: absolute; right: .4rem; top: .35rem; color: var(--soft); }
th button:enabled::after { content: "↕"; content: "↕" / ""; }
[aria-sort="ascending"] button:enabled::after { content: "↑"; content: "↑" / ""; color: inherit; }
[aria-sort="descending"] button:enabled::after { content: "↓"; content: "↓" / ""; color: inherit; }
td button { font: inherit; padding: 0 .5rem; border: 1px solid var(--line); border-radius: .4rem; background: none; }
td button:disabled { border-color: transparent; padding: 0; }
button[aria-pressed="true"] { background: var(--text); color: var(--card); }
button:focus-visible, input:focus-visible, .scroll:focus-visible { outline: 2px solid var(--focus); }
form { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: center; margin-bottom: .5rem; }
form input[type="search"], form button {
  font: inherit; color: inherit; background: var(--page); border: 1px solid var(--soft); border-radius: .4rem;
  padding: .25rem .6rem;
}
form input[type="search"] { flex: 1 1 16rem; max-width: 30rem; min-width: 0; }
[role="status"] { margin-bottom: .75rem; }
[hidden] { display: none !important; }
@media screen {
  /* What is out of sight need not be laid out, unless it is the row of a table: then 10,000 of them take seconds. */
  #models, #models thead, #models tbody { display: block; }
  #models thead { position: sticky; top: 0; z-index: 1; }
  #models tr { display: flex; border-bottom: 1px solid var(--line); }
  #models tbody tr { content-visibility: auto; contain-intrinsic-height: auto 2rem; }
  #models th, #models td { flex: 0 0 6.25rem; border: 0; }
  #models tr > :first-child, #models tr > :nth-last-child(2) { flex-basis: 17%; }
  #models tr > :nth-child(2) { flex-basis: 9rem; }
  #models tr > :last-child { flex: 1; }
}
@media screen and (max-width: 77rem) {
  .scroll { overflow-x: auto; }
  #models tr > :first-child { position: sticky; left: 0; z-index: 1; flex-basis: 11rem; }
  #models tbody th { background: var(--card); }
}
@media print {
  body { padding: 0; font-size: 10pt; }
  section { border: 0; padding: 0; }
  form, th button::after { display: none !important; }
  table { min-width: 0 !important; font-size: 8pt; }
  td button { border: 0; padding: 0; }
  #models { table-layout: fixed; }
  #models thead th { width: 7.5%; }
  #models thead th:first-child, #models thead .change { width: 16%; }
  #models thead th:nth-child(2) { width: 10%; }
  #models thead th:last-child { width: auto; }
  .scroll { overflow: visible; }
  tr { break-inside: avoid; }
}
"""

SCRIPT = """
(() => {
  "use strict";
  const table = document.querySelector("#models");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const form = document.querySelector("form");
  const filter = form.querySelector("[type=search]");
  const boxes = [...form.querySelectorAll("[type=checkbox]")];
  const picks = [...document.querySelectorAll("[aria-pressed]")];
  const status = document.querySelector("[role=status]");
  const { compare } = new Intl.Collator("en", { numeric: true, sensitivity: "accent" });
  const order = boxes.map((box) => box.value);
  const plain = (text) => text.normalize("NFC").toLowerCase();

  const rows = [...body.rows].map((row) => {
    const keys = [...row.cells].map((cell) => cell.textContent);
    const text = plain(keys[0] + "\\n" + keys.at(-1));
    row.setAttribute("role", "row");  // some browsers take a table that is laid out otherwise for none
    for (const cell of row.cells) cell.setAttribute("role", cell.scope ? "rowheader" : "cell");
    keys[1] = String(order.indexOf(row.className));
    return { row, keys, text, reasons: row.dataset.r.split(" ") };
  });

  // Equal rows stay as they are, so that sorting by one column and then another sorts by both.
  const sort = (column, down) => {
    const last = (key) => key === "—" || key === "?";
    rows.sort((one, other) => {
      const a = one.keys[column], b = other.keys[column];
      return last(a) - last(b) || (down ? compare(b, a) : compare(a, b));
    });
    const sorted = new DocumentFragment();
    for (const { row } of rows) sorted.append(row);
    body.append(sorted);
  };

  const show = () => {
    const wanted = plain(filter.value.trim());
    const kinds = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const pick = picks.find((button) => button.getAttribute("aria-pressed") === "true");
    let shown = 0;
    for (const { row, text, reasons } of rows) {
      const fits = kinds.has(row.className) && text.includes(wanted) && (!pick || reasons.includes(pick.value));
      if (row.hidden === fits) row.hidden = !fits;
      shown += fits;
    }
    const number = (count) => count.toLocaleString("en");
    const why = pick ? ": " + pick.closest("tr").cells[1].textContent : "";
    status.textContent = number(shown) + " of " + number(rows.length) + " models shown" + why;
  };

  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(column, down);
    });
  });

  for (const button of picks) {
    button.disabled = false;
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      for (const other of picks) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!pressed));
      show();
      if (!pressed) form.scrollIntoView();
    });
  }

  let later;
  filter.addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(show, 120);
  });
  for (const box of boxes) box.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    for (const button of picks) button.setAttribute("aria-pressed", "false");
    setTimeout(show);
  });
  form.hidden = false;
  show();  // browsers keep what was typed when a page is loaded again
})();
"""

PATTERNS = (
    '<defs><pattern id="decision" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="paper" width="8" height="8"/><line class="ink" x1="2" x2="2" y2="8" stroke-width="4"/></pattern>'
    '<pattern id="nothing" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect class="air" width="6" height="6"/><circle class="dot" cx="3" cy="3" r="1.6"/></pattern></defs>'
)

REASONS = Template("""<section class="reasons">
<h2 id="why">Reasons</h2>
<div class="scroll" role="region" aria-labelledby="why" tabindex="0">
<table>
<thead><tr><th scope="col" class="number">Models</th><th scope="col">Reason</th><th scope="col">Class</th>\
<th scope="col">For example</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
</div>
</section>""")

MODELS = Template("""<section>
<h2 id="list">Models</h2>
<form hidden>
<input type="search" aria-label="Filter by name or reason" placeholder="Filter by name or reason" autocomplete="off">
$boxes
<button type="reset">Show all</button>
</form>
<p role="status" class="soft">$count</p>
<div class="scroll" role="region" aria-labelledby="list" tabindex="0">
<table id="models" role="table">
<thead role="rowgroup"><tr role="row">$heads</tr></thead>
<tbody role="rowgroup">
$rows
</tbody>
</table>
</div>
</section>""")

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>Migration plan of $registry, $time</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<h1>Migration plan</h1>
<dl>
<dt>Registry</dt><dd><bdi>$registry</bdi></dd>
<dt>Its version</dt><dd>$registry_version</dd>
<dt>Patterns</dt><dd>$patterns</dd>
<dt>Looked at</dt><dd><time datetime="$machine_time">$time</time>; nothing was changed</dd>
</dl>
</header>
<section class="next">
<h2>Next</h2>
<p>$next_step</p>
$sides
</section>
<section>
<h2>Classes</h2>
$counts
</section>
$reasons
$models
</main>
<script>$script</script>
</body>
</html>
""")
