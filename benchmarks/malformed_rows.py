"""Reads generated malformed rows, each between two sound ones, in every format and by every dataset, and counts what happens.

    python benchmarks/malformed_rows.py

Each file is read twice: with malformed rows left out, which must give the sound rows and name the file and the row, and
without, which must end in one message that names them.
"""

import argparse
import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pyarrow.parquet
from wildcore_counterfact import CounterFactParams
from wildcore_counterfact.dataset import CounterFact
from wildcore_qaedit import QAEditParams
from wildcore_qaedit.dataset import QAEdit
from wildcore_table import MappedTableParams
from wildcore_table.dataset import MappedTable
from wildcore_wikibigedit import WikiBigEditParams
from wildcore_wikibigedit.dataset import WikiBigEdit
from wildcore_zsre import ZsREParams
from wildcore_zsre.dataset import ZsRE

from wildcore import UserError
from wildcore.datasets.selection import CaseFilter, CaseReader

OUTCOMES = ("skipped and named", "accepted", "not named", "sound rows lost", "refused as a whole", "exceptions")
"""What reading a malformed row can lead to; only the first is right."""


@dataclass(frozen=True)
class Source:
    """A dataset: how it is made of a file, a sound row, and those of its fields that must be text or a whole number."""

    make: Callable[[Path], Any]
    row: Mapping[str, Any]
    texts: Sequence[str]
    numbers: Sequence[str] = ()


def sources() -> dict[str, Source]:
    """Return every dataset that reads tables."""
    flat = {
        "prompt": "Who keeps the mill?",
        "target_new": "Anna",
        "subject": "the mill",
        "ground_truth": "Peter",
        "rephrase_prompt": "Whose is the mill?",
        "locality_prompt": "Who rang?",
        "locality_ground_truth": "Tim",
    }
    qaedit = {
        "id": 7,
        "source": "NQ",
        "prompt": "who keeps the mill",
        "target": "Anna",
        "subject": "the mill",
        "rephrase": "Whose is the mill?",
        "locality": [{"loc": "who rang", "loc_ans": "Tim"}],
    }
    zsre = {
        "subject": "the mill",
        "src": "Who keeps the mill?",
        "rephrase": "Whose is the mill?",
        "alt": "Anna",
        "answers": ["Peter"],
        "loc": "who rang",
        "loc_ans": "Tim",
    }
    return {
        "table": Source(
            lambda path: MappedTable(MappedTableParams(path=path)),
            {"prompt": "Who keeps the mill?", "target": "Anna", "subject": "the mill"},
            ("prompt", "target"),
        ),
        "qaedit": Source(
            lambda path: QAEdit(QAEditParams(path=path)),
            qaedit,
            ("source", "prompt", "target", "subject", "rephrase"),
            ("id",),
        ),
        "zsre": Source(
            lambda path: ZsRE(ZsREParams(path=path)), zsre, ("subject", "src", "rephrase", "alt", "loc", "loc_ans")
        ),
        "counterfact": Source(
            lambda path: CounterFact(CounterFactParams(path=path)), {"case_id": 3, **flat}, tuple(flat), ("case_id",)
        ),
        "wikibigedit": Source(
            lambda path: WikiBigEdit(WikiBigEditParams(path=path)),
            flat,
            tuple(name for name in flat if name != "ground_truth"),
        ),
    }


def as_json(fields: Sequence[tuple[str, str]]) -> str:
    """Return a row of JSON of names and texts of values, which need not be valid."""
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields) + "}"


def damaged_json(source: Source, random: Random) -> tuple[str, str]:
    """Return the name of a fault, and the JSON text of a row with it."""
    fields = {name: json.dumps(value) for name, value in source.row.items()}
    name = random.choice([*source.texts, *source.numbers])
    fault = random.choice([*VALUES, "missing field", "name twice", "bad name", "no object", "no JSON"])
    if fault in VALUES:
        fields[name] = VALUES[fault](random)
    elif fault == "missing field":
        del fields[name]
    elif fault == "name twice":
        twice = random.choice([name, "note"])
        return fault, as_json([*fields.items(), (twice, '"x"'), (twice, '"y"')])
    elif fault == "bad name":
        bad = random.choice(["\ud800", "\udfffx", "\0", "a\x1b[31m", "n" * 5_000])
        return fault, as_json([*fields.items(), (bad, '"x"')])
    elif fault == "no object":
        return fault, random.choice(["3", '"x"', "null", "[1, 2]", "[[[]]]", "NaN", "true", '["prompt"]', "9" * 5_000])
    else:
        text = as_json(list(fields.items()))
        return fault, random.choice(
            [text.replace(": ", " ", 1), text.replace('"', "'"), text[:-1] + ",}", text[:-1] + ', "x": 01}', text + "x"]
        )
    return fault, as_json(list(fields.items()))


