// An open case: its request, outcomes at a glance, answers, and the edit's own numbers.

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
