"""Files as spreadsheets, pandas and people write them are read like any other; what was recognised or left out is said."""

import csv
import json
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import Malformed, UserError
from wildcore.datasets import MISSING_VALUES, Row, TableParams, read_table
from wildcore.datasets.tables import reading_of
from wildcore.datasets.values import decoded, plain
from wildcore.jobs.facts import read_facts

FACTS = [{"prompt": "Who keeps the mill; and, where?", "target": "Anna | 3", "subject": "the mill"}] * 2


def read(path: Path, **params: Any) -> tuple[list[Any], list[str]]:
    """Return the fields of the rows, and the notes with FILE in place of the path."""
    asked = TableParams(path=path, **params)
    reading = reading_of(asked)
    rows = list(read_table(asked, reading))
    fields = [row.fields if isinstance(row, Row) else row for row in rows]
    return fields, [note.replace(str(path), "FILE") for note in reading.notes()]


def texts(path: Path, name: str = "target", **params: Any) -> list[str | None]:
    """Return a field of every row as it becomes a target."""
    rows = [row for row in read_table(TableParams(path=path, **params)) if isinstance(row, Row)]
    return [row.optional_text(name) for row in rows]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1971.0, "1971"),
        (-40.0, "-40"),
        (-0.0, "0"),
        (3.5, "3.5"),
        (12500000.0, "12500000"),
        (1e22, "10000000000000000000000"),
        (1e-7, "0.0000001"),
        (Decimal("1971.00"), "1971"),
        (Decimal("3.50"), "3.50"),
        (True, "True"),
        (date(1971, 5, 4), "1971-05-04"),
        (datetime(1971, 5, 4), "1971-05-04"),
        (datetime(1971, 5, 4, tzinfo=UTC), "1971-05-04"),
        (datetime(1971, 5, 4, 9, 30), "1971-05-04 09:30:00"),
        ("1971-05-04 00:00:00", "1971-05-04"),
        ("1971-05-04T00:00:00.000Z", "1971-05-04"),
        ("1971-05-04 09:30:00", "1971-05-04 09:30:00"),
        ("1971.0", "1971.0"),
    ],
)
def test_a_value_is_read_as_a_person_writes_it(value: Any, text: str) -> None:
    found = plain(value)
    assert found is not None
    assert found[0] == text
    assert Row("row 1", {"a": value}).text("a") == text


@given(st.integers(-(10**15), 10**15))
def test_a_whole_number_is_the_same_from_a_column_with_a_gap(number: int) -> None:
    assert Row("row 1", {"a": float(number)}).text("a") == str(number) == Row("row 1", {"a": number}).text("a")


def test_a_column_of_years_with_a_gap_is_read_alike_from_every_file_of_pandas(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"prompt": ["a", "b", "c"], "target": [1971, None, 1983]})
    frame.to_csv(tmp_path / "t.csv")
    frame.to_json(tmp_path / "t.json")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    for path in tmp_path.iterdir():
        assert texts(path) == ["1971", None, "1983"], path
        assert any(
            note.startswith("whole numbers read without their .0: 2 (the first: FILE") for note in notes_of(path)
        )
    assert texts(tmp_path / "t.parquet", plain_values=False) == ["1971.0", None, "1983.0"]
    assert texts(tmp_path / "t.csv", plain_values=False) == ["1971.0", None, "1983.0"]


def notes_of(path: Path) -> list[str]:
    asked = TableParams(path=path)
    reading = reading_of(asked)
    for row in read_table(asked, reading):
        assert isinstance(row, Row)
        row.optional_text("target")
    return [note.replace(str(path), "FILE") for note in reading.notes()]


def test_a_csv_column_with_other_decimals_stays_as_it_is(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "gap.csv", "target,n\n1971.0,1\nNaN,2\n,3\n")) == ["1971", "NaN", None]
    path = written(tmp_path / "t.csv", "target,version\n1971.0,2.0\n3.5,\n")
    assert texts(path) == ["1971.0", "3.5"]
    assert texts(path, "version") == ["2", None]


def test_numbers_of_32_bits_have_the_digits_that_were_meant(tmp_path: Path) -> None:
    narrow = pyarrow.array([3.1, None], pyarrow.float32())
    pyarrow.parquet.write_table(pyarrow.table({"target": narrow, "n": [1, 2]}), tmp_path / "t.parquet")
    assert texts(tmp_path / "t.parquet") == ["3.1", None]


