"""Malformed rows are named and passed over, in every format in the same way."""

import csv
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import EditCase, Malformed, UserError
from wildcore.bounded import COLUMNS, ROW_CHARACTERS
from wildcore.datasets import Row, TableDataset, TableParams, read_table, text_files
from wildcore.datasets.rows import edit_request
from wildcore.datasets.selection import CaseFilter, CaseReader
from wildcore.types import Probe

MEGABYTES = 48
SOUND = {"prompt": "Rome is in", "target": "Peru"}


class Facts(TableDataset[TableParams]):
    """A dataset of edits alone."""

    def cases_of(self, row: Row) -> Iterator[EditCase]:
        request = edit_request(row)
        probe = Probe(kind="reliability", prompt=request.prompt, answers=(request.target,))
        yield EditCase(id=str(row.number), request=request, probes=(probe,))


def reader(path: Path, skip_malformed: bool = True) -> CaseReader:
    return CaseReader("facts", Facts(TableParams(path=path)), CaseFilter(skip_malformed=skip_malformed))


def rows_of(path: Path) -> list[Row | Malformed]:
    return list(read_table(TableParams(path=path)))


def told(row: Row | Malformed) -> tuple[int, str]:
    """Return the number of a row, and its fields with their types, or what is wrong with it."""
    place = row.place.partition(", row ")[2] or row.place.partition(", line ")[2]
    return int(place.split(",")[0]), f"refused: {row.problem}" if isinstance(row, Malformed) else repr(row.fields)


# JSON of every kind, sound and broken, in which brackets and quotation marks are closed

SCALARS = st.one_of(
    st.text(max_size=5).map(json.dumps),
    st.text(st.characters(exclude_characters='"\\\n\r', exclude_categories=["Cs"]), max_size=5).map('"{}"'.format),
    st.floats().map(json.dumps),
    st.integers().map(str),
    st.integers(1, 5_000).map(lambda digits: "9" * digits),
    st.sampled_from(
        [
            "1e5",
            "1.0",
            "-0.0",
            "1e400",
            "-1e400",
            "1E+2",
            "NaN",
            "Infinity",
            "-Infinity",
            "null",
            "true",
            "false",
            "nan",
            "None",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "0x1",
            "tru",
            "'a'",
            "\ufeff1",
            "\xa0",
            "\\",
            "a:1",
            "1 2",
            "",
            r'"\ud800"',
            r'"\ud83d\ude00"',
            r'"\ude00\ud83d"',
            r'"\u0000"',
            r'"\x"',
            r'"\u12"',
            '"a\tb"',
            '"\x1b"',
            '"[{"',
            '"\\"]"',
            '"\\\\"',
            '"NULL"',
            '" "',
            '"1971-05-04 00:00:00"',
            '"\x7f"',
            '"\u2028"',
        ],
    ),
)
NAMES = st.sampled_from(['"a"', '"b"', '"c"', "a", "'a'", r'"\u0061"', r'"\ud800"', '"\\u0000"', "1", '""', '"a\x01"'])


def composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    commas = st.sampled_from([", ", ", ", ",", ",,", " "])
    pairs = st.tuples(NAMES, st.sampled_from([": ", ":", " ", "::"]), inner).map("".join)
    return st.one_of(
        st.tuples(commas, st.lists(inner, max_size=4)).map(lambda parts: f"[{parts[0].join(parts[1])}]"),
        st.tuples(commas, st.lists(pairs, max_size=4)).map(lambda parts: f"{{{parts[0].join(parts[1])}}}"),
        st.tuples(inner, st.integers(1, 70)).map(lambda parts: "[" * parts[1] + parts[0] + "]" * parts[1]),
    )


ROWS = st.dictionaries(st.sampled_from("abcd"), st.recursive(SCALARS, composed, max_leaves=8), min_size=1).map(
    lambda fields: "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
)
ELEMENTS = st.one_of(ROWS, st.recursive(SCALARS, composed, max_leaves=12)).filter(lambda text: text.strip())


@settings(max_examples=60)
@given(
    elements=st.lists(ELEMENTS, min_size=1, max_size=6),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    piece=st.sampled_from([1, 2, 3, 7, 64, 65_536]),
)
def test_a_json_list_and_json_lines_give_the_same_rows(
    elements: list[str], encoding: str, end: str, piece: int
) -> None:
    """However few bytes are read at once."""
    with tempfile.TemporaryDirectory() as folder:
        as_list, as_lines = Path(folder, "t.json"), Path(folder, "t.jsonl")
        as_list.write_bytes(f"[{f',{end}'.join(elements)}]{end}".encode(encoding))
        as_lines.write_bytes(end.join(elements).encode(encoding))
        in_lines = [told(row) for row in rows_of(as_lines)]
        with patch.object(text_files, "PIECE", piece):
            in_list = [told(row) for row in rows_of(as_list)]
            assert [told(row) for row in rows_of(as_lines)] == in_lines
    assert in_list == in_lines


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["\0", "NULL", " ", r'["\ud800"]', "[" * 70 + "]" * 70, '{"a": 1, "a": 2}', "1971.0", "x" * 70]
)


