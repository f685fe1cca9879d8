// Tables that sort and filter, and the theme. A plot, where there is one, is drawn by plot.js and follows.
"use strict";
(() => {
  const missing = "-";

  // What a cell is sorted by: data-sort, the number that it begins with, or else its text.
  const keyOf = (cell) => {
    const text = cell.dataset.sort ?? cell.textContent.trim();
    const number = Number.parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(number) ? text : number;
  };
  const isBlank = (key) => key === "" || key === missing;

  // Numbers by value, before text; what is blank stands last in either direction.
  const compare = (one, other, sign) => {
    if (isBlank(one) || isBlank(other)) return isBlank(one) - isBlank(other);
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    return sign * (typeof one === "number" ? one - other : one.localeCompare(other, undefined, { numeric: true }));
  };

  const sort = (table, header) => {
    const column = [...header.parentNode.children].indexOf(header);
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const one of header.parentNode.children) one.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const keyed = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
    keyed.sort(([one], [other]) => compare(one, other, ascending ? 1 : -1));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  };

  for (const section of document.querySelectorAll(".comparison")) {
    const form = section.querySelector(".controls");
    const table = section.querySelector(".sortable");
    const rows = [...table.tBodies[0].rows];
    const textOf = (row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    const texts = new Map(rows.map((row) => [row, textOf(row)]));
    const { filter, device, count } = form.elements;
    for (const header of table.tHead.rows[0].cells) {
      header.firstElementChild.addEventListener("click", () => sort(table, header));
    }
    const plot = window.roibenchPlot?.(section, form, rows);
    const show = () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      for (const row of rows) {
        const chosen = !device?.value || row.dataset.device === device.value;
        row.hidden = !chosen || !words.every((word) => texts.get(row).includes(word));
      }
      count.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
      plot?.();
    };
    filter.addEventListener("input", show);
    for (const one of form.elements) if (one !== filter) one.addEventListener("change", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    show(); // a browser may have kept what was typed
  }

  const theme = document.getElementById("theme");
  const dress = () => { document.documentElement.dataset.theme = theme.value; };
  theme.addEventListener("change", dress);
  dress();
})();
