"""Tables as text for papers and programs: Markdown, LaTeX and CSV.

Texts are escaped: what data, models or runs are called shows as it is, and is never taken for markup. No text ends in a line
end.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "`": r"\textasciigrave{}", '"': r"\textquotedbl{}",
}  # fmt: skip
MARKDOWN_SPECIAL = frozenset("\\`*_[]|<>~&$#")


@dataclass(frozen=True)
class Bold:
    """A cell whose ``text`` is bold, and the ``rest`` after it is not."""

    text: str
    rest: str = ""


Cell = str | Bold


def as_markdown(columns: Sequence[str], rows: Iterable[Sequence[Cell]], right: Collection[int] = ()) -> str:
    """Return a table in Markdown, the columns with the indices ``right`` aligned on the right.

    Raises ``ValueError`` for a row that has more or fewer cells than there are columns.
    """
    lines = [
        [in_markdown(column) for column in columns],
        ["---:" if n in right else "---" for n in range(len(columns))],
    ]
    lines += _filled(columns, rows, in_markdown, "**{}**")
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_latex(columns: Sequence[str], rows: Iterable[Sequence[Cell]], right: Collection[int] = ()) -> str:
    """Return a ``tabular`` for the package booktabs, the columns with the indices ``right`` aligned on the right.

    Raises ``ValueError`` for a row that has more or fewer cells than there are columns.
    """
    alignment = "".join("r" if n in right else "l" for n in range(len(columns)))
    cells = _filled(columns, rows, in_latex, r"\textbf{{{}}}")
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            rf"{' & '.join(map(in_latex, columns))} \\",
            r"\midrule",
            *(rf"{' & '.join(row)} \\" for row in cells),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return a table as CSV with a head line. What a row lacks, and None, is empty.

    Raises ``ValueError`` for a row with a value for a column that does not exist.
    """
    lines = []
    for row in (dict(zip(columns, columns, strict=True)), *rows):
        stream = io.StringIO()
        csv.DictWriter(stream, columns).writerow(row)  # with its own line end, or else a "\r" in a text is not quoted
        lines.append(stream.getvalue().removesuffix("\r\n"))
    return "\n".join(lines)


def in_markdown(text: str) -> str:
    """Return ``text`` in one line, with a backslash before every character that Markdown would interpret."""
    return "".join(f"\\{char}" if char in MARKDOWN_SPECIAL else char for char in _in_one_line(text))


def in_latex(text: str) -> str:
    """Return ``text`` in one line, with every character that LaTeX would interpret replaced by a command that shows it."""
    shown = "".join(LATEX_ESCAPES.get(char, char) for char in _in_one_line(text))
    shown = re.sub("-(?=-)", "-{}", shown)  # two hyphens would become a dash
    # at the beginning of a row it would belong to the end of the row before
    return re.sub(r"^[\[*]", r"{\g<0>}", shown)


def _in_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in " ".join(text.split()))


def _filled(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], escaped: Callable[[str], str], bold: str
) -> list[list[str]]:
    """Return the escaped cells of each row."""
    found = []
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns: {row}")
        found.append(
            [
                bold.format(escaped(cell.text)) + _spaced(escaped, cell.rest)
                if isinstance(cell, Bold)
                else escaped(cell)
                for cell in row
            ]
        )
    return found


def _spaced(escaped: Callable[[str], str], rest: str) -> str:
    """Return the ``rest`` of a cell, with the space at its beginning kept."""
    return (" " if rest[:1].isspace() else "") + escaped(rest)
