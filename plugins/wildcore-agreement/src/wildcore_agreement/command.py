"""``wildcore agreement``: how far the metrics and judges of a run agree, and sheets for people to label."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.table import Table

from wildcore import (
    LOCALITY_KINDS,
    PROBE_KINDS,
    FrozenData,
    Option,
    Place,
    ProbeKind,
    Score,
    UserError,
    command,
    suggestion,
)
from wildcore.completion import complete_offers, complete_runs
from wildcore.help_pages import OUTPUT, RESULTS, Example, HelpfulCommand
from wildcore.json_documents import JsonDocument
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import printable, results_console, safe_text
from wildcore.storage import write_durably
from wildcore_agreement.corrected import CorrectedScore, corrected_scores
from wildcore_agreement.verdicts import (
    Agreement,
    AnswerFilter,
    Difference,
    When,
    agreements,
    answers,
    find_label,
    labelling_sheet,
    metrics_of,
)

JUDGED_BY_THE_GOLD: tuple[ProbeKind, ...] = tuple(kind for kind in PROBE_KINDS if kind not in LOCALITY_KINDS)
CORRECTED = (
    "Corrected: prediction-powered estimate (PPI++) of the mean label over all answers. It is valid if the labelled answers were "
    "chosen at random. The interval takes answers as independent."
)
SHOWN_FIRST = ("reason", "reply")
LONGEST = 200

Folder = click.Path(path_type=Path)
DOCUMENT = JsonDocument("agreement", 1, "wildcore_agreement.command:AgreementReport")


class PrintedAgreement(Agreement):
    """How two metrics agree; see ``Agreement``.

    ``corrected`` has the means of one metric corrected by people's labels, if the other holds such labels.
    """

    corrected: tuple[CorrectedScore, ...]


class AgreementReport(FrozenData):
    """How the metrics of a run agree, for each pair that was compared. ``run`` is the run's folder."""

    run: str
    agreements: tuple[PrintedAgreement, ...]


@click.command(
    cls=HelpfulCommand,
    section=RESULTS,
    short_help="Show how far metrics, judges and people agree.",
    documents=(DOCUMENT,),
    groups={"Answers": ("metrics", "kinds", "protocol", "when", "threshold"), OUTPUT: ("limit", "sheet_file")},
    examples=(
        Example("wildcore agreement runs/first", "Compare every pair of metrics that scored the run."),
        Example(
            "wildcore agreement runs/first --metric exact-match --metric contains", "Compare these two metrics alone."
        ),
        Example("wildcore agreement runs/first --sheet labels.csv", "Write a sheet of answers for people to label."),
    ),
)
@click.argument("run", type=Folder, shell_complete=complete_runs)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Metric as recorded, or the start of its name."
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(PROBE_KINDS), help="Probe kind; several allowed.")
@click.option(
    "--protocol",
    metavar="NAME",
    shell_complete=complete_offers("protocol"),
    help="Only answers under this protocol.",
)
@click.option(
    "--when", type=click.Choice(["before", "after", "both"]), default="both", show_default=True, help="Which answers."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="A score between 0 and 1 counts as correct from this value on.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Show the first N answers on which they differ, in JSON too.",
)
@click.option(
    "--sheet", "sheet_file", type=Folder, metavar="FILE.csv", help="Only write a sheet of answers for people to label."
)
@click.option("--json", "as_json", is_flag=True, help="Print the agreement as JSON.")
def agreement(run: Path, **options: Any) -> None:
    """Show how far the metrics or judges that scored RUN agree: every pair of them, or of those named.

    People's labels are a metric too: fill in a --sheet, score the run by it (--metric human-labels), and compare.
    """
    folder = RunFolder.finished(run, lambda note: click.echo(printable(f"Note: {note}"), err=True))
    chosen = _chosen(folder, options)
    if options["sheet_file"]:
        _write_sheet(folder, chosen, options["sheet_file"])
        return
    compared = _compared(folder, chosen, options)
    if options["as_json"]:
        report = AgreementReport(
            run=str(folder.path), agreements=tuple(_printed(folder, one, chosen) for one in compared)
        )
        click.echo(DOCUMENT.text(report))
        return
    console = results_console()
    for one in compared:
        print_agreement(console, one)
        print_corrected(console, corrected_scores(folder, one.first, one.second, chosen))


