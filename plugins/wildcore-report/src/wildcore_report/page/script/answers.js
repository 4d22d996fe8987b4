// The answers to a probe: before and after, under each protocol, run beside run, with their scores.

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
    answer.text.length > LONG_TEXT && h("p", { class: "lacking" }, `Words are compared in the first ${count(LONG_TEXT)} characters.`),
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

function scoresTable(probe, run) {
  if (!probe.scores.length)
    return run.finished && !probe.unanswered && h("p", { class: "lacking" }, `Not scored: ${probe.protocol} has no metric for ${probe.kind}.`);
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
    scoresTable(probe, summary.runs[record.run]));
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
