"""The rows of a file or of a hub dataset, read one by one: a large source is never held in memory as a whole."""

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

from wildcore.datasets.rows import Row
from wildcore.errors import Message, Parameter, Place, Setting, UserError
from wildcore.params import Params
from wildcore.types import Malformed

Found = tuple[str, Any] | Malformed
"""A row: its place and its content, or why it could not be read."""


class TableParams(Params):
    """Parameters of a dataset that is a table: a file, or a dataset on the Hugging Face hub."""

    path: Path | None = None
    """File of rows: .json (a list of objects), .jsonl or .ndjson (one object on each line), .csv, .tsv or .parquet."""

    hub: str | None = None
    """Instead of a path: a dataset on the Hugging Face hub, such as "owner/name", or a local folder with one."""

    config: str | None = None
    """Configuration of the hub dataset."""

    split: str = "train"
    """Split of the hub dataset."""

    revision: str | None = None
    """Branch, tag or commit of the hub dataset."""


def read_table(params: TableParams) -> Iterator[Row | Malformed]:
    """Yield the rows of the file or hub dataset named by ``params``, in order.

    A row that cannot be read (a line that is not JSON, too few cells, a list instead of an object) is yielded as
    ``Malformed``. Raises ``UserError`` if the source as a whole cannot be read, if necessary after the rows before the fault.
    """
    if params.path is not None:
        _refuse_hub_settings(params)
        return _rows(_reader(params.path)(params.path))
    if params.hub is not None:
        return _rows(_hub(params))
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


def _reader(path: Path) -> Callable[[Path], Iterator[Found]]:
    known: dict[str, Callable[[Path], Iterator[Found]]] = {
        ".json": _json_list,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".csv": lambda path: _separated(path, ","),
        ".tsv": lambda path: _separated(path, "\t"),
        ".parquet": _parquet,
    }
    if path.suffix.lower() not in known:
        raise UserError(
            "the ending does not tell a format", Parameter("dataset.path", path), f"known: {', '.join(known)}"
        )
    return known[path.suffix.lower()]


def _rows(found: Iterable[Found]) -> Iterator[Row | Malformed]:
    for number, item in enumerate(found, start=1):
        if isinstance(item, Malformed):
            yield item
        elif isinstance(item[1], dict):
            yield Row(item[0], item[1], number)
        else:
            yield Malformed(place=item[0], problem=f"expected an object with fields, found {item[1]!r:.80}")


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", Parameter("dataset.path", path)) from error
    with file:
        if file.peek(3).startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        yield file


def _lines(path: Path, file: BufferedReader) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            problem = f"not UTF-8 text: {error.reason} at byte {error.start} of the line"
            raise UserError(problem, Place(path, number), "save the file as UTF-8") from error


def _json_list(path: Path) -> Iterator[Found]:
    return ((f"{path}, row {number}", item) for number, item in enumerate(_json_items(path), start=1))


def _json_items(path: Path) -> Iterator[Any]:
    import ijson

    count = 0
    with _opened(path) as file:
        if file.peek().lstrip().startswith(b"["):
            try:
                for item in ijson.items(file, "item", use_float=True):
                    yield item
                    count += 1
                return
            except ijson.JSONError:
                pass  # either broken, or with NaN, which pandas writes and only Python's own parser accepts
    yield from _whole_list(path)[count:]


def _whole_list(path: Path) -> list[Any]:
    with _opened(path) as file:
        text = "".join(_lines(path, file))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "a file with an object on each line must be called .jsonl" if error.msg == "Extra data" else None
        place = (Place(path, error.lineno), f", column {error.colno}")
        raise UserError(f"not valid JSON: {error.msg}", place, hint) from error
    if not isinstance(content, list):
        raise UserError(f"expected a JSON list of rows, found {type(content).__name__}", Place(path))
    return content


def _json_lines(path: Path) -> Iterator[Found]:
    with _opened(path) as file:
        for number, line in enumerate(_lines(path, file), start=1):
            if line.strip():
                yield _json_line(f"{path}, line {number}", line.rstrip())


def _json_line(place: str, line: str) -> Found:
    try:
        return place, json.loads(line)
    except json.JSONDecodeError as error:
        return Malformed(place=f"{place}, column {error.colno}", problem=f"not valid JSON: {error.msg}")


def _separated(path: Path, delimiter: str) -> Iterator[Found]:
    with _opened(path) as file:
        reader = csv.reader(_lines(path, file), delimiter=delimiter, strict=True)
        header = _header(path, reader)
        while True:
            place = f"{path}, line {reader.line_num + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Malformed(place=place, problem=f"the cells cannot be told apart: {error}")
                continue
            if cells:
                yield _by_column(place, header, cells)


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UserError(f"the columns' names cannot be told apart: {error}", Place(path, 1)) from error
    if not any(names):
        raise UserError("expected the columns' names, found nothing", Place(path, 1))
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two columns are called {name!r}", Place(path, 1))
    return names


def _by_column(place: str, header: list[str], cells: list[str]) -> Found:
    if len(cells) != len(header):
        return Malformed(place=place, problem=f"expected {len(header)} cells, as in the header, found {len(cells)}")
    return place, dict(zip(header, cells, strict=True))


def _parquet(path: Path) -> Iterator[Found]:
    with _opened(path) as file:
        records = _guarded(partial(_parquet_records, file), Parameter("dataset.path", path))
        for number, record in enumerate(records, start=1):
            yield f"{path}, row {number}", record


def _parquet_records(file: BufferedReader) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    for batch in ParquetFile(file).iter_batches(batch_size=1000):
        yield from batch.to_pylist()


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
