"""Runs of wandb in its offline mode, read back from the files that it would send."""

import struct
from collections.abc import Iterator
from json import loads
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import Record
from wildcore_wandb.parameters import WandbParams
from wildcore_wandb.tracker import Wandb

from wildcore import TrackedEnd, TrackedPoint, TrackedRun, UserError
from wildcore.testing.trackers import SIGN, Stored, check_tracker

IDENTITY, HEADER, BLOCK = 7, 7, 32 * 1024
"""Bytes of the head of a file of wandb, of the head of a piece of a record, and of a block, which pieces do not cross."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


def records(file: Path) -> Iterator[Any]:
    """Yield the records of a file: pieces with a checksum, a length and a type (1 whole, 2 first, 3 middle, 4 last)."""
    content, at, record = file.read_bytes(), IDENTITY, b""
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + HEADER])
        record += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):
            yield Record.FromString(record)
            record = b""


def read(folder: Path, run_id: str) -> list[Stored]:
    """Read the files of a run, in the order in which they would be sent."""
    files = sorted(folder.glob(f"wandb/offline-run-*/run-{run_id}.wandb"))
    return [merged(files)] if files else []


def merged(files: list[Path]) -> Stored:
    """Return what several files of one id are to Weights & Biases: a step that it has is dropped."""
    numbers: dict[str, list[tuple[int, float]]] = {}
    summary: dict[str, float] = {}
    config: dict[str, Any] = {}
    status, last, rows = "running", -1, 0
    for file in files:
        first = last
        for record in records(file):
            if record.HasField("run"):
                config |= {one.key: loads(one.value_json) for one in record.run.config.update}
            if record.HasField("history") and record.history.step.num > first:
                last = max(last, record.history.step.num)
                for item in record.history.item:
                    value = loads(item.value_json)
                    if name(item) == "cases/nrows":
                        rows += value
                    elif isinstance(value, float | int) and not name(item).startswith("_"):
                        numbers.setdefault(name(item), []).append((record.history.step.num, value))
            if record.HasField("summary"):
                found = {name(one): loads(one.value_json) for one in record.summary.update}
                status = found.get("status", status)
                summary |= {key: value for key, value in found.items() if key.startswith("summary/")}
    return Stored(numbers, summary, status, config, rows)  # type: ignore[arg-type]


def name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def test_it_stores_what_it_is_told(tmp_path: Path) -> None:
    check_tracker(lambda: Wandb(WandbParams(folder=tmp_path)), lambda run_id: read(tmp_path, run_id), tmp_path)


def test_nothing_of_the_machine_is_collected(tmp_path: Path) -> None:
    tracker = Wandb(WandbParams(folder=tmp_path, project="mine"))
    tracker.start(TrackedRun("ab" * 8, "one", tmp_path, {"identity": {"seed": 0}}))
    tracker.point(TrackedPoint(5, {"wild/reliability/exact-match/after": 0.5}, (SIGN,)))
    tracker.finish(TrackedEnd("finished"))
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    found = list(records(file))
    assert not [one for one in found if one.HasField("stats") or one.HasField("environment") or one.HasField("output")]
    assert [one.run.project for one in found if one.HasField("run")] == ["mine"]
    assert SIGN in file.read_bytes().decode(errors="replace")
    assert not list(file.parent.glob("files/*.txt")), "neither the console nor the packages"


def test_without_a_key_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match="WANDB_MODE=offline"):
        Wandb(WandbParams(folder=tmp_path))
