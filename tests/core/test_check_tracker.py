"""The checks of a tracker pass an honest one and catch dishonest ones."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from wildcore import TrackedEnd, TrackedPoint, TrackedRun, Tracker
from wildcore.testing.trackers import Stored, check_tracker


class Honest(Tracker):
    """Stores a run in a JSON file of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file_of(self, run: TrackedRun) -> Path:
        return self.folder / f"{run.id}.json"

    def start(self, run: TrackedRun) -> Any:
        self.file = self.file_of(run)
        empty = {"id": run.id, "manifest": self.manifest(run), "numbers": {}, "summary": {}, "rows": 0}
        self.stored: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else empty
        self.save("running")
        return str(self.file)

    def manifest(self, run: TrackedRun) -> Any:
        return run.manifest

    def save(self, status: str) -> None:
        self.file.write_text(json.dumps({**self.stored, "status": status}))

    def point(self, point: TrackedPoint) -> None:
        for name, value in point.numbers.items():
            values = self.stored["numbers"].setdefault(name, [])
            if [point.edits, value] not in values:
                values.append([point.edits, value])
        self.save("running")

    def finish(self, end: TrackedEnd) -> None:
        self.stored["summary"] = dict(end.numbers)
        self.stored["rows"] = len(end.cases)
        self.save(end.status)


class StoresTwice(Honest):
    def point(self, point: TrackedPoint) -> None:
        for name, value in point.numbers.items():
            self.stored["numbers"].setdefault(name, []).append([point.edits, value])
        self.save("running")


class AnotherRun(Honest):
    def file_of(self, run: TrackedRun) -> Path:
        return self.folder / f"{run.id}-{len(list(self.folder.iterdir()))}.json"


class ByName(Honest):
    def file_of(self, run: TrackedRun) -> Path:
        return self.folder / f"{run.name}.json"

    def start(self, run: TrackedRun) -> Any:
        place = super().start(run)
        self.stored["id"] = run.id
        return place


class OtherSteps(Honest):
    def point(self, point: TrackedPoint) -> None:
        super().point(TrackedPoint(point.edits + 1, point.numbers))


class Rounds(Honest):
    def point(self, point: TrackedPoint) -> None:
        super().point(TrackedPoint(point.edits, {name: round(value, 1) for name, value in point.numbers.items()}))


class DropsOddNames(Honest):
    def point(self, point: TrackedPoint) -> None:
        super().point(
            TrackedPoint(point.edits, {n: v for n, v in point.numbers.items() if n.isascii() and "(" not in n})
        )


class ForgetsOnResume(Honest):
    def start(self, run: TrackedRun) -> Any:
        self.file_of(run).unlink(missing_ok=True)
        return super().start(run)

    def point(self, point: TrackedPoint) -> None:
        if point.edits != 10:
            super().point(point)


class NoSummary(Honest):
    def finish(self, end: TrackedEnd) -> None:
        super().finish(TrackedEnd(end.status, {}, end.cases))


class NoManifest(Honest):
    def manifest(self, run: TrackedRun) -> Any:
        return None


class NoRows(Honest):
    def finish(self, end: TrackedEnd) -> None:
        super().finish(TrackedEnd(end.status, end.numbers))


class AlwaysFinished(Honest):
    def finish(self, end: TrackedEnd) -> None:
        super().finish(TrackedEnd("finished", end.numbers, end.cases))


class NeverFinished(Honest):
    def save(self, status: str) -> None:
        super().save("interrupted")


class ChangesWhatItIsTold(Honest):
    def finish(self, end: TrackedEnd) -> None:
        super().finish(end)
        end.numbers.clear()  # type: ignore[attr-defined]


class KeepsTheEnvironment(Honest):
    def manifest(self, run: TrackedRun) -> Any:
        return {**run.manifest, "environment": dict(os.environ)}


class PlaceIsNoText(Honest):
    def start(self, run: TrackedRun) -> Any:
        super().start(run)
        return self.file


TWINS = {
    StoresTwice: "store each point once",
    AnotherRun: "the service has 3 runs for one run, which was resumed",
    ByName: "which has the name of another run",
    OtherSteps: "is stored after .* and was told after",
    Rounds: "is stored as 22.2, and is 22.25",
    DropsOddNames: "a run with odd names: the number .* is not stored",
    ForgetsOnResume: "store each point once|is not stored",
    NoSummary: "the summary's number .* is not stored",
    NoManifest: "the manifest is not stored",
    NoRows: "2 rows of the table of cases were sent, and 0 are stored",
    AlwaysFinished: "an interrupted run is finished",
    NeverFinished: "a finished run is interrupted",
    ChangesWhatItIsTold: "the tracker changes what it is told",
    KeepsTheEnvironment: "keys come from the environment and stay there",
    PlaceIsNoText: "return a text, or None",
}


def check(kind: type[Honest], folder: Path) -> None:
    def read(run_id: str) -> list[Stored]:
        found = [json.loads(file.read_text()) for file in sorted(folder.iterdir())]
        return [
            Stored(one["numbers"], one["summary"], one["status"], one["manifest"], one["rows"])
            for one in found
            if one["id"] == run_id
        ]

    check_tracker(lambda: kind(folder), read, folder)


def test_an_honest_tracker_passes(tmp_path: Path) -> None:
    check(Honest, tmp_path)


@pytest.mark.parametrize("kind", TWINS)
def test_a_dishonest_tracker_is_caught(kind: type[Honest], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=TWINS[kind]):
        check(kind, tmp_path)
