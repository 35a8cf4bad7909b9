"use strict";
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const now = head.getAttribute("aria-sort");
      const up = now ? now === "descending" : !numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column];
        const key = cell.dataset.key ?? cell.textContent;
        return [numeric ? Number(key.replaceAll(",", "")) : key.toLowerCase(), row];
      });
      keyed.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * (up ? 1 : -1));
      body.append(...keyed.map((pair) => pair[1]));
    });
  });
}
for (const controls of document.querySelectorAll(".controls")) {
  const section = controls.closest("section");
  const items = [...section.querySelectorAll("[data-item]")];
  const words = items.map((item) => item.textContent.toLowerCase());
  const box = controls.querySelector("input");
  const choice = controls.querySelector("select");
  const count = section.querySelector(".count");
  const show = () => {
    const wanted = box.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    items.forEach((item, index) => {
      const fits = wanted.every((word) => words[index].includes(word)) &&
        (!choice || !choice.value || item.dataset.item.split(" ").includes(choice.value));
      item.classList.toggle("hidden", !fits);
      shown += fits;
    });
    count.textContent = `${shown.toLocaleString("en")} of ${items.length.toLocaleString("en")} shown`;
  };
  let timer = 0;
  box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(show, 120); });
  if (choice) choice.addEventListener("change", show);
}
const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") {
    target.classList.remove("hidden");
    target.open = true;
    target.scrollIntoView({ block: "center" });
  }
};
addEventListener("hashchange", reveal);
reveal();
