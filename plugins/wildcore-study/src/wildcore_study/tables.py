"""The tables of a study: editors in rows, settings in columns, differences below, published numbers beside."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from wildcore import PROBE_KINDS
from wildcore.records.continuations import continuations
from wildcore.records.run_folder import RunFolder
from wildcore.scoring.retention import retention_matrices
from wildcore.types import FrozenData
from wildcore_study.comparisons import DifferenceRow, between_columns, between_editors, statistics_notes
from wildcore_study.devices import kind_of_device
from wildcore_study.measured import Measured, labels_of, measured
from wildcore_study.paper_models import paper_model
from wildcore_study.presets import Preset
from wildcore_study.published import PublishedNumber, compare, published_numbers
from wildcore_study.repeats import pooled, repeats_notes

GENERIC = "protocol"


class PublishedCell(FrozenData):
    """A published number beside one of ours. ``of_another_model`` names its model if that is not the model of our number.

    ``footnotes`` say in what it was measured differently, and what is inconsistent about it in the paper.
    """

    value: float
    table: str
    of_another_model: str | None
    footnotes: tuple[str, ...]


class Cell(FrozenData):
    """A mean with its 95 % interval over ``cases`` cases, and the published numbers beside it.

    ``repeats`` are the means of each seed and order, if there are several.
    """

    mean: float
    low: float | None
    high: float | None
    cases: int
    before: float | None
    unscored: int
    refused: int
    published: tuple[PublishedCell, ...]
    repeats: tuple[float, ...] = ()


class StudyTable(FrozenData):
    """A table: ``cells[row][column]`` is None where nothing was measured. ``plain`` has the rows of a table of other things.

    ``differences`` are between columns for each editor, ``between_editors`` between all pairs of editors in each column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...] = ()
    cells: tuple[tuple[Cell | None, ...], ...] = ()
    differences: tuple[DifferenceRow, ...] = ()
    between_editors: tuple[DifferenceRow, ...] = ()
    plain: tuple[tuple[str, ...], ...] = ()
    footnotes: tuple[str, ...] = ()


class Unfinished(FrozenData):
    """A cell of the study that the tables cannot show, and why."""

    cell: str
    reason: str


class Report(FrozenData):
    """Everything that ``collect`` shows. ``notes`` say what was left out."""

    title: str
    tables: tuple[StudyTable, ...]
    unfinished: tuple[Unfinished, ...]
    notes: tuple[str, ...] = ()


def collect(
    folders: Sequence[RunFolder],
    unfinished: Iterable[Unfinished] = (),
    preset: Preset | None = None,
    any_model: bool = False,
    only: Mapping[Path, Collection[str]] | None = None,
    title: str | None = None,
) -> Report:
    """Return the tables of finished runs, as the ``preset`` arranges them, or by protocol.

    Published numbers are added for the paper's models, with ``any_model`` also beside those of other models. ``only`` names the
    protocols that count of the run folder at a path (None: all).
    """
    layout = preset.layout if preset else GENERIC
    notes: tuple[str, ...] = ()
    if layout == "extra-content":
        tables = [_extra_content(folders, only)]
    elif layout == "retention":
        tables = _retention(folders, only)
    else:
        numbers = measured(folders, only)
        chosen = _chosen(numbers, preset)
        notes = tuple(_left_out(numbers, chosen, layout))
        tables = arrange(pooled(chosen), preset, any_model)
    name = title or (preset.title if preset else "Study")
    return Report(title=name, tables=tuple(tables), unfinished=tuple(unfinished), notes=notes)


def _left_out(numbers: Sequence[Measured], chosen: Sequence[Measured], layout: str) -> Iterable[str]:
    """Return what a preset's tables do not show of that which was measured."""
    shown = {id(one) for one in chosen}
    left_out = [one for one in numbers if id(one) not in shown]
    if left_out:
        protocols: dict[str, list[str]] = {}
        for one in left_out:
            protocols.setdefault(f"{one.probe} by {one.metric}", []).append(one.protocol)
        kinds: dict[str, list[str]] = {}
        for kind, under in protocols.items():
            kinds.setdefault(", ".join(dict.fromkeys(under)), []).append(kind)
        listed = "; ".join(f"{', '.join(of)} under {under}" for under, of in kinds.items())
        yield f"Measured, and not part of these tables (arranged by {layout}): {listed}"


