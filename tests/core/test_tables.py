"""Tables of every format give the same rows, as they are read, and what is no row is named."""

import csv
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import Malformed, UserError
from wildcore.datasets import Row, TableParams, read_table

ENDINGS = ["json", "jsonl", "ndjson", "csv", "tsv", "parquet"]
Rows = list[dict[str, str]]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def read(path: Path | str, **params: Any) -> list[Row | Malformed]:
    return list(read_table(TableParams(path=Path(path), **params)))


def fields(rows: list[Row | Malformed]) -> list[Any]:
    return [row.fields if isinstance(row, Row) else row for row in rows]


def is_filled(row: dict[str, str]) -> bool:
    return any(cell.strip() for cell in row.values())


def write(path: Path, rows: Rows) -> None:
    if path.suffix == ".parquet":
        columns = {name: [row[name] for row in rows] for name in ("a", "b")}
        schema = pyarrow.schema([("a", pyarrow.string()), ("b", pyarrow.string())])
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["a", "b"], delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), max_size=5))
def test_every_format_gives_back_what_was_written_without_blank_rows(ending: str, rows: Rows) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table.{ending}"
        write(path, rows)
        found = read(path, plain_values=False)
    assert fields(found) == [row for row in rows if is_filled(row)]
    if ending not in ("csv", "tsv"):
        numbers = [number for number, row in enumerate(rows, start=1) if is_filled(row)]
        assert [row.number for row in found if isinstance(row, Row)] == numbers


@pytest.mark.parametrize(
    ("ending", "places"),
    [
        ("json", ["row 1", "row 2"]),
        ("jsonl", ["line 1", "line 2"]),
        ("csv", ["line 2", "line 4"]),
        ("parquet", ["row 1", "row 2"]),
    ],
)
def test_a_row_says_where_it_stands(tmp_path: Path, ending: str, places: list[str]) -> None:
    path = tmp_path / f"table.{ending}"
    write(path, [{"a": "two\nlines", "b": ""}, {"a": "x", "b": "y"}])
    assert [row.place for row in read(path)] == [f"{path}, {place}" for place in places]


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"TABLE.{ending.upper()}"
    write(path.with_suffix(f".{ending}"), [{"a": "1", "b": "2"}, {"a": "ä", "b": "4"}])
    content = path.with_suffix(f".{ending}").read_bytes().replace(b"\r\n", b"\n")
    path.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    assert fields(read(path)) == [{"a": "1", "b": "2"}, {"a": "ä", "b": "4"}]


def test_what_is_no_row_of_a_json_lines_file_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n[1, 2]\n{"a": 5}\n')
    first, broken, a_list, last = read(path)
    assert broken == Malformed(place=f"{path}, line 3, column 6", problem="not valid JSON: Expecting value")
    assert a_list == Malformed(place=f"{path}, line 4", problem="expected an object with fields, found [1, 2]")
    assert fields([first, last]) == [{"a": 1}, {"a": 5}]
    assert isinstance(last, Row)
    assert last.number == 4  # of the rows, malformed ones too


def test_what_is_no_row_of_a_json_list_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"a": 1.5}, "x", null, {"a": {"b": [1]}}]')
    assert fields(read(path)) == [
        {"a": 1.5},
        Malformed(place=f"{path}, row 2", problem="expected an object with fields, found 'x'"),
        Malformed(place=f"{path}, row 3", problem="expected an object with fields, found None"),
        {"a": {"b": [1]}},
    ]


def test_what_is_no_row_of_a_csv_file_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1\n"two\nlines",2\n1,2,3\n"x"y,2\n\n3,4\n5,"open\n6,7\n')
    assert fields(read(path)) == [
        Malformed(place=f"{path}, line 2", problem="expected 2 cells, as in the header, found 1"),
        {"a": "two\nlines", "b": "2"},
        Malformed(place=f"{path}, line 5", problem="expected 2 cells, as in the header, found 3"),
        Malformed(place=f"{path}, line 6", problem="the cells cannot be told apart: ',' expected after '\"'"),
        {"a": "3", "b": "4"},
        Malformed(place=f"{path}, line 9", problem="the cells cannot be told apart: unexpected end of data"),
    ]


