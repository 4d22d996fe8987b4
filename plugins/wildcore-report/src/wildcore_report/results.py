"""The first sections of a report: the gap between protocols, and the kinds of probes before and after the edits."""

from collections.abc import Sequence

from wildcore import PROBE_KINDS
from wildcore.defaults import SYNTHETIC, WILD
from wildcore.scoring import SummaryRow
from wildcore_report.drawing import Drawing
from wildcore_report.figures import MOST_ROWS, Dot, DotRow, dot_panels, dumbbells, height_of_rows
from wildcore_report.parts import NamedRun, Part, in_points, interval_text, p_text, points_text, rounded, some_of, table
from wildcore_report.payload import TableData

SHOWN_IN_FIGURE = 3
"""Most protocols whose results are drawn side by side."""
UNEDITED = "unedited model"


def gap(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on how much more the synthetic protocol reports than the wild one."""
    both = [run for run in runs if run.numbers.gap is not None]
    if not both:
        return f"no run was evaluated under both {SYNTHETIC} and {WILD}"
    part = Part("gap", "The gap between protocols")
    part.text.append(
        f"Reliability is the mean score of the edits' own prompts, by each protocol's first metric: {_first_metrics_of(both)}. "
        f"{SYNTHETIC} reads the gold answer while it asks; {WILD} lets the edited model answer freely. Differences are paired "
        "by case; intervals are 95 %, and cases that share a subject count as one cluster."
    )
    if len(both) < len(runs):
        lacking = ", ".join(run.name for run in runs if run.numbers.gap is None)
        part.text.append(f"Without both protocols, and so not in this section: {lacking}.")
    rows, dots, unedited = [], [], []
    for run in both:
        numbers, difference = run.numbers, run.numbers.gap
        assert difference is not None
        ends = [numbers.reliability()[name] for name in (SYNTHETIC, WILD)]
        dots.append(DotRow(run.name, tuple(Dot(end.after, end.low, end.high) for end in ends)))
        unedited.append(DotRow(run.name, tuple(Dot(end.before) for end in ends)))
        rows.append(
            (
                run.name,
                *(cell for end in ends for cell in (rounded(end.after), interval_text(end.low, end.high))),
                in_points(difference.difference),
                points_text(difference.low, difference.high) or difference.note,
                p_text(difference.p),
                difference.cases,
                difference.clusters,
                difference.left_out,
                sum(end.unscored for end in ends),
                sum(numbers.refused.values()),
            )
        )
    columns = (
        "run", SYNTHETIC, "95 % interval", WILD, "95 % interval ", "difference in points", "95 % interval of the difference", "p",
        "cases", "clusters", "cases of one protocol alone", "answers not scored", "edits refused",
    )  # fmt: skip
    part.add_table("Reliability under both protocols", columns, rows)
    shown = dots[:MOST_ROWS]
    part.draw(
        Drawing(
            id="gap",
            section="gap",
            title="Reliability under both protocols",
            caption="Each row is a run; the bar between the two filled dots is the gap, the lines through them are 95 % "
            "intervals. Hollow: the unedited model." + some_of(len(dots), MOST_ROWS, "runs"),
            alt="; ".join(
                f"{row.name}: "
                + ", ".join(
                    f"{name} {_said(dot)}, unedited {_said(before)}"
                    for name, dot, before in zip((SYNTHETIC, WILD), row.dots, of_unedited.dots, strict=True)
                )
                for row, of_unedited in zip(shown, unedited, strict=False)
            ),
            table=_gap_numbers(both),
            height=height_of_rows([len(shown)], (SYNTHETIC, WILD, UNEDITED)),
            draw=dumbbells(shown, (SYNTHETIC, WILD), "reliability", unedited[:MOST_ROWS], UNEDITED),
        )
    )
    return part


def _first_metrics_of(runs: Sequence[NamedRun]) -> str:
    """Return by which metrics the two protocols score reliability first."""
    metrics = {
        name: dict.fromkeys(run.numbers.reliability()[name].metric for run in runs) for name in (SYNTHETIC, WILD)
    }
    return ", ".join(f"{' or '.join(found)} under {name}" for name, found in metrics.items())


def kinds(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on every kind of probe, before the edits and after them."""
    if not any(run.numbers.rows for run in runs):
        return "nothing is scored yet"
    part = Part("kinds", "Before and after, by kind of probe")
    part.text.append(
        "A case's value is the mean over its probes of a kind; numbers are means over cases, with 95 % intervals: Wilson's where "
        "all values are 0 or 1, else Student's t. Probes of locality ask what the edit must not change, so a metric that "
        "compares with the unedited model has no number before the edit. Answers that were refused or not scored are counted, "
        "not averaged."
    )
    rows = [_kinds_row(run, row) for run in runs for row in run.numbers.rows]
    columns = (
        "run", "protocol", "probe", "metric", "before", "after", "95 % interval", "cases", "clusters", "answers scored",
        "not scored", "refused",
    )  # fmt: skip
    part.add_table("Every number", columns, rows, left=4)
    _add_nearness(part, runs)
    _add_outcomes(part, runs)
    _draw_kinds(part, runs)
    return part


def _kinds_row(run: NamedRun, row: SummaryRow) -> tuple[str | int | float | None, ...]:
    return (
        run.name, row.protocol, row.kind, row.metric, rounded(row.before), rounded(row.after),
        interval_text(row.low, row.high), row.cases, row.clusters, row.scored, row.unscored, row.refused,
    )  # fmt: skip


def _draw_kinds(part: Part, runs: Sequence[NamedRun]) -> None:
    protocols = list(dict.fromkeys(name for run in runs for name in run.numbers.main_protocols()))[:SHOWN_IN_FIGURE]
    first = [(run.name, _first_metrics(run.numbers.rows)) for run in runs]
    panels = []
    for kind in PROBE_KINDS:
        of_kind = [(name, rows) for name, rows in first if any((p, kind) in rows for p in protocols)]
        dots = [
            DotRow(name, tuple(dot for p in protocols for dot in _both(rows.get((p, kind)))))
            for name, rows in of_kind[:MOST_ROWS]
        ]
        if dots:
            panels.append((kind, dots))
    numbers = [
        (name, row.protocol, row.kind, row.metric, rounded(row.before), rounded(row.after), rounded(row.low),
         rounded(row.high), row.cases)
        for name, rows in first for row in rows.values()
    ]  # fmt: skip
    part.draw(
        Drawing(
            id="kinds",
            section="kinds",
            title="Before and after, by kind of probe",
            caption="Filled: after the edit, with its 95 % interval; hollow: before. Each protocol by its first metric."
            + some_of(len(runs), MOST_ROWS, "runs"),
            alt="; ".join(
                f"{kind}: "
                + ", ".join(
                    f"{row.name} {', '.join(f'{p} {_said(row.dots[2 * n])}' for n, p in enumerate(protocols))}"
                    for row in rows
                )
                for kind, rows in panels
            ),
            table=table(("run", "protocol", "probe", "metric", "before", "after", "low", "high", "cases"), numbers),
            height=height_of_rows([len(rows) for _, rows in panels], (*protocols, "before")),
            draw=dot_panels(panels, protocols, "mean score", hollow="before"),
        )
    )


def _add_nearness(part: Part, runs: Sequence[NamedRun]) -> None:
    rows = [
        (run.name, row.protocol, nearness.replace("-", " "), row.metric, rounded(row.after),
         interval_text(row.low, row.high), row.cases, row.scored, row.unscored)
        for run in runs
        for nearness, found in run.numbers.by_nearness.items()
        for row in found
    ]  # fmt: skip
    if rows:
        columns = ("run", "protocol", "near by", "metric", "after", "95 % interval", "cases", "scored", "not scored")
        part.add_table("Hard locality, by how a question is near the edit", columns, rows, left=4)


def _add_outcomes(part: Part, runs: Sequence[NamedRun]) -> None:
    rows = []
    for run in runs:
        numbers = run.numbers
        seconds = numbers.seconds_per_edit
        rows.append(
            (run.name, numbers.manifest.case_count, numbers.done, sum(numbers.refused.values()),
             sum(numbers.not_written.values()), numbers.diverged, None if seconds is None else round(seconds, 3))
        )  # fmt: skip
    columns = ("run", "cases", "evaluated", "refused", "not written", "diverged (not finite)", "seconds per edit")
    part.add_table("Edits", columns, rows)
    reasons = [
        (run.name, what, reason, count)
        for run in runs
        for what, found in (("refused", run.numbers.refused), ("not written", run.numbers.not_written))
        for reason, count in found.most_common()
    ]
    reasons += [
        (run.name, f"not scored by {metric}", reason, count)
        for run in runs
        for (metric, reason), count in run.numbers.unscored.most_common()
    ]
    if reasons:
        part.add_table("Refused, not written, not scored: the reasons", ("run", "what", "reason", "count"), reasons, 3)


def _first_metrics(rows: Sequence[SummaryRow]) -> dict[tuple[str, str], SummaryRow]:
    found: dict[tuple[str, str], SummaryRow] = {}
    for row in rows:
        found.setdefault((row.protocol, row.kind), row)
    return found


def _both(row: SummaryRow | None) -> tuple[Dot | None, Dot | None]:
    """Return the dots after the edit and before it."""
    return (None, None) if row is None else (Dot(row.after, row.low, row.high), Dot(row.before))


def _gap_numbers(runs: Sequence[NamedRun]) -> TableData:
    rows = []
    for run in runs:
        difference, found = run.numbers.gap, run.numbers.reliability()
        assert difference is not None
        ends = [cell for name in (SYNTHETIC, WILD) for cell in _numbers_of(found[name])]
        rows.append(
            (run.name, *ends, rounded(difference.difference), rounded(difference.low), rounded(difference.high),
             difference.p, difference.cases)
        )  # fmt: skip
    columns = ["run"]
    columns += [
        f"{name}{suffix}" for name in (SYNTHETIC, WILD) for suffix in ("", " low", " high", " unedited", " cases")
    ]
    columns += ["difference", "difference low", "difference high", "p", "paired cases"]
    return table(columns, rows)


def _numbers_of(row: SummaryRow) -> tuple[float | None, float | None, float | None, float | None, int]:
    return rounded(row.after), rounded(row.low), rounded(row.high), rounded(row.before), row.cases


def _said(dot: Dot | None) -> str:
    return "no number" if dot is None or dot.value is None else f"{dot.value:.2f}"
