// The results: the first screen, the sections, and the list of them.

let summary = null;
const drawn = new Map();

/** Return the element drawn before under ``id`` if the data is the same, so that nothing flickers while a run is going on. */
function kept(id, data, draw) {
  const key = JSON.stringify(data);
  if (drawn.get(id)?.key !== key) drawn.set(id, { key, element: draw() });
  return drawn.get(id).element;
}

function dateOf(created) {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/.exec(created);
  return found ? `${found[1]} ${found[2]}${/(Z|\+00:00)$/.test(created) ? " UTC" : ""}` : created;
}

/** Return a headline whose run and numbers are found at a glance; what it says in parentheses is smaller. */
function headline(text) {
  const run = summary.runs.find(({ name }) => text.startsWith(`${name}: `));
  const rest = run ? text.slice(run.name.length + 1) : text;
  const parts = rest.split(/(\([^()]*\))/).map((part, i) =>
    i % 2
      ? h("small", {}, bdi(part))
      : part.split(/((?<![\w.-])[+−-]?\d+(?:\.\d+)+(?!\w))/).map((piece, j) => (j % 2 ? h("b", {}, piece) : bdi(piece))));
  return h("p", { class: "headline" }, run && h("strong", {}, bdi(run.name), ":"), parts);
}

function runItem(run) {
  const draw = () => [
    !run.finished && h("p", { class: "notice" }, `Unfinished: ${count(run.done)} of ${count(run.cases)} cases.`),
    run.headline && h("p", {}, bdi(run.headline)),
    list(run.notes, "Notes"),
    list(run.collapse, "Signs that the model collapsed"),
    h("dl", { class: "facts" }, [
      ["Editor", run.editor], ["Model", `${run.model} (${run.dtype})`], ["Dataset", run.dataset], ["Schedule", run.schedule],
      ["Cases", count(run.cases)], ["Folder", run.path],
    ].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, bdi(value))])),
    h("p", {}, "The command that makes it again:"),
    quoted(run.command, { class: "code" }),
    unfold(`manifest-${run.id}`, "Manifest: everything the results depend on", () => tree(run.manifest, `manifest-${run.id}`)),
  ];
  const line = [
    h("strong", {}, bdi(run.name)), " ", h("span", { class: "how" }, bdi(run.how)),
    !run.finished && h("span", { class: "badge" }, `unfinished, ${count(run.done)} of ${count(run.cases)}`),
    run.collapse.length > 0 && h("span", { class: "badge" }, `⚠ ${plural(run.collapse.length, "sign")} of collapse`),
  ];
  return h("li", {}, unfold(`run-${run.id}`, line, draw));
}

function list(entries, title, level = "h3") {
  if (!entries.length) return null;
  return [title && h(level, {}, title), h("ul", { class: "plain" }, entries.map((entry) => h("li", {}, bdi(entry))))];
}

function protocolsTable() {
  const columns = ["Protocol", "Question put as", "Generator", "Truncator", "Metrics", "Differs from"];
  const metrics = (protocol) =>
    Object.entries(protocol.metrics).filter(([, names]) => names.length)
      .map(([kind, names]) => `${kind}: ${names.join(", ")}`).join("; ");
  const rows = summary.protocols.map((protocol) => [
    protocol.name, protocol.context, protocol.generator, protocol.truncator, metrics(protocol),
    protocol.variant_of ? `${protocol.variant_of}: ${protocol.differences.join("; ")}` : null,
  ]);
  return table({ columns: columns.slice(0, rows.some((row) => row[5]) ? 6 : 5), rows });
}

function overview(gap) {
  const first = gap && figures.get(gap.figures[0]);
  const sentences = summary.headline.map(headline);
  const made = `wildcore ${summary.wildcore}, ${dateOf(summary.created)}`;
  return [
    h("p", { class: "made" }, made, live && h("span", { class: "badge", id: "live" }, "live")),
    h("div", { class: "first" },
      h("div", { class: "words" },
        sentences.slice(0, 5),
        sentences.length > 5 && unfold("headlines", `${count(sentences.length - 5)} more`, () => sentences.slice(5))),
      first && figure(first, "h2")),
    h("h2", { class: "small", id: "how" }, "How it was obtained"),
    h("ul", { class: "runs" }, summary.runs.map((run) => kept(`run-${run.id}`, run, () => runItem(run)))),
    summary.protocols.length > 0 && unfold("protocols", "The protocols: how each asks, generates, cuts and scores", protocolsTable),
    summary.notes.length > 0 &&
      unfold("notes", plural(summary.notes.length, "note on what is left out or replaced", "notes on what is left out or replaced"),
        () => list(summary.notes)),
  ];
}

function section(data, withoutFirst) {
  const named = data.figures.slice(withoutFirst ? 1 : 0).map((id) => figures.get(id)).filter(Boolean);
  if (withoutFirst && !named.length && !data.tables.length && !data.text.length) return null;
  return h("section", { id: data.id, "aria-labelledby": `${data.id}-title`, tabindex: "-1" },
    h("h2", { id: `${data.id}-title` }, bdi(data.title)),
    h("div", { class: named.length === 1 ? "beside" : "" },
      named.length > 0 && h("div", { class: "figures" }, named.map((data) => figure(data))),
      h("div", { class: "prose" }, data.text.map((paragraph) => h("p", {}, bdi(paragraph))))),
    data.tables.map(table));
}

let figures = new Map();

/** Draw everything but the table of cases, which is updated on its own. */
function draw(cases) {
  const open = new Set(Array.from(document.querySelectorAll("main details[open]"), (details) => details.dataset.key));
  figures = new Map(summary.figures.map((data) => [data.id, data]));
  const gap = summary.sections.find((data) => data.id === "gap") ?? summary.sections[0];
  document.title = summary.title;
  byId("title").replaceChildren(bdi(summary.title));
  const top = kept("overview", [summary, figures.get(gap?.figures[0])], () => h("div", { class: "overview" }, overview(gap)));
  const drawnSections = summary.sections
    .map((data) => kept(`section-${data.id}`, [data, data.figures.map((id) => figures.get(id))], () => section(data, data === gap)))
    .filter(Boolean);
  const parts = [top, ...drawnSections, cases];
  const main = byId("content");
  if (parts.some((part, position) => main.children[position + 1] !== part)) {
    for (const child of [...main.children].slice(1)) if (!parts.includes(child)) child.remove();
    parts.forEach((part, position) => {
      if (main.children[position + 1] !== part) main.insertBefore(part, main.children[position + 1] ?? null);
    });
  }
  for (const details of document.querySelectorAll("main details")) if (open.has(details.dataset.key)) details.open = true;
  const link = (part, text) => h("a", { href: `#${part.id}` }, text);
  byId("contents").replaceChildren(
    h("ul", {}, drawnSections.map((part) => h("li", {}, link(part, part.querySelector("h2").textContent)))),
    link(cases, `Cases (${count(summary.case_count)})`));
}
