"""What a study consists of and what is left of it, for people and programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wildcore import FrozenData
from wildcore.reporting.console import printable, safe_text
from wildcore_study.cost import Remaining, in_words, remaining, total
from wildcore_study.folder import StudyFolder
from wildcore_study.planning import StudyPlan

STATES = ("finished", "being made", "begun", "missing", "set aside")


def print_plan(console: Console, folder: StudyFolder, plan: StudyPlan) -> None:
    """Print every run with its state and what is left of it, then the sum."""
    left = remaining(folder, plan)
    table = Table("run", "state", "edits left", "answers left", "time")
    for one in left:
        time = "" if not one.edits else "unknown" if one.seconds is None else in_words(one.seconds)
        table.add_row(safe_text(one.run.description), one.state, f"{one.edits or ''}", f"{one.answers or ''}", time)
    console.print(table)
    _print_sum(console, folder, plan, left)


def print_state(console: Console, folder: StudyFolder, plan: StudyPlan) -> int:
    """Print how many runs are in each state, and those that are set aside with the reason. Returns how many are left."""
    left = remaining(folder, plan)
    _print_sum(console, folder, plan, left)
    return sum(one.state != "finished" for one in left)


def _print_sum(console: Console, folder: StudyFolder, plan: StudyPlan, left: Sequence[Remaining]) -> None:
    states = Counter(one.state for one in left)
    counted = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    cells = sum(len(one.run.cells) for one in left)
    missing = sum(len(one.protocols) for one in left)
    console.print(
        printable(
            f"{plan.title}: {len(left)} {'run' if len(left) == 1 else 'runs'} ({counted}); {cells - missing} of {cells} cells "
            f"(a run under one protocol) finished, in {folder.path}"
        ),
        soft_wrap=True,
    )
    for one in left:
        if one.state == "set aside":
            console.print(printable(f"set aside: {one.run.id}, {one.run.description}: {one.reason}"), soft_wrap=True)
    cost = total(left)
    if cost.edits:
        known = (
            f"about {in_words(cost.seconds)} on one device"
            if cost.seconds
            else "time unknown until a run of the same kind is finished"
        )
        unknown = (
            f", without {cost.unknown} runs of whose kind none is finished" if cost.unknown and cost.seconds else ""
        )
        console.print(f"Left: {cost.edits:,} edits, {cost.answers:,} answers, {known}{unknown}", soft_wrap=True)


class RunState(FrozenData):
    """A run of a study, and what is left of it.

    ``state`` is finished, being made, begun, missing or set aside, ``reason`` why ("": there is nothing to say). ``cells`` maps
    each protocol to the id of its cell. ``edits`` and ``answers`` count what is left; ``seconds`` is how long that takes on one
    device (None: unknown).
    """

    id: str
    description: str
    state: str
    reason: str
    cells: Mapping[str, str]
    missing_protocols: tuple[str, ...]
    edits: int
    answers: int
    seconds: float | None


class Left(FrozenData):
    """What is left of a study: edits, answers, and seconds on one device without the ``runs_of_unknown_time``."""

    edits: int
    answers: int
    seconds: float
    runs_of_unknown_time: int


class StudyState(FrozenData):
    """A study's runs with their states, and what is left of them."""

    title: str
    folder: Path
    runs: tuple[RunState, ...]
    left: Left


class StudyStates(FrozenData):
    """The studies of a folder, in the order in which they were planned."""

    studies: tuple[StudyState, ...]


def study_state(folder: StudyFolder, plan: StudyPlan) -> StudyState:
    """Return the runs of a study with their states, cells and what is left of them."""
    left = remaining(folder, plan)
    cost = total(left)
    return StudyState(
        title=plan.title,
        folder=folder.path,
        runs=tuple(
            RunState(
                id=one.run.id,
                description=one.run.description,
                state=one.state,
                reason=one.reason,
                cells=one.run.cells,
                missing_protocols=one.protocols,
                edits=one.edits,
                answers=one.answers,
                seconds=one.seconds,
            )
            for one in left
        ),
        left=Left(edits=cost.edits, answers=cost.answers, seconds=cost.seconds, runs_of_unknown_time=cost.unknown),
    )
