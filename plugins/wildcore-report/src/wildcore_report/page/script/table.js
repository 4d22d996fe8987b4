// The table of cases: only the rows on the screen are elements; the keyboard moves an active row.

const several = (values) => new Set(values).size > 1;
const runWord = () => (summary.runs.every((run) => run.name === run.editor) ? "Editor" : "Run");

/** Return the width of a column for the longest of ``texts``, within bounds in characters; most are narrower than a digit. */
const widthFor = (texts, least, most) =>
  `${Math.ceil(0.9 * Math.min(most, texts.reduce((length, text) => Math.max(length, text.length), least)))}ch`;

/** Return the columns: key, title, class, and what a cell shows. */
function columns() {
  const sign = (text, row) => {
    const [mark, word] = SIGNS[text[row] ?? "-"];
    return h("span", { class: `outcome ${word.replace(" ", "-")}` }, h("span", { "aria-hidden": "true" }, mark), ` ${word}`);
  };
  const mine = signs(filter.protocol);
  const other = signs(filter.against);
  const before = rightBefore();
  const words = { h: "right", f: "wrong", r: "refused", u: "unscored" };
  const scores = index.score[column(filter.protocol)];
  return [
    ["case", "Case", "case", (row) => h("bdi", {}, inLine(index.case[row]))],
    ["question", "Question", "question", (row) =>
      h("a", { href: `#case=${caseAddress(row)}`, tabindex: "-1", dir: "auto" }, inLine(index.question[row].slice(0, 300)))],
    ["target", "Target", "target", (row) => h("bdi", {}, inLine(index.target[row].slice(0, 200)))],
    several(index.run) && ["run", runWord(), "run", (row) => h("bdi", {}, inLine(summary.runs[index.run[row]].name))],
    several(index.after_edits) && ["edits", "Edits", "edits number", (row) =>
      index.after_edits[row] === null ? "–" : count(index.after_edits[row])],
    filter.against && ["against", filter.against, "sign", (row) => sign(other, row)],
    ["outcome", filter.protocol, "sign", (row) => sign(mine, row)],
    ["score", "Score", "score number", (row) => (scores?.[row] ?? null) === null ? "–" : scores[row].toFixed(2)],
    ["before", "Before", "before", (row) => words[before[row]] ?? "–"],
    ["tokens", "Tokens", "tokens number", (row) => index.tokens[row] || "–"],
  ].filter(Boolean);
}

const grid = h("div", {
  id: "grid", role: "grid", tabindex: "0", "aria-labelledby": "cases-title", "aria-describedby": "grid-keys",
});
const head = h("div", { class: "row head", role: "row", "aria-rowindex": "1" });
const body = h("div", { class: "rows", role: "rowgroup" });
grid.append(h("div", { role: "rowgroup", class: "heads" }, head), body);
let shownColumns = [];
let active = 0; // position in ``rows`` of the row that the keyboard is on
let painted = ""; // what the rows on the screen were drawn from

const rowHeight = () => parseFloat(getComputedStyle(grid).getPropertyValue("--row")) || 40;

function paintHead() {
  shownColumns = columns();
  grid.style.setProperty("--columns", shownColumns.map(([key]) => `var(--${key})`).join(" "));
  grid.setAttribute("aria-colcount", shownColumns.length);
  grid.style.setProperty("--run", widthFor(summary.runs.map((run) => run.name), 7, 22));
  grid.style.setProperty("--case", widthFor(index.case, 5, 14));
  const [name, direction] = filter.sort.split("-");
  const focused = head.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
  head.replaceChildren(...shownColumns.map(([key, title, kind]) => {
    const now = name === key ? (direction === "down" ? "descending" : "ascending") : "none";
    const next = now === "ascending" ? `${key}-down` : now === "descending" ? "" : key;
    const arrow = { ascending: " ↑", descending: " ↓", none: "" }[now];
    const button = h("button", { type: "button", "data-sort": key, title, click: () => change({ sort: next }) }, bdi(title),
      h("span", { "aria-hidden": "true" }, arrow));
    return h("div", { role: "columnheader", class: kind, "aria-sort": now }, button);
  }));
  if (focused) head.querySelector(`[data-sort="${focused}"]`)?.focus();
}

/** Draw the rows that are on the screen, and a few around them. */
function paintRows() {
  const height = rowHeight();
  const from = Math.max(0, Math.floor(grid.scrollTop / height) - 8);
  const to = Math.min(rows.length, Math.ceil((grid.scrollTop + grid.clientHeight) / height) + 8);
  const key = `${from} ${to} ${height} ${active} ${generation}`;
  if (key === painted) return;
  painted = key;
  body.style.height = `${rows.length * height}px`;
  const elements = [];
  for (let position = from; position < to; position++) {
    const row = rows[position];
    const cells = shownColumns.map(([key, title, kind, cell]) =>
      h("div", { role: "gridcell", class: kind, "data-column": key, "data-title": title }, cell(row)));
    const element = h("div", {
      role: "row", class: "row", id: `row-${row}`, "aria-rowindex": position + 2, "aria-selected": String(position === active),
      "data-position": position,
    }, cells);
    element.style.top = `${position * height}px`;
    elements.push(element);
  }
  body.replaceChildren(...elements);
  if (active >= from && active < to) grid.setAttribute("aria-activedescendant", `row-${rows[active]}`);
  else grid.removeAttribute("aria-activedescendant");
}

let asked = 0;
const repaint = () => {
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(paintRows);
};

function moveTo(position) {
  active = Math.max(0, Math.min(rows.length - 1, position));
  const height = rowHeight();
  const top = active * height;
  const space = grid.clientHeight - body.offsetTop;
  if (top < grid.scrollTop) grid.scrollTop = top;
  else if (top + height > grid.scrollTop + space) grid.scrollTop = top + height - space;
  paintRows();
}

grid.addEventListener("scroll", repaint, { passive: true });
new ResizeObserver(repaint).observe(grid);
grid.addEventListener("click", (event) => {
  const row = event.target.closest("[data-position]");
  if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  active = Number(row.dataset.position);
  paintRows();
  openCase(rows[active], true);
});
grid.addEventListener("keydown", (event) => {
  if (event.target !== grid || event.ctrlKey || event.metaKey || event.altKey || !rows.length) return;
  const page = Math.max(1, Math.floor(grid.clientHeight / rowHeight()) - 2);
  const target = {
    ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: rows.length - 1,
  }[event.key];
  if (target !== undefined) moveTo(target);
  else if (event.key === "Enter" || event.key === " ") openCase(rows[active], true);
  else return;
  event.preventDefault();
});
