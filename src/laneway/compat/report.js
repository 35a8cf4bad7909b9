"use strict";
(() => {
  const table = document.getElementById("matrix");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const find = document.getElementById("find");
  const direct = document.getElementById("direct");
  const native = document.getElementById("native");
  const cards = [...document.querySelectorAll(".card")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  function show() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = cards.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.dataset.status);
    let count = 0;
    for (const row of rows) {
      const fits =
        (!wanted.length || wanted.includes(row.dataset.status)) &&
        (!direct.checked || row.dataset.direct === "1") &&
        (!native.checked || row.dataset.kind === "native") &&
        words.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      count += fits;
    }
    document.getElementById("shown").textContent = `${count} of ${rows.length}`;
    document.getElementById("nothing").hidden = count > 0;
  }

  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.key ?? cell.textContent.trim();
  }

  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      rows.sort((a, b) => (up ? 1 : -1) * compare(key(a, column), key(b, column)));
      body.append(...rows);
    });
  });
  for (const card of cards) {
    card.addEventListener("click", () => {
      card.setAttribute("aria-pressed", String(card.getAttribute("aria-pressed") !== "true"));
      show();
    });
  }
  for (const input of [find, direct, native]) input.addEventListener("input", show);
  show();
})();
