"""A run presented to a person: the table, the gap, edit by edit, examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table

from wildcore.errors import Option, Place, UserError, command
from wildcore.evaluation.schedules import description
from wildcore.jobs.build import name_in_words
from wildcore.records.continuations import Continuation, after_the_answer, continuations
from wildcore.records.endings import Endings, endings
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, JudgingPointRecord, Manifest, ProbeRecord, ScoreRecord, flatten
from wildcore.reporting.capability import print_capability
from wildcore.reporting.changes import print_changes
from wildcore.reporting.console import results_console, safe_text
from wildcore.reporting.headline import gap_in_words
from wildcore.reporting.numbers import interval_of, number
from wildcore.reporting.retention import print_retention
from wildcore.scoring.capability import changes
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import changes_by_edits, synthetic_minus_wild
from wildcore.scoring.means import SummaryRow, by_nearness, summarise
from wildcore.scoring.paired import PairedDifference
from wildcore.scoring.power import DISCORDANT, smallest_detectable_before
from wildcore.scoring.retention import collapse, retention, retention_matrices
from wildcore.scoring.scores import REFUSED
from wildcore.types import COMPARED_CAREFULLY, Answer, Nearness

EXAMPLES = 3
REASONS = 5
EDITS_PRINTED = 60
LONGEST = 70
LONGEST_CONTINUATION = 30
COUNTS = ("cases", "scored", "unscored", "refused")
WIDTH_OF_THE_TABLE = 124
"""Width of a window, in columns, at which no word in the table of a run is cut."""

PRINTED = ("model.name", "model.dtype", "model.device", "dataset.name", "editor.name")
PRINTED_OF_SCHEDULE = ("schedule.edits", "schedule.judged", "schedule.model")

NO_SCORE_DEPENDS_ON = "continuation"
"""Field of the identity in which runs may differ and still be compared."""

LOST = {"empty": "leaves nothing of", "number": "makes another number of", "symbol": "removes the symbol of"}
"""What normalisation does to an accepted answer, by the value in the details of its scores."""

Column = tuple[str, str]


def print_run(folder: RunFolder) -> None:
    """Print a finished run: head, table, gap, examples, and what to do next."""
    cases, scores = list(folder.cases()), list(folder.scores())
    clusters = subjects(cases)
    rows = summarise(scores, clusters)
    with results_console() as console:  # in a notebook all of it is one output
        print_head(console, folder, len(cases))
        print_table(console, rows)
        print_gap(console, synthetic_minus_wild(scores, clusters))
        print_detectable(console, len(cases))
        print_changes(console, changes_by_edits(scores, clusters))
        print_hard_locality(console, by_nearness(cases, scores))
        print_retention(console, retention(folder), retention_matrices(folder), collapse(folder.points()))
        print_abilities(console, sorted(folder.points(), key=lambda point: point.after_edits))
        print_continuations(console, continuations(cases, scores))
        print_endings(console, endings(cases, folder.manifest.protocols))
        print_compared_carefully(console, scores)
        print_refusals(console, cases)
        print_unscored(console, scores)
        print_examples(console, cases)
        console.print()
        console.print(safe_text(f"Run: {folder.path}"), soft_wrap=True)
        console.print(safe_text(f"Next: {command('show', folder.path, Option('edits'))}"), soft_wrap=True)
        if all_refused(cases):
            console.print(safe_text(nothing_measured(cases)), soft_wrap=True)


def all_refused(cases: Sequence[CaseRecord]) -> bool:
    """Return whether every edit of a run was refused, so that it measured nothing."""
    return bool(cases) and all(case.edit.status == "refused" for case in cases)


def nothing_measured(cases: Sequence[CaseRecord]) -> str:
    """Return the last line of a run whose edits were all refused."""
    reasons = Counter(case.edit.reason or "" for case in cases)
    why, count = reasons.most_common(1)[0]
    share = f", {count} of them because of this" if count < len(cases) else ""
    return f"Nothing was measured: all {len(cases)} edits were refused{share}: {why}"


def print_head(console: Console, folder: RunFolder, done: int) -> None:
    """Print what was run, and each note once. Raises ``UserError`` if the manifest lacks something that is printed."""
    manifest = readable_manifest(folder)
    what = manifest.identity
    model, dataset, editor = what["model"], what["dataset"], what["editor"]
    console.print()
    console.print(
        safe_text(
            f"{name_in_words(editor)} on {model['name']} ({model['dtype']}, {model['device']}), {done} edits of {dataset['name']}"
        )
    )
    if "schedule" in what:
        console.print(safe_text(f"Schedule: {description(what['schedule'])}"))
    later = (note for work in folder.work() for note in work.notes)
    for note in dict.fromkeys([*manifest.notes, *later]):
        console.print(safe_text(f"Note: {note}"))
    for protocol in manifest.protocols:
        if protocol.variant_of:
            console.print(
                safe_text(
                    f"Variant of {protocol.variant_of}, not {protocol.variant_of}: {'; '.join(protocol.differences)}"
                )
            )


def readable_manifest(folder: RunFolder) -> Manifest:
    """Return the manifest of a run. Raises ``UserError`` if it lacks what is printed of every run."""
    manifest = folder.manifest
    said = flatten(manifest.identity)
    transforms = {".".join(key.split(".")[:3]) for key in said if key.startswith("editor.transforms.")}
    needed = [*PRINTED, *(f"{transform}.name" for transform in sorted(transforms))]
    if "schedule" in manifest.identity:
        needed += PRINTED_OF_SCHEDULE
    missing = [key for key in needed if not isinstance(said.get(key), str)]
    if missing:
        raise UserError(
            f"its identity does not say {', '.join(missing)}",
            Place(folder.path / "manifest.json"),
            "it is damaged or of another version of wildcore, which can show the run",
        )
    return manifest


def print_table(console: Console, rows: Sequence[SummaryRow]) -> None:
    """Print one row for each protocol, probe kind and metric. In a narrow window the counts are left out, which is noted."""
    narrow = console.width < WIDTH_OF_THE_TABLE
    table = Table("protocol", "probe", "metric", box=None if narrow else HEAVY_HEAD)
    for column in ("before", "after", "95 % interval", *(() if narrow else COUNTS)):
        table.add_column(column, justify="right", no_wrap=True)
    last = None
    for row in rows:
        if last not in (None, row.protocol):
            table.add_section()
        table.add_row(
            safe_text("" if row.protocol == last else row.protocol),
            row.kind,
            safe_text(row.metric),
            number(row.before),
            number(row.after),
            interval_of(row.low, row.high),
            *(() if narrow else (str(getattr(row, count)) for count in COUNTS)),
        )
        last = row.protocol
    console.print(table)
    if narrow:
        console.print(
            "How many cases there are, and how many answers were scored, unscored and refused, is shown in a window "
            f"{WIDTH_OF_THE_TABLE} columns wide, and by {command('show', Option('json'))}."
        )


def print_abilities(console: Console, points: Sequence[JudgingPointRecord]) -> None:
    """Print how the model's accuracies in tasks changed from the first to the last of ``points``, if they were measured."""
    if len(points) < 2:
        return
    first, last = points[0], points[-1]
    for name, edited in last.measured.items():
        unedited = first.measured.get(name, ())
        if any(change for _, _, change in changes(unedited, edited)):
            console.print(f"After {last.after_edits} edits, beside the unedited model:")
            print_capability(console, unedited, edited)
            console.print()


