"""Checks that every tracker must pass, on what its service has stored.

from wildcore.testing.trackers import Stored, check_tracker

def read(run_id):
    "Read with the service's own client what it stored of the run with this id."
    return [Stored(numbers=..., summary=..., status="finished", manifest=..., rows=0)]

def test_my_tracker(tmp_path):
    check_tracker(lambda: MyTracker(MyParams(folder=tmp_path)), read, tmp_path)
"""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from wildcore.interfaces import TrackedEnd, TrackedPoint, TrackedRun, Tracker

MakeTracker = Callable[[], Tracker]
NOT_ALIKE = re.compile(r"[\W_]+", re.ASCII)
TOLERANCE = 1e-6
"""Relative difference of two numbers that count as equal: some services store 32 bits."""
KEY_VARIABLE, KEY = "WILDCORE_TESTING_API_KEY", "c0ffee-5ecret-c0ffee-5ecret"
MANY = 120
ODD = "wild/reliability/score(by='a b', k=[1, 2])/after"
SIGN = "62% of the answers under wild are the same"
ANSWER = "an answer that nobody asked for"


@dataclass(frozen=True)
class Stored:
    """What a service stored as one run.

    ``numbers`` are those of judging points, in the order in which they were stored: (edits, value) by name. ``summary`` are those
    of the summary. ``manifest`` is what it shows of the manifest, as a text or as values (None: nothing). ``rows`` is the number
    of rows of its table of cases.
    """

    numbers: Mapping[str, Sequence[tuple[int, float]]]
    summary: Mapping[str, float]
    status: Literal["running", "finished", "interrupted"]
    manifest: Any = None
    rows: int = 0


Read = Callable[[str], Sequence[Stored]]
"""Returns what a service stored of the run with an id: one run, unless the tracker is wrong."""


def check_tracker(make: MakeTracker, read: Read, folder: Path, stores_status: bool = True) -> None:
    """Show runs to a tracker, and compare what its service stored with what it was told.

    Each number is stored once, at its number of edits: also if the run was interrupted or killed, and is resumed. Runs of
    different ids are kept apart. Names of any characters, many numbers, and points without numbers are stored or cause no
    error. No secret of the environment is in ``folder``, in which the service stores everything. ``stores_status`` False: the
    service does not know whether a run is finished.

    Raises ``AssertionError``, whose message says what the tracker did and what it must do.
    """
    with _key_in_environment():
        _check_a_run(make, read, stores_status)
        _check_resumed(make, read, stores_status)
        _check_kept_apart(make, read)
        _check_odd(make, read)
        _check_cases(make, read)
        found = [str(file) for file in _files(folder) if KEY.encode() in file.read_bytes()]
        assert not found, (
            f"the value of ${KEY_VARIABLE} is in {found[0]}; keys come from the environment and stay there"
        )


def _check_a_run(make: MakeTracker, read: Read, stores_status: bool) -> None:
    run, points, end = _run("a1" * 8), _points(), _end()
    told = _as_told(run, points, end)
    tracker = make()
    place = tracker.start(run)
    assert place is None or isinstance(place, str), f"start() returns {place!r}; return a text, or None"
    for point in points:
        tracker.point(point)
    tracker.finish(end)
    assert _as_told(run, points, end) == told, "the tracker changes what it is told; copy what you change"
    stored = _only(read, run, "was shown once")
    _require_numbers(stored, points, "a run")
    for name, value in end.numbers.items():
        found = _found(stored.summary, name)
        assert found is not None, f"the summary's number {name} is not stored"
        assert _same(found, value), f"the summary's number {name} is stored as {found}, and is {value}"
    assert "told-by-the-manifest" in json.dumps(stored.manifest, default=str), "the manifest is not stored"
    assert not stored.rows, "a table of cases is stored that was not sent"
    if stores_status:
        assert stored.status == "finished", f"a finished run is {stored.status}"


def _check_resumed(make: MakeTracker, read: Read, stores_status: bool) -> None:
    """An interrupted run, then a killed one, then a finished one: all with one id."""
    run, points = _run("b2" * 8), _points()
    tracker = make()
    tracker.start(run)
    tracker.point(points[0])
    tracker.finish(TrackedEnd("interrupted"))
    if stores_status:
        stored = _only(read, run, "was interrupted")
        assert stored.status == "interrupted", f"an interrupted run is {stored.status}"
    _show_and_die(make, run, points[:2])
    tracker = make()
    tracker.start(run)
    for point in points:
        tracker.point(point)
    tracker.finish(_end())
    stored = _only(read, run, "was resumed; continue the service's run with this id")
    _require_numbers(stored, points, "a resumed run")
    if stores_status:
        assert stored.status == "finished", f"a resumed run that is finished is {stored.status}"


def _as_told(run: TrackedRun, points: Sequence[TrackedPoint], end: TrackedEnd) -> str:
    return json.dumps([asdict(run), *map(asdict, points), asdict(end)], default=str)


