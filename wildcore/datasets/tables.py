"""The rows of a file or of a hub dataset, read one by one: a large source is never held in memory as a whole."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import BufferedReader
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from wildcore.datasets.reading import BLANK_ROW, Reading
from wildcore.datasets.rows import Row
from wildcore.datasets.separated import separated
from wildcore.datasets.text_files import encoding_of, lines, opened
from wildcore.datasets.values import is_nothing
from wildcore.errors import Message, Parameter, Place, Setting, UserError
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
        if isinstance(item, Malformed):
            yield item
        elif not isinstance(item[1], dict):
            yield Malformed(place=item[0], problem=f"expected an object with fields, found {item[1]!r:.80}")
        elif item[1] and all(is_nothing(value) for value in item[1].values()):
            reading.notice(BLANK_ROW, item[0])
        else:
            yield Row(item[0], item[1], number, reading=reading)


def _lines(path: Path, reading: Reading) -> Iterator[str]:
    with opened(path) as file:
        yield from lines(path, file, reading)


def _separated(path: Path, reading: Reading, usual: str) -> Iterator[Found]:
    readings = chain([reading], repeat(Reading()))  # only the first look at the file is noted
    return separated(path, lambda: _lines(path, next(readings)), usual, reading, can_read_twice=path.is_file())


def _json_list(path: Path, reading: Reading) -> Iterator[Found]:
    return ((f"{path}, row {number}", item) for number, item in enumerate(_json_items(path, reading), start=1))


def _json_items(path: Path, reading: Reading) -> Iterator[Any]:
    import ijson

    count = 0
    with opened(path) as file:
        encoding = encoding_of(file)
        if encoding == "utf-8-sig":
            file.read(len(BOM_UTF8))
        if encoding.startswith("utf-8") and file.peek().lstrip().startswith(b"["):
            try:
                for item in ijson.items(file, "item", use_float=True):
                    yield item
                    count += 1
                return
            except ijson.JSONError:
                pass  # either broken, or with NaN, which pandas writes and only Python's own parser accepts
    yield from _whole_list(path, reading)[count:]


def _whole_list(path: Path, reading: Reading) -> list[Any]:
    text = "".join(line.rstrip("\r\n") + "\n" for line in _lines(path, reading))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "a file with an object on each line must be called .jsonl" if error.msg == "Extra data" else None
        place = (Place(path, error.lineno), f", column {error.colno}")
        raise UserError(f"not valid JSON: {error.msg}", place, hint) from error
    except RecursionError as error:
        raise UserError("its lists and objects are nested too deeply", Place(path)) from error
    rows = content if isinstance(content, list) else _list_within(path, content, reading)
    if rows is None:
        raise UserError(f"expected a JSON list of rows, found {type(content).__name__}", Place(path))
    return rows


def _list_within(path: Path, content: Any, reading: Reading) -> list[Any] | None:
    """Return the rows in a JSON object: its only list of objects, or the rows of a table as pandas writes it."""
    if not isinstance(content, dict) or not content:
        return None
    lists = [name for name, value in content.items() if isinstance(value, list) and _all(dict, value)]
    if len(lists) == 1:
        reading.form.append(f"{path}: its rows are the list {lists[0]!r}")
        rows: list[Any] = content[lists[0]]
        return rows
    if set(content) >= {"columns", "data"} and _all(list, content["data"]):
        reading.form.append(f"{path}: its rows are lists of cells below the names in 'columns'")
        return [dict(zip(content["columns"], cells, strict=False)) for cells in content["data"]]
    return _keyed_rows(path, content, reading) if _all(dict, content.values()) else None


def _all(kind: type, values: Iterable[Any]) -> bool:
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
            yield _json_line(f"{path}, line {number}", line.rstrip())


def _json_line(place: str, line: str) -> Found:
    try:
        return place, json.loads(line)
    except json.JSONDecodeError as error:
        return Malformed(place=f"{place}, column {error.colno}", problem=f"not valid JSON: {error.msg}")
    except RecursionError:
        return Malformed(place=place, problem="its lists and objects are nested too deeply")


def _parquet(path: Path, reading: Reading) -> Iterator[Found]:
    with opened(path) as file:
        records = _guarded(partial(_parquet_records, file), Parameter("dataset.path", path))
        for number, record in enumerate(records, start=1):
            yield f"{path}, row {number}", record


def _parquet_records(file: BufferedReader) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    for batch in ParquetFile(file).iter_batches(batch_size=1000):
        narrow = [field.name for field in batch.schema if str(field.type) in ("float", "halffloat")]
        for record in batch.to_pylist():
            yield record | {name: _shortest(record[name]) for name in narrow}


def _shortest(number: float | None) -> float | None:
    """Return the number with the fewest digits that is rounded to the same one of 32 bits: 3.1, not 3.0999999."""
    import numpy

    return None if number is None else float(str(numpy.float32(number)))


def _hub(params: TableParams) -> Iterator[Found]:
    way_out = ("a file of it that lies here can be named with ", Setting("dataset.path", "FILE"))
    records = _guarded(partial(_hub_records, params), Parameter("dataset.hub", params.hub), way_out)
    for number, record in enumerate(records, start=1):
        yield f"{params.hub}, {params.split}, row {number}", record


def _hub_records(params: TableParams) -> Iterator[Any]:
    from datasets import load_dataset

    yield from load_dataset(
        params.hub, name=params.config, split=params.split, revision=params.revision, streaming=True
    )


def _guarded(records: Callable[[], Iterator[Any]], source: Parameter, way_out: Message | None = None) -> Iterator[Any]:
    """Yield ``records``. Any exception of the library behind them means that the source cannot be read."""
    try:
        yield from records()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot be read: {type(error).__name__}: {reason:.400}", source, way_out) from error