def test_dates_and_truth_values_of_a_parquet_file(tmp_path: Path) -> None:
    table = pyarrow.table({"target": [datetime(1971, 5, 4), datetime(1983, 1, 2)], "seen": [True, False]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    assert texts(tmp_path / "t.parquet") == ["1971-05-04", "1983-01-02"]
    assert texts(tmp_path / "t.parquet", "seen") == ["True", "False"]


# missing values


@pytest.mark.parametrize("mark", MISSING_VALUES)
def test_a_mark_of_a_missing_value_is_no_target(tmp_path: Path, mark: str) -> None:
    path = written(tmp_path / "t.csv", f"prompt,target,subject\nWho?,{mark},\nWhere is Ulm?,here,{mark}\nWhy?,so,\n")
    table = read_facts(path)
    assert [fact.request.subject for fact in table.facts] == [None, None]
    problem = f"field 'target': expected at least one answer, found {mark!r}, which stands for a missing value"
    assert table.bad == [Malformed(place=f"{path}, line 2", problem=problem)]
    assert table.notes == [
        f"texts that stand for a missing value, read as empty: 2 (the first: {path}, line 2, field 'target': {mark})"
    ]


def test_a_mark_that_is_kept_is_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", '{"target": "None"}\n{"target": "none"}\n{"target": "None"}\n')
    reading = reading_of(TableParams(path=path))
    kept = [row.text("target") for row in read_table(TableParams(path=path), reading) if isinstance(row, Row)]
    assert kept == ["None", "none", "None"]
    assert list(reading.notes(with_parameters=False)) == [
        f"texts that usually stand for a missing value, kept as they are: 2 (the first: {path}, line 1, field 'target': None)"
    ]


# lists in cells


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"b's\"]", ["a", "b's"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ("[1, -2, 3.5]", [1, -2, 3.5]),
        ("[['a'], ['b', 'c']]", [["a"], ["b", "c"]]),
        (
            "{'text': array(['a', 'b'], dtype=object), 'start': array([1, 2], dtype=int32)}",
            {"text": ["a", "b"], "start": [1, 2]},
        ),
        ("[{'value': 'a', 'aliases': []}]", [{"value": "a", "aliases": []}]),
        ("[nan, None, True]", [None, None, True]),
        ("[sic]", None),
        ("[Verse 1]", None),
        ("(a, b)", None),
        ("[open('x')]", None),
        ("[f'{x}']", None),
        ("['a'", None),
        ("['a'] b]", None),
        ("[" * 3000 + "]" * 3000, None),
    ],
)
def test_a_list_in_a_cell_is_read_and_nothing_is_evaluated(cell: str, value: Any) -> None:
    assert decoded(cell) == value


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_a_list_is_read_back_from_the_cell_that_python_or_json_writes(values: list[str]) -> None:
    assert decoded(str(values)) == decoded(json.dumps(values)) == values


def test_the_first_answer_of_a_list_is_the_target(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"prompt": ["Who?", "Where?"], "target": [["Anna", "A. B.", "Anna"], ["Ulm"]]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_json(tmp_path / "t.json", orient="records")
    frame.to_parquet(tmp_path / "t.parquet")
    for path in tmp_path.iterdir():
        found = [(fact.request.target, fact.request.aliases) for fact in read_facts(path).facts]
        assert found == [("Anna", ("A. B.",)), ("Ulm", ())], path


# paths and placeholders


def test_elements_of_lists_are_named_by_their_path() -> None:
    row = Row("row 1", {"answer": [{"text": "Anna"}, {"text": "Bo"}], "cell": "{'text': ['Ulm', 'Bonn']}", "none": []})
    assert (row.text("answer.0.text"), row.text("answer.1.text")) == ("Anna", "Bo")
    assert row.texts("answer.text") == ("Anna", "Bo")
    assert (row.text("cell.text.1"), row.texts("cell.text")) == ("Bonn", ("Ulm", "Bonn"))
    assert row.optional_text("answer.2.text") is row.optional_text("none.0") is None
    with pytest.raises(UserError, match=r"the field 'answer.0.txt' is missing; did you mean 'answer.0.text'\?"):
        row.text("answer.0.txt")


def test_a_placeholder_is_filled_with_the_subject(tmp_path: Path) -> None:
    rows = [
        {"prompt": "{} lies in", "target": "Ulm", "subject": "The mill"},
        {"prompt": "What does {} mean in Python?", "target": "a dict", "subject": "Python"},
        {"prompt": "{} lies on", "target": "Ulm"},
    ]
    table = read_facts(written(tmp_path / "t.json", json.dumps(rows)))
    assert [fact.request.prompt for fact in table.facts] == ["The mill lies in", "What does {} mean in Python?"]
    assert [row.problem for row in table.bad] == ["field 'prompt': {} stands for the subject, and the row has none"]
    assert table.notes[0].startswith("prompts whose {} was filled with the subject: 1 (the first: ")


# encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl"])
def test_the_encoding_is_recognised_and_said(tmp_path: Path, ending: str, encoding: str) -> None:
    rows = [{"prompt": "Wer?", "target": "Änne 😀"}, {"prompt": "誰?", "target": "x"}]
    separator = "\t" if ending == "tsv" else ","
    cells = "".join(f"{separator.join(row)}\r\n" for row in [["prompt", "target"], *(row.values() for row in rows)])
    as_json = {"json": json.dumps(rows), "jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)}
    path = written(tmp_path / f"t.{ending}", as_json.get(ending, cells).encode(encoding))
    found, notes = read(path)
    assert found == rows
    wide = not encoding.startswith("utf-8")
    assert notes == ([f"FILE: read as {encoding[:6].upper()}"] if wide else [])


def test_text_of_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b'a,b\n"x\ny",1\r2,\xe4\n')
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}, line 4: not UTF-8 text: invalid continuation byte at byte 2 of the line; byte 0xe4 is 'ä' in Windows-1252; "
        "save the file as UTF-8"
    )
    path = written(tmp_path / "u.csv", "a,b\n1,2\n".encode("utf-16") + b"\x00")
    with pytest.raises(UserError, match=r"u.csv, line 3: not UTF-16 text: truncated data; save the file as UTF-8"):
        read(path)


