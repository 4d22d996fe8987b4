"""A run for programs and papers: JSON, CSV, Markdown and LaTeX, as its table or edit by edit."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import ScoreRecord
from wildcore.reporting.edit_rows import RUN_EDITS, EditRow, RunEdits, edit_rows
from wildcore.reporting.numbers import number
from wildcore.reporting.run_table import KEY, cells_of, columns_of
from wildcore.reporting.tables import Bold, Cell, as_csv, as_latex, as_markdown, in_markdown
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import ChangeByEdits, changes_by_edits
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.power import LEVEL
from wildcore.scoring.summary import ONE_RUN, summary
from wildcore.scoring.values import Key

Format = Literal["json", "csv", "markdown", "latex"]
LONGEST = 80
"""Most characters of a text in a Markdown or LaTeX table of edits."""
OF_THE_EDIT = tuple(name for name in EditRow.model_fields if name not in ("accepted", "scores"))
PER_METRIC = ("before", "after", "reason")
SHOWN = ("case", "protocol", "kind", "question", "gold", "before", "after")
CAPTION = (
    "Means over n cases of the model before and after the edits, with the 95 % interval of the mean after them. Bold: the "
    "greater of both, where the change stands (p < 0.05, adjusted by Holm over all changes under one protocol by one probe kind)."
)


def formatted_run(folder: RunFolder, form: Format) -> str:
    """Return the table of a finished run as text in a format, without a line end at its end.

    CSV has every field of ``SummaryRow``; JSON is the summary. In Markdown and LaTeX the greater of before and after is bold
    if p, adjusted by Holm, is below 0.05, unless values lie outside 0 to 1, so that it is not known whether more is better.
    Nothing is bold between protocols, because they do not measure the same.
    """
    if form == "json":
        return ONE_RUN.text(summary(folder))
    scores = list(folder.scores())
    clusters = subjects(folder.cases())
    rows = summarise(scores, clusters)
    if form == "csv":
        return as_csv(tuple(SummaryRow.model_fields), (row.model_dump() for row in rows))
    columns = columns_of(rows)
    stands = _standing(scores, changes_by_edits(scores, clusters))
    cells = [_with_bold(cells_of(row, columns), row, (row.protocol, row.kind, row.metric) in stands) for row in rows]
    return _as_document(form, columns, cells, range(len(KEY), len(columns)), CAPTION)


def formatted_edits(folder: RunFolder, form: Format) -> str:
    """Return one row for each edit, protocol and probe of a finished run as text in a format, without a line end at its end.

    JSON is ``RunEdits``. CSV has the same columns, the accepted answers as a JSON list, and for
    each metric ``METRIC before``, ``METRIC after`` and ``METRIC reason``. In Markdown and LaTeX texts are cut to 80
    characters.
    """
    rows = list(edit_rows(list(folder.cases()), list(folder.scores())))
    if form == "json":
        return RUN_EDITS.text(RunEdits(run=str(folder.path), edits=tuple(rows)))
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.scores))
    if form == "csv":
        columns = [*OF_THE_EDIT, "accepted", *(f"{metric} {what}" for metric in metrics for what in PER_METRIC)]
        return as_csv(columns, map(_flat, rows))
    cells = [[*(_shown(getattr(row, name)) for name in SHOWN), _scores(row)] for row in rows]
    return _as_document(form, (*SHOWN, "scores"), cells, (), "Scores are before and after the edit.")


def _as_document(
    form: Format, columns: Sequence[str], cells: Iterable[Sequence[Cell]], right: Sequence[int] | range, caption: str
) -> str:
    if form == "markdown":
        return f"{as_markdown(columns, cells, right)}\n\n{in_markdown(caption)}"
    return f"% needs \\usepackage{{booktabs}}\n{as_latex(columns, cells, right)}\n% {caption}"


def _standing(scores: Iterable[ScoreRecord], changes: Iterable[ChangeByEdits]) -> set[Key]:
    """Return the numbers of the table whose change by the edits stands, if more is known to be better."""
    outside = {
        (score.protocol, score.kind, score.metric)
        for score in scores
        for value in (score.before, score.after)
        if value is not None and not 0 <= value <= 1
    }
    return {
        key
        for one in changes
        if one.p_holm is not None
        and one.p_holm < LEVEL
        and (key := (one.protocol, one.kind, one.metric)) not in outside
    }


def _with_bold(cells: Sequence[str], row: SummaryRow, stands: bool) -> list[Cell]:
    """Return the cells of a row, the greater of before and after bold if the change stands."""
    found: list[Cell] = list(cells)
    if stands and row.before is not None and row.after is not None:
        place = len(KEY) + (row.after > row.before)
        found[place] = Bold(cells[place])
    return found


def _flat(row: EditRow) -> dict[str, Any]:
    known = row.model_dump(exclude={"scores", "accepted"})
    known["accepted"] = json.dumps(row.accepted, ensure_ascii=False)
    for metric, score in row.scores.items():
        known[f"{metric} before"] = score.before
        known[f"{metric} after"] = score.after
        known[f"{metric} reason"] = score.after_reason if score.after is None else None
    return known


def _scores(row: EditRow) -> str:
    return "; ".join(f"{metric} {number(one.before)}, {number(one.after)}" for metric, one in row.scores.items())


def _shown(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