def _chosen(folder: RunFolder, options: Mapping[str, Any]) -> AnswerFilter:
    protocol = options["protocol"]
    known = [definition.name for definition in folder.manifest.protocols]
    if protocol is not None and protocol not in known:
        raise UserError("not a protocol of this run", Option("protocols", protocol), suggestion(protocol, known))
    whens = get_args(When) if options["when"] == "both" else (options["when"],)
    kinds = options["kinds"] or (JUDGED_BY_THE_GOLD if options["sheet_file"] else PROBE_KINDS)
    return AnswerFilter(kinds=kinds, whens=whens, protocol=protocol)


def _write_sheet(folder: RunFolder, chosen: AnswerFilter, file: Path) -> None:
    if file.suffix.lower() != ".csv":
        raise UserError("the name must end in .csv", Option("sheet", file))
    if file.exists():
        raise UserError("it is there already and may hold labels", Option("sheet", file), "choose another name")
    text, rows = labelling_sheet(answers(folder, chosen))
    if not rows:
        raise UserError("the run holds no such answer", Option("sheet", file))
    try:
        write_durably(file, text)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", Option("sheet", file)) from error
    click.echo(f"{rows} answers to label in {file}: write correct or incorrect into the column label")


def _compared(folder: RunFolder, chosen: AnswerFilter, options: Mapping[str, Any]) -> list[Agreement]:
    """Return the agreements to show: of the metrics named, or of every pair that has an answer in common."""
    values = metrics_of(folder)
    how = (chosen, options["threshold"], options["limit"])
    if options["metrics"]:
        return agreements(folder, _named(values, options["metrics"]), *how)
    fit = [label for label, odd in values.items() if odd is None]
    add_one = f"add one with: {command('score', folder.path, Option('metric', 'NAME'))}"
    if len(fit) < 2:
        raise UserError(
            f"{len(fit)} of its metrics give verdicts ({'; '.join(values) or 'none'}), and two are needed",
            Place(folder.path),
            add_one,
        )
    left_out = [label for label in values if label not in fit]
    if left_out:
        click.echo(printable(f"Note: left out, since their scores are no verdicts: {'; '.join(left_out)}"), err=True)
    compared = [one for one in agreements(folder, fit, *how) if one.both or one.neither]
    if not compared:
        raise UserError(
            f"no two of its metrics ({'; '.join(fit)}) scored the same of these answers", Place(folder.path), add_one
        )
    return compared


def _named(values: Mapping[str, float | None], names: Sequence[str]) -> list[str]:
    labels = list(dict.fromkeys(find_label(list(values), name) for name in names))
    if len(labels) < 2:
        raise UserError(
            "it is the only one",
            Option("metrics", labels[0]),
            "give the option twice, once for each of the metrics to compare",
        )
    for label in labels:
        if values[label] is not None:
            raise UserError(
                f"its scores, such as {values[label]:g}, are no verdicts, which lie between 0 (incorrect) and 1 (correct)",
                about=Option("metrics", label),
            )
    return labels


def _printed(folder: RunFolder, one: Agreement, chosen: AnswerFilter) -> PrintedAgreement:
    corrected = tuple(corrected_scores(folder, one.first, one.second, chosen))
    return PrintedAgreement(**dict(one), corrected=corrected)


