"""Sections on where the numbers come from: modules of the evaluation, groups of cases, extra content, agreement of metrics."""

from collections.abc import Sequence

from wildcore import Option, command
from wildcore.scoring.intervals import wilson
from wildcore_report.drawing import Drawing
from wildcore_report.extra import CLASSES, Continued, ExtraContent
from wildcore_report.figures import (
    MOST_ROWS,
    MOST_SERIES,
    Dot,
    DotRow,
    Line,
    bars_of_shares,
    curves,
    dot_panels,
    height_of_curves,
    height_of_rows,
)
from wildcore_report.parts import (
    NamedRun,
    Part,
    Row,
    in_points,
    interval_text,
    p_text,
    points_text,
    rounded,
    some_of,
    table,
)
from wildcore_report.payload import Cell, TableData
from wildcore_report.slices import LEAST_CASES, LENGTH, Slice


def modules(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on what each module of the evaluation costs."""
    # the step of all four modules alone is the gap, which has its own section
    measured = [run for run in runs if len(run.numbers.costs) > 1]
    if not measured:
        return "no run was evaluated under protocols that differ from synthetic or wild by a single module"
    part = Part("modules", "What each module of the evaluation costs")
    part.text.append(
        "An evaluation has four modules: input, generation, truncation and metric. Each row changes one of them from that of "
        "synthetic to that of wild, and shows by how many points reliability falls. Alone: all others are synthetic's. In order: "
        "those before it are wild's already. Last: all others are wild's. Where the effects of modules add up, all three agree."
    )
    rows = [
        (run.name, cost.label, rounded(cost.paired.first), rounded(cost.paired.second),
         in_points(cost.paired.difference),
         points_text(cost.paired.low, cost.paired.high) or cost.paired.note, p_text(cost.paired.p),
         cost.paired.cases, cost.paired.clusters)
        for run in measured
        for cost in run.numbers.costs
    ]  # fmt: skip
    columns = (
        "run", "module", "before", "after", "cost in points", "95 % interval", "p", "cases", "clusters",
    )  # fmt: skip
    part.add_table("Cost of each module (p is not adjusted for the number of comparisons)", columns, rows, left=2)
    shown = measured[:MOST_SERIES]
    panels = []
    for how in ("in order", "alone", "last"):
        labels = [cost.label for run in shown for cost in run.numbers.costs if cost.label.endswith(f", {how}")]
        dots = [
            DotRow(name.removesuffix(f", {how}"), tuple(_cost(run, name) for run in shown))
            for name in dict.fromkeys(labels)
        ]
        if dots:
            panels.append((how, dots))
    part.draw(
        Drawing(
            id="module-costs",
            section="modules",
            title="What each module of the evaluation costs",
            caption="Points of reliability that are lost when one module becomes that of wild, with 95 % intervals; right of 0: "
            "lower under wild's module." + some_of(len(measured), MOST_SERIES, "runs"),
            alt="; ".join(
                f"{run.name}: "
                + ", ".join(
                    f"{cost.label} {100 * cost.paired.difference:+.0f}"
                    for cost in run.numbers.costs
                    if cost.paired.difference is not None
                )
                for run in shown
            ),
            table=table(
                ("run", "module", "before", "after", "cost", "low", "high", "p", "cases"),
                [
                    (run.name, cost.label, rounded(cost.paired.first), rounded(cost.paired.second),
                     rounded(cost.paired.difference), rounded(cost.paired.low), rounded(cost.paired.high), cost.paired.p,
                     cost.paired.cases)
                    for run in measured for cost in run.numbers.costs
                ],
            ),
            height=height_of_rows([len(rows) for _, rows in panels], [run.name for run in shown]),
            draw=dot_panels(
                panels, [run.name for run in shown], "points of reliability lost", share=False, reference=0.0
            ),
        )
    )  # fmt: skip
    return part


def slices(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on reliability by the length of the target, by tags, and by relation."""
    names = list(dict.fromkeys(one.by for run in runs for one in run.numbers.slices))
    if not names:
        return "the cases do not differ in the length of their targets, tags or relations"
    part = Part("slices", "Reliability by length, source and relation")
    part.text.append(
        "Reliability of groups of cases, each protocol by its first metric. Groups are small, so look at the intervals: where "
        "they overlap widely, nothing is shown to differ."
    )
    small = dict.fromkeys((by, count) for run in runs for by, count in run.numbers.small_groups.items())
    part.text += [
        f"Left out, because each of its {count} groups has fewer than {LEAST_CASES} cases: {by}." for by, count in small
    ]
    for by in names:
        found = [(run, one) for run in runs for one in run.numbers.slices if one.by == by]
        rows = [
            (run.name, one.group, one.protocol, one.metric, rounded(one.mean), interval_text(one.low, one.high),
             one.scored, one.clusters, one.cases - one.scored)
            for run, one in found
        ]  # fmt: skip
        columns = ("run", by, "protocol", "metric", "reliability", "95 % interval", "cases", "clusters", "not scored")
        part.add_table(f"By {by}", columns, rows, left=4)
        part.draw(_by_length(runs, found) if by == LENGTH else _by_group(by, found))
    return part


def extra_content(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on what answers say beyond the gold."""
    classed = [(run, one) for run in runs for one in run.numbers.extra if one.scored]
    observed = [(run, one) for run in runs for one in run.numbers.continued if one.went_on or one.ended]
    if not classed and not observed:
        return (
            "no metric extra-content scored the answers, and nothing was generated after them; "
            f"{command('score', 'RUN', Option('metric', 'extra-content'))} adds the first"
        )
    part = Part("extra-content", "What answers say beyond the gold")
    if classed:
        _add_classes(part, classed)
    if observed:
        _add_continued(part, observed)
    return part


def _add_classes(part: Part, classed: Sequence[tuple[NamedRun, ExtraContent]]) -> None:
    part.text.append(
        "Answers after the edit that contain the gold: they say nothing more, repeat it, or say something else. Answers without "
        "the gold are not scored. Intervals are Wilson's, 95 %."
    )
    rows: list[Row] = []
    for run, one in classed:
        shares: list[Cell] = []
        for name in CLASSES:
            shares += [one.classes[name], interval_text(*wilson(one.classes[name] / one.scored, one.scored))]
        rows.append((run.name, one.protocol, one.kind, one.scored, *shares, one.unscored, one.refused, one.unclassed))
    of_classes = [column for name in CLASSES for column in (name, f"share of {name}, 95 %")]
    columns = (
        "run",
        "protocol",
        "probe",
        "answers with the gold",
        *of_classes,
        "not scored",
        "refused",
        "no class kept",
    )
    part.add_table("Classes of extra content", columns, rows, left=3)
    bars = [
        (f"{one.protocol}: {run.name}", [one.classes[name] / one.scored for name in CLASSES])
        for run, one in classed
        if one.kind == "reliability"
    ]
    shown = bars[:MOST_ROWS]
    if shown:
        part.draw(
            Drawing(
                id="extra-content",
                section="extra-content",
                title="Classes of extra content",
                caption="Answers to edit prompts that contain the gold, by what else they say."
                + some_of(len(bars), MOST_ROWS, "rows"),
                alt="; ".join(
                    f"{name}: " + ", ".join(f"{c} {share:.0%}" for c, share in zip(CLASSES, shares_of, strict=True))
                    for name, shares_of in shown
                ),
                table=table(("protocol and run", *CLASSES), [(name, *map(rounded, of)) for name, of in bars]),
                height=height_of_rows([len(shown)], CLASSES),
                draw=bars_of_shares(shown, CLASSES, "share of the answers that contain the gold"),
            )
        )


def _add_continued(part: Part, observed: Sequence[tuple[NamedRun, Continued]]) -> None:
    part.text.append(
        "Correct answers to edit prompts: after some, the model went on once the answer was cut; after others it ended. Where "
        "generation stopped with the answer, what would follow is not known, so that the share that went on has two bounds; an "
        "interval is given if all is known."
    )
    rows: list[Row] = []
    for run, one in observed:
        bounds = (one.went_on / one.held, (one.went_on + one.unknown) / one.held)
        ends = None if one.unknown else interval_text(*wilson(bounds[0], one.held))
        counts = (one.held, one.went_on, one.ended, one.unknown)
        rows.append((run.name, one.protocol, one.metric, *counts, *map(rounded, bounds), ends, one.example))
    counted = ("correct", "went on", "ended", "not known", "share at least", "share at most")
    columns = ("run", "protocol", "metric", *counted, "95 % interval", "example")
    part.add_table("What followed correct answers", columns, rows, left=3, texts=("example",))


def agreement(runs: Sequence[NamedRun]) -> Part | str:
    """Return the section on how far metrics that scored the same answers agree."""
    found = [(run, pair) for run in runs for pair in run.numbers.agreements]
    if not found:
        return "no two metrics that give verdicts scored the same answers"
    part = Part("agreement", "Agreement of metrics")
    part.text.append(
        "Pairs of metrics, LLM judges and people's labels on the answers that both scored, before and after the edits, without "
        "probes of locality. A score of 0.5 or more counts as correct. Intervals (95 %) take answers as independent, so they are "
        "too narrow where one text was scored several times. Kappa corrects for agreement by chance."
    )
    rows: list[Row] = []
    numbers: list[Row] = []
    dots: list[tuple[str, DotRow]] = []
    for run, pair in found:
        low, high = pair.ends
        kappa = pair.kappa
        counts = [pair.counts[verdicts] for verdicts in ((True, True), (True, False), (False, True), (False, False))]
        rows.append(
            (run.name, pair.first, pair.second, pair.both, *counts, pair.only_one, rounded(pair.observed),
             interval_text(low, high), rounded(kappa.value), interval_text(kappa.low, kappa.high) or kappa.undefined)
        )  # fmt: skip
        numbers.append(
            (run.name, pair.first, pair.second, pair.both, *counts, rounded(pair.observed), rounded(low), rounded(high),
             rounded(kappa.value), rounded(kappa.low), rounded(kappa.high))
        )  # fmt: skip
        name = f"{pair.first}, {pair.second}"
        dots.append((run.name, DotRow(name, (Dot(pair.observed, low, high), Dot(kappa.value, kappa.low, kappa.high)))))
    verdicts = ("both correct", "only the first", "only the second", "both incorrect")
    columns = (
        "run", "first", "second", "answers", *verdicts, "scored by one alone", "equal verdicts", "95 % interval", "kappa",
        "95 % interval of kappa",
    )  # fmt: skip
    part.add_table("Pairs of metrics", columns, rows, left=3)
    shown = dots[:MOST_ROWS]
    panels = [(run, [row for name, row in shown if name == run]) for run in dict.fromkeys(name for name, _ in shown)]
    of_figure = (
        "run", "first", "second", "answers", *verdicts, "equal", "equal low", "equal high", "kappa", "kappa low", "kappa high",
    )  # fmt: skip
    part.draw(
        Drawing(
            id="agreement",
            section="agreement",
            title="Agreement of metrics",
            caption="Share of equal verdicts and Cohen's kappa of each pair, with 95 % intervals."
            + some_of(len(dots), MOST_ROWS, "pairs"),
            alt="; ".join(f"{run}: {row.name} {row.dots[0].value:.2f}" for run, row in shown if row.dots[0]),
            table=table(of_figure, numbers),
            height=height_of_rows([len(rows) for _, rows in panels], ("equal verdicts", "kappa")),
            draw=dot_panels(panels, ("equal verdicts", "kappa"), "agreement", share=False),
        )
    )
    return part


def _cost(run: NamedRun, name: str) -> Dot | None:
    paired = next((cost.paired for cost in run.numbers.costs if cost.label == name), None)
    if paired is None or paired.difference is None:
        return None
    low, high = (None if end is None else 100 * end for end in (paired.low, paired.high))
    return Dot(100 * paired.difference, low, high)


def _by_length(runs: Sequence[NamedRun], found: Sequence[tuple[NamedRun, Slice]]) -> Drawing:
    groups = sorted({(one.order, one.group) for _, one in found}, key=lambda pair: _first_number(pair[1]))
    places = {group: place for place, group in enumerate(dict.fromkeys(group for _, group in groups))}
    protocols = list(dict.fromkeys(one.protocol for _, one in found))
    shown = [run.name for run in runs][:MOST_SERIES]
    panels = []
    for protocol in protocols:
        lines = [
            Line(
                name,
                tuple(
                    (places[one.group], Dot(one.mean, one.low, one.high))
                    for run, one in found
                    if run.name == name and one.protocol == protocol
                ),
            )
            for name in shown
        ]
        panels.append((protocol, [line for line in lines if line.points]))
    return Drawing(
        id="length",
        section="slices",
        title="Reliability by the length of the target",
        caption="Lines are runs, bands are 95 % intervals. Length in tokens of the model."
        + some_of(len(runs), MOST_SERIES, "runs"),
        alt=_said(found, shown),
        table=_numbers(LENGTH, found),
        height=height_of_curves(len(panels), shown),
        draw=curves(panels, "tokens of the target", "reliability", names=list(places)),
    )


def _by_group(by: str, found: Sequence[tuple[NamedRun, Slice]]) -> Drawing:
    names = list(dict.fromkeys(run.name for run, _ in found))
    protocols = list(dict.fromkeys(one.protocol for _, one in found))
    panels: list[tuple[str, list[DotRow]]] = []
    for name in names:
        groups = list(dict.fromkeys(one.group for run, one in found if run.name == name))
        if panels and sum(len(rows) for _, rows in panels) + len(groups) > 2 * MOST_ROWS:
            break
        values = {(one.group, one.protocol): one for run, one in found if run.name == name}
        rows = [DotRow(group, tuple(_dot(values.get((group, protocol))) for protocol in protocols)) for group in groups]
        panels.append((name, rows))
    return Drawing(
        id=f"by-{_plain(by)}",
        section="slices",
        title=f"Reliability by {by}",
        caption="Each row is a group of cases, with 95 % intervals." + some_of(len(names), len(panels), "runs"),
        alt=_said(found, [name for name, _ in panels]),
        table=_numbers(by, found),
        height=height_of_rows([len(rows) for _, rows in panels], protocols),
        draw=dot_panels(panels, protocols, "reliability"),
    )


def _numbers(by: str, found: Sequence[tuple[NamedRun, Slice]]) -> TableData:
    columns = ("run", by, "protocol", "metric", "reliability", "low", "high", "cases")
    rows = [
        (
            run.name,
            one.group,
            one.protocol,
            one.metric,
            rounded(one.mean),
            rounded(one.low),
            rounded(one.high),
            one.scored,
        )
        for run, one in found
    ]
    return table(columns, rows)


def _dot(one: Slice | None) -> Dot | None:
    return None if one is None else Dot(one.mean, one.low, one.high)


def _said(found: Sequence[tuple[NamedRun, Slice]], names: Sequence[str]) -> str:
    return "; ".join(
        f"{run.name}, {one.group}, {one.protocol}: {one.mean:.2f}"
        for run, one in found
        if one.mean is not None and run.name in names
    )


def _first_number(text: str) -> int:
    return int(text.partition(" ")[0])


def _plain(text: str) -> str:
    """Return text as part of a file's name."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower())
    return kept.strip("-")[:40] or "tag"