def print_gap(console: Console, gap: PairedDifference | None) -> None:
    """Print how much more the synthetic protocol reports than the wild one, if a run has both."""
    sentence = gap_in_words(gap)
    if sentence is not None:
        console.print(safe_text(sentence))


def print_detectable(console: Console, cases: int) -> None:
    """Print the smallest difference from another run that this number of cases detects."""
    smallest = smallest_detectable_before(cases)
    if smallest is not None and smallest <= 1:
        console.print(
            f"With {cases} cases, a difference of about {100 * smallest:.0f} points from another run can be detected "
            f"(80 % power, two-sided 5 %, if the runs disagree on {DISCORDANT:.0%} of the cases)."
        )


def print_hard_locality(console: Console, split: Mapping[Nearness, Sequence[SummaryRow]]) -> None:
    """Print the mean of hard locality for each sort of its probes, if a run has any."""
    said: dict[tuple[str, str], list[str]] = {}
    for nearness, rows in split.items():
        for row in rows:
            value = f"{nearness.replace('-', ' ')} {number(row.after)} (cases: {row.cases}, probes: {row.scored})"
            said.setdefault((row.protocol, row.metric), []).append(value)
    for (protocol, metric), values in said.items():
        console.print(safe_text(f"{protocol}: hard locality by {metric}: {', '.join(values)}.", 300))