def test_json_with_nan_is_read_as_python_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"a": 1, "tag": tag} for tag in ("new", float("nan"), 10**30, "last")]))
    found = [row for row in read(path) if isinstance(row, Row)]
    assert [row.optional_text("tag") for row in found] == ["new", None, str(10**30), "last"]
    assert [row.number for row in found] == [1, 2, 3, 4]


def until_error(rows: Iterator[Row | Malformed]) -> tuple[int, str]:
    """Return how many rows came before the error, and its message."""
    before: list[Row | Malformed] = []
    with pytest.raises(UserError) as caught:
        before.extend(rows)
    return len(before), str(caught.value)


LINES_300 = ",\n".join(json.dumps({"n": n, "filling": "x" * 1000}) for n in range(300))


def test_a_json_list_with_a_broken_row_gives_the_rows_before_and_after_it(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(f"[\n{LINES_300},\n{{'n': 1}},\n{{\"n\": 2}}]\n")
    *before, broken, last = read(path)
    assert len(before) == 300
    assert isinstance(broken, Malformed)
    assert broken.place == f"{path}, row 301, line 302, column 2"
    assert broken.problem.startswith("not valid JSON: Expecting property name")
    assert isinstance(last, Row)
    assert (last.place, last.fields) == (f"{path}, row 302", {"n": 2})


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (',\n{"n": [1}, 2]', "line 302, column 9: not valid JSON: '}' closes nothing in row 301"),
        (',\n {"n": "1]', "line 302, column 2: not valid JSON: row 301, which begins here, is not closed"),
        (',\n "\\', "line 302, column 2: not valid JSON: row 301, which begins here, is not closed"),
        ("]\n]", "line 302, column 1: not valid JSON: Extra data"),
        (",\nn", "line 302, column 1: not valid JSON: row 301, which begins here, is not closed"),
    ],
)
def test_a_json_list_whose_rows_cannot_be_told_apart_gives_its_first_rows_and_then_the_place(
    tmp_path: Path, end: str, message: str
) -> None:
    path = tmp_path / "t.json"
    path.write_text(f"[\n{LINES_300}{end}")
    count, said = until_error(read_table(TableParams(path=path)))
    assert count == 300
    assert said.startswith(f"{path}, {message}")


