// The start of the page, what the address asks for, and new data while a run is going on.

const POLL = 2000; // milliseconds between two questions for a new version

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
