"use strict";
(() => {
  const table = document.getElementById("results");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const find = document.getElementById("find");
    const status = document.getElementById("status");
    const count = document.getElementById("count");
    const statusColumn = heads.findIndex((head) => head.textContent === "status");
    const value = (row, column) => {
      const cell = row.cells[column];
      const text = cell.textContent;
      return heads[column].className === "n" ? Number.parseFloat(cell.dataset.v ?? text) : text;
    };
    const compare = (a, b) => {
      if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
      return Number.isNaN(a) || Number.isNaN(b) ? Number.isNaN(a) - Number.isNaN(b) : a - b;
    };
    const sort = (column) => {
      const up = heads[column].getAttribute("aria-sort") !== "ascending";
      for (const head of heads) head.removeAttribute("aria-sort");
      heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
      const missing = (row) => Number.isNaN(value(row, column));
      rows.sort((a, b) => {
        const order = compare(value(a, column), value(b, column));
        return up || missing(a) || missing(b) ? order : -order;
      });
      body.append(...rows);
    };
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
        const wanted = row.cells[statusColumn].textContent.slice(2);
        row.hidden = !(words.every((word) => text.includes(word)) && (!status.value || wanted === status.value));
        shown += !row.hidden;
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    };
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sort(column)));
    find.addEventListener("input", filter);
    status.addEventListener("change", filter);
  }

  // A figure's own titles take a second to appear, so they are shown at once and not twice.
  const tip = document.getElementById("tip");
  const titles = new WeakMap();
  document.addEventListener("pointerover", (event) => {
    const mark = event.target;
    const title = mark.querySelector && mark.querySelector(":scope > title");
    if (title && mark.closest("svg")) {
      titles.set(mark, title.textContent);
      title.remove();
    }
    tip.hidden = !titles.has(mark);
    if (tip.hidden) return;
    tip.textContent = titles.get(mark);
    const right = event.clientX > innerWidth / 2;
    tip.style.left = right ? "auto" : `${event.clientX + 14}px`;
    tip.style.right = right ? `${innerWidth - event.clientX + 14}px` : "auto";
    tip.style.top = `${event.clientY + 12}px`;
  });
})();
