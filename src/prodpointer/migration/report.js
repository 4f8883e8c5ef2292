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
    const text = plain(keys[0] + "\n" + keys.at(-1));
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
