"""Tables outside a terminal: one form at every width, from which the cells can be read back."""

import re
import sys
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wildcore.reporting.console import print_line, print_whole, results_console, safe_text
from wildcore.reporting.plain import plain_lines

TEXTS = st.text(st.sampled_from("ab -\t\n\u202e\u200f\u05d0中é\x1b\ud800"), max_size=12)
DRAWN = re.compile("[\u2500-\u259f\x1b]")


class Terminal(StringIO):
    """A stdout that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def table_of(rows: list[list[str]]) -> Table:
    table = Table("first", *[f"column {number}" for number in range(1, len(rows[0]))])
    for column in table.columns[1::2]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(safe_text, row))
    return table


def as_parsed(text: str) -> str:
    """Return the cell that is read back for a text."""
    return " ".join(safe_text(text).plain.split()) or "-"


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(TEXTS, min_size=width, max_size=width), min_size=1)))
def test_every_cell_is_read_back(rows: list[list[str]]) -> None:
    header, *lines = plain_lines(table_of(rows), Console())
    assert [re.split(" {2,}", line) for line in lines] == [[as_parsed(cell) for cell in row] for row in rows]
    assert len(re.split(" {2,}", header)) == len(rows[0])
    assert all(line == line.strip() for line in lines)


def shown(rows: list[list[str]]) -> None:
    console = results_console()
    console.print(table_of(rows))
    console.print("[bold]word[/bold] " * 60)
    print_line(console, "word " * 60)
    print_whole(console, "/a path/" * 60)


@pytest.mark.parametrize(
    "environment", [{}, {"COLUMNS": "20"}, {"COLUMNS": "500", "FORCE_COLOR": "1", "TERM": "xterm"}]
)
def test_what_is_written_to_a_file_depends_on_nothing(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shown([["long " * 40, "1"], ["", "22"]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[2] == "-" + " " * 199 + "       22"
    assert DRAWN.search("".join(lines)) is None


def on_terminal(width: int, monkeypatch: pytest.MonkeyPatch, rows: list[list[str]]) -> list[str]:
    stream = Terminal()
    with monkeypatch.context() as patched:
        patched.setenv("COLUMNS", str(width))
        patched.setenv("TERM", "xterm")
        patched.setattr(sys, "stdout", stream)
        results_console().print(table_of(rows))
        print_line(results_console(), "some words " * 40, indent=2)
    return [Text.from_ansi(line).plain for line in stream.getvalue().splitlines()]


def test_on_a_terminal_text_has_80_columns_and_a_table_those_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["x" * 30, "y" * 60]]
    for width in (40, 80, 200):
        lines = on_terminal(width, monkeypatch, rows)
        text = [line for line in lines if "some" in line or "words" in line]
        assert max(map(len, lines)) <= width
        assert max(map(len, text)) <= 80
        assert len(text) > 3
        assert "".join(lines).count("y") == 60, "no letter is cut"
    assert "┏" in lines[0], "a table that fits is drawn"
    assert on_terminal(80, monkeypatch, rows)[0] == f"first: {'x' * 30}; column 1:", "one that does not fit is told"
