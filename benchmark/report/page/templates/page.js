"use strict";
// Tables and figures can be read without this script; it lets them be saved, and sorts and filters
// tables with several rows.
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

  const save = (name, address) => {
    const link = document.createElement("a");
    link.download = name;
    link.href = address;
    link.click();
  };

  const button = (tools, text, of, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", `${text}: ${of}`);
    made.addEventListener("click", act);
    tools.append(made);
  };

  // The rows that are shown, in the order in which they stand, then heading and notes: a table of
  // synthetic intensities says so wherever it is taken.
  const lines = (box, separator, quoted) => {
    const table = box.querySelector("table");
    const cells = [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map((cell) => {
      const text = cell.textContent.trim().replace(/\s+/g, " ");
      // A spreadsheet would compute a name that begins like a formula.
      return quoted(!cell.classList.contains("figure") && /^'*[=+@-]./.test(text) ? `'${text}` : text);
    }).join(separator));
    const notes = box.nextElementSibling?.matches(".notes") ? [...box.nextElementSibling.children] : [];
    const said = [box.dataset.heading, ...notes.map((note) => note.textContent)];
    return [...cells, ...said.map((text) => quoted(`# ${text.trim()}`)), ""].join("\n");
  };

  const takeable = (tools, box, name) => {
    const said = document.createElement("output");
    button(tools, "Copy as TSV", name, () => {
      navigator.clipboard.writeText(lines(box, "\t", (text) => text)).then(
        () => { said.textContent = "copied"; },
        () => { said.textContent = "the browser refused; download the CSV instead"; },
      );
    });
    button(tools, "Download CSV", name, () => {
      const text = lines(box, ",", (cell) => (/[",]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
      const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      save(`${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`, address);
      URL.revokeObjectURL(address);
    });
    tools.append(said);
  };

  const filterable = (tools, table, name) => {
    const rows = [...table.tBodies[0].rows];
    const label = document.createElement("label");
    const input = document.createElement("input");
    const said = document.createElement("output");
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
  };

  for (const box of document.querySelectorAll(".scroll:has(table)")) {
    const table = box.querySelector("table");
    const name = box.getAttribute("aria-label");
    const tools = document.createElement("div");
    tools.className = "tools";
    box.before(tools);
    // Neither a few rows nor a model card are sorted.
    if (table.tBodies[0].rows.length >= 3 && table.tHead.rows[0].cells.length >= 3) {
      sortable(table);
      filterable(tools, table, name);
    }
    takeable(tools, box, name);
  }

  for (const figure of document.querySelectorAll("figure[data-name]")) {
    const picture = figure.querySelector("img");
    const title = figure.querySelector("strong").textContent;
    button(figure.querySelector(".tools"), "Download SVG", title, () => {
      save(`${figure.dataset.name}.svg`, picture.src);
    });
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
