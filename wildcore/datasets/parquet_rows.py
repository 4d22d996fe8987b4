"""Rows in Parquet files."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildcore.bounded import ROW_CHARACTERS
from wildcore.datasets.text_files import PIECE
from wildcore.errors import Message, Parameter, UserError, in_one_line
from wildcore.types import Malformed

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

BATCH = 16
"""Rows that are decoded at once."""

UNCOMPRESSED = 64_000_000
"""Most bytes of a column in a group of rows, if they are compressed to less than a part of ``EXPANSION``."""
EXPANSION = 100


def parquet_rows(path: Path, file: BufferedReader) -> Iterator[tuple[str, Any] | Malformed]:
    """Yield the rows of a Parquet file, each with its place. Raises ``UserError`` naming the row from which it cannot be read."""
    from pyarrow.parquet import ParquetFile

    source, number = Parameter("dataset.path", path), 0
    try:
        table = ParquetFile(file, buffer_size=PIECE)
    except Exception as error:  # of the library, whatever it is
        raise unreadable(error, source) from error
    _require_honest(table, source)
    try:
        for batch in table.iter_batches(batch_size=BATCH):
            for row in _rows(batch):
                number += 1
                place = f"{path}, row {number}"
                yield Malformed(place=place, problem=row) if isinstance(row, str) else (place, row)
    except Exception as error:
        raise unreadable(error, (source, f", row {number + 1}")) from error


def unreadable(error: Exception, source: Message, way_out: Message | None = None) -> UserError:
    """Return the error for a source that a library cannot read."""
    return UserError(f"cannot be read: {type(error).__name__}: {in_one_line(str(error), 400)}", source, way_out)


def _require_honest(table: "ParquetFile", source: Parameter) -> None:
    """Raise ``UserError`` for a file that would fill the memory with what it has on a few pages."""
    for group in map(table.metadata.row_group, range(table.metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            size = column.total_uncompressed_size
            if size > max(UNCOMPRESSED, EXPANSION * column.total_compressed_size):
                problem = (
                    f"its column {column.path_in_schema!r:.60} holds {size:,} bytes in {column.total_compressed_size:,}"
                )
                raise UserError(problem, source, "write it without compression")


def _rows(batch: "RecordBatch") -> Iterator[dict[str, Any] | str]:
    """Yield each row of a batch, or why it cannot be decoded. One that is too large is not."""
    narrow = [field.name for field in batch.schema if str(field.type) in ("float", "halffloat")]
    try:
        records = batch.to_pylist() if batch.nbytes <= ROW_CHARACTERS else None
    except Exception:  # a value that Python does not have, in one of the rows
        records = None
    for record in map(_row, map(batch.slice, range(len(batch)), [1] * len(batch))) if records is None else records:
        if isinstance(record, str):
            yield record
        else:
            yield record | {name: _shortest(record[name]) for name in narrow}


def _row(one: "RecordBatch") -> dict[str, Any] | str:
    if one.nbytes > 4 * ROW_CHARACTERS:
        return f"too large: more than {ROW_CHARACTERS:,} characters"
    try:
        record: dict[str, Any] = one.to_pylist()[0]
    except Exception as error:
        return f"it has a value that cannot be read: {type(error).__name__}: {in_one_line(str(error))}"
    return record


def _shortest(number: float | None) -> float | None:
    """Return the number with the fewest digits that is rounded to the same one of 32 bits: 3.1, not 3.0999999."""
    import numpy

    return None if number is None else float(str(numpy.float32(number)))