def _chosen(numbers: Iterable[Measured], preset: Preset | None) -> list[Measured]:
    """Return the numbers that the preset's table shows. A judge's scores are always shown."""
    return [
        number
        for number in numbers
        if preset is None
        or (
            number.probe in preset.probes
            and number.protocol in preset.protocols
            and (not preset.metrics or number.setting.metric in (*preset.metrics, "judge"))
        )
    ]


def arrange(numbers: Sequence[Measured], preset: Preset | None, any_model: bool = False) -> list[StudyTable]:
    """Return one table for each model, dataset, schedule and probe, with the published numbers of the preset's tables, or of all
    tables.
    """
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for number in numbers:
        groups.setdefault((number.model, number.dataset, number.schedule, number.probe), []).append(number)
    ordered = sorted(groups, key=lambda key: (*key[:3], PROBE_KINDS.index(key[3])))
    published = published_numbers()
    if preset is not None:
        published = tuple(number for number in published if number.table in preset.tables)
    return [_table(groups[key], preset.layout if preset else GENERIC, published, any_model) for key in ordered]


def _table(
    numbers: Sequence[Measured], layout: str, published: Sequence[PublishedNumber], any_model: bool
) -> StudyTable:
    first = numbers[0]
    titles = column_titles(numbers)
    rows, columns = list(dict.fromkeys(n.editor for n in numbers)), list(dict.fromkeys(titles))
    found = {(number.editor, title): number for number, title in zip(numbers, titles, strict=True)}
    cells = tuple(
        tuple(_cell(found[row, column], published, any_model) if (row, column) in found else None for column in columns)
        for row in rows
    )
    differences = between_columns(rows, columns, found, layout)
    editors = between_editors(rows, columns, found, layout)
    notes = [note for row in cells for cell in row if cell for one in cell.published for note in one.footnotes]
    of = {"single": "single edits", "batch": "edits in one batch", "sequential": "sequential edits"}[first.schedule]
    title = f"{first.probe}, {of} of {first.model} on {first.dataset}"
    return StudyTable(
        title=title, columns=tuple(columns), rows=tuple(rows), cells=cells, differences=differences, between_editors=editors,
        footnotes=(
            *dict.fromkeys(notes), *statistics_notes(differences, editors), *repeats_notes(numbers),
            *devices_notes({one.editor: one.devices for one in numbers}), *_layout_notes(layout, numbers),
        ),
    )  # fmt: skip


def devices_notes(devices: Mapping[str, Collection[str]]) -> Iterable[str]:
    """Return what a reader must know about rows that were measured on several kinds of accelerator; nothing if on one."""
    by_kind: dict[str, list[str]] = {}
    for row, kinds in devices.items():
        for kind in kinds:
            by_kind.setdefault(kind, []).append(row)
    if len(by_kind) > 1:
        listed = "; ".join(f"{kind}: {', '.join(rows)}" for kind, rows in sorted(by_kind.items()))
        yield (
            f"Measured on different kinds of accelerator, whose rounding differs ({listed}). Differences can be those "
            "of the accelerators."
        )


def column_titles(numbers: Sequence[Measured]) -> list[str]:
    """Return for each number its protocol, with the metric where a protocol has several, and the edits where they vary."""
    metrics: dict[str, set[str]] = {}
    for number in numbers:
        metrics.setdefault(number.protocol, set()).add(number.metric)
    several = any(len(of_protocol) > 1 for of_protocol in metrics.values())
    lengths = len({number.edits for number in numbers}) > 1
    return [
        number.protocol + (f", {number.metric}" if several else "") + (f", {number.edits} edits" if lengths else "")
        for number in numbers
    ]


