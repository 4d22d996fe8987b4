"""A run presented to a person: what it found in a sentence, its table, telling answers, and what else was noticed."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console

from wildcore.errors import Option, Place, UserError, command
from wildcore.evaluation.schedules import description
from wildcore.jobs.build import name_in_words
from wildcore.records.continuations import continuations
from wildcore.records.endings import endings
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord, flatten
from wildcore.reporting import run_notes
from wildcore.reporting.capability import abilities
from wildcore.reporting.console import print_line, print_whole, results_console
from wildcore.reporting.headline import gap_in_words, reliability_in_words
from wildcore.reporting.retention import collapse_in_words, print_retention
from wildcore.reporting.run_edits import print_edits
from wildcore.reporting.run_table import labels_of, print_table
from wildcore.reporting.telling import asked_under, print_telling
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import changes_by_edits, synthetic_minus_wild
from wildcore.scoring.means import SummaryRow, by_nearness, summarise
from wildcore.scoring.paired import PairedDifference
from wildcore.scoring.retention import collapse, retention, retention_matrices

LONGEST_NOTE = 300

PRINTED = ("model.name", "model.dtype", "model.device", "dataset.name", "editor.name")
PRINTED_OF_SCHEDULE = ("schedule.edits", "schedule.judged", "schedule.model")

NO_SCORE_DEPENDS_ON = "continuation"
"""Field of the identity in which runs may differ and still be compared."""


@dataclass(frozen=True)
class Found:
    """A finished run with its cases, its scores, and a short name for each of its protocols."""

    folder: RunFolder
    cases: Sequence[CaseRecord]
    scores: Sequence[ScoreRecord]
    labels: Mapping[str, str]

    @classmethod
    def of(cls, folder: RunFolder) -> "Found":
        """Read a run."""
        return cls(folder, list(folder.cases()), list(folder.scores()), labels_of(folder.manifest.protocols))

    @cached_property
    def clusters(self) -> Mapping[str, str]:
        """The subject of each case that is not independent of another one."""
        return subjects(self.cases)

    @cached_property
    def rows(self) -> Sequence[SummaryRow]:
        """The rows of the table."""
        return summarise(self.scores, self.clusters)

    @cached_property
    def gap(self) -> PairedDifference | None:
        """How much more the synthetic protocol reports than the wild one; None if the run does not have both."""
        return synthetic_minus_wild(self.scores, self.clusters)

    @property
    def headline(self) -> str:
        """What the run found, in one sentence."""
        if all_refused(self.cases):
            return nothing_measured(self.cases)
        known = gap_in_words(self.gap) or reliability_in_words(self.rows)
        return known or "; ".join(["No answer to an edit prompt was scored", *run_notes.unscored(self.scores)])


def print_run(folder: RunFolder, said: Collection[str] = (), quiet: bool = False) -> None:
    """Print a finished run: headline, table, telling answers, what else was noticed, its path, and what to do next.

    Notes that were ``said`` to the user already are left out. ``quiet``: only headline, table and path are printed. Raises
    ``UserError`` if the manifest lacks something that is printed.
    """
    readable_manifest(folder)
    found = Found.of(folder)
    with results_console() as console:  # in a notebook all of it is one output
        if not quiet:
            console.print()
            print_head(console, folder, len(found.cases), said)
            console.print()
        print_line(console, found.headline)
        console.print()
        print_table(console, found.rows, found.labels)
        if not quiet:
            protocol = asked_under(folder.manifest.protocols)
            if protocol is not None and not all_refused(found.cases):
                print_telling(console, found.cases, found.scores, protocol, found.labels)
            print_noticed(console, found)
        console.print()
        print_whole(console, f"Run: {folder.path}")
        if not quiet:
            print_whole(console, f"Next: {command('show', folder.path, Option('edits'))}")


def print_edits_of(folder: RunFolder, said: Collection[str] = (), quiet: bool = False) -> None:
    """Print what was run, unless ``quiet``, and each edit of a finished run. ``said`` and the error raised are those of
    ``print_run``.
    """
    cases = list(folder.cases())
    with results_console() as console:
        if not quiet:
            print_head(console, folder, len(cases), said)
            console.print()
        print_edits(console, cases, list(folder.scores()), labels_of(folder.manifest.protocols))


def print_runs(folders: Sequence[RunFolder], said: Collection[str] = (), quiet: bool = False) -> None:
    """Print for each of several runs of one call its path, what it found in a sentence, and what went wrong.

    The runs share model and cases. What else they share is printed once too. ``said`` and ``quiet`` are those of ``print_run``.
    """
    for folder in folders:
        readable_manifest(folder)
    with results_console() as console:
        noted = [[*_how(folder), *_noted(folder, said)] for folder in folders]
        shared = [line for line in noted[0] if all(line in lines for lines in noted)]
        if not quiet:
            console.print()
            print_line(console, f"{len(folders)} runs {_on_what(folders[0].manifest)}")
            _print_lines(console, shared)
            console.print()
        for folder, lines in zip(folders, noted, strict=True):
            found = Found.of(folder)
            print_whole(console, f"{name_in_words(folder.manifest.identity['editor'])}: {folder.path}")
            print_line(console, found.headline, indent=2, hanging=0)
            if not quiet:
                own = [line for line in lines if line not in shared]
                _print_lines(console, [*own, *problems(found)], indent=2)


def all_refused(cases: Sequence[CaseRecord]) -> bool:
    """Return whether every edit of a run was refused, so that it measured nothing."""
    return bool(cases) and all(case.edit.status == "refused" for case in cases)


def nothing_measured(cases: Sequence[CaseRecord]) -> str:
    """Return the headline of a run whose edits were all refused."""
    reasons = Counter(case.edit.reason or "" for case in cases)
    why, count = reasons.most_common(1)[0]
    share = f", {count} of them because of this" if count < len(cases) else ""
    return f"Nothing was measured: all {len(cases)} edits were refused{share}: {why}"


def _on_what(manifest: Manifest, done: int | None = None) -> str:
    """Return the model and the dataset of a run; ``done`` is the number of edits if it is not that of the manifest."""
    model, dataset = manifest.identity["model"], manifest.identity["dataset"]
    edits = manifest.case_count if done is None else done
    return f"on {model['name']} ({model['dtype']}, {model['device']}), {edits} edits of {dataset['name']}"


def print_head(console: Console, folder: RunFolder, done: int, said: Collection[str] = ()) -> None:
    """Print what was run, and each note once that was not ``said`` already.

    Raises ``UserError`` if the manifest lacks something that is printed.
    """
    manifest = readable_manifest(folder)
    print_line(console, f"{name_in_words(manifest.identity['editor'])} {_on_what(manifest, done)}")
    for line in _how(folder):
        print_line(console, line)
    _print_lines(console, _noted(folder, said))


def _how(folder: RunFolder) -> Iterator[str]:
    """Yield how edits were written and evaluated, and in what each variant differs from the published protocol."""
    manifest = folder.manifest
    if "schedule" in manifest.identity:
        yield f"Schedule: {description(manifest.identity['schedule'])}"
    for one in manifest.protocols:
        if one.variant_of:
            yield f"Variant of {one.variant_of}, not {one.variant_of}: {'; '.join(one.differences)}"


def _noted(folder: RunFolder, said: Collection[str]) -> list[str]:
    """Return each note that was made while a run was carried out and was not ``said`` already, once."""
    later = (note for work in folder.work() for note in work.notes)
    return [f"Note: {note}" for note in dict.fromkeys([*folder.manifest.notes, *later]) if note not in said]


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


def problems(found: Found) -> Iterator[str]:
    """Yield what went wrong: refusals, edits that were not written or diverged, answers without a score, and a collapse."""
    yield from run_notes.refusals(found.cases)
    yield from run_notes.unscored(found.scores)
    collapsed = collapse(found.folder.points())
    if collapsed:
        yield collapse_in_words(collapsed)


def print_noticed(console: Console, found: Found) -> None:
    """Print what else was noticed in a run: first what went wrong, last how its numbers changed."""
    folder, labels = found.folder, found.labels
    points = sorted(folder.points(), key=lambda point: point.after_edits)
    differences = changes_by_edits(found.scores, found.clusters)
    _print_paragraph(console, problems(found))
    print_retention(console, retention(folder), retention_matrices(folder), labels)
    _print_paragraph(console, abilities(points))
    _print_paragraph(
        console,
        [
            *run_notes.hard_locality(by_nearness(found.cases, found.scores), labels),
            *run_notes.after_the_cut(continuations(found.cases, found.scores), labels),
            *run_notes.ends_of_answers(endings(found.cases, folder.manifest.protocols), labels),
            *run_notes.compared_carefully(found.scores),
        ],
    )
    if differences:
        console.print()
        print_line(console, "Changes by the edits, after minus before, paired by case:")
        for line in run_notes.changes(differences, labels):
            print_line(console, line, LONGEST_NOTE, 2)
        for line in run_notes.explanation(differences):
            print_line(console, line)
    _print_paragraph(console, run_notes.detectable(len(found.cases), found.gap.detectable if found.gap else None))


def _print_paragraph(console: Console, lines: Iterable[str]) -> None:
    """Print lines below an empty one, if there are any."""
    known = list(lines)
    if known:
        console.print()
    _print_lines(console, known)


def _print_lines(console: Console, lines: Iterable[str], indent: int = 0) -> None:
    for line in lines:
        print_line(console, line, LONGEST_NOTE, indent)
