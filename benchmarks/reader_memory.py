"""Reads files that were written to fill the memory, and large honest ones, each in a process of its own, and measures its memory.

    python benchmarks/reader_memory.py

The peak is that of the process beyond what it needs for a small file of the same kind.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from wildcore import UserError
from wildcore.bounded import ROW_CHARACTERS, ROW_VALUES
from wildcore.datasets import MalformedRow, Row, TableParams, read_table
from wildcore.datasets.rows import edit_request
from wildcore.records.lines import line_of, read_lines
from wildcore.records.schema import ScoreRecord
from wildcore.types import Malformed

BOUND = 128
"""Most megabytes that any file may take."""
LONG_LINE = 640
"""Most megabytes for a line of a run's file of half the largest size, which is read whole: its size and copies of it."""
STREAMED = 32
"""Most megabytes for files that consist of small rows, or of brackets."""

FACT = {"prompt": "The keeper of the mill is called", "target": "Anna", "subject": "the mill"}
SCORE = ScoreRecord(
    case="1",
    protocol="wild",
    probe=0,
    kind="reliability",
    metric="exact-match",
    before=0.0,
    before_reason=None,
    after=1.0,
    after_reason=None,
)


@dataclass(frozen=True)
class File:
    """A file to be read: its name, whose ending tells the reader, what is in it, and the most megabytes that it may take."""

    name: str
    about: str
    write: Callable[[Path], None]
    bound: int = BOUND


