"""Event files, read back by TensorBoard's own accumulator."""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wildcore_tensorboard.parameters import TensorBoardParams
from wildcore_tensorboard.tracker import TensorBoard

from wildcore import TrackedEnd, TrackedPoint, TrackedRun
from wildcore.testing.trackers import SIGN, Stored, check_tracker


def texts(found: EventAccumulator, name: str) -> list[str]:
    if name not in found.Tags()["tensors"]:
        return []
    return [event.tensor_proto.string_val[0].decode() for event in found.Tensors(name)]


def read(folder: Path, run_id: str) -> list[Stored]:
    return [stored(place) for place in folder.glob(f"*-{run_id}")]


def stored(place: Path) -> Stored:
    found = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    numbers = {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}
    status: Any = texts(found, "status")
    cases = texts(found, "cases")
    return Stored(
        numbers={name: values for name, values in numbers.items() if not name.startswith("summary/")},
        summary={name: values[-1][1] for name, values in numbers.items() if name.startswith("summary/")},
        status=status[-1] if status else "running",
        manifest=texts(found, "manifest")[-1],
        rows=len(cases[-1].splitlines()) - 2 if cases else 0,
    )


def test_it_stores_what_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    check_tracker(lambda: TensorBoard(TensorBoardParams(folder=folder)), lambda run_id: read(folder, run_id), tmp_path)


def test_the_numbers_of_a_point_are_in_the_file_before_the_next(tmp_path: Path) -> None:
    tracker = TensorBoard(TensorBoardParams(folder=tmp_path))
    place = tracker.start(TrackedRun("ab" * 8, "run", tmp_path, {}))
    tracker.point(TrackedPoint(3, {"wild/reliability/exact-match/after": 0.5}, (SIGN,)))
    found = EventAccumulator(place).Reload()
    assert [(one.step, one.value) for one in found.Scalars("wild/reliability/exact-match/after")] == [(3, 0.5)]
    assert texts(found, "collapse") == [f"- {SIGN}"]


def test_a_table_of_cases_keeps_its_columns_whatever_an_answer_holds(tmp_path: Path) -> None:
    tracker = TensorBoard(TensorBoardParams(folder=tmp_path))
    place = tracker.start(TrackedRun("ab" * 8, "run", tmp_path, {}))
    tracker.finish(TrackedEnd("finished", {}, ({"case": "1", "answer_after": "a|b\nc \ud800"},)))
    (table,) = texts(EventAccumulator(place).Reload(), "cases")
    assert table.splitlines() == ["| case | answer_after |", "| --- | --- |", "| 1 | a\\|b c ? |"]