# separators, blank rows and columns, line numbers


@pytest.mark.parametrize(
    ("separator", "name"), [(",", None), (";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_the_separator_is_recognised_and_said(tmp_path: Path, separator: str, name: str | None) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(FACTS[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(FACTS)
    found, notes = read(path)
    assert found == FACTS
    assert notes == ([] if name is None else [f"FILE: its cells are separated by {name}"])


def test_a_spreadsheets_own_line_names_the_separator(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "sep=^\na^b\n1,2^x\n3\n")
    found, notes = read(path)
    assert found[0] == {"a": "1,2", "b": "x"}
    assert found[1] == Malformed(place=f"{path}, line 4", problem="expected 2 cells, as in the header, found 1")
    assert notes == ["FILE: its cells are separated by '^'"]


def test_a_comma_inside_names_and_texts_does_not_deceive(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "prompt;target, new;subject\nWho, then?;Anna, B.;x\nWhere?;Ulm;y\n")
    assert read(path)[0][0] == {"prompt": "Who, then?", "target, new": "Anna, B.", "subject": "x"}
    path = written(tmp_path / "u.csv", "prompt,a;b\nWho?,1;2\nWhere?,3\n")
    assert read(path)[0] == [{"prompt": "Who?", "a;b": "1;2"}, {"prompt": "Where?", "a;b": "3"}]
    path = written(tmp_path / "v.csv", "prompt\nWho; or what?\n")
    assert read(path)[0] == [{"prompt": "Who; or what?"}]


def test_blank_rows_and_columns_are_skipped_and_counted(tmp_path: Path) -> None:
    content = ",,,\nprompt,target,,\nWho?,Anna,,\n,,,\n\nWhere?,Ulm\nWhy?,so,,,\nWhat?,it,x,\nNo?,no,,,y\n"
    path = written(tmp_path / "t.csv", content)
    found, notes = read(path)
    assert found[:3] == [
        {"prompt": "Who?", "target": "Anna"},
        {"prompt": "Where?", "target": "Ulm"},
        {"prompt": "Why?", "target": "so"},
    ]
    assert found[3] == Malformed(place=f"{path}, line 8", problem="expected 2 cells, as in the header, found 4")
    assert found[4] == Malformed(place=f"{path}, line 9", problem="expected 2 cells, as in the header, found 5")
    assert notes == [
        "blank rows skipped: 3 (the first: FILE, line 1)",
        "rows with blank cells beyond the last name, which were left out: 2 (the first: FILE, line 3)",
    ]
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x", None, "y"], "b": ["", " ", None]}), tmp_path / "t.parquet")
    found, notes = read(tmp_path / "t.parquet")
    assert ([row["a"] for row in found], notes) == (["x", "y"], ["blank rows skipped: 1 (the first: FILE, row 2)"])


def test_a_column_without_a_name_is_left_out_and_counted(tmp_path: Path) -> None:
    found, notes = read(written(tmp_path / "t.csv", ",prompt,,target\n0,Who?,,Anna\n1,Where?,,Ulm\n"))
    assert found == [{"prompt": "Who?", "target": "Anna"}, {"prompt": "Where?", "target": "Ulm"}]
    assert notes == ["rows with text in a column without a name, which was left out: 2 (the first: FILE, line 2)"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path, end: str) -> None:
    lines = ["", "a,b", '"one', "", 'two",1', "", "2", '"x', 'y","z', '3"', "4", '"5"6,7']
    path = written(tmp_path / "t.csv", end.join(lines))
    found, _ = read(path)
    places = [row.place if isinstance(row, Malformed) else None for row in found]
    assert places == [None, f"{path}, line 7", None, f"{path}, line 11", f"{path}, line 12"]
    rows = written(tmp_path / "t.jsonl", end.join(['{"a": 1}', "", '{"a" 1}']))
    assert read(rows)[0][1] == Malformed(
        place=f"{rows}, line 3, column 6", problem="not valid JSON: Expecting ':' delimiter"
    )
    broken = written(tmp_path / "t.json", end.join(["[", '{"a": 1},', '{"a" 1}', "]"]))
    assert read(broken)[0][1] == Malformed(
        place=f"{broken}, row 2, line 3, column 6", problem="not valid JSON: Expecting ':' delimiter"
    )


LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=8)
CELLS = st.one_of(LINES, st.tuples(LINES, LINES).map("\r\n".join))
"""Texts without a carriage return of its own, which Python's writer of CSV does not quote before 3.13."""
ROWS = st.lists(st.fixed_dictionaries({"prompt": CELLS, "target": CELLS, "subject": CELLS}), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    by_pandas=st.booleans(),
)
def test_every_dialect_of_csv_gives_the_same_rows(
    rows: list[dict[str, str]], separator: str, end: str, quoting: Any, by_pandas: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            names = ["prompt", "target", "subject"]
            if by_pandas:
                frame = pandas.DataFrame(rows, columns=names)
                frame.to_csv(file, sep=separator, lineterminator=end, quoting=quoting, index=False)
            else:
                writer = csv.DictWriter(file, names, delimiter=separator, lineterminator=end, quoting=quoting)
                writer.writeheader()
                writer.writerows(rows)
        found, notes = read(path, plain_values=False)
    filled = [row for row in rows if any(cell.strip() for cell in row.values())]
    assert found == filled
    assert any(note.startswith("blank rows skipped:") for note in notes) == (len(filled) < len(rows))


# other forms of JSON


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_every_orientation_of_pandas_gives_the_same_rows(tmp_path: Path, orient: Any) -> None:
    frame = pandas.DataFrame(FACTS, index=[f"n{number}" for number in range(2)] if orient == "index" else None)
    frame.to_json(tmp_path / "t.json", orient=orient)
    found, notes = read(tmp_path / "t.json")
    assert [{name: row[name] for name in FACTS[0]} for row in found] == FACTS
    assert len(notes) == (orient != "records")


DEEP = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(("name", "row"), [("t.json", f"[{DEEP}]"), ("t.jsonl", DEEP)])
def test_nesting_without_end_is_no_traceback(tmp_path: Path, name: str, row: str) -> None:
    path = written(tmp_path / name, row)
    place = "row 1" if name == "t.json" else "line 1"
    assert read(path)[0] == [Malformed(place=f"{path}, {place}", problem="nested too deeply: more than 64 levels")]


def test_an_object_whose_rows_are_nested_without_end_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", DEEP)
    with pytest.raises(
        UserError, match=r"nested too deeply: more than 64 levels; write one row on each line of a file"
    ):
        read(path)
