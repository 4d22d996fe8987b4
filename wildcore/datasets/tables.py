"""The rows of a file or of a hub dataset, read one by one: a large source is never held in memory as a whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from types import UnionType
from typing import Any

from wildcore.datasets.json_rows import ListReader, RowText, Unreadable, row_of
from wildcore.datasets.parquet_rows import parquet_rows, unreadable
from wildcore.datasets.reading import BLANK_ROW, Reading
from wildcore.datasets.row_checks import require_sound
from wildcore.datasets.rows import Row
from wildcore.datasets.separated import separated
from wildcore.datasets.text_files import lines, opened, pieces
from wildcore.datasets.values import is_nothing
from wildcore.errors import Parameter, Place, Setting, UserError
from wildcore.params import Params
from wildcore.types import Malformed

Found = tuple[str, Any] | Malformed
"""A row: its place and its content, or why it could not be read."""


class TableParams(Params):
    """Parameters of a dataset that is a table: a file, or a dataset on the Hugging Face hub."""

    path: Path | None = None
    """File of rows: .json (a list of objects), .jsonl or .ndjson (one object on each line), .csv, .tsv or .parquet.
    Encoding and separator are recognised."""

    hub: str | None = None
    """Instead of a path: a dataset on the Hugging Face hub, such as "owner/name", or a local folder with one."""

    config: str | None = None
    """Configuration of the hub dataset."""

    split: str = "train"
    """Split of the hub dataset."""

    revision: str | None = None
    """Branch, tag or commit of the hub dataset."""

    plain_values: bool = True
    """Whether numbers and dates that a program wrote are read as a person writes them: 1971.0 as 1971, 1971-05-04 00:00:00
    as 1971-05-04. In a CSV file 1971.0 is read so if every number of its column ends in .0."""

    missing_values: tuple[str, ...] = ()
    """Texts that stand for a missing value and are read as an empty field, such as "NULL"."""


def reading_of(params: TableParams) -> Reading:
    """Return how the values of a table are to be read."""
    return Reading(params.plain_values, frozenset(params.missing_values))


def read_table(params: TableParams, reading: Reading | None = None) -> Iterator[Row | Malformed]:
    """Yield the rows of the file or hub dataset named by ``params``, in order.

    A row that cannot be read (a line that is not JSON, too few cells, a list instead of an object) is yielded as
    ``Malformed``. A blank row is skipped. Raises ``UserError`` if the source as a whole cannot be read, if necessary after the
    rows before the fault. ``reading`` (None: that of ``params``) counts what is noticed.
    """
    reading = reading or reading_of(params)
    if params.path is not None:
        _refuse_hub_settings(params)
        return _rows(_reader(params.path)(params.path, reading), reading)
    if params.hub is not None:
        return _rows(_hub(params), reading)
    raise UserError(
        "nothing to read",
        about="dataset",
        way_out=(
            "name a file with ",
            Setting("dataset.path", "FILE"),
            " or a data set on the hub with ",
            Setting("dataset.hub", "OWNER/NAME"),
        ),
    )


def _refuse_hub_settings(params: TableParams) -> None:
    for name in ("hub", "config", "split", "revision"):
        value = getattr(params, name)
        if value != type(params).model_fields[name].default:
            raise UserError(
                ("this is for a data set on the hub, and ", Parameter("dataset.path", params.path), " names a file"),
                about=Parameter(f"dataset.{name}", value),
                way_out="leave one of the two out",
            )


def _reader(path: Path) -> Callable[[Path, Reading], Iterator[Found]]:
    known: dict[str, Callable[[Path, Reading], Iterator[Found]]] = {
        ".json": _json_list,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".csv": partial(_separated, usual=","),
        ".tsv": partial(_separated, usual="\t"),
        ".parquet": _parquet,
    }
    if path.suffix.lower() not in known:
        raise UserError(
            "the ending does not tell a format", Parameter("dataset.path", path), f"known: {', '.join(known)}"
        )
    return known[path.suffix.lower()]


def _rows(found: Iterable[Found], reading: Reading) -> Iterator[Row | Malformed]:
    for number, item in enumerate(found, start=1):
        problem = None if isinstance(item, Malformed) else _problem(item[1])
        if isinstance(item, Malformed):
            yield item
        elif problem is not None:
            yield Malformed(place=item[0], problem=problem)
        elif item[1] and all(is_nothing(value) for value in item[1].values()):
            reading.notice(BLANK_ROW, item[0])
        else:
            yield Row(item[0], item[1], number, reading=reading)


def _problem(found: Any) -> str | None:
    """Return why something is no row, or None if it is one."""
    try:
        require_sound(found)
    except ValueError as error:
        return str(error)
    return None if isinstance(found, dict) else f"expected an object with fields, found {found!r:.80}"


def _lines(path: Path, reading: Reading) -> Iterator[str]:
    with opened(path) as file:
        yield from lines(path, file, reading)


def _separated(path: Path, reading: Reading, usual: str) -> Iterator[Found]:
    readings = chain([reading], repeat(Reading()))  # only the first look at the file is noted
    return separated(path, lambda: _lines(path, next(readings)), usual, reading, can_read_twice=path.is_file())


def _json_list(path: Path, reading: Reading) -> Iterator[Found]:
    with opened(path) as file:
        reader = ListReader(path, pieces(path, file, reading))
        if reader.begins():
            for number, element in enumerate(reader.elements(), start=1):
                yield row_of(f"{path}, row {number}", element)
        else:
            for number, item in enumerate(_rows_within(path, reader.whole_value(), reading), start=1):
                yield f"{path}, row {number}", item


def _rows_within(path: Path, content: Any, reading: Reading) -> list[Any]:
    if isinstance(content, Unreadable):
        raise UserError(content.problem, Place(path))
    rows = _list_within(path, content, reading)
    if rows is None:
        raise UserError(f"expected a JSON list of rows, found {type(content).__name__}", Place(path))
    return rows


def _list_within(path: Path, content: Any, reading: Reading) -> list[Any] | None:
    """Return the rows in a JSON object: its only list of objects, or the rows of a table as pandas writes it."""
    if not isinstance(content, dict) or not content:
        return None
    lists = [name for name, value in content.items() if isinstance(value, list) and _all(dict | Unreadable, value)]
    if len(lists) == 1:
        reading.form.append(f"{path}: its rows are the list {lists[0]!r}")
        rows: list[Any] = content[lists[0]]
        return rows
    names, data = content.get("columns"), content.get("data")
    if isinstance(names, list) and isinstance(data, list) and _all(str, names) and _all(list, data):
        reading.form.append(f"{path}: its rows are lists of cells below the names in 'columns'")
        return [_below(names, cells) for cells in data]
    return _keyed_rows(path, content, reading) if _all(dict, content.values()) else None


def _below(names: list[str], cells: list[Any]) -> dict[str, Any] | Unreadable:
    if len(cells) != len(names):
        return Unreadable(f"expected {len(names)} cells, as in 'columns', found {len(cells)}")
    record = dict(zip(names, cells, strict=True))
    return record if len(record) == len(names) else Unreadable("two names in 'columns' are the same")


def _all(kind: type | UnionType, values: Iterable[Any]) -> bool:
    found = list(values)
    return bool(found) and all(isinstance(value, kind) for value in found)


def _keyed_rows(path: Path, content: Mapping[str, dict[str, Any]], reading: Reading) -> list[Any]:
    """Return the rows of an object of objects: either one row under each name, or one column, in which rows are numbered."""
    numbers = list(next(iter(content.values())))
    if not all(number.isdecimal() for number in numbers):
        reading.form.append(f"{path}: its rows are the objects under its names")
        return list(content.values())
    reading.form.append(f"{path}: its rows are numbered in the objects of its columns")
    return [{name: column.get(number) for name, column in content.items()} for number in numbers]


def _json_lines(path: Path, reading: Reading) -> Iterator[Found]:
    for number, line in enumerate(_lines(path, reading), start=1):
        if line.strip():
            yield row_of(f"{path}, line {number}", RowText(line.rstrip("\r\n"), number, 1))


def _parquet(path: Path, reading: Reading) -> Iterator[Found]:
    with opened(path) as file:
        yield from parquet_rows(path, file)


def _hub(params: TableParams) -> Iterator[Found]:
    way_out = ("a file of it that lies here can be named with ", Setting("dataset.path", "FILE"))
    number = 0
    try:
        for number, record in enumerate(_hub_records(params), start=1):
            yield f"{params.hub}, {params.split}, row {number}", record
    except Exception as error:  # of the library, whatever it is
        source = Parameter("dataset.hub", params.hub)
        raise unreadable(
            error, (source, f", {params.split}, row {number + 1}") if number else source, way_out
        ) from error


def _hub_records(params: TableParams) -> Iterator[Any]:
    from datasets import load_dataset

    yield from load_dataset(
        params.hub, name=params.config, split=params.split, revision=params.revision, streaming=True
    )