def _nested(random: Random) -> str:
    depth = random.choice([65, 100, 900, 1_100, 5_000, 50_000])
    begin, end = random.choice([("[", "]"), ('{"a": ', "}"), ("[1, ", "]")])
    return begin * depth + random.choice(["", "1"] if begin == "[" else ["1"]) + end * depth


VALUES: Mapping[str, Callable[[Random], str]] = {
    "huge number": lambda random: random.choice(["", "-"]) + "9" * random.randint(641, 20_000),
    "number beyond floats": lambda random: random.choice(
        ["1e400", "-1e400", "1e999999", "NaN", "Infinity", "-Infinity"]
    ),
    "nested deeply": _nested,
    "half of a surrogate pair": lambda random: '"' + random.choice(["", "Anna"]) + rf'\ud{random.randint(8, 15):x}00"',
    "control character, escaped": lambda random: rf'"a\u00{random.choice([0, 1, 7, 8, 14, 27, 31, 127]):02x}b"',
    "control character": lambda random: f'"a{chr(random.choice([0, 1, 7, 27]))}b"',
    "wrong type": lambda random: random.choice(
        ['{"a": 1}', "[{}]", '[{"a": "b"}]', "{}", "[[null]]", '[["x"], 1, {}]']
    ),
    "blank": lambda random: random.choice(['""', '" "', "null", "[]", r'"\n\t"', r'"\u00a0"', '"\u3000"']),
}


def damaged_cells(source: Source, random: Random) -> tuple[str, list[str]]:
    """Return the name of a fault, and a row of cells with it."""
    cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in source.row.items()}
    name = random.choice([*source.texts, *source.numbers])
    fault = random.choice(
        ["blank", "control character", "missing cell", "cell too many", "nested deeply", "list", "long"]
    )
    if fault == "missing cell":
        return fault, list(cells.values())[:-1]
    if fault == "cell too many":
        return fault, [*cells.values(), "x"]
    cells[name] = {
        "blank": lambda: random.choice(["", " ", "\t", "\u3000"]),
        "control character": lambda: f"a{chr(random.choice([0, 1, 7, 14, 27, 31, 127]))}b",
        "nested deeply": lambda: _nested(random),
        "list": lambda: random.choice([r'["\ud800"]', f'["x", {"9" * 5_000}]', '{"a": 1, "a": 2}', r'["a\u0000"]']),
        "long": lambda: "x" * 140_000,
    }[fault]()
    return fault, list(cells.values())


def damaged_table(source: Source, random: Random) -> tuple[str, pyarrow.Table]:
    """Return the name of a fault, and a table of a sound row, one with it, and another sound row."""
    columns: dict[str, Any] = {name: [value] * 3 for name, value in source.row.items()}
    name = random.choice(source.texts)
    sound = columns[name][0]
    fault = random.choice(["blank", "control character", "not UTF-8", "list", "number", "missing number"])
    if fault == "blank":
        columns[name] = [sound, random.choice(["", " ", None, "\u3000"]), sound]
    elif fault == "control character":
        columns[name] = [sound, f"a{chr(random.choice([0, 1, 7, 14, 27, 31, 127]))}b", sound]
    elif fault == "not UTF-8":
        damaged = random.choice([b"\xff", b"\xed\xa0\x80", b"a\xc3", b"\xf8"])
        binary = pyarrow.array([sound.encode(), damaged, sound.encode()], pyarrow.binary())
        columns[name] = pyarrow.StringArray.from_buffers(3, *binary.buffers()[1:])
    elif fault == "list":
        columns[name] = [[sound], random.choice([[], [None], [""], ["a\0"]]), [sound]]
        if name != "loc_ans":
            columns[name] = [sound, "[" * 70 + "]" * 70, sound]
    elif fault == "number":
        columns[name] = pyarrow.array([1.5, random.choice([float("nan"), float("inf"), None]), 2.5])
    else:
        number = random.choice(source.numbers) if source.numbers else name
        columns[number] = pyarrow.array([1, None, 2])
    return fault, pyarrow.table(columns)