def _cell(number: Measured, published: Sequence[PublishedNumber], any_model: bool) -> Cell:
    return Cell(
        mean=number.mean, low=number.low, high=number.high, cases=number.cases, before=number.before,
        unscored=number.unscored, refused=number.refused, published=tuple(_beside(number, published, any_model)),
        repeats=tuple(fmean(of.values()) for of in number.repeats.values()) if len(number.repeats) > 1 else (),
    )  # fmt: skip


def _beside(number: Measured, published: Sequence[PublishedNumber], any_model: bool) -> Iterable[PublishedCell]:
    own = paper_model(number.model)
    if own is None and not any_model:
        return
    models = [own.name] if own else sorted({one.model for one in published if one.model})
    for model in models:
        for one in compare(
            published, model=model, editor=number.method, dataset=number.dataset, probe=number.probe,
            setting=number.setting, schedule=number.schedule, edits=number.edits,
        ):  # fmt: skip
            by_shape = ("the model was recognised by its shape alone",) if own and own.recognised_by == "shape" else ()
            yield PublishedCell(
                value=one.number.value,
                table=one.number.table,
                of_another_model=None if own else model,
                footnotes=(*by_shape, *one.differs, *one.number.notes),
            )


def _layout_notes(layout: str, numbers: Sequence[Measured]) -> Iterable[str]:
    if any(number.setting.metric == "exact-match" for number in numbers):
        judged = any(number.setting.metric == "judge" for number in numbers)
        yield (
            "The paper's WILD scores by an LLM judge; here are exact match and the judge."
            if judged
            else "Scored by exact match; the paper's WILD scores by an LLM judge."
        )
    if layout == "decomposition":
        yield (
            "Teacher forcing generates no more tokens than the gold has, and token match ignores what follows the gold. What "
            "text after the answer costs therefore appears only together with autoregressive decoding and exact match."
        )


def _extra_content(folders: Sequence[RunFolder], only: Mapping[Path, Collection[str]] | None) -> StudyTable:
    """Return how many correct answers the edited model continued, and the first example of each."""
    labels = labels_of(folders)
    rows = []
    for folder, label in zip(folders, labels, strict=True):
        identity = folder.manifest.identity
        for one in continuations(folder.cases(), folder.scores()):
            if only is not None and one.protocol not in only[folder.path]:
                continue
            rows.append(
                (identity["model"]["name"], identity["dataset"]["name"], label, one.protocol, str(one.held), str(one.went_on),
                 str(one.ended), str(one.unknown), one.example or "")
            )  # fmt: skip
    return StudyTable(
        title="What follows correct answers to edit prompts",
        columns=("model", "dataset", "editor", "protocol", "correct", "went on", "ended", "unknown", "first example"),
        plain=tuple(rows),
        footnotes=(
            "Correct by the first metric of the protocol. Unknown: nothing after the answer was observed.",
            *devices_notes(
                {label: [kind_of_device(of.manifest.hardware)] for of, label in zip(folders, labels, strict=True)}
            ),
        ),
    )


def _retention(folders: Sequence[RunFolder], only: Mapping[Path, Collection[str]] | None) -> list[StudyTable]:
    """Return the retention matrix of each run and protocol: the groups of edits in rows, the judging points in columns."""
    labels = labels_of(folders)
    tables = []
    for folder, label in zip(folders, labels, strict=True):
        identity = folder.manifest.identity
        for matrix in retention_matrices(folder):
            if only is not None and matrix.protocol not in only[folder.path]:
                continue
            rows = [
                (
                    f"{low} to {high}",
                    *("" if value is None else f"{value:.3f}" for value in values),
                    str(high - low + 1),
                )
                for (low, high), values in zip(matrix.groups, matrix.values, strict=True)
            ]
            of = f"{label}, {identity['model']['name']} on {identity['dataset']['name']}"
            tables.append(
                StudyTable(
                    title=f"Reliability of each group of edits under {matrix.protocol} ({matrix.metric}), {of}",
                    columns=("edits", *(f"after {after}" for after in matrix.after_edits), "cases"),
                    plain=tuple(rows),
                    footnotes=("The paper's figure 5 is a plot without printed values.",),
                )
            )
    return tables
