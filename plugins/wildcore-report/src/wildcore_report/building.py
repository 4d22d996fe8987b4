"""A report from run folders: its page, and its figures as files."""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wildcore import Option, Progress, UserError
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord
from wildcore.storage.durable import replacing
from wildcore_report.assemble import page
from wildcore_report.cases import INDEX_CHARACTERS, CaseTable
from wildcore_report.drawing import DARK, LIGHT, Drawing, figure_data, picture
from wildcore_report.finding import Found, FoundRun
from wildcore_report.numbers import RunNumbers, read_numbers
from wildcore_report.payload import Cell, FigureData, Summary
from wildcore_report.summary import Contents, named_runs, summary
from wildcore_report.texts import Cleaner, in_script, packed

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
        self, notes: Sequence[str], progress: Progress, draw: Callable[[Drawing], FigureData] = figure_data
    ) -> Report:
        """Return the report. ``draw`` draws a figure, or returns one that was drawn earlier. Nothing can be read afterwards."""
        index = packed(self.cleaner.json(self.cases.index().model_dump(mode="json")))
        contents = Contents(named_runs(self.numbers))
        figures = []
        with progress.track("drawing figures", len(contents.drawings)) as advance:
            for drawing in contents.drawings:
                figures.append(draw(drawing))
                advance(1)
        made = summary(contents, figures, self.cases, notes)
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


def require_writable(out: Path, force: bool) -> None:
    """Raise ``UserError`` unless a file can be written at ``out``; a file that is there is replaced with ``force``."""
    option = Option("out", out)
    if out.is_dir():
        raise UserError("a folder", option, "name a file, such as report.html")
    if not out.parent.is_dir():
        raise UserError("its folder does not exist", option, "make the folder first, or choose another")
    if out.exists() and not force:
        raise UserError("already exists", option, ("choose another name, or replace it with ", Option("force")))
    if not os.access(out.parent, os.W_OK):
        raise UserError("its folder cannot be written to", option, "choose another folder")


def write_page(report: Report, out: Path) -> int:
    """Write the page and return its size in bytes. Raises ``UserError`` if it cannot be written; there is then no part of it."""
    try:
        with replacing(out) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as stream:
            for piece in page(report.summary.title, in_script(report.summary_json), report.blocks.items()):
                stream.write(piece)
        return out.stat().st_size
    except OSError as error:
        raise UserError(
            f"cannot be written ({error.strerror or error})", Option("out", out), "choose another place"
        ) from error


def require_free_for_figures(folder: Path, force: bool) -> None:
    """Raise ``UserError`` unless ``folder`` is new or empty, or ``force`` lets figures in it be replaced."""
    option = Option("figures", folder)
    if folder.exists() and not folder.is_dir():
        raise UserError("not a folder", option, "name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UserError(
            "not an empty folder",
            option,
            ("choose another, or replace figures of the same names with ", Option("force")),
        )


def write_figures(drawings: Sequence[Drawing], folder: Path, progress: Progress) -> int:
    """Write each figure as PNG, as SVG for light and dark pages, and its numbers as CSV; return how many files were written.

    Raises ``UserError`` if that fails; finished files are kept.
    """
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with progress.track("writing figures", len(drawings)) as advance:
            for drawing in drawings:
                files = {
                    f"{drawing.id}.png": picture(drawing, LIGHT, "png"),
                    f"{drawing.id}.svg": picture(drawing, LIGHT, "svg"),
                    f"{drawing.id}-dark.svg": picture(drawing, DARK, "svg"),
                    f"{drawing.id}.csv": as_csv(drawing).encode(errors="replace"),
                }
                for name, content in files.items():
                    with replacing(folder / name) as unfinished:
                        unfinished.write_bytes(content)
                    count += 1
                advance(1)
    except OSError as error:
        raise UserError(
            f"cannot be written ({error.strerror or error})", Option("figures", folder), "choose another folder"
        ) from error
    return count


def as_csv(drawing: Drawing) -> str:
    """Return the numbers of a figure as CSV; an empty cell is a number that does not exist."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(drawing.table.columns)
    writer.writerows([["" if cell is None else _cell(cell) for cell in row] for row in drawing.table.rows])
    return stream.getvalue()


def _cell(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