def write_json(path: Path, source: Source, random: Random) -> tuple[str, str]:
    """Write a file of JSON. Return the fault, and the place that must be named."""
    sound = json.dumps(source.row)
    fault, text = damaged_json(source, random)
    content = f"[{sound},\n{text},\n{sound}]" if path.suffix == ".json" else f"{sound}\n{text}\n{sound}\n"
    path.write_text(content, encoding="utf-8")
    return fault, "row 2" if path.suffix == ".json" else "line 2"


def write_cells(path: Path, source: Source, random: Random) -> tuple[str, str]:
    """Write a file of cells. Return the fault, and the place that must be named."""
    fault, cells = damaged_cells(source, random)
    sound = [value if isinstance(value, str) else json.dumps(value) for value in source.row.values()]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="," if path.suffix == ".csv" else "\t").writerows(
        [list(source.row), sound, cells, sound]
    )
    path.write_bytes(text.getvalue().encode())
    return fault, "line 3"


def write_table(path: Path, source: Source, random: Random) -> tuple[str, str]:
    """Write a Parquet file. Return the fault, and the place that must be named."""
    fault, table = damaged_table(source, random)
    pyarrow.parquet.write_table(table, path)
    return fault, "row 2"


FORMATS: Mapping[str, Callable[[Path, Source, Random], tuple[str, str]]] = {
    ".json": write_json,
    ".jsonl": write_json,
    ".csv": write_cells,
    ".tsv": write_cells,
    ".parquet": write_table,
}


def outcome(source: Source, path: Path, place: str) -> str:
    """Read a file in both ways. Return one of ``OUTCOMES``."""
    named = f"{path}, {place}"
    try:
        reader = CaseReader("rows", source.make(path), CaseFilter(skip_malformed=True))
        cases = reader.cases()
        json.dumps(reader.facts(), ensure_ascii=False).encode()
        "".join(map(str, reader.notes())).encode()
    except UserError:
        return "refused as a whole"
    except Exception:
        return "exceptions"
    if not reader.malformed:
        return "accepted"
    if len(cases) != 2 or len(reader.malformed) != 1:
        return "sound rows lost"
    try:
        CaseReader("rows", source.make(path), CaseFilter()).cases()
    except UserError as error:
        message = str(error)
        message.encode()
        is_named = message.count(named) == 1 and "\n" not in message and reader.malformed[0].place.startswith(named)
        return "skipped and named" if is_named else "not named"
    except Exception:
        return "exceptions"
    return "not named"


def counted(rows: int, seed: int) -> dict[str, Counter[str]]:
    """Return for each format and fault the number of rows with each outcome."""
    random, known = Random(seed), list(sources().values())
    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rows):
            suffix, write = list(FORMATS.items())[number % len(FORMATS)]
            path, source = Path(folder, f"rows{suffix}"), random.choice(known)
            fault, place = write(path, source, random)
            found.setdefault(f"{suffix[1:]} | {fault}", Counter())[outcome(source, path, place)] += 1
    return found


def main() -> int:
    """Print a table of counts. Return 1 unless every row was skipped and named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="number of malformed rows")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    found = counted(chosen.rows, chosen.seed)
    print(f"| format | fault | {' | '.join(OUTCOMES)} |\n| --- | --- |{' ---: |' * len(OUTCOMES)}")
    for name, counts in (*sorted(found.items()), ("all | all", sum(found.values(), Counter()))):
        print(f"| {name} | {' | '.join(str(counts[one]) for one in OUTCOMES)} |")
    return 0 if sum(found.values(), Counter())["skipped and named"] == chosen.rows else 1


if __name__ == "__main__":
    raise SystemExit(main())
