"""Tables in Markdown, LaTeX and CSV show every text as it is."""

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore.reporting.tables import Bold, as_csv, as_latex, as_markdown, in_latex, in_markdown

MARKUP = r"""a_b | *c* `d` <e> [f] & 5 % ~ # $ { } ^ \ "g" --"""


def test_a_table_in_markdown() -> None:
    assert as_markdown(["model", "x|y"], [["a_b", "1"], ["c", Bold("2", " (+1)")]], right=[1]).splitlines() == [
        r"| model | x\|y |",
        "| --- | ---: |",
        r"| a\_b | 1 |",
        "| c | **2** (+1) |",
    ]


def test_a_table_in_latex() -> None:
    assert as_latex(["model", "x&y"], [["a_b", "1"], ["[c", Bold("2 %", " (+1)")]], right=[1]).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"model & x\&y \\",
        r"\midrule",
        r"a\_b & 1 \\",
        r"{[}c & \textbf{2 \%} (+1) \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_markup_is_shown_as_it_is() -> None:
    assert in_markdown(MARKUP) == r"""a\_b \| \*c\* \`d\` \<e\> \[f\] \& 5 % \~ \# \$ { } ^ \\ "g" --"""
    assert in_latex(MARKUP) == (
        r"a\_b \textbar{} *c* \textasciigrave{}d\textasciigrave{} \textless{}e\textgreater{} [f] \& 5 \% "
        r"\textasciitilde{} \# \$ \{ \} \textasciicircum{} \textbackslash{} \textquotedbl{}g\textquotedbl{} -{}-"
    )


@given(st.text())
def test_no_text_leaves_its_row(text: str) -> None:
    assert len(as_markdown(["x"], [[text]]).splitlines()) == 3
    assert len(as_latex(["x"], [[text]]).splitlines()) == 7
    assert not re.search(r"(?<!\\)[|*`<\[]", in_markdown(text).replace(r"\\", ""))
    assert not re.search(r"(?<!\\)[&%$#_]", in_latex(text))


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_csv_keeps_every_text(text: str) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(["name", "value"], [{"name": text, "value": None}, {}]), newline="")))
    assert rows[0] == {"name": text, "value": ""}


@pytest.mark.parametrize("make", [as_markdown, as_latex])
def test_a_row_of_another_length_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="a row has 1 cells for 2 columns"):
        make(["a", "b"], [["a"]])


def test_a_value_of_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        as_csv(["a"], [{"b": 1}])
