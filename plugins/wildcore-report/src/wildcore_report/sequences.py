"""Sections on sequences of edits: what is left of edits, signs that the model collapsed, general ability."""

from collections.abc import Sequence
from math import isfinite

from wildcore.records.schema import JudgingPointRecord
from wildcore.scoring import SummaryRow
from wildcore.scoring.capability import LEVEL, Change, changes
from wildcore.scoring.retention import RetentionMatrix, RetentionPoint
from wildcore.types import Measured
from wildcore_report.drawing import Drawing
from wildcore_report.figures import (
    FOOT,
    MOST_ROWS,
    MOST_SERIES,
    Dot,
    DotRow,
    Line,
    curves,
    dot_panels,
    heat_map,
    height_of_curves,
    height_of_rows,
)
from wildcore_report.parts import NamedRun, Part, interval_text, rounded, some_of, table

CURVED = ("reliability", "locality", "hard-locality")
MOST_MATRICES = 8
MARGIN = 1.0
"""Points of ability that count as no loss."""


def retention(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on what is left of edits at later judging points."""
    several = [run for run in runs if sum(bool(point.cells) for point in run.numbers.points) > 1]
    if not several:
        return "no run was evaluated at several judging points that compare"
    part = Part("retention", "What is left of edits")
    part.text.append(
        "After more and more edits of a sequence, the cases written so far are evaluated again. The curve is over all of them; "
        "the matrix shows each group of edits by itself, so that forgetting is told apart from edits that never held."
    )
    rows = [
        (run.name, point.after_edits, row.protocol, row.kind, row.metric, rounded(row.after),
         interval_text(row.low, row.high), row.cases, row.unscored, row.refused)
        for run in several
        for point in run.numbers.points
        for row in _first_metrics(point).values()
    ]  # fmt: skip
    columns = (
        "run", "after edits", "protocol", "probe", "metric", "mean", "95 % interval", "cases", "not scored", "refused",
    )  # fmt: skip
    part.add_table("Judging points", columns, rows, left=5)
    part.draw(_curve(several))
    matrices = [(run, matrix) for run in several for matrix in run.numbers.matrices if len(matrix.after_edits) > 2]
    ordered = sorted(matrices, key=lambda pair: _is_other(*pair))
    for number, (run, matrix) in enumerate(ordered[:MOST_MATRICES], start=1):
        part.draw(_matrix(number, run, matrix))
    if len(matrices) > MOST_MATRICES:
        part.text.append(f"{MOST_MATRICES} of {len(matrices)} matrices are shown, those of synthetic and wild first.")
    return part


def collapse(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on signs that models collapsed, with what was measured of them."""
    measured = [run for run in runs if run.numbers.model_points]
    diverged = [run for run in runs if run.numbers.diverged]
    if not measured and not diverged:
        return "nothing was measured of the models at judging points, and no edit diverged"
    part = Part("collapse", "Signs of collapse")
    for run in measured:
        part.text.append(collapse_in_words(run))
    part.text += [
        f"{run.name}: {run.numbers.diverged} edits diverged (not finite) and were evaluated all the same."
        for run in diverged
    ]
    if measured:
        names = _measured_names(measured)
        rows = [_point_row(run, point, names) for run in measured for point in run.numbers.model_points]
        columns = (
            "run", "after edits", *names, "change of weights", "logits not finite", "most frequent answer", "signs",
        )  # fmt: skip
        part.add_table("The model at judging points", columns, rows, left=1)
        for name in names:
            drawing = _measured_curve(measured, name)
            if drawing is not None:
                part.draw(drawing)
    return part


def capability(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on abilities of the edited model beside those of the unedited one."""
    found = [(run, *row) for run in runs for row in ability_changes(run.numbers.model_points)]
    if not any(change for *_, change in found):
        return "no ability, such as the accuracy in a task, was measured before and after the edits"
    part = Part("capability", "General ability")
    part.text.append(
        "The model after the last judging point beside the unedited model. Differences are in points (per cent of the items) "
        f"with 90 % intervals. A loss: one-sided test against a loss of {MARGIN:g} point or more; a change: two one-sided tests "
        f"(TOST). Level {LEVEL}, each number by itself."
    )
    rows = [
        (run.name, before.name, after.items, rounded(before.value), rounded(after.value), *_tests(change),
         *((change.verdict, change.equivalence) if change else (None, None)))
        for run, before, after, change in found
    ]  # fmt: skip
    columns = (
        "run", "measured", "items", "unedited", "edited", "difference", "90 % interval", "p, loss", "p, change", "loss",
        "change",
    )  # fmt: skip
    part.add_table("Measured before and after", columns, rows, left=2)
    tested = [(run, before, change) for run, before, _, change in found if change]
    shown = tested[:MOST_ROWS]
    panels = [
        (name, [DotRow(m.name, (Dot(c.difference, c.low, c.high),)) for run, m, c in shown if run.name == name])
        for name in dict.fromkeys(run.name for run, *_ in shown)
    ]
    part.draw(
        Drawing(
            id="capability",
            section="capability",
            title="Change of general ability",
            caption="Points gained or lost against the unedited model, with 90 % intervals."
            + some_of(len(tested), MOST_ROWS, "numbers"),
            alt="; ".join(f"{run.name}, {m.name}: {c.difference:+.1f} points" for run, m, c in shown),
            table=table(
                ("run", "measured", "difference in points", "low", "high", "p, loss", "p, change", "items"),
                [
                    (
                        run.name,
                        m.name,
                        rounded(c.difference),
                        rounded(c.low),
                        rounded(c.high),
                        c.p_loss,
                        c.p_equivalence,
                        c.items,
                    )
                    for run, m, c in tested
                ],
            ),
            height=height_of_rows([len(rows) for _, rows in panels], ("edited minus unedited",)),
            draw=dot_panels(panels, ("edited minus unedited",), "points", share=False, reference=0.0),
        )
    )
    return part


def collapse_in_words(run: NamedRun) -> str:
    """Return whether a run's model shows signs of a collapse, from where on, and which."""
    found = run.numbers.collapse
    if found is None:
        return f"{run.name}: no signs of a collapse at {len(run.numbers.model_points)} judging points."
    since = f"from {found.after_edits} edits on" if found.lasting else f"only after {found.after_edits} edits"
    stopped = "; the sequence was stopped there" if found.stopped else ""
    return f"{run.name}: collapsed {since}: {'; '.join(found.signs)}{stopped}."


def ability_changes(points: Sequence[JudgingPointRecord]) -> list[tuple[Measured, Measured, Change | None]]:
    """Return the numbers of the unedited model and of the model at the last judging point, and how they changed."""
    if len(points) < 2:
        return []
    first, last = points[0], points[-1]
    found = []
    for name, edited in last.measured.items():
        try:
            found += changes(first.measured.get(name, ()), edited, MARGIN)
        except ValueError:  # the items of the two do not match, so they are not compared
            continue
    return found


def _tests(change: Change | None) -> tuple[float | None, str | None, float | None, float | None]:
    if change is None:
        return None, None, None, None
    ends = None if change.low is None or change.high is None else f"{change.low:+.2f} to {change.high:+.2f}"
    return round(change.difference, 2), ends, rounded(change.p_loss), rounded(change.p_equivalence)


def _first_metrics(point: RetentionPoint) -> dict[tuple[str, str], SummaryRow]:
    found: dict[tuple[str, str], SummaryRow] = {}
    for row in point.cells:
        found.setdefault((row.protocol, row.kind), row)
    return found


def _curve(runs: Sequence[NamedRun]) -> Drawing:
    protocols = list(dict.fromkeys(name for run in runs for name in run.numbers.main_protocols()))
    shown = runs[:MOST_SERIES]
    panels = []
    for protocol in protocols:
        for kind in CURVED:
            lines = [
                Line(
                    run.name,
                    tuple(
                        (point.after_edits, Dot(row.after, row.low, row.high))
                        for point in run.numbers.points
                        if (row := _first_metrics(point).get((protocol, kind)))
                    ),
                )
                for run in shown
            ]
            if any(line.points for line in lines):
                panels.append((f"{protocol}: {kind}", [line for line in lines if line.points]))
    numbers = [
        (run.name, point.after_edits, row.protocol, row.kind, row.metric, rounded(row.after), rounded(row.low),
         rounded(row.high), row.cases)
        for run in runs for point in run.numbers.points for row in _first_metrics(point).values()
    ]  # fmt: skip
    return Drawing(
        id="retention",
        section="retention",
        title="What is left of edits",
        caption="Means over all cases written so far, with bands of 95 % intervals." + some_of(len(runs), MOST_SERIES, "runs"),
        alt="; ".join(
            f"{title}, {line.name}: from {_end(line, 0)} to {_end(line, -1)}" for title, lines in panels for line in lines
        ),
        table=table(
            ("run", "after edits", "protocol", "probe", "metric", "mean", "low", "high", "cases"), numbers
        ),
        height=height_of_curves(len(panels), [run.name for run in shown]),
        draw=curves(panels, "edits made", "mean score"),
    )  # fmt: skip


def _end(line: Line, place: int) -> str:
    x, dot = line.points[place]
    return f"{'no number' if dot.value is None else f'{dot.value:.2f}'} after {x:g} edits"


def _matrix(number: int, run: NamedRun, matrix: RetentionMatrix) -> Drawing:
    groups = [str(first) if first == last else f"{first}-{last}" for first, last in matrix.groups]
    ends = [str(end) for end in matrix.after_edits]
    last = [f"{group} {row[-1]:.2f}" for group, row in zip(groups, matrix.values, strict=True) if row[-1] is not None]
    return Drawing(
        id=f"retention-matrix-{number}",
        section="retention",
        title=f"{run.name}, {matrix.protocol}: reliability of each group of edits",
        caption=f"Rows are groups of edits in their order, columns are judging points, by {matrix.metric}. The diagonal is right "
        "after the edits; to its right, later edits were made.",
        alt=f"At the last judging point, by group of edits: {', '.join(last[:20])}",
        table=table(
            ("edits", *(f"after {end}" for end in ends)),
            [(group, *map(rounded, row)) for group, row in zip(groups, matrix.values, strict=True)],
        ),
        height=min(420, FOOT + 60 + 26 * max(4, len(groups))),
        draw=heat_map(matrix.values, groups, ends),
        mixes_colours=True,
    )


def _is_other(run: NamedRun, matrix: RetentionMatrix) -> bool:
    return matrix.protocol not in run.numbers.main_protocols()


def _measured_names(runs: Sequence[NamedRun]) -> list[str]:
    points = (point for run in runs for point in run.numbers.model_points)
    return list(dict.fromkeys(one.name for point in points for of in point.measured.values() for one in of))


def _number(point: JudgingPointRecord, name: str) -> Measured | None:
    return next((one for of in point.measured.values() for one in of if one.name == name), None)


def _point_row(run: NamedRun, point: JudgingPointRecord, names: Sequence[str]) -> tuple[str | int | float | None, ...]:
    values = [_number(point, name) for name in names]
    moved = [weight.change for weight in point.weights if weight.change is not None]
    return (
        run.name,
        point.after_edits,
        *(None if one is None else one.reason if one.value is None else round(one.value, 4) for one in values),
        round(max(moved), 4) if moved else None,
        rounded(point.not_finite),
        rounded(max(point.most_frequent.values())) if point.most_frequent else None,
        "; ".join(point.collapse) or None,
    )


def _measured_curve(runs: Sequence[NamedRun], name: str) -> Drawing | None:
    lines = []
    for run in runs[:MOST_SERIES]:
        known = [(point.after_edits, _number(point, name)) for point in run.numbers.model_points]
        dots = [(after, one.value) for after, one in known if one and one.value is not None and isfinite(one.value)]
        if len(dots) > 1:
            lines.append(Line(run.name, tuple((after, Dot(value)) for after, value in dots)))
    if not lines:
        return None
    rows = [
        (run.name, point.after_edits, round(one.value, 6), one.standard_error, one.items)
        for run in runs for point in run.numbers.model_points
        if (one := _number(point, name)) and one.value is not None
    ]  # fmt: skip
    return Drawing(
        id=f"measured-{_plain(name)}",
        section="collapse",
        title=f"{name} over the edits",
        caption="At 0 edits: the unedited model." + some_of(len(runs), MOST_SERIES, "runs"),
        alt="; ".join(
            f"{line.name}: " + ", ".join(f"{dot.value:.4g} after {x:g}" for x, dot in line.points[:12])
            for line in lines
        ),
        table=table(("run", "after edits", name, "standard error", "items"), rows),
        height=height_of_curves(1, [line.name for line in lines]),
        draw=curves([(name, lines)], "edits made", name, share=False),
    )


def _plain(text: str) -> str:
    """Return text as part of a file's name."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower())
    return kept.strip("-")[:40] or "number"