def test_a_parquet_file_that_breaks_half_way_gives_its_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"n": [f"{n:050}" for n in range(4000)]}
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, row_group_size=2000, compression="none", use_dictionary=False
    )
    content = bytearray(path.read_bytes())
    second = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content[second : second + 100] = b"\xff" * 100
    path.write_bytes(content)
    count, message = until_error(read_table(TableParams(path=path)))
    assert count == 2000
    assert message.startswith(f"dataset.path={path}, row 2001: cannot be read: OSError: ")


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_the_first_row_arrives_before_the_last_is_written(tmp_path: Path, ending: str) -> None:
    """The file is a pipe whose writer holds back the end until the reader has the first row."""
    whole, pipe = tmp_path / f"whole.{ending}", tmp_path / f"pipe.{ending}"
    write(whole, [{"a": str(n), "b": "x" * 1000} for n in range(400)])
    os.mkfifo(pipe)
    arrived, content = threading.Event(), whole.read_bytes()

    def writer() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(content[:200_000])
            in_time.append(arrived.wait(timeout=20))
            file.write(content[200_000:])

    in_time: list[bool] = []
    thread = threading.Thread(target=writer)
    thread.start()
    rows = read_table(TableParams(path=pipe))
    first = next(rows)
    arrived.set()
    rest = list(rows)
    thread.join()
    assert in_time == [True]
    assert [row["a"] for row in fields([first, *rest])] == [str(n) for n in range(400)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", b'{"a": 1}', "expected a JSON list of rows, found dict"),
        (
            "t.json",
            b'{"a": 1}\n{"a": 2}',
            "line 2, column 1: not valid JSON: Extra data; a file with an object on",
        ),
        ("t.json", b"", "line 1, column 1: not valid JSON"),
        ("t.json", b'[{"a": "\xe4"}]', "line 1: not UTF-8 text: .* at byte 8 of the line; byte 0xe4 is 'ä' in Win"),
        ("t.jsonl", b'{"a": 1}\n{"a": "\xe4"}\n', "line 2: not UTF-8 text"),
        ("t.csv", b"a,b\n1,\xe4\n", "line 2: not UTF-8 text"),
        ("t.csv", b"", "line 1: expected the columns' names, found nothing"),
        ("t.tsv", b"a\tb \ta\n1\t2\t3", "line 1: two columns are called 'a'"),
        ("t.csv", b'"a"b,c\n', "line 1: the columns' names cannot be told apart"),
        ("t.parquet", b"PAR1, or rather not", "cannot be read: ArrowInvalid: "),
        ("t.xlsx", b"", "the ending does not tell a format; known: .json, .jsonl, .ndjson, .csv, .tsv, .parquet"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_file_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"none.{ending}"
    with pytest.raises(UserError, match="cannot be read: No such file or directory") as caught:
        read(path)
    assert str(caught.value).startswith(f"dataset.path={path}: ")


def test_no_source_and_two_sources_are_refused() -> None:
    with pytest.raises(UserError, match=r"nothing to read; name a file with dataset.path=FILE or a data set"):
        read_table(TableParams())
    for setting in ({"hub": "owner/name"}, {"split": "test"}, {"revision": "main"}, {"config": "x"}):
        with pytest.raises(UserError, match=rf"dataset.{next(iter(setting))}=.*leave one of the two out"):
            read_table(TableParams(path=Path("t.json"), **setting))


def test_a_dataset_with_a_hub_of_its_own_may_be_read_from_a_file(tmp_path: Path) -> None:
    class OwnParams(TableParams):
        hub: str | None = "owner/name"

    write(tmp_path / "t.json", [{"a": "1", "b": "2"}])
    assert fields(list(read_table(OwnParams(path=tmp_path / "t.json")))) == [{"a": "1", "b": "2"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set as the hub has it: a folder with a file for each split."""
    write(tmp_path / "train.jsonl", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    write(tmp_path / "test.jsonl", [{"a": "5", "b": "6"}])
    return tmp_path


def test_a_data_set_of_the_hub_is_read(folder: Path) -> None:
    train = list(read_table(TableParams(hub=str(folder))))
    assert fields(train) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert [row.place for row in train] == [f"{folder}, train, row 1", f"{folder}, train, row 2"]
    assert fields(list(read_table(TableParams(hub=str(folder), split="test")))) == [{"a": "5", "b": "6"}]


def test_a_split_that_the_data_set_lacks_is_named(folder: Path) -> None:
    rows = read_table(TableParams(hub=str(folder), split="dev"))
    with pytest.raises(UserError, match=r"dataset.hub=.*: cannot be read: ValueError: Bad split: dev.*'train'"):
        list(rows)


UNREACHABLE = """
from wildcore import UserError
from wildcore.datasets import TableParams, read_table
try:
    list(read_table(TableParams(hub="nobody/nothing")))
except UserError as error:
    print(error)
"""


def test_a_hub_out_of_reach_is_said(python) -> None:
    done = python("-c", UNREACHABLE, HF_HUB_OFFLINE="1")
    assert done.stdout.startswith("dataset.hub=nobody/nothing: cannot be read: ConnectionError: "), done.stderr
    assert done.stdout.endswith("; a file of it that lies here can be named with dataset.path=FILE\n")


LIGHT = """
import sys
import wildcore.datasets.rows, wildcore.datasets
heavy = {"datasets", "numpy", "pandas", "pyarrow", "torch", "transformers"}
print(sorted(heavy & set(sys.modules)))
from pathlib import Path
for name in sys.argv[1:]:
    list(wildcore.datasets.read_table(wildcore.datasets.TableParams(path=Path(name))))
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_is_light_and_reading_a_file_loads_no_torch(python, tmp_path: Path) -> None:
    for ending in ENDINGS:
        write(tmp_path / f"t.{ending}", [{"a": "1", "b": "2"}])
    done = python("-c", LIGHT, *(tmp_path / f"t.{ending}" for ending in ENDINGS))
    imported, after_reading = done.stdout.splitlines()
    assert imported == "[]", done.stderr
    assert "torch" not in after_reading
    assert "pyarrow" in after_reading
