// Which rows of the index pass the filters, and in which order.

const SIGNS = { h: ["✓", "held"], f: ["✗", "failed"], r: ["∅", "refused"], u: ["?", "unscored"], "-": ["–", "not asked"] };

let index = null;
let rows = []; // the rows of the index that pass, in order
const defaults = Object.fromEntries(FILTERS.map((name) => [name, ""]));
const filter = { ...defaults };

function setDefaults() {
  const names = summary.protocols.map((protocol) => protocol.name);
  defaults.protocol = names.includes("wild") ? "wild" : names[0] ?? "";
  const others = names.filter((name) => name !== defaults.protocol);
  defaults.against = others.includes("synthetic") ? "synthetic" : others[0] ?? "";
  defaults.kind = summary.kinds.includes("reliability") ? "reliability" : summary.kinds[0] ?? "";
}

const column = (protocol) => `${protocol}|${filter.kind}`;
const signs = (protocol) => index.by[column(protocol)] ?? "";
const rightBefore = () => index.right_before[column(filter.protocol)] ?? "";

/** Return the rows that pass all filters, and how often each outcome stands among those that pass the others. */
function passing() {
  const words = filter.q.toLowerCase().split(/\s+/).filter(Boolean);
  const run = summary.runs.findIndex((candidate) => candidate.id === filter.run);
  const mine = signs(filter.protocol);
  const other = signs(filter.against);
  const before = rightBefore();
  const edits = filter.edits === "" ? null : Number(filter.edits);
  const counts = { h: 0, f: 0, r: 0, u: 0, "-": 0 };
  const found = [];
  for (let row = 0; row < index.rows; row++) {
    if (filter.run && index.run[row] !== run) continue;
    if (edits !== null && index.after_edits[row] !== edits) continue;
    if (filter.before && before[row] !== filter.before) continue;
    if (filter.tag && !index.tags[row].includes(filter.tag)) continue;
    const sign = mine[row] ?? "-";
    if (filter.differ && (sign === (other[row] ?? "-") || sign === "-" || (other[row] ?? "-") === "-")) continue;
    const text = index.search[row];
    if (!words.every((word) => text.includes(word))) continue;
    counts[sign]++;
    if (!filter.outcome || sign === filter.outcome) found.push(row);
  }
  return [found, counts];
}

const KEYS = {
  case: (row) => index.case[row].toLowerCase(),
  question: (row) => index.question[row].toLowerCase(),
  target: (row) => index.target[row].toLowerCase(),
  run: (row) => index.run[row],
  edits: (row) => index.after_edits[row] ?? -1,
  against: (row) => "hfru-".indexOf(signs(filter.against)[row] ?? "-"),
  outcome: (row) => "hfru-".indexOf(signs(filter.protocol)[row] ?? "-"),
  score: (row) => index.score[column(filter.protocol)]?.[row] ?? -Infinity,
  before: (row) => "hfru-".indexOf(rightBefore()[row] ?? "-"),
  tokens: (row) => index.tokens[row],
};

function sorted(found) {
  const [name, direction] = filter.sort.split("-");
  const key = KEYS[name];
  if (!key) return found;
  const keys = new Map(found.map((row) => [row, key(row)]));
  const sign = direction === "down" ? -1 : 1;
  return found.sort((one, two) => {
    const a = keys.get(one);
    const b = keys.get(two);
    return a < b ? -sign : a > b ? sign : one - two;
  });
}
