"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    return text === undefined ? row.cells[column].textContent.trim().toLowerCase() : text === "" ? null : Number(text);
  };
  headings.forEach((heading, column) => {
    if (!heading.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    const small = heading.querySelector("small");
    button.append(...[...heading.childNodes].filter((node) => node !== small));
    heading.prepend(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const direction = before ? (before === "descending" ? "ascending" : "descending") : heading.dataset.sort;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", direction);
      const sign = direction === "descending" ? -1 : 1;
      const rows = [...body.rows].filter((row) => !row.classList.contains("unedited"));
      rows.sort((one, other) => {
        const first = value(one, column), second = value(other, column);
        if (first === null || second === null) return (first === null) - (second === null);
        return first < second ? -sign : first > second ? sign : 0;
      });
      body.prepend(...rows);
    });
  });
}
for (const name of [location.hash.slice(1)]) {
  const target = name && document.getElementById(name);
  const folded = target && target.closest("details");
  if (folded) { folded.open = true; target.scrollIntoView(); }
}