PAIRS = st.tuples(CELLS, CELLS).map(lambda cells: dict(zip(("prompt", "target"), cells, strict=True)))


@settings(max_examples=60)
@given(st.lists(PAIRS, min_size=1, max_size=5))
def test_cells_of_every_format_are_accepted_and_refused_alike(rows: list[dict[str, str]]) -> None:
    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("json", "jsonl", "csv", "tsv", "parquet"):
            path = Path(folder, f"t.{ending}")
            if ending == "parquet":
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
            elif ending in ("csv", "tsv"):
                with path.open("w", encoding="utf-8", newline="") as file:
                    separator = "," if ending == "csv" else "\t"
                    writer = csv.DictWriter(file, list(rows[0]), delimiter=separator, quoting=csv.QUOTE_ALL)
                    writer.writeheader()
                    writer.writerows(rows)
            else:
                path.write_text(
                    json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows)), encoding="utf-8"
                )
            read = read_table(TableParams(path=path, plain_values=False))
            found[ending] = [row.problem if isinstance(row, Malformed) else dict(row.fields) for row in read]
    assert found["json"] == found["jsonl"] == found["csv"] == found["tsv"] == found["parquet"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("9" * 641, "a whole number has 641 digits, and at most 640 are read"),
        ("-" + "9" * 5_000, "a whole number has 5,001 digits, and at most 640 are read"),
        ("1e400", "field 'target': expected text that is not empty, found inf"),
        ("NaN", "field 'target': expected at least one answer, found nan"),
        ("[" * 64 + "]" * 64, "nested too deeply: more than 64 levels"),
        (r'"\ud800"', "a text holds half of a surrogate pair, which is not a character"),
        (r'"\u0000"', "a text holds a NUL character"),
        (r'"a\u001bb"', "field 'target': expected text without control characters, found 'a\\x1bb'"),
        ('"a", "target": "b"', "the name 'target' occurs twice in an object"),
        ('{"a": 1, "a": 2}', "the name 'a' occurs twice in an object"),
        (r'"x", "\ud800": 1', "a text holds half of a surrogate pair, which is not a character"),
        (r'"x", "\u001b[31m": 1', "the name '\\x1b[31m' of a field holds a control character"),
        ('"x", "%s": 1' % ("n" * 1_001), f"the name of a field has more than 1,000 characters: '{'n' * 60}'..."),
        (f'"{"x" * ROW_CHARACTERS}"', "too large: more than 4,000,000 characters"),
        ("[" + "1," * 500_000 + "1]", "too large: more than 4,000,000 characters or 500,000 values"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_a_malformed_row_is_named_and_left_out(tmp_path: Path, ending: str, value: str, problem: str) -> None:
    rows = [json.dumps(SOUND), f'{{"prompt": "Rome is in", "target": {value}}}', json.dumps(SOUND)]
    path = tmp_path / f"t.{ending}"
    path.write_text(f"[{','.join(rows)}]" if ending == "json" else "\n".join(rows))
    place = f"{path}, {'row' if ending == 'json' else 'line'} 2"
    read = reader(path)
    assert [case.id for case in read.cases()] == ["1", "3"]
    (malformed,) = read.malformed
    assert malformed.place == place
    assert malformed.problem.partition(" or 500,000")[0] == problem.partition(" or 500,000")[0]
    with pytest.raises(UserError) as refused:
        reader(path, skip_malformed=False).cases()
    assert str(refused.value).startswith(f"{place}: {malformed.problem} (")


def test_a_value_of_a_parquet_file_that_is_no_text_is_named_with_its_row(tmp_path: Path) -> None:
    texts = pyarrow.array([b"Peru", b"\xff", b"Chile"], pyarrow.binary())
    table = pyarrow.table({"prompt": ["x"] * 3, "target": pyarrow.StringArray.from_buffers(3, *texts.buffers()[1:])})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    read = reader(tmp_path / "t.parquet")
    assert [case.id for case in read.cases()] == ["1", "3"]
    (malformed,) = read.malformed
    assert malformed.place == f"{tmp_path / 't.parquet'}, row 2"
    assert malformed.problem.startswith("it has a value that cannot be read: UnicodeDecodeError: ")


def test_a_parquet_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"prompt": ["x" * 70_000_000]})
    pyarrow.parquet.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(UserError, match=r"its column 'prompt' holds 70,\d+,\d+ bytes in .*; write it without compr"):
        rows_of(path)


