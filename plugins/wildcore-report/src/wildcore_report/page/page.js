"use strict";
(() => {
  // Everything from the data becomes text of nodes or the value of attributes, never markup: no innerHTML anywhere.

  /* ---------------------------------------------------------------- elements ---------------------------------------------- */

  const SIGNS = { h: ["✓", "held"], f: ["✗", "failed"], r: ["∅", "refused"], u: ["?", "unscored"], "-": ["–", "not asked"] };
  const LONG_TEXT = 2000; // characters shown of a longer text until a reader asks for all
  const LONG_TABLE = 15; // rows shown of a longer table
  const COMPARED_WORDS = 400; // words of an answer in which differences are marked
  const KEPT_CHUNKS = 12; // chunks of cases held in memory
  const POLL = 2000; // milliseconds between two questions for a new version

  const byId = (id) => document.getElementById(id);
  const wellFormed = (value) => (value.toWellFormed ? value.toWellFormed() : value.replace(/\p{Surrogate}/gu, "\ufffd"));

  /** Create an element. Functions among the attributes become listeners; null, undefined and false are left out. */
  function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (typeof value === "function") element.addEventListener(name, value);
      else element.setAttribute(name, value === true ? "" : wellFormed(String(value)));
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }

  /** Details that draw what they hold when they are first opened. ``key`` lets a redrawn page find them open again. */
  function unfold(key, summary, draw, attributes = {}) {
    const details = h("details", { "data-key": key, ...attributes }, h("summary", {}, summary));
    let drawn = false;
    const fill = () => {
      if (!drawn) details.append(...[draw()].flat(Infinity).filter(Boolean));
      drawn = true;
    };
    details.addEventListener("toggle", () => details.open && fill());
    if (details.open) fill();
    return details;
  }

  // Regions that scroll sideways take the focus, so that the keyboard reaches what lies outside; others need no stop.
  const overflow = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth + 1) target.setAttribute("tabindex", "0");
      else target.removeAttribute("tabindex");
    }
  });

  function scrollable(label, attributes, ...children) {
    const region = h("div", { role: "region", "aria-label": label, ...attributes }, ...children);
    overflow.observe(region);
    return region;
  }

  /* ---------------------------------------------------------------- text from models and datasets ------------------------- */

  const HIDDEN = /[\p{Cc}\p{Bidi_Control}\p{Surrogate}\u00ad\u200b\u2028\u2029\u2060-\u2064\ufeff\u{e0000}-\u{e007f}]/u;
  const EACH_HIDDEN = new RegExp(HIDDEN, "gu");
  const CONTROLS = "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US";
  const NAMES = {
    ...Object.fromEntries(CONTROLS.split(" ").map((name, code) => [String.fromCharCode(code), name])), "\x7f": "DEL",
    "\u061c": "ALM", "\u200e": "LRM", "\u200f": "RLM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO",
    "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\u200b": "ZWSP", "\ufeff": "BOM",
  };

  const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

  /** Return what stands for a character that has no picture of its own, or that changes the order of others. */
  function symbol(character) {
    return `[${NAMES[character] ?? codePoint(character)}]`;
  }

  /** Return ``text`` in one line, hidden characters made visible. */
  const inLine = (text) => text.replaceAll("\n", " ↵ ").replace(EACH_HIDDEN, symbol);

  /** Return ``text`` as nodes: hidden characters as marks, and the end of each line marked. */
  function shown(text) {
    if (!HIDDEN.test(text)) return [text];
    const nodes = [];
    let from = 0;
    for (const found of text.matchAll(EACH_HIDDEN)) {
      nodes.push(text.slice(from, found.index));
      const [character] = found;
      if (character === "\n") nodes.push(h("span", { class: "sign", "aria-hidden": "true" }, "↵"), "\n");
      else nodes.push(h("span", { class: "sign", title: codePoint(character) }, symbol(character)));
      from = found.index + character.length;
    }
    nodes.push(text.slice(from));
    return nodes;
  }

  /** Return ``text`` in an element of its own direction. A long one is cut, with a button that shows all. ``draw`` makes the nodes. */
  function quoted(text, attributes = {}, draw = shown) {
    const element = h("div", { dir: "auto", ...attributes, class: `text ${attributes.class ?? ""}` });
    if (text.length <= LONG_TEXT) {
      element.append(...draw(text));
      return element;
    }
    const start = text.slice(0, LONG_TEXT).replace(/[\ud800-\udbff]$/, "");
    const whole = () => element.replaceChildren(text.replace(new RegExp(`(?!\\n)${HIDDEN.source}`, "gu"), symbol));
    const button = h("button", { type: "button", click: whole }, `Show all ${text.length.toLocaleString("en")} characters`);
    element.append(...draw(start), "… ", button);
    return element;
  }

  const bdi = (text) => h("bdi", {}, ...shown(text));

  /* ---------------------------------------------------------------- words that differ ------------------------------------- */

  const SEGMENTER = new Intl.Segmenter(undefined, { granularity: "word" });

  /** Return the segments of ``text``; those that are no words, such as spaces, have no ``word``. */
  function segments(text) {
    return Array.from(SEGMENTER.segment(text), ({ segment, isWordLike }) => ({
      text: segment,
      word: isWordLike ? segment.toLowerCase() : null,
    }));
  }

  /** Return, for each of two lists of words, the set of positions outside their longest common subsequence. */
  function differing(one, two) {
    const width = two.length + 1;
    const longest = new Uint16Array((one.length + 1) * width);
    for (let i = one.length - 1; i >= 0; i--)
      for (let j = two.length - 1; j >= 0; j--)
        longest[i * width + j] =
          one[i] === two[j]
            ? longest[(i + 1) * width + j + 1] + 1
            : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    const onlyOne = new Set(one.keys());
    const onlyTwo = new Set(two.keys());
    for (let i = 0, j = 0; i < one.length && j < two.length; ) {
      if (one[i] === two[j]) {
        onlyOne.delete(i++);
        onlyTwo.delete(j++);
      } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
      else j++;
    }
    return [onlyOne, onlyTwo];
  }

  const wordSegments = (text) =>
    segments(text.slice(0, LONG_TEXT)).filter((segment) => segment.word !== null).slice(0, COMPARED_WORDS);
  const wordsOf = (text) => wordSegments(text).map((segment) => segment.word);

  /** Return how to draw an answer with the words at the positions ``marked`` in an element ``tag``. */
  function drawMarked(marked, tag) {
    return (text) => {
      let position = -1;
      return segments(text).flatMap((segment) => {
        if (segment.word !== null) position++;
        return segment.word !== null && marked.has(position) ? h(tag, {}, ...shown(segment.text)) : shown(segment.text);
      });
    };
  }

  /** Return the accepted answer that ``answer`` differs from least, the words that it lacks and those that are others. */
  function nearestGold(answer, golds) {
    const words = wordsOf(answer);
    const compared = golds.map((gold) => {
      const wanted = wordSegments(gold);
      const [lacking, other] = differing(wanted.map((segment) => segment.word), words);
      return { lacking: [...lacking].map((position) => wanted[position].text), other };
    });
    compared.sort((one, two) => one.lacking.length + one.other.size - two.lacking.length - two.other.size);
    return compared[0] ?? { lacking: [], other: new Set() };
  }

  /* ---------------------------------------------------------------- where the data come from ------------------------------ */

  function bytesOf(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  async function unpack(id) {
    const block = byId(id);
    if (!block) throw new Error(`this file lacks its part ${id}; it may be cut off`);
    const stream = new Blob([bytesOf(block.textContent.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  async function fetched(name) {
    const response = await fetch(`data/${name}.json`, { cache: "no-store" });
    if (!response.ok) throw new Error(`the server answered ${response.status} for ${name}`);
    return response.json();
  }

  const live = document.querySelector("meta[name=data-source]")?.content === "server";
  const load = live ? fetched : unpack;
  let chunks = new Map();

  /** Return what is known of the case record in ``row``. */
  async function detail(row) {
    const number = Math.floor(row / summary.chunk_size);
    const chunk = chunks.get(number) ?? load(`cases-${number}`);
    chunks.delete(number); // the one used last moves to the end
    chunks.set(number, chunk);
    if (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
    try {
      const found = (await chunk)[row % summary.chunk_size];
      if (!found) throw new Error(`part cases-${number} lacks row ${row}`);
      return found;
    } catch (error) {
      chunks.delete(number);
      throw error;
    }
  }

  /* ---------------------------------------------------------------- numbers, tables, trees, figures ----------------------- */

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
      "table", {}, title && h("caption", {}, bdi(title)), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body),
    );
    const parts = [scrollable(title || "Numbers", { class: "wide" }, element)];
    if (rows.length > LONG_TABLE) {
      element.classList.add("folded");
      const button = h("button", { type: "button" }, `Show all ${count(rows.length)} rows`);
      button.addEventListener("click", () => {
        element.classList.remove("folded");
        button.remove();
      });
      parts.push(button);
    }
    return parts;
  }

  /** Return a JSON value as nested lists that unfold. */
  function tree(value, key) {
    if (value === null || typeof value !== "object")
      return h("span", { class: "value" }, value === null ? "none" : bdi(String(value)));
    const entries = Object.entries(value);
    if (!entries.length) return h("span", { class: "value" }, "empty");
    const simple = (item) => item === null || typeof item !== "object";
    if (Array.isArray(value) && value.every(simple))
      return h("span", { class: "value" }, bdi(value.map((item) => String(item ?? "none")).join(", ")));
    const entry = ([name, item]) => {
      const label = Array.isArray(value) ? String(Number(name) + 1) : name;
      const inner = `${key}/${name}`;
      if (simple(item) || !Object.keys(item).length || (Array.isArray(item) && item.every(simple)))
        return h("li", {}, h("span", { class: "name" }, bdi(label)), " ", tree(item, inner));
      return h("li", {}, unfold(inner, h("span", { class: "name" }, bdi(label)), () => tree(item, inner)));
    };
    return h("ul", { class: "tree" }, entries.map(entry));
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

  /* ---------------------------------------------------------------- the results ------------------------------------------- */

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
      h("p", {}, "Made again by:"),
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

  /* ---------------------------------------------------------------- the address ------------------------------------------- */

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

  function addressOf(row) {
    const parts = FILTERS.filter((name) => filter[name] !== defaults[name]).map((name) => `${name}=${coded(filter[name])}`);
    if (row !== null) parts.unshift(`case=${caseAddress(row)}`);
    return `#${parts.join("&")}`;
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

  /* ---------------------------------------------------------------- the filters ------------------------------------------- */

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

  /* ---------------------------------------------------------------- the table of cases ------------------------------------ */

  const several = (values) => new Set(values).size > 1;
  const runWord = () => (summary.runs.every((run) => run.name === run.editor) ? "Editor" : "Run");
  const longest = (texts, least, most) => `${Math.min(most, texts.reduce((length, text) => Math.max(length, text.length), least))}ch`;

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
    grid.style.setProperty("--run", longest(summary.runs.map((run) => run.name), 7, 22));
    grid.style.setProperty("--case", longest(index.case, 5, 14));
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

  /* Controls */

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
    history.replaceState(history.state, "", addressOf(null) === "#" ? location.pathname + location.search : addressOf(null));
  }

  /* ---------------------------------------------------------------- a case ------------------------------------------------ */

  const dialog = byId("case");
  let opened = null; // the row of the case that is open
  let contrast = "gold"; // which words are marked: those that differ from the gold, or those that changed
  let drawnCase = "";

  /** Return the rows of the same case for each run with the same model; of several judging points the same, or the last. */
  function besides(row) {
    const model = summary.runs[index.run[row]].model;
    const found = new Map();
    for (let other = 0; other < index.rows; other++) {
      if (index.case[other] !== index.case[row] || summary.runs[index.run[other]].model !== model) continue;
      const known = found.get(index.run[other]);
      if (known !== undefined && index.after_edits[known] === index.after_edits[row]) continue;
      found.set(index.run[other], other);
    }
    found.set(index.run[row], row);
    return [...found].sort(([one], [two]) => one - two).map(([, other]) => other);
  }

  const judgingPoints = (row) => {
    const found = [];
    for (let other = 0; other < index.rows; other++)
      if (index.run[other] === index.run[row] && index.case[other] === index.case[row]) found.push(other);
    return found.sort((one, two) => index.after_edits[one] - index.after_edits[two]);
  };

  const judgedAfter = (record) => record.after_edits > 1 && h("span", { class: "dim" }, ` after ${count(record.after_edits)} edits`);

  /** Return the name of a record's run, with the judging point if those beside it differ in that. */
  const columnTitle = (record, records) =>
    [bdi(summary.runs[record.run].name), several(records.map((other) => other.after_edits)) && judgedAfter(record)];

  function outcomeTag(row, protocol, kind) {
    const [mark, word] = SIGNS[index.by[`${protocol}|${kind}`]?.[row] ?? "-"];
    return h("span", { class: `outcome ${word.replace(" ", "-")}` }, h("span", { "aria-hidden": "true" }, mark), ` ${word}`);
  }

  /** Return how an answer and its counterpart are marked, and the words of the gold that it lacks. */
  function marks(probe, answer, counterpart, side) {
    if (contrast === "change" || probe.kind === "locality") {
      const [gone, come] = differing(wordsOf(side === "before" ? answer : counterpart), wordsOf(side === "before" ? counterpart : answer));
      return { draw: side === "before" ? drawMarked(gone, "del") : drawMarked(come, "ins"), lacking: [] };
    }
    const { lacking, other } = nearestGold(answer, probe.golds);
    return { draw: drawMarked(other, "mark"), lacking };
  }

  function answerBlock(probe, answer, counterpart, side, label) {
    const { draw: marked, lacking } = marks(probe, answer.text, counterpart?.text ?? "", side);
    const raw = answer.raw;
    const cut = raw !== null && answer.cut_at !== null && answer.cut_at < raw.length;
    const scored = cut ? raw.slice(0, answer.cut_at) : raw;
    return h("div", { class: `answer ${side}` },
      h("p", { class: "label" }, label, h("span", { class: "dim" }, ` ended: ${answer.stopped}`)),
      answer.text ? quoted(answer.text, {}, marked) : h("p", { class: "nothing" }, "(empty answer)"),
      lacking.length > 0 && h("p", { class: "lacking" }, "lacks: ", bdi(lacking.join(" "))),
      cut && cutBlock(raw.slice(answer.cut_at)),
      raw !== null && scored.trim() !== answer.text.trim() && h("details", {}, h("summary", {}, "whole output"), quoted(raw)));
  }

  /** Return what the truncator cut off, set off from the answer; in one line if it holds no word. */
  function cutBlock(rest) {
    const line = /[\p{L}\p{N}]/u.test(rest) ? "cut" : "cut line";
    return h("div", { class: line }, h("p", { class: "label" }, h("span", { "aria-hidden": "true" }, "✂ "), "cut here; after the cut:"), quoted(rest));
  }

  function samples(probe, side) {
    const answers = probe[side];
    const others = probe[side === "before" ? "after" : "before"];
    const name = side === "before" ? "Before" : "After";
    return answers.map((answer, position) =>
      answerBlock(probe, answer, others[position] ?? others[0], side, answers.length > 1 ? `${name}, sample ${position + 1}` : name));
  }

  function scoresTable(probe) {
    if (!probe.scores.length) return null;
    const value = (score, side) => (score[side] === null ? "–" : decimal(score[side]));
    const reasons = probe.scores.flatMap((score) =>
      ["before", "after"].filter((side) => score[`${side}_reason`]).map((side) => `${score.metric}, ${side}: ${score[`${side}_reason`]}`));
    const judged = probe.scores.filter((score) => Object.keys(score.details ?? {}).length);
    return [
      h("table", { class: "scores" },
        h("thead", {}, h("tr", {}, ["score", "before", "after"].map((name, i) => h("th", { scope: "col", class: i && "number" }, name)))),
        h("tbody", {}, probe.scores.map((score) => h("tr", {},
          h("th", { scope: "row" }, bdi(score.metric)),
          h("td", { class: "number" }, value(score, "before")), h("td", { class: "number" }, value(score, "after")))))),
      reasons.length > 0 && h("ul", { class: "reasons" }, reasons.map((reason) => h("li", {}, bdi(reason)))),
      judged.map((score) => h("details", { class: "evidence", open: true }, h("summary", {}, `evidence of ${score.metric}`),
        evidence(score.details))),
    ];
  }

  /** Return details of a score, such as a judge's reply: texts as they are, everything else as a tree. */
  function evidence(value) {
    if (typeof value === "string") return quoted(value);
    if (Array.isArray(value) && value.length === 1) return evidence(value[0]);
    if (value === null || typeof value !== "object") return tree(value, "");
    return h("dl", { class: "facts" }, Object.entries(value).flatMap(([name, item]) => [h("dt", {}, bdi(name)), h("dd", {}, evidence(item))]));
  }

  function probeCell(record, records, row, probe) {
    const own = row === opened;
    return h("article", { class: `cell ${own ? "own" : ""}` },
      h("h5", {}, h("span", {}, columnTitle(record, records)), outcomeTag(row, probe.protocol, probe.kind)),
      probe.unanswered && h("p", { class: "notice" }, "Not answered: ", bdi(probe.unanswered)),
      samples(probe, "before"),
      probe.prompt_after !== null && probe.prompt_after !== undefined && probe.prompt_after !== probe.prompt &&
        h("details", {}, h("summary", {}, "asked differently after the edit"), quoted(probe.prompt_after, { class: "code" })),
      samples(probe, "after"),
      probe.continued && h("details", {}, h("summary", {}, "continued past the stop rule"), quoted(probe.continued)),
      scoresTable(probe));
  }

  /** Return the records' probes as groups of one kind and question; each has a map from protocol to cells by record. */
  function grouped(records) {
    const groups = new Map();
    records.forEach((record, position) => {
      const met = new Map();
      for (const probe of record.probes) {
        const name = JSON.stringify([probe.kind, probe.nearness, probe.question]);
        const place = JSON.stringify([name, probe.protocol]);
        const repeated = met.get(place) ?? 0;
        met.set(place, repeated + 1);
        const key = `${name} ${repeated}`;
        if (!groups.has(key)) groups.set(key, { probe, protocols: new Map() });
        const { protocols } = groups.get(key);
        if (!protocols.has(probe.protocol)) protocols.set(probe.protocol, new Map());
        protocols.get(probe.protocol).set(position, probe);
      }
    });
    const place = (group) => (summary.kinds.indexOf(group.probe.kind) + 1 || 99);
    return [...groups.values()].sort((one, two) => place(one) - place(two));
  }

  function protocolBlock(name, cells, records, rowsOfRecords, key) {
    const [first] = cells.values();
    const described = summary.protocols.find((protocol) => protocol.name === name);
    const modules = described ? `${described.context} · ${described.generator} · ${described.truncator}` : "";
    const prompts = new Set(Array.from(cells.values(), (probe) => probe.prompt));
    const draw = () => [
      h("p", { class: "label" }, "Asked as", modules && h("span", { class: "dim" }, ` ${modules}`)),
      [...prompts].map((prompt) => quoted(prompt, { class: "code" })),
      h("div", { class: "cells" }, [...cells].map(([position, probe]) => probeCell(records[position], records, rowsOfRecords[position], probe))),
    ];
    const tags = [...cells.keys()].map((position) =>
      h("span", {}, records.length > 1 && bdi(`${summary.runs[records[position].run].name} `), outcomeTag(rowsOfRecords[position], name, first.kind)));
    const line = h("h4", {}, bdi(name), h("span", { class: "tags" }, tags));
    const open = [filter.protocol, filter.against, defaults.protocol, defaults.against].includes(name);
    return unfold(key, line, draw, { class: "protocol", open, "data-protocol": name, "data-kind": first.kind });
  }

  function probeGroup(group, records, rowsOfRecords, position) {
    const { probe, protocols } = group;
    const order = summary.protocols.map((protocol) => protocol.name);
    const ordered = [...protocols].sort(([one], [two]) => order.indexOf(one) - order.indexOf(two));
    const [gold, ...aliases] = probe.golds;
    return h("section", { class: "probe", "aria-labelledby": `probe-${position}` },
      h("h3", { id: `probe-${position}` }, probe.kind, probe.nearness && h("span", { class: "dim" }, ` (${probe.nearness})`)),
      h("dl", { class: "facts" },
        h("dt", {}, "Question"), h("dd", {}, quoted(probe.question)),
        gold !== undefined && [h("dt", {}, "Gold"), h("dd", {}, quoted(gold))],
        aliases.length > 0 && [h("dt", {}, "Also accepted"), h("dd", {}, aliases.map((alias, i) => [i ? "; " : "", bdi(alias)]))]),
      ordered.map(([name, cells]) => protocolBlock(name, cells, records, rowsOfRecords, `case-${position}-${name}`)));
  }

  const FACTS = { prompt: "Prompt", target: "Target", subject: "Subject", aliases: "Also accepted", ground_truth: "True answer" };

  function requestFacts(record) {
    const entries = Object.entries(record.request).filter(([, value]) => value !== null && (!Array.isArray(value) || value.length));
    const value = (item) => (typeof item === "string" ? quoted(item) : tree(item, ""));
    return h("dl", { class: "facts" },
      entries.flatMap(([name, item]) => [h("dt", {}, FACTS[name] ?? bdi(name)), h("dd", {}, value(item))]),
      Object.entries(record.tags).flatMap(([name, item]) => [h("dt", {}, bdi(name)), h("dd", {}, bdi(String(item)))]));
  }

  /** Unfold the answers under a protocol and bring them into sight. */
  function showProtocol(name, kind) {
    const found = [...dialog.querySelectorAll(".protocol")].find(({ dataset }) => dataset.protocol === name && dataset.kind === kind);
    if (!found) return;
    found.open = true;
    found.scrollIntoView();
    found.querySelector("summary").focus({ preventScroll: true });
  }

  /** Return the outcomes of the case under each protocol (rows) and by each run (columns). */
  function glance(records, rowsOfRecords) {
    const kind = filter.kind;
    const names = summary.protocols.map((protocol) => protocol.name).filter((name) => index.by[`${name}|${kind}`]);
    const title = `${kind[0].toUpperCase()}${kind.slice(1)} at a glance`;
    return h("section", { "aria-labelledby": "glance-title" },
      h("h3", { id: "glance-title" }, title),
      scrollable(title, { class: "wide" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Protocol"),
          records.map((record) => h("th", { scope: "col" }, columnTitle(record, records))))),
        h("tbody", {}, names.map((name) => h("tr", {},
          h("th", { scope: "row" }, h("button", { type: "button", class: "link", click: () => showProtocol(name, kind) }, bdi(name))),
          rowsOfRecords.map((row) => h("td", {}, outcomeTag(row, name, kind)))))))));
  }

  function editCell(record, records, row) {
    const { edit } = record;
    return h("article", { class: `cell ${row === opened ? "own" : ""}` },
      h("h4", {}, h("span", {}, columnTitle(record, records)), h("span", { class: `outcome ${edit.status}` }, edit.status)),
      h("dl", { class: "facts" },
        edit.reason && [h("dt", {}, "Reason"), h("dd", {}, quoted(edit.reason))],
        edit.fallback && [h("dt", {}, "Fallback"), h("dd", {}, quoted(edit.fallback))],
        h("dt", {}, "Time"), h("dd", {}, `${edit.seconds < 10 ? edit.seconds.toFixed(2) : edit.seconds.toFixed(0)} s`)),
      edit.patch && tree(edit.patch, `patch-${row}`));
  }

  function contrastControl() {
    const options = [["gold", "words that differ from the gold"], ["change", "words that the edit changed"]];
    const radios = options.map(([value, text]) => h("label", {}, h("input", {
      type: "radio", name: "contrast", value, ...(value === contrast ? { checked: true } : {}),
      change: () => {
        contrast = value;
        drawnCase = "";
        drawCase(true);
      },
    }), ` ${text}`));
    return h("fieldset", { class: "contrast" }, h("legend", {}, "Mark"), radios);
  }

  function caseHead(record, row) {
    const position = rows.indexOf(row);
    const step = (amount, text, label) =>
      h("button", { type: "button", disabled: position < 0 || !(position + amount in rows), "aria-label": label, click: () => stepCase(amount) }, text);
    const points = judgingPoints(row);
    return h("header", { class: "case-head" },
      h("h2", { id: "case-title", tabindex: "-1", autofocus: true }, "Case ", bdi(record.case), judgedAfter(record)),
      h("div", { class: "buttons" },
        position >= 0 && h("span", { class: "dim" }, `${count(position + 1)} of ${count(rows.length)}`),
        step(-1, "←", "Previous case"), step(1, "→", "Next case"),
        h("button", { type: "button", click: closeCase, "aria-label": "Close the case" }, "✕")),
      points.length > 1 && h("nav", { class: "points", "aria-label": "Judged after" }, "Judged after ",
        points.map((point) => h("a", {
          href: `#case=${caseAddress(point)}`, "aria-current": point === row && "true",
          click: (event) => {
            event.preventDefault();
            openCase(point, false);
          },
        }, plural(index.after_edits[point] ?? 0, "edit")))));
  }

  /** Draw the open case; ``anew`` also if its data did not change. The reader's place in it is kept. */
  async function drawCase(anew = false) {
    const row = opened;
    const rowsOfRecords = besides(row);
    try {
      const records = await Promise.all(rowsOfRecords.map(detail));
      if (opened !== row) return;
      const key = JSON.stringify(records);
      const same = key === drawnCase && !anew;
      drawnCase = key;
      if (same) return;
      const own = records[rowsOfRecords.indexOf(row)];
      const unfolded = new Set(Array.from(dialog.querySelectorAll("details[open][data-key]"), (details) => details.dataset.key));
      const place = dialog.scrollTop;
      const focused = dialog.contains(document.activeElement) ? document.activeElement.value : null;
      dialog.replaceChildren(
        caseHead(own, row),
        h("div", { class: "request" },
          h("section", { "aria-labelledby": "request-title" }, h("h3", { id: "request-title" }, "The request"), requestFacts(own)),
          glance(records, rowsOfRecords)),
        contrastControl(),
        ...grouped(records).map((group, position) => probeGroup(group, records, rowsOfRecords, position)),
        h("section", { class: "probe", "aria-labelledby": "edit-title" }, h("h3", { id: "edit-title" }, "The edit"),
          h("div", { class: "cells" }, records.map((record, position) => editCell(record, records, rowsOfRecords[position])))),
      );
      for (const details of dialog.querySelectorAll("details")) if (unfolded.has(details.dataset.key)) details.open = true;
      dialog.scrollTop = place;
      const again = focused && [...dialog.querySelectorAll("input")].find((input) => input.value === focused);
      if (again) again.focus();
      else if (!dialog.contains(document.activeElement) || document.activeElement === dialog) byId("case-title").focus();
    } catch (error) {
      if (opened === row)
        dialog.replaceChildren(
          h("header", { class: "case-head" }, h("h2", { id: "case-title" }, "Case ", bdi(index.case[row])),
            h("div", { class: "buttons" }, h("button", { type: "button", click: closeCase }, "✕ Close"))),
          h("p", { class: "notice" }, `This case cannot be read: ${error.message}.`));
    }
  }

  function showCase(row) {
    opened = row;
    drawnCase = "";
    dialog.replaceChildren(h("h2", { id: "case-title", tabindex: "-1", autofocus: true }, "Case ", bdi(index.case[row])));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    return drawCase();
  }

  /** Open a case; ``entry``: the back button closes it again. */
  function openCase(row, entry) {
    if (entry) history.pushState({ entry: true }, "", addressOf(row));
    else history.replaceState(history.state, "", addressOf(row));
    return showCase(row);
  }

  function stepCase(amount) {
    const position = rows.indexOf(opened) + amount;
    if (!(position in rows)) return;
    moveTo(position);
    openCase(rows[position], false);
  }

  function hideCase() {
    opened = null;
    if (dialog.open) dialog.close();
    dialog.replaceChildren();
  }

  function closeCase() {
    if (history.state?.entry) history.back();
    else {
      hideCase();
      history.replaceState(null, "", addressOf(null) === "#" ? location.pathname + location.search : addressOf(null));
    }
  }

  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeCase();
  });
  dialog.addEventListener("close", () => opened !== null && closeCase()); // a browser may close it without asking
  dialog.addEventListener("click", (event) => event.target === dialog && closeCase());
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, [role=region]") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") stepCase(-1);
    if (event.key === "ArrowRight") stepCase(1);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || dialog.open || event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  /** Do what the address says: filter, and open or close a case. */
  function follow() {
    const found = readAddress();
    if (!index || found === null) {
      if (found === null && opened !== null) hideCase();
      return;
    }
    const before = JSON.stringify(filter);
    for (const name of FILTERS) filter[name] = found[name] ?? defaults[name];
    if (JSON.stringify(filter) !== before) {
      syncControls();
      apply();
    }
    byId("missing")?.remove();
    if (found.case === undefined) {
      if (opened !== null) hideCase();
      return;
    }
    const row = rowOf(found.case);
    if (row === null) {
      hideCase();
      controls.before(h("p", { id: "missing", class: "notice", role: "alert" }, `This report has no case ${inLine(uncoded(found.case))}.`));
      controls.scrollIntoView();
    } else if (row !== opened) {
      if (rows.includes(row)) moveTo(rows.indexOf(row));
      showCase(row);
    }
  }

  /* ---------------------------------------------------------------- start, and live runs ---------------------------------- */

  function failed(error) {
    if (!casesSection.isConnected) byId("content").append(casesSection);
    const state = h("p", { id: "cases-state", class: "notice", role: "alert" }, `The cases cannot be read: ${error.message}.`);
    casesSection.replaceChildren(h("h2", { id: "cases-title" }, "Cases"), state);
  }

  async function readIndex() {
    if (summary.case_count) index = await load("cases-index");
    else byId("cases-state")?.replaceChildren("There are no cases yet.");
  }

  /** Take a new state of the data: filters, the active row and the open case stay. */
  async function update() {
    const key = (row) => row !== null && row !== undefined && index ? caseAddress(row) : null;
    const [openKey, activeKey] = [key(opened), key(rows[active])];
    const first = !index;
    summary = await load("summary");
    chunks = new Map();
    draw(casesSection);
    await readIndex();
    if (!index) return;
    if (first) return start();
    opened = openKey === null ? null : rowOf(openKey);
    syncControls(choices());
    apply(activeKey === null ? null : rowOf(activeKey));
    if (opened !== null) await drawCase();
    else if (dialog.open) hideCase();
  }

  /** Ask for the version until no run is unfinished. */
  async function poll(known) {
    let version = known;
    try {
      const answer = await fetched("version");
      if (answer.version !== version) await update();
      version = answer.version;
      byId("live")?.replaceChildren(answer.finished ? "finished" : "live");
      if (answer.finished) return;
    } catch (error) {
      byId("live")?.replaceChildren(`not updated: ${error.message}`);
    }
    setTimeout(poll, POLL, version);
  }

  function start() {
    setDefaults();
    Object.assign(filter, defaults, readAddress() ?? {});
    delete filter.case;
    drawControls();
    syncControls();
    apply();
    follow();
    performance.mark("cases-ready");
  }

  async function begin() {
    if (live) {
      const { version } = await fetched("version");
      summary = await load("summary");
      draw(casesSection);
      await readIndex();
      if (index) start();
      setTimeout(poll, POLL, version);
    } else {
      summary = JSON.parse(byId("report-summary").textContent);
      draw(casesSection);
      if (document.readyState === "loading") await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
      await readIndex();
      if (index) start();
    }
  }

  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
  begin().catch(failed);
})();
