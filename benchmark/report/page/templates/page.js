"use strict";
// Tables can be read without this script; it adds sorting and filtering to those with several rows.
(() => {
  const number = (text) => {
    const found = /^[<>]?\s*([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/i.exec(text.trim());
    return found ? Number(found[1]) : null;
  };

  // Figures by size, words by alphabet, and what is missing (a dash) last either way.
  const compare = (a, b, direction) => {
    const missing = (text) => text === "" || text === "-";
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const [x, y] = [number(a), number(b)];
    if (x !== null && y !== null) return direction * (x - y);
    return direction * a.localeCompare(b, "en", { numeric: true });
  };

  const sortable = (table) => {
    const headers = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    headers.forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.replaceChildren(button);
      header.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        // Figures are asked for from the top, words from A.
        const first = header.classList.contains("figure") ? "descending" : "ascending";
        const other = first === "descending" ? "ascending" : "descending";
        const order = header.getAttribute("aria-sort") === first ? other : first;
        headers.forEach((each) => each.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", order);
        const cell = (row) => row.cells[column].textContent.trim();
        const direction = order === "ascending" ? 1 : -1;
        const rows = [...body.rows].sort((a, b) => compare(cell(a), cell(b), direction));
        body.append(...rows);
      });
    });
  };

  const filterable = (table, box, name) => {
    const rows = [...table.tBodies[0].rows];
    const tools = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const said = document.createElement("output");
    tools.className = "tools";
    label.append("Filter rows ", input);
    input.type = "search";
    input.setAttribute("aria-label", `Filter rows of: ${name}`);
    said.textContent = `${rows.length} rows`;
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      said.textContent = `${shown} of ${rows.length} rows`;
    });
    tools.append(label, said);
    box.before(tools);
  };

  for (const box of document.querySelectorAll(".scroll:has(table)")) {
    const table = box.querySelector("table");
    if (table.tBodies[0].rows.length < 3) continue;
    if (table.tHead.rows[0].cells.length < 3) continue; // a model card
    sortable(table);
    filterable(table, box, box.getAttribute("aria-label"));
  }

  // What is folded away is printed all the same.
  const folded = [...document.querySelectorAll("details")];
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folded.filter((each) => !each.open);
    closed.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));
})();