def print_continuations(console: Console, found: Sequence[Continuation]) -> None:
    """Print after how many correct answers the edited model continued, if something was observed after any."""
    for one in found:
        if one.went_on or one.ended:
            shown = f", such as {one.example!r}" if one.example else ""
            unknown = f"; for {one.unknown} this is not known" if one.unknown else ""
            console.print(
                safe_text(
                    f"{one.protocol}: of {one.held} correct answers, {one.went_on} went on after the cut{shown}; "
                    f"{one.ended} ended there{unknown}.",
                    300,
                )
            )


def print_endings(console: Console, found: Sequence[Endings]) -> None:
    """Print which protocols ended no answer by a stop, and how many answers a line break at their beginning left empty."""
    for one in found:
        if not one.by_a_stop:
            hint = f'; some contain "{one.other_stop}", which ends a sentence in its script' if one.other_stop else ""
            console.print(
                safe_text(
                    f"{one.protocol}: none of {one.answers} answers was ended by a stop of the truncator {one.truncator}{hint}.",
                    300,
                )
            )
        if one.emptied:
            console.print(
                safe_text(
                    f"{one.protocol}: {one.emptied} of {one.answers} answers begin with a line break, which ends them, so they "
                    "are empty; the truncator's parameter skip_leading_white_space skips it.",
                    300,
                )
            )


def print_compared_carefully(console: Console, scores: Sequence[ScoreRecord]) -> None:
    """Print how many questions have accepted answers that a metric compared carefully, and some of these."""
    questions: dict[str, set[tuple[str, str, int]]] = {}
    golds: dict[str, dict[str, str]] = {}
    for score in scores:
        for sample in (*score.before_samples, *score.after_samples):
            if lost := sample.details.get(COMPARED_CAREFULLY):
                questions.setdefault(score.metric, set()).add((score.case, score.protocol, score.probe))
                golds.setdefault(score.metric, {}).update(lost)
    for metric, asked in questions.items():
        shown = ", ".join(f"{LOST[loss]} {gold!r}" for gold, loss in list(golds[metric].items())[:EXAMPLES])
        console.print(
            safe_text(
                f"{metric}: {len(asked)} questions were compared with signs and symbols kept, because the usual normalisation "
                f"{shown}.",
                300,
            )
        )


def print_refusals(console: Console, cases: Sequence[CaseRecord]) -> None:
    """Print why edits were refused, and how many diverged."""
    refused = [case for case in cases if case.edit.status == "refused"]
    if refused:
        console.print(
            safe_text(f"{len(refused)} refused; the first, case {refused[0].case}: {refused[0].edit.reason}", 300)
        )
    failed = [case for case in cases if case.edit.status == "edited" and case.edit.reason]
    if failed:
        console.print(
            safe_text(
                f"{len(failed)} edits were not written, and their cases were evaluated without them; the first, case "
                f"{failed[0].case}: {failed[0].edit.reason}",
                300,
            )
        )
    diverged = [case for case in cases if case.edit.patch and case.edit.patch.get("finite") is False]
    if diverged:
        console.print(
            safe_text(
                f"{len(diverged)} edits diverged (not finite) and were evaluated all the same; the first: {diverged[0].case}"
            )
        )


