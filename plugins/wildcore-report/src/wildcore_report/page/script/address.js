// The part of the address after #: the filters, and the case that is open.

const FILTERS = ["q", "run", "protocol", "against", "kind", "outcome", "differ", "before", "tag", "edits", "sort"];
const coded = (text) => encodeURIComponent(wellFormed(text));
const uncoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Return the filters and the case (its parts, still coded) that the address names, or null if it names a place in the page. */
function readAddress() {
  const hash = location.hash.slice(1);
  if (!hash.includes("=")) return hash ? null : {};
  const found = {};
  for (const part of hash.split("&")) {
    const [name, ...rest] = part.split("=");
    if (name === "case") found.case = rest.join("=");
    else if (FILTERS.includes(name)) found[name] = uncoded(rest.join("="));
  }
  return found;
}

const caseAddress = (row) =>
  [summary.runs[index.run[row]].id, index.case[row], ...(index.after_edits[row] === null ? [] : [index.after_edits[row]])]
    .map((part) => coded(String(part))).join(":");

/** Write the filters, and the case in ``row`` (null: none), into the address. ``entry``: the back button undoes it. */
function writeAddress(row, entry = false) {
  const parts = FILTERS.filter((name) => filter[name] !== defaults[name]).map((name) => `${name}=${coded(filter[name])}`);
  if (row !== null) parts.unshift(`case=${caseAddress(row)}`);
  const address = parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
  try {
    if (entry) history.pushState({ entry }, "", address);
    else history.replaceState(row === null ? null : history.state, "", address);
  } catch {
    // a browser limits how often the address may change; the next change writes it
  }
}

/** Return the row of a case as the address writes it. A case id may hold colons that a hand-written link left as they are. */
function rowOf(address) {
  const [run, ...rest] = address.split(":").map(uncoded);
  const position = summary.runs.findIndex((candidate) => candidate.id === run);
  const whole = rest.join(":");
  const before = rest.slice(0, -1).join(":");
  const edits = /^\d+$/.test(rest.at(-1) ?? "") ? Number(rest.at(-1)) : null;
  let loose = null;
  for (let row = 0; row < index.rows; row++) {
    if (index.run[row] !== position) continue;
    if (index.case[row] === before && index.after_edits[row] === edits) return row;
    if (index.case[row] === whole) loose = row; // without a judging point: the last one
  }
  return loose;
}