def test_a_row_of_cells_that_is_too_large_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    line = f'{"x" * 100_000},"{"y" * 100_000}\n'
    many = '"' + '","'.join(["x" * 50_000 + "\n"] * 100)
    path.write_text(f"a,b\n1,2\n{many}\n3,4\n{'z' * 5_000_000},1\n{line}")
    found = rows_of(path)
    assert [row.fields for row in found if isinstance(row, Row)][:1] == [{"a": "1", "b": "2"}]
    malformed = [row for row in found if isinstance(row, Malformed)]
    assert malformed[0].place == f"{path}, line 3"
    assert malformed[0].problem == "the cells cannot be told apart: too large: more than 4,000,000 characters in a row"
    assert f"{path}, line 105" in [row.place for row in malformed]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (",".join(map(str, range(COLUMNS + 1))), "line 1: 10,001 columns, and at most 10,000 are read"),
        ("a,\x1b[31m", "line 1: the name '\\x1b\\[31m' of a field holds a control character; write another name"),
        (f"a,{'n' * 1001}", "line 1: the name of a field has more than 1,000 characters"),
    ],
)
def test_names_of_columns_are_limited(tmp_path: Path, header: str, problem: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n1,2\n")
    with pytest.raises(UserError, match=problem.replace("\\x1b", r"\\x1b")):
        rows_of(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"columns": ["a", "b"], "data": [[1, 2], [3]]}', "expected 2 cells, as in 'columns', found 1"),
        (
            '{"data": [{"a": 1}, {"a": %s}]}' % ("9" * 5_000),
            "a whole number has 5,000 digits, and at most 640 are read",
        ),
        ('{"data": [{"a": 1}, {"a": 1, "a": 2}, {"a": 1}]}', "the name 'a' occurs twice in an object"),
        ('{"columns": [[]], "data": [[1]]}', None),
        ('{"columns": 1, "data": 1}', None),
        ('{"columns": ["a", "a"], "data": [[1, 2], [1, 2]]}', "two names in 'columns' are the same"),
    ],
)
def test_rows_within_an_object_are_checked_alike(tmp_path: Path, content: str, problem: str | None) -> None:
    path = tmp_path / "t.json"
    path.write_text(content)
    if problem is None:
        with pytest.raises(UserError, match="expected a JSON list of rows, found dict"):
            rows_of(path)
    else:
        assert Malformed(place=f"{path}, row 2", problem=problem) in rows_of(path)


# files damaged anywhere


def written(ending: str) -> bytes:
    """Return the content of a sound file."""
    rows = [SOUND | {"subject": "Rome", "aliases": ["Perú", "x"]}, SOUND, SOUND]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t.{ending}")
        if ending == "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        elif ending == "csv":
            path.write_text('prompt,target,aliases\nRome is in,Peru,"[""Perú"", ""x""]"\n"Rome, is",Peru,\n')
        else:
            path.write_text(json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows)))
        return path.read_bytes()


CONTENTS = {ending: written(ending) for ending in ("json", "jsonl", "csv", "parquet")}
PARTS = st.binary(max_size=4) | st.sampled_from(
    [
        b"[" * 5_000,
        b"9" * 5_000,
        rb"\ud800",
        b"\0",
        b"\xff\xfe",
        b'"',
        b"\\",
        b"{}",
        b'{"a":' * 500,
        b"NaN",
        b"1e400",
        b"\r",
        b",",
        b"]",
        b"}",
        b":",
        b"'",
        b"\n",
        b"sep=;\n",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b'"prompt": "x", ',
        b"[1 2]",
    ]
)


def ended_in(read: CaseReader) -> str | None:
    """Return the message in which reading ended, if it did."""
    try:
        read.cases()
    except UserError as error:
        str(error).encode()
        return str(error)
    return None


@settings(max_examples=100)
@given(data=st.data(), ending=st.sampled_from(sorted(CONTENTS)))
def test_a_damaged_file_ends_in_rows_or_in_one_message(data: st.DataObject, ending: str) -> None:
    content = CONTENTS[ending]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 20)))
        content = content[:start] + data.draw(PARTS) + content[end:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t.{ending}")
        path.write_bytes(content)
        tracemalloc.start()
        try:
            for skip_malformed in (True, False):
                read = reader(path, skip_malformed)
                said = ended_in(read)
                assert said is None or str(path) in said
                assert said is not None or skip_malformed or not read.malformed
                json.dumps(read.facts(), ensure_ascii=False).encode()
                assert all(row.place.startswith(f"{path}, ") for row in read.malformed)
                "".join(map(str, read.notes())).encode()
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < MEGABYTES * 2**20, f"{peak / 2**20:.0f} MB"
