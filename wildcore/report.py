"""Runs as a person reads them: the table, the gap, edit by edit, examples, and runs side by side."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from shlex import quote
from statistics import fmean
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table

from wildcore.assembly import name_in_words
from wildcore.continuations import Continuation, after_the_answer, continuations
from wildcore.defaults import SYNTHETIC, WILD
from wildcore.errors import UserError
from wildcore.records import CaseRecord, Manifest, ProbeRecord, RunFolder, ScoreRecord, flat
from wildcore.schedules import in_words, shortly
from wildcore.scoring import REFUSED, Cell, seconds_per_edit, summarise
from wildcore.screen import out, plain
from wildcore.types import PROBE_KINDS, Answer

EXAMPLES = 3
REASONS = 5
EDITS_PRINTED = 60
LONGEST = 70
LONGEST_CONTINUATION = 30
COUNTS = ("cases", "scored", "unscored", "refused")
WIDTH_OF_THE_TABLE = 124
"""Columns of a window that the table of a run needs so that no word in it is cut."""

PRINTED = ("model.name", "model.dtype", "model.device", "dataset.name", "editor.name")
PRINTED_OF_SCHEDULE = ("schedule.edits", "schedule.judged", "schedule.model")

REVISION = "source revision"
NO_DIFFERENCE = frozenset({"device", "memory_gib"})
"""Of the hardware: which of several devices it was, whose kind the identity says, and what no number hangs on."""

NO_SCORE_DEPENDS_ON = "continuation"
"""Of the identity: what runs may differ in and still be compared."""

Column = tuple[str, str]


def print_run(folder: RunFolder) -> None:
    """Print what a finished run says: head, table, gap, examples, and what to do next."""
    cases, scores = list(folder.cases()), list(folder.scores())
    cells = summarise(scores)
    with out() as console:  # in a notebook all of it is one output
        print_head(console, folder, len(cases))
        print_table(console, cells)
        print_gap(console, cells)
        print_continuations(console, continuations(cases, scores))
        print_refusals(console, cases)
        print_unscored(console, scores)
        print_examples(console, cases)
        console.print()
        console.print(plain(f"Run: {folder.path}"), soft_wrap=True)
        console.print(plain(f"Next: wildcore show {quote(str(folder.path))} --edits"), soft_wrap=True)
        if all_refused(cases):
            console.print(plain(nothing_measured(cases)), soft_wrap=True)


def all_refused(cases: Sequence[CaseRecord]) -> bool:
    """Say whether every edit of a run was refused, so that it measured nothing."""
    return bool(cases) and all(case.edit.status == "refused" for case in cases)


def nothing_measured(cases: Sequence[CaseRecord]) -> str:
    """Return the last line of a run whose edits were all refused."""
    reasons = Counter(case.edit.reason or "" for case in cases)
    why, count = reasons.most_common(1)[0]
    others = f" ({count} of them)" if count < len(cases) else ""
    return f"Nothing was measured: all {len(cases)} edits were refused{others}: {why}"


def print_head(console: Console, folder: RunFolder, done: int) -> None:
    """Print what was run, and what was noted meanwhile, each thing once. Raises ``UserError`` where the record lacks it."""
    manifest = _readable(folder)
    what = manifest.identity
    model, dataset, editor = what["model"], what["dataset"], what["editor"]
    console.print()
    console.print(
        plain(
            f"{name_in_words(editor)} on {model['name']} ({model['dtype']}, {model['device']}), {done} edits of {dataset['name']}"
        )
    )
    if "schedule" in what:
        console.print(plain(f"Schedule: {in_words(what['schedule'])}"))
    later = (note for work in folder.work() for note in work.notes)
    for note in dict.fromkeys([*manifest.notes, *later]):
        console.print(plain(f"Note: {note}"))
    for protocol in manifest.protocols:
        if protocol.variant_of:
            console.print(
                plain(f"Variant of {protocol.variant_of}, not {protocol.variant_of}: {'; '.join(protocol.differences)}")
            )


def _readable(folder: RunFolder) -> Manifest:
    """Return the manifest of a run. Raises ``UserError`` where it lacks what is printed of every run."""
    manifest = folder.manifest
    said = flat(manifest.identity)
    transforms = {".".join(key.split(".")[:3]) for key in said if key.startswith("editor.transforms.")}
    needed = [*PRINTED, *(f"{transform}.name" for transform in sorted(transforms))]
    if "schedule" in manifest.identity:
        needed += PRINTED_OF_SCHEDULE
    missing = [key for key in needed if not isinstance(said.get(key), str)]
    if missing:
        raise UserError(
            f"{folder.path / 'manifest.json'}: its identity does not say {', '.join(missing)}; it is damaged or of another "
            "version of wildcore, which can show the run"
        )
    return manifest


def print_table(console: Console, cells: Sequence[Cell]) -> None:
    """Print one row for each protocol, probe kind and metric; in a narrow window without the counts, which is said."""
    narrow = console.width < WIDTH_OF_THE_TABLE
    table = Table("protocol", "probe", "metric", box=None if narrow else HEAVY_HEAD)
    for column in ("before", "after", "95 % interval", *(() if narrow else COUNTS)):
        table.add_column(column, justify="right", no_wrap=True)
    last = None
    for cell in cells:
        if last not in (None, cell.protocol):
            table.add_section()
        table.add_row(
            plain("" if cell.protocol == last else cell.protocol),
            cell.kind,
            plain(cell.metric),
            number(cell.before),
            number(cell.after),
            f"{cell.low:.3f} to {cell.high:.3f}" if cell.low is not None and cell.high is not None else "-",
            *(() if narrow else (str(getattr(cell, count)) for count in COUNTS)),
        )
        last = cell.protocol
    console.print(table)
    if narrow:
        console.print(
            "How many cases there are, and how many answers were scored, unscored and refused, is shown in a window "
            f"{WIDTH_OF_THE_TABLE} columns wide, and by --json."
        )


def print_gap(console: Console, cells: Sequence[Cell]) -> None:
    """Print how much more the synthetic protocol reports than the wild one, where a run has both."""
    reliability: dict[str, float | None] = {}
    for cell in cells:
        if cell.kind == "reliability":
            reliability.setdefault(cell.protocol, cell.after)  # by the protocol's own metric, which comes first
    synthetic, wild = reliability.get(SYNTHETIC), reliability.get(WILD)
    if synthetic is not None and wild is not None:
        gap = 100 * (synthetic - wild)
        side = "more" if gap >= 0 else "less"
        console.print(
            plain(
                f"Reliability: {synthetic:.3f} synthetic, {wild:.3f} wild. Synthetic reports {abs(gap):.1f} points {side}."
            )
        )


def print_continuations(console: Console, found: Sequence[Continuation]) -> None:
    """Print how many answers that hold the edited model did not leave at that, where something was observed after any."""
    for one in found:
        if one.went_on or one.ended:
            shown = f", such as {one.example!r}" if one.example else ""
            unknown = f", of {one.unknown} nothing is known" if one.unknown else ""
            console.print(
                plain(
                    f"{one.protocol}: of {one.held} answers that hold, {one.went_on} went on after the cut{shown}; "
                    f"{one.ended} ended there{unknown}.",
                    300,
                )
            )


def print_refusals(console: Console, cases: Sequence[CaseRecord]) -> None:
    """Print why edits were refused, and how many diverged."""
    refused = [case for case in cases if case.edit.status == "refused"]
    if refused:
        console.print(
            plain(f"{len(refused)} refused; the first, case {refused[0].case}: {refused[0].edit.reason}", 300)
        )
    failed = [case for case in cases if case.edit.status == "edited" and case.edit.reason]
    if failed:
        console.print(
            plain(
                f"{len(failed)} not written, and judged as they are; the first, case {failed[0].case}: {failed[0].edit.reason}",
                300,
            )
        )
    diverged = [case for case in cases if case.edit.patch and case.edit.patch.get("finite") is False]
    if diverged:
        console.print(
            plain(
                f"{len(diverged)} edits diverged (not finite) and were judged as they are; the first: {diverged[0].case}"
            )
        )


def print_unscored(console: Console, scores: Sequence[ScoreRecord]) -> None:
    """Print why answers have no score, the most frequent reasons first."""
    unscored = [score for score in scores if score.after is None and score.after_reason != REFUSED]
    reasons = Counter((score.metric, score.after_reason or "") for score in unscored)
    for (metric, reason), count in reasons.most_common(REASONS):
        console.print(plain(f"{count} unscored by {metric}: {reason}", 300))
    if len(reasons) > REASONS:
        console.print(plain(f"... and {len(reasons) - REASONS} more reasons, in scores.jsonl"))


def print_examples(console: Console, cases: Sequence[CaseRecord]) -> None:
    """Print a few edits, evenly spaced over the run, with the answers to the edit prompt before and after."""
    edited = [case for case in cases if case.edit.status == "edited"]
    for index in sorted(
        {round(i * (len(edited) - 1) / max(1, EXAMPLES - 1)) for i in range(EXAMPLES)} if edited else ()
    ):
        case = edited[index]
        console.print()
        console.print(plain(f"{case.request.prompt} -> {case.request.target}", 140))
        for probe in case.probes:
            if probe.kind == "reliability":
                console.print(plain(f"  {probe.protocol}: {_said(probe)}", 220))


def _said(probe: ProbeRecord) -> str:
    return f"before {_first(probe, probe.before)}, after {_first(probe, probe.after)}"


def _first(probe: ProbeRecord, answers: Sequence[Answer]) -> str:
    if not answers:
        return f"no answer ({probe.unanswered})"
    return repr(answers[0].text) + (f" (first of {len(answers)} samples)" if len(answers) > 1 else "")


def print_edits(console: Console, cases: Sequence[CaseRecord], scores: Sequence[ScoreRecord]) -> None:
    """Print one row for each edit: for every protocol, its score by each probe kind and metric, in the order said below."""
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
        table.add_column(plain(protocol))
    for protocol in followed:
        table.add_column(plain(f"{protocol}, after the cut"))
    for case in cases:
        row = [_in_a_cell(case, [values.get((case.case, p, column)) for column in columns[p]]) for p in columns]
        more = [plain(_went_on(case, protocol), LONGEST_CONTINUATION) for protocol in followed]
        table.add_row(plain(case.case), plain(f"{case.request.prompt} -> {case.request.target}", LONGEST), *row, *more)
    console.print(table)
    for protocol, listed in columns.items():
        console.print(plain(f"{protocol}: " + ", ".join(f"{kind} ({metric})" for kind, metric in listed)))


def _went_on(case: CaseRecord, protocol: str) -> str:
    """Return what followed the edited model's answer to the edit prompt, nothing where the model said no more."""
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


