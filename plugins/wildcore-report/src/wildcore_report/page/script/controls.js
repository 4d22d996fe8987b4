// The controls above the table: search, filters, outcomes, and what a change of them does.

function select(name, label, options, attributes = {}) {
  const control = h("select", { id: `filter-${name}`, change: (event) => change({ [name]: event.target.value }) });
  fillSelect(control, options, filter[name]);
  return h("label", { class: "control", for: `filter-${name}`, ...attributes }, h("span", {}, label), control);
}

function fillSelect(control, options, value) {
  const option = ([key, text]) => h("option", { value: key }, inLine(text));
  control.replaceChildren(...options.map((entry) =>
    Array.isArray(entry[1]) ? h("optgroup", { label: entry[0] }, entry[1].map(option)) : option(entry)));
  control.value = value;
}

const TAGS_LISTED = 1000;

/** Return the options of the filter by tag, grouped by the tag's name. */
function tagOptions() {
  const counts = new Map();
  for (const tags of index.tags) for (const tag of tags) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  const groups = new Map();
  const listed = [...counts].sort(([, one], [, two]) => two - one).slice(0, TAGS_LISTED);
  for (const [tag, number] of listed.sort(([one], [two]) => (one < two ? -1 : 1))) {
    const [name] = tag.split("=");
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push([tag, `${tag.slice(name.length + 1, name.length + 80)} (${count(number)})`]);
  }
  const options = [["", "any"], ...groups];
  if (counts.size > TAGS_LISTED) options.push([`${count(counts.size - TAGS_LISTED)} rarer values are not listed`, []]);
  return options;
}

const pairs = (names) => names.map((name) => [name, name]);

/** Return the options of each filter that is a choice from a list. */
function choices() {
  const names = summary.protocols.map((protocol) => protocol.name);
  const edits = [...new Set(index.after_edits)].filter((value) => value !== null).sort((a, b) => a - b);
  const sortable = columns().flatMap(([key, title]) => [[key, `${title} ↑`], [`${key}-down`, `${title} ↓`]]);
  return {
    run: [["", "all"], ...summary.runs.map((run) => [run.id, run.name])],
    kind: pairs(summary.kinds),
    protocol: pairs(names),
    against: [["", "none"], ...pairs(names)],
    before: [["", "right or wrong"], ["h", "right"], ["f", "wrong"], ["u", "unscored"]],
    tag: tagOptions(),
    edits: [["", "all"], ...edits.map((value) => [String(value), count(value)])],
    sort: [["", "as in the runs"], ...sortable],
  };
}

const search = h("input", {
  id: "filter-q", type: "search", placeholder: "words of question, target or answers", autocomplete: "off", spellcheck: "false",
  input: () => change({ q: search.value }),
});
const outcomes = h("div", { class: "outcomes", role: "group", "aria-label": "Outcome" });
const number = h("p", { id: "count" });
const controls = h("form", { class: "controls", role: "search", "aria-label": "Cases", submit: (event) => event.preventDefault() });
const casesSection = h("section", { id: "cases", "aria-labelledby": "cases-title", tabindex: "-1" },
  h("h2", { id: "cases-title" }, "Cases"), h("p", { id: "cases-state" }, "Reading the cases…"));

function paintOutcomes(counts) {
  const total = Object.values(counts).reduce((one, two) => one + two, 0);
  const button = (key, mark, word, amount) =>
    h("button", {
      type: "button", "aria-pressed": String(filter.outcome === key), class: `chip ${word}`, "data-outcome": key,
      click: () => change({ outcome: filter.outcome === key ? "" : key }),
    }, mark && h("span", { "aria-hidden": "true" }, `${mark} `), `${word} `, h("span", { class: "amount" }, count(amount)));
  const focused = outcomes.contains(document.activeElement) ? document.activeElement.dataset.outcome : null;
  outcomes.replaceChildren(
    button("", "", "all", total),
    ...Object.entries(SIGNS).filter(([key]) => key !== "-" || counts["-"]).map(([key, [mark, word]]) =>
      button(key, mark, word.replace(" ", "-"), counts[key])));
  if (focused !== null) outcomes.querySelector(`[data-outcome="${focused}"]`)?.focus();
}

function drawControls() {
  const options = choices();
  const folding = h("button", { // on a phone the filters would push the table off the screen
    type: "button", class: "folding", "aria-expanded": "false",
    click: () => folding.setAttribute("aria-expanded", String(!controls.classList.toggle("folded"))),
  }, "Filters");
  const differ = h("input", {
    type: "checkbox", id: "filter-differ", change: (event) => change({ differ: event.target.checked ? "1" : "" }),
  });
  controls.replaceChildren(
    h("label", { class: "control search", for: "filter-q" }, h("span", {}, "Search ", h("kbd", {}, "/")), search),
    folding,
    select("run", runWord(), options.run, { hidden: summary.runs.length < 2 }),
    select("kind", "Probe", options.kind),
    select("protocol", "Outcome under", options.protocol),
    select("against", "Beside", options.against),
    select("before", "Before the edit", options.before),
    select("tag", "Tag", options.tag, { hidden: options.tag.length < 2 }),
    select("edits", "Judged after edits", options.edits, { hidden: options.edits.length < 3 }),
    select("sort", "Sort by", options.sort, { class: "control sort" }),
    h("label", { class: "control check", for: "filter-differ" }, differ, h("span", {}, "only where the two protocols differ")));
  controls.classList.add("folded");
  const reset = h("button", { type: "button", id: "reset", click: () => change({ ...defaults }) }, "Clear all filters");
  casesSection.replaceChildren(
    h("h2", { id: "cases-title" }, "Cases"),
    controls,
    h("div", { class: "bar" }, outcomes, number, reset),
    h("p", { id: "grid-keys", class: "unseen" }, "Arrow keys move between the cases, Enter opens one."),
    grid,
    h("p", { class: "printed" }, `The table of ${plural(summary.case_count, "case record")} is not printed; open a case to print it.`));
}

/** Bring the controls in step with the filters and, where the run grew, with the data. */
function syncControls(options = null) {
  search.value = filter.q;
  for (const control of controls.querySelectorAll("select")) {
    const name = control.id.slice("filter-".length);
    if (options) fillSelect(control, options[name], filter[name]);
    else control.value = filter[name];
  }
  if (options)
    for (const [name, least] of [["run", 3], ["tag", 2], ["edits", 3]])
      byId(`filter-${name}`).parentElement.hidden = options[name].length < least;
  byId("filter-differ").checked = Boolean(filter.differ);
}

let generation = 0; // counts how often ``rows`` changed
let announcing = 0;

function say(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => byId("announcer").replaceChildren(text), 400);
}

/** Apply the filters and draw what passes. ``keep`` holds the row that was active where it was. */
function apply(keep = null) {
  const started = performance.now();
  const [found, counts] = passing();
  rows = sorted(found);
  generation++;
  active = keep === null ? 0 : Math.max(0, rows.indexOf(keep));
  if (keep === null) grid.scrollTop = 0;
  paintHead();
  paintOutcomes(counts);
  const text = `${count(rows.length)} of ${plural(index.rows, "case record")}`;
  number.replaceChildren(text);
  grid.setAttribute("aria-rowcount", rows.length + 1);
  grid.classList.toggle("empty", !rows.length);
  paintRows();
  byId("reset").disabled = FILTERS.every((name) => filter[name] === defaults[name]);
  say(rows.length ? text : "No case passes these filters.");
  performance.measure("filter", { start: started, end: performance.now() });
}

function change(values) {
  Object.assign(filter, values);
  syncControls();
  apply();
  writeAddress(null);
}