def print_corrected(console: Console, rows: Sequence[CorrectedScore]) -> None:
    """Print the mean score that people's labels and a metric give together, if a metric was compared with labels."""
    if not rows:
        return
    table = Table("protocol", "probe", "answers", title=safe_text(f"{rows[0].metric}, corrected by {rows[0].labels}"))
    for column in ("uncorrected", "corrected", "95 % interval", "labelled", "others"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        mean = row.mean
        interval = "-" if mean.low is None or mean.high is None else f"{mean.low:.3f} to {mean.high:.3f}"
        table.add_row(
            safe_text(row.protocol), row.kind, row.when, f"{row.uncorrected:.3f}", f"{mean.value:.3f}", interval,
            str(mean.labelled), str(mean.unlabelled),
        )  # fmt: skip
    console.print(table)
    console.print(CORRECTED)


def print_agreement(console: Console, one: Agreement) -> None:
    """Print how two metrics agree, and the answers on which they differ."""
    console.print()
    console.print(
        safe_text(f"{one.first} and {one.second}: {one.both} answers scored by both, {one.distinct} of them distinct")
    )
    _print_table(console, one)
    if one.observed is not None:
        console.print(
            f"Equal verdicts: {one.both - one.differ} of {one.both}, {one.observed:.3f} "
            f"(95 % interval {one.low:.3f} to {one.high:.3f})"
        )
    console.print(safe_text(f"Cohen's kappa: {_kappa(one)}"))
    if one.distinct < one.both:
        console.print(
            "Intervals take answers as independent; the same answer scored twice is not, so they are too narrow."
        )
    _print_partly_scored(console, one)
    _print_differing(console, one)


def _print_table(console: Console, one: Agreement) -> None:
    table = Table("")
    for verdict in ("correct", "incorrect"):
        table.add_column(safe_text(f"{verdict} by {one.second}"), justify="right")
    for verdict, row in zip(("correct", "incorrect"), one.table, strict=True):
        table.add_row(safe_text(f"{verdict} by {one.first}"), *map(str, row))
    console.print(table)


def _kappa(one: Agreement) -> str:
    kappa = one.kappa
    if kappa.value is None:
        return f"undefined: {kappa.undefined}"
    if kappa.low is None:
        return f"{kappa.value:z.3f} ({kappa.undefined})"
    return f"{kappa.value:z.3f} (95 % interval {kappa.low:.3f} to {kappa.high:.3f})"


def _print_partly_scored(console: Console, one: Agreement) -> None:
    for scorer, other, counts in ((one.first, one.second, one.only_first), (one.second, one.first, one.only_second)):
        if counts:
            reasons = "; ".join(f"{reason} ({count})" for reason, count in counts.items())
            console.print(
                safe_text(f"Scored by {scorer} alone: {sum(counts.values())}. {other}: {reasons}", 3 * LONGEST)
            )
    if one.neither:
        console.print(f"Scored by neither: {one.neither}")
    for label, count in zip((one.first, one.second), one.graded, strict=True):
        if count:
            console.print(safe_text(f"{label}: {count} scores lie between 0 and 1; correct from {one.threshold:g} on"))


def _print_differing(console: Console, one: Agreement) -> None:
    if one.differ:
        shown = f"; the first {len(one.differing)}:" if one.differing else ""
        console.print(f"They differ on {one.differ}{shown}")
    for difference in one.differing:
        said = difference.said
        console.print(safe_text(f"  {_place(difference)}: {said.question}", LONGEST))
        console.print(safe_text(f"    gold {said.gold!r}, answer {said.answer!r}", LONGEST))
        for label, score in ((one.first, difference.first), (one.second, difference.second)):
            verdict = "correct" if (score.value or 0) >= one.threshold else "incorrect"
            console.print(safe_text(f"    {verdict} by {label}{_details(score)}", LONGEST))


def _place(difference: Difference) -> str:
    said = difference.said
    return f"case {said.case}, {said.protocol}, {said.kind}, {said.when}"


def _details(score: Score) -> str:
    """Return how a score came about, with the metric's own words first."""
    order = [name for name in SHOWN_FIRST if name in score.details]
    order += [name for name in score.details if name not in SHOWN_FIRST]
    told = {name: score.details[name] for name in order if score.details[name] is not None}
    return "".join(f", {name} {value!r}" for name, value in told.items())