def print_comparison(folders: Sequence[RunFolder]) -> None:
    """Print runs side by side, and say in what they differ besides the editor.

    Raises ``UserError`` where the record of one lacks what is printed.
    """
    console = out()
    manifests = [_readable(folder) for folder in folders]
    for difference in _other_differences(manifests):
        console.print(plain(f"Not like for like: {difference}"))
    cells = [{(c.protocol, c.kind, c.metric): c for c in summarise(folder.scores())} for folder in folders]
    table = Table("protocol", "probe", "metric")
    table.add_column("before", justify="right")
    for index, manifest in enumerate(manifests, start=1):
        table.add_column(plain(f"{index}: {name_in_words(manifest.identity['editor'])}"), justify="right")
    rows = dict.fromkeys(key for run in cells for key in run)
    for key in sorted(rows, key=lambda key: (key[0], PROBE_KINDS.index(key[1]), key[2])):
        befores = {number(run[key].before) for run in cells if key in run}
        table.add_row(
            plain(key[0]), key[1], plain(key[2]), befores.pop() if len(befores) == 1 else "differs",
            *(_with_interval(run.get(key)) for run in cells),
        )  # fmt: skip
    table.add_section()
    table.add_row("seconds per edit", "", "", "", *(_seconds(folder) for folder in folders))
    console.print(table)
    for index, folder in enumerate(folders, start=1):
        console.print(plain(f"{index}: {folder.path}"))