def _show_and_die(make: MakeTracker, run: TrackedRun, points: Sequence[TrackedPoint]) -> None:
    """Show points to a tracker in a process that is killed before the end of the run."""
    process = os.fork()
    if process == 0:
        try:
            tracker = make()
            tracker.start(run)
            for point in points:
                tracker.point(point)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)


def _check_kept_apart(make: MakeTracker, read: Read) -> None:
    """Two runs of one name, one after the other."""
    runs = [_run("c3" * 8), _run("d4" * 8)]
    for number, run in enumerate(runs):
        tracker = make()
        tracker.start(run)
        tracker.point(TrackedPoint(1, {"wild/reliability/exact-match/after": float(number)}))
        tracker.finish(_end())
    for number, run in enumerate(runs):
        stored = _only(read, run, "has the name of another run")
        expected = [TrackedPoint(1, {"wild/reliability/exact-match/after": float(number)})]
        _require_numbers(stored, expected, "a run that has the name of another run")


def _check_odd(make: MakeTracker, read: Read) -> None:
    """No numbers, one odd name, many numbers, an unusual manifest, and no judging point at all."""
    run = _run("e5" * 8, name="run \U0001f600 (1)")
    run.manifest["identity"].update({"text": "x" * 20_000, "nothing": None})
    points = [
        TrackedPoint(0, {}),
        TrackedPoint(1, {ODD: 0.25}),
        TrackedPoint(3, {f"measured/many/{number}": float(number) for number in range(MANY)}),
    ]
    tracker = make()
    tracker.start(run)
    for point in points:
        tracker.point(point)
    tracker.finish(_end())
    _require_numbers(_only(read, run, "has odd names"), points, "a run with odd names")
    empty = make()
    empty.start(_run("f6" * 8))
    empty.finish(TrackedEnd("interrupted"))


def _check_cases(make: MakeTracker, read: Read) -> None:
    run = _run("a7" * 8)
    row = {"case": "1", "question": "Who?", "answer_after": ANSWER, "before": None, "after": 1.0}
    tracker = make()
    tracker.start(run)
    tracker.point(_points()[0])
    tracker.finish(TrackedEnd("finished", {"summary/cases": 2.0}, (row, {**row, "case": "2", "answer_after": None})))
    stored = _only(read, run, "has a table of cases")
    assert stored.rows == 2, f"2 rows of the table of cases were sent, and {stored.rows} are stored"


def _require_numbers(stored: Stored, points: Sequence[TrackedPoint], what: str) -> None:
    names = {name for point in points for name in point.numbers}
    for name in sorted(names):
        expected = [(point.edits, point.numbers[name]) for point in points if name in point.numbers]
        found = _found(stored.numbers, name)
        assert found is not None, f"{what}: the number {name} is not stored"
        steps = [edits for edits, _ in found]
        assert steps == [edits for edits, _ in expected], (
            f"{what}: the number {name} is stored after {steps} edits, and was told after {[e for e, _ in expected]}; store "
            "each point once, also one that is told again when the run is resumed"
        )
        wrong = [(one, other) for (_, one), (_, other) in zip(found, expected, strict=True) if not _same(one, other)]
        assert not wrong, f"{what}: the number {name} is stored as {wrong[0][0]}, and is {wrong[0][1]}"


def _found(numbers: Mapping[str, Any], name: str) -> Any:
    """Return the number of a name, whose characters besides letters and digits may have been replaced."""
    return next((value for one, value in numbers.items() if _plain(one) == _plain(name)), None)


def _plain(name: str) -> str:
    return NOT_ALIKE.sub("_", name).strip("_")


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(1.0, abs(other))


def _only(read: Read, run: TrackedRun, what: str) -> Stored:
    stored = read(run.id)
    assert len(stored) == 1, f"the service has {len(stored)} runs for one run, which {what}"
    return stored[0]


def _run(run_id: str, name: str = "run") -> TrackedRun:
    identity = {"editor": {"name": "told-by-the-manifest", "params": {"layer": 5}}, "seed": 0}
    return TrackedRun(run_id, name, Path("runs") / name, {"schema_number": 3, "identity": identity})


def _points() -> list[TrackedPoint]:
    after, before = "wild/reliability/exact-match/after", "wild/reliability/exact-match/before"
    perplexity = "measured/perplexity/perplexity"
    return [
        TrackedPoint(0, {perplexity: 21.5}),
        TrackedPoint(10, {before: 0.1, after: 0.9, perplexity: 22.25, "collapse/signs": 0.0}),
        TrackedPoint(20, {before: 0.1, after: 0.4, perplexity: 8.1e6, "collapse/signs": 1.0}, (SIGN,)),
    ]


def _end() -> TrackedEnd:
    return TrackedEnd("finished", {"summary/wild/reliability/exact-match/after": 0.4375, "summary/cases": 20.0})


@contextmanager
def _key_in_environment() -> Iterator[None]:
    os.environ[KEY_VARIABLE] = KEY
    try:
        yield
    finally:
        del os.environ[KEY_VARIABLE]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