def print_unscored(console: Console, scores: Sequence[ScoreRecord]) -> None:
    """Print why answers have no score, the most frequent reasons first."""
    unscored = [score for score in scores if score.after is None and score.after_reason != REFUSED]
    reasons = Counter((score.metric, score.after_reason or "") for score in unscored)
    for (metric, reason), count in reasons.most_common(REASONS):
        console.print(safe_text(f"{count} unscored by {metric}: {reason}", 300))
    if len(reasons) > REASONS:
        console.print(safe_text(f"... and {len(reasons) - REASONS} more reasons, in scores.jsonl"))


def print_examples(console: Console, cases: Sequence[CaseRecord]) -> None:
    """Print a few edits, evenly spaced over the run, with the answers to the edit prompt before and after."""
    edited = [case for case in cases if case.edit.status == "edited"]
    for index in sorted(
        {round(i * (len(edited) - 1) / max(1, EXAMPLES - 1)) for i in range(EXAMPLES)} if edited else ()
    ):
        case = edited[index]
        console.print()
        console.print(safe_text(f"{case.request.prompt} -> {case.request.target}", 140))
        for probe in case.probes:
            if probe.kind == "reliability":
                console.print(safe_text(f"  {probe.protocol}: {_said(probe)}", 220))


def _said(probe: ProbeRecord) -> str:
    return f"before {_first(probe, probe.before)}, after {_first(probe, probe.after)}"


def _first(probe: ProbeRecord, answers: Sequence[Answer]) -> str:
    if not answers:
        return f"no answer ({probe.unanswered})"
    return repr(answers[0].text) + (f" (first of {len(answers)} samples)" if len(answers) > 1 else "")


def print_edits(console: Console, cases: Sequence[CaseRecord], scores: Sequence[ScoreRecord]) -> None:
    """Print one row for each edit: for every protocol, its score by each probe kind and metric, in the order printed below."""
    columns: dict[str, list[Column]] = {}
    values: dict[tuple[str, str, Column], list[float]] = {}
    for score in scores:
        column = (score.kind, score.metric)
        if column not in columns.setdefault(score.protocol, []):
            columns[score.protocol].append(column)
        if score.after is not None:
            values.setdefault((score.case, score.protocol, column), []).append(score.after)
    followed = [protocol for protocol in columns if any(_went_on(case, protocol) for case in cases)]
    table = Table("case", "edit")
    for protocol in columns:
        table.add_column(safe_text(protocol))
    for protocol in followed:
        table.add_column(safe_text(f"{protocol}, after the cut"))
    for case in cases:
        row = [_in_a_cell(case, [values.get((case.case, p, column)) for column in columns[p]]) for p in columns]
        more = [safe_text(_went_on(case, protocol), LONGEST_CONTINUATION) for protocol in followed]
        table.add_row(
            safe_text(case.case), safe_text(f"{case.request.prompt} -> {case.request.target}", LONGEST), *row, *more
        )
    console.print(table)
    for protocol, listed in columns.items():
        console.print(safe_text(f"{protocol}: " + ", ".join(f"{kind} ({metric})" for kind, metric in listed)))


def _went_on(case: CaseRecord, protocol: str) -> str:
    """Return what followed the edited model's answer to the edit prompt; empty if the model generated nothing more."""
    for probe in case.probes:
        if probe.protocol == protocol and probe.kind == "reliability":
            after, text = after_the_answer(probe)
            if after == "went on":
                return text
    return ""


def _in_a_cell(case: CaseRecord, values: Sequence[list[float] | None]) -> str:
    if case.edit.status == "refused":
        return "refused"
    return "  ".join(f"{fmean(value):.2f}" if value else "  - " for value in values)
