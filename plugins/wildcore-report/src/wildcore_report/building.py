"""A report from run folders: what the page receives, and the drawings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wildcore import Progress
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord
from wildcore_report.cases import INDEX_CHARACTERS, CaseTable
from wildcore_report.drawing import Drawing, figure_data
from wildcore_report.finding import Found, FoundRun
from wildcore_report.numbers import RunNumbers, read_numbers
from wildcore_report.payload import FigureData, Summary
from wildcore_report.summary import Contents, named_runs, summary
from wildcore_report.texts import Cleaner, packed

INDEX = "cases-index"
CHUNK = "cases-{}"


@dataclass
class Report:
    """Everything of a report: the summary, the blocks of data (base64 of gzip of JSON), and the drawings."""

    summary: Summary
    summary_json: str
    blocks: Mapping[str, str]
    drawings: Sequence[Drawing]


class Builder:
    """Reads runs one after the other, and makes a report of those read. A copy goes on from there by itself."""

    def __init__(self) -> None:
        self.cleaner = Cleaner()
        self.cases = CaseTable(self.cleaner)
        self.numbers: list[RunNumbers] = []

    def copy(self) -> "Builder":
        """Return a builder that has read the same runs."""
        other = Builder()
        other.cleaner.replaced = self.cleaner.replaced
        other.cases = self.cases.copy(other.cleaner)
        other.numbers = list(self.numbers)
        return other

    def read(self, runs: Sequence[FoundRun], progress: Progress) -> None:
        """Read runs. Raises ``UserError`` for a damaged one that is finished."""
        with progress.track("reading cases", sum(_lines(run.folder.manifest) for run in runs)) as advance:
            for run in runs:
                self.numbers.append(self._read_one(run, advance))

    def _read_one(self, run: FoundRun, advance: Callable[[int], None]) -> RunNumbers:
        place = len(self.numbers)

        def take(record: CaseRecord, scores: Sequence[ScoreRecord]) -> None:
            self.cases.add(place, record, scores)
            advance(1)

        return read_numbers(run, take)

    def report(
        self, notes: Sequence[str], progress: Progress, draw: Callable[[Drawing], FigureData] = figure_data,
        ids: Sequence[int] | None = None,
    ) -> Report:  # fmt: skip
        """Return the report. ``draw`` draws a figure, or returns one that was drawn earlier. ``ids`` are the numbers of the runs
        in the order in which they were read: 1, 2, 3, ... by default. Nothing can be read afterwards.
        """
        index = packed(self.cleaner.json(self.cases.index().model_dump(mode="json")))
        contents = Contents(named_runs(self.numbers))
        figures = []
        with progress.track("drawing figures", len(contents.drawings)) as advance:
            for drawing in contents.drawings:
                figures.append(draw(drawing))
                advance(1)
        made = summary(contents, figures, self.cases, notes, ids or range(1, len(self.numbers) + 1))
        made = made.model_copy(update={"notes": (*made.notes, *_notes(self.cases, self.cleaner))})
        blocks = {INDEX: index} | {CHUNK.format(number): chunk for number, chunk in enumerate(self.cases.chunks)}
        return Report(made, self.cleaner.json(made.model_dump(mode="json")), blocks, contents.drawings)


def build(found: Found, progress: Progress) -> Report:
    """Return the report of the runs found. Raises ``UserError`` for a damaged run that is finished."""
    builder = Builder()
    builder.read(found.runs, progress)
    return builder.report(found.notes, progress)


def _lines(manifest: Manifest) -> int:
    return manifest.journal_lines or manifest.case_count


def _notes(cases: CaseTable, cleaner: Cleaner) -> list[str]:
    """Return what was replaced or cut."""
    notes = []
    if cleaner.replaced:
        notes.append(
            f"Characters that UTF-8 cannot hold (lone surrogates), replaced by U+FFFD: {cleaner.replaced}. The run has them."
        )
    if cases.shortened:
        notes.append(
            f"Texts cut to {INDEX_CHARACTERS} characters in the table of cases: {cases.shortened}. An opened case has them whole."
        )
    return notes
