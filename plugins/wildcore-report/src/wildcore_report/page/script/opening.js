// Opening, stepping through and closing cases, with the address and the back button in step.

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
  writeAddress(row, entry);
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
    writeAddress(null);
  }
}

dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  closeCase();
});
dialog.addEventListener("close", () => opened !== null && closeCase()); // a browser may close it without asking
dialog.addEventListener("click", (event) => event.target === dialog && closeCase());
dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, [role=group]") || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") stepCase(-1);
  if (event.key === "ArrowRight") stepCase(1);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || dialog.open || event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  search.focus();
  search.select();
});