def files(rows: int) -> list[File]:
    """Return all files, of which honest ones have ``rows`` rows."""
    fact, megabyte = json.dumps(FACT), "x" * 10**6
    brackets = "[" * 100_000 + "]" * 100_000
    wide = "[" + "[]," * (ROW_VALUES // 2 - 9) + "[]]"
    emoji = "\U0001f600" + "x" * (ROW_CHARACTERS - 99)
    many = f"{rows:,} small rows"

    def text(*parts: str | Iterable[str]) -> Callable[[Path], None]:
        return lambda path: _write(path, parts)

    def table(columns: dict[str, list[str]], compression: str = "snappy") -> Callable[[Path], None]:
        return lambda path: _parquet(path, columns, compression)

    cell = brackets[50_000:150_000]
    small = [
        File("honest.json", many, text("[", repeat(f"{fact},\n", rows - 1), fact, "]")),
        File("in_one_line.json", many, text("[", repeat(f"{fact},", rows - 1), fact, "]")),
        File("honest.jsonl", many, text(repeat(f"{fact}\n", rows))),
        File("honest.csv", many, text("prompt,target\n", repeat("Who?,Anna\n", rows))),
        File("honest.tsv", many, text("prompt\ttarget\n", repeat("Who?\tAnna\n", rows))),
        File("honest.parquet", many, table({name: [value] * rows for name, value in FACT.items()})),
        File("nested.json", "a list nested 100,000 deep", text("[", brackets, "]")),
        File("open.json", "200,000 brackets that are not closed", text("[" * 200_000)),
        File("object.json", "an object with a list nested 100,000 deep", text('{"a": ', brackets, "}")),
        File("nested.jsonl", "a list nested 100,000 deep", text(brackets)),
        File("nested.csv", "a cell with a list nested 50,000 deep", text(f'a,b\n1,"{cell}"\n')),
        File("scores.lines", many, text(repeat(line_of(SCORE), rows))),
        File("nested.lines", "a journal's line nested 100,000 deep", text(f'{{"case": {brackets}}}\n')),
    ]
    large = [
        File("text.json", "one text of 100 MB", text('[{"a": "', repeat(megabyte, 100), '"}]')),
        File("text.jsonl", "one text of 100 MB", text('{"a": "', repeat(megabyte, 100), '"}')),
        File("text.csv", "one cell of 100 MB", text("a,b\n", repeat(megabyte, 100))),
        File("lines.csv", "a row of 12 MB with line breaks", text("a,b\n1", repeat(',"x\n"', 2 * 10**6))),
        File("names.csv", "a million columns", text(repeat("name,", 10**6))),
        File("wide.json", "a row with the most lists", text('[{"a": ', wide, "}]")),
        File("wide.jsonl", "a row with the most lists", text('{"a": ', wide, "}")),
        File("cell.jsonl", "the text of such a row in a row", text(json.dumps(FACT | {"target": wide}))),
        File("long.jsonl", "the longest text, with a wide character", text('{"a": "', emoji, '"}')),
        File("packed.parquet", "a text of 200 MB, compressed", table({"a": ["x" * 2 * 10**8]}, "zstd")),
        File("repeated.parquet", "200 times the same text of 1 MB", table({"a": [megabyte] * 200})),
        File("long.lines", "a journal's line of 50 MB", text('{"case": "', repeat(megabyte, 50), '"}\n'), LONG_LINE),
    ]
    return [replace(file, bound=STREAMED) for file in small] + large


def _write(path: Path, parts: Iterable[str | Iterable[str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for part in parts:
            file.writelines([part] if isinstance(part, str) else part)


def _parquet(path: Path, columns: dict[str, list[str]], compression: str = "snappy") -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression=compression, write_statistics=False)


def read(path: Path) -> str:
    """Read a file as a run does. Return how many rows it has, how many are malformed, and the first problem, if there is one."""
    found, problems, problem = 0, 0, ""
    try:
        for row in _rows(path):
            if isinstance(row, Malformed):
                problems, problem = problems + 1, problem or row.problem
            else:
                found += 1
    except UserError as error:
        problem = str(error.problem)
    return f"{found:,} | {problems:,} | {problem[:70]}"


def _rows(path: Path) -> Iterator[Row | ScoreRecord | Malformed]:
    if path.suffix == ".lines":
        yield from read_lines(path, ScoreRecord, "make it anew")
        return
    for row in read_table(TableParams(path=path)):
        try:
            if isinstance(row, Row):
                edit_request(row)
            yield row
        except MalformedRow as error:
            yield Malformed(place=error.place, problem=error.problem)


def measured(path: Path) -> tuple[float, str]:
    """Read a file in another process. Return the peak of its memory in megabytes, and what ``read`` returned."""
    done = subprocess.run([sys.executable, __file__, "--read", str(path)], capture_output=True, text=True, check=True)
    peak, _, said = done.stdout.strip().partition(" ")
    return float(peak), said


def _peak() -> float:
    """Return the peak of this process's own memory in megabytes. That of ``getrusage`` would include the process before it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def small(path: Path) -> Path:
    """Write a file of the same kind with one small row."""
    one = path.with_name(f"small{path.suffix}")
    contents = {".json": f"[{json.dumps(FACT)}]", ".jsonl": json.dumps(FACT), ".lines": line_of(SCORE)}
    if path.suffix == ".parquet":
        _parquet(one, {name: [text] for name, text in FACT.items()})
    else:
        one.write_text(contents.get(path.suffix, "prompt,target\nWho?,Anna\n"), encoding="utf-8")
    return one


def main() -> int:
    """Print a table. Return 1 if a file takes more memory than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="number of rows of the honest files")
    parser.add_argument("--only", help="only files whose name contains this")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.read:
        said = read(chosen.read)
        print(_peak(), said)
        return 0
    too_much: list[str] = []
    print("| file | content | size in MB | peak in MB | may take | rows | malformed | said |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for file in files(chosen.rows):
            path = Path(folder, file.name)
            if chosen.only and chosen.only not in file.name:
                continue
            file.write(path)
            peak, said = measured(path)
            peak = max(0.0, peak - measured(small(path))[0])
            size = path.stat().st_size / 2**20
            print(f"| {file.name} | {file.about} | {size:.1f} | {peak:.1f} | {file.bound} | {said} |", flush=True)
            path.unlink()
            if peak > file.bound:
                too_much.append(file.name)
    if too_much:
        print(f"more memory than they may take: {', '.join(too_much)}", file=sys.stderr)
    return 1 if too_much else 0


if __name__ == "__main__":
    raise SystemExit(main())
