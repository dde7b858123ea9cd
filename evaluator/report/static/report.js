// Sortable tables and the choice of light or dark. Without this script every page says the same.
"use strict";

(function () {
  const root = document.documentElement;

  function remembered() {
    try { return localStorage.getItem("umd-theme"); } catch { return null; }
  }

  function remember(theme) {
    try { localStorage.setItem("umd-theme", theme); } catch { /* a file share may forbid it; the choice then lasts for this page */ }
  }

  const wished = matchMedia("(prefers-color-scheme: dark)");
  let chosen = remembered();

  function paint() {
    root.dataset.theme = chosen ?? (wished.matches ? "dark" : "light");
    for (const button of document.querySelectorAll("button[data-theme-switch]")) {
      button.textContent = root.dataset.theme === "dark" ? "Light colours" : "Dark colours";
    }
  }

  function wireTheme(button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      remember(chosen);
      paint();
    });
  }

  wished.addEventListener("change", paint);
  paint();

  // A cell sorts by data-v where it has one, as a number if it is one; cells without a figure go last, either way.
  function key(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    if (text === "" || text === "–") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  }

  function compare(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sort(table, column, heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row, place) => ({ row, place, key: key(row, column) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
      return (down ? -1 : 1) * compare(a.key, b.key) || a.place - b.place;
    });
    body.append(...rows.map((one) => one.row));
  }

  function wireTable(table) {
    const headings = table.tHead.rows[table.tHead.rows.length - 1].cells;
    Array.from(headings).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("button[data-theme-switch]").forEach(wireTheme);
    paint();
    document.querySelectorAll("table.sortable").forEach(wireTable);
  });
})();
