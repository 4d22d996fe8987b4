"""Writes a report: its page, and its figures as files."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from wildcore import Option, Progress, UserError
from wildcore.storage import replacing
from wildcore_report.assemble import page
from wildcore_report.building import Report
from wildcore_report.drawing import DARK, LIGHT, Drawing, picture
from wildcore_report.payload import Cell
from wildcore_report.texts import in_script


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