def _other_differences(manifests: Sequence[Manifest]) -> list[str]:
    of_all = set.intersection(*(set(manifest.versions) for manifest in manifests)) | {REVISION}
    return [
        *_differences([_besides_the_editor(manifest) for manifest in manifests]),
        *_differences([_versions(manifest, of_all) for manifest in manifests]),
        *_differences([_hardware(manifest) for manifest in manifests]),
    ]


def _differences(said: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = sorted({key for one in said for key in one})
    values = {key: sorted({str(one.get(key)) for one in said}) for key in keys}
    return [f"{key} is {' or '.join(found)}" for key, found in values.items() if len(found) > 1]


def _besides_the_editor(manifest: Manifest) -> dict[str, Any]:
    rest = {key: value for key, value in manifest.identity.items() if key not in ("editor", NO_SCORE_DEPENDS_ON)}
    return flat(rest | ({"schedule": shortly(rest["schedule"])} if "schedule" in rest else {}))


def _versions(manifest: Manifest, chosen: Container[str]) -> dict[str, str]:
    """Return the versions of packages. One that a run did without took no part in it, so ``chosen`` are those of all runs."""
    return {f"version of {name}": version for name, version in manifest.versions.items() if name in chosen}


def _hardware(manifest: Manifest) -> dict[str, Any]:
    return {f"hardware.{key}": value for key, value in manifest.hardware.items() if key not in NO_DIFFERENCE}


def _seconds(folder: RunFolder) -> str:
    seconds = seconds_per_edit(case.edit for case in folder.cases())
    return "-" if seconds is None else f"{seconds:.2f}"


def _with_interval(cell: Cell | None) -> str:
    if cell is None or cell.after is None:
        return "-"
    interval = "" if cell.low is None or cell.high is None else f" ({cell.low:.2f} to {cell.high:.2f})"
    return f"{cell.after:.3f}{interval}"


def number(value: float | None) -> str:
    """Return a score as it is shown."""
    return "-" if value is None else f"{value:.3f}"
