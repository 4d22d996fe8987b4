// Numbers, tables, figures, and JSON values as trees.

const LONG_TABLE = 15; // rows shown of a longer table
const count = (number) => number.toLocaleString("en");
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

const tiny = (value) => value !== 0 && Math.abs(value) < 0.0005;
const decimalsOf = (value) => (tiny(value) ? 0 : (value.toFixed(3).replace(/\.?0+$/, "").split(".")[1] ?? "").length);
const places = (value, decimals) =>
  tiny(value) ? value.toPrecision(2) : value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
const decimal = (value) => places(value, decimalsOf(value));

/** Return how the numbers of a column are written: all with as many decimals as one of them needs, at most three. */
function writer(values) {
  const decimals = Math.max(0, ...values.filter((value) => typeof value === "number").map(decimalsOf));
  return (value) => {
    if (value === null) return h("span", { class: "none", title: "no value" }, "–");
    return typeof value === "number" ? places(value, decimals) : bdi(String(value));
  };
}

function table({ title, columns, rows, align }) {
  const writers = columns.map((_, column) => writer(rows.map((row) => row[column])));
  const numeric = columns.map((_, column) =>
    align ? align[column] === "right" : rows.some((row) => typeof row[column] === "number"),
  );
  const kind = (value, column) => (typeof value === "string" && value.length > 28 ? "prose" : "") + (numeric[column] ? " number" : "");
  const cell = (value, column) =>
    h(column ? "td" : "th", { scope: column ? null : "row", class: kind(value, column) || null }, writers[column](value));
  const body = rows.map((row, position) => h("tr", { class: position >= LONG_TABLE && "more" }, row.map(cell)));
  const head = columns.map((name, column) => h("th", { scope: "col", class: numeric[column] && "number" }, bdi(name)));
  const element = h(
    "table", {}, title && h("caption", {}, h("span", {}, bdi(title))), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body),
  );
  const parts = [scrollable(title || "Numbers", { class: "wide" }, element)];
  if (rows.length > LONG_TABLE) {
    element.classList.add("folded");
    const printed = h("p", { class: "printed" }, `These are ${LONG_TABLE} of ${count(rows.length)} rows; show all to print them.`);
    const button = h("button", { type: "button" }, `Show all ${count(rows.length)} rows`);
    button.addEventListener("click", () => {
      element.classList.remove("folded");
      printed.remove();
      button.remove();
    });
    parts.push(button, printed);
  }
  return parts;
}

const simple = (value) => value === null || typeof value !== "object";
const listed = (value) => Array.isArray(value) && value.length > 0 && value.every(simple);

/** Return a JSON value without parts, or a list of such, as one text; null for others. */
function flat(value) {
  if (value === null) return "none";
  if (typeof value !== "object") return String(value);
  if (listed(value)) return value.map((item) => item ?? "none").join(", ");
  return Object.keys(value).length ? null : "empty";
}

/** Return a JSON value as nested lists that unfold; ``key`` tells it from others on the page. */
function tree(value, key) {
  const text = flat(value);
  if (text !== null) return h("span", { class: "value" }, bdi(text));
  const entry = ([name, item]) => {
    const label = h("span", { class: "name" }, bdi(Array.isArray(value) ? String(Number(name) + 1) : name));
    const inner = () => tree(item, `${key}/${name}`);
    const long = listed(item) && item.length > LONG_TABLE;
    if (flat(item) !== null && !long) return h("li", {}, label, " ", inner());
    return h("li", {}, unfold(`${key}/${name}`, [label, long && ` (${count(item.length)})`], inner));
  };
  return h("ul", { class: "tree" }, Object.entries(value).map(entry));
}

const picture = (address) => (/^data:image\/(svg\+xml|png)[;,]\S*$/.test(address) ? address : null);

function figure(data, level = "h3") {
  const image = h("img", {
    src: picture(data.svg.light), alt: data.alt, width: data.width, height: data.height, decoding: "async",
  });
  const dark = picture(data.svg.dark);
  const sources = dark && h("source", { media: "screen and (prefers-color-scheme: dark)", srcset: dark });
  return h(
    "figure", { id: `figure-${data.id}` },
    h(level, { class: "figure-title" }, bdi(data.title)),
    scrollable(data.title, { class: "picture" }, h("picture", {}, sources, image)),
    h("figcaption", {}, bdi(data.caption)),
    unfold(`figure-${data.id}`, "The numbers as a table", () => table(data.table)),
  );
}
