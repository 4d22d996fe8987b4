"""Schedules: when edits are written into the model and when they are evaluated. Part of a run's identity."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, TypeVar, get_args

from wildcore.errors import Message, Option, UserError
from wildcore.evaluation.judging import JudgeAt, JudgingPoint
from wildcore.types import EditCase, FrozenData

Case = TypeVar("Case")
ScheduleName = Literal["single", "batch", "sequential"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)

WHEN_EVALUATED: Mapping[ScheduleName, str] = {
    "single": "after each edit",
    "batch": "after each update",
    "sequential": "after all edits",
}
TOGETHER: tuple[Message, ...] = (Option("schedule", "batch"), " or ", Option("schedule", "sequential"))
"""The schedules that write edits together, as named in messages."""

SECONDS_BETWEEN_SAVES = 30.0
"""Default of the least number of seconds between checkpoints of a sequence."""

FIRST_EDITS = 100
"""A run stops after this many edits if all of them were refused for one reason."""


class Schedule(FrozenData):
    """How a run's edits are written and evaluated.

    An update is one change that an editor makes. ``single``: each edit is its own update of the unedited model. ``batch``:
    each group of ``edits_per_update`` edits is one update of the unedited model. ``sequential``: each group is written upon
    all before it, and evaluated as ``judge_at`` says. ``order`` is the seed by which the cases are shuffled before they are
    written (None: they are written in the order of the dataset).
    """

    name: ScheduleName = "single"
    edits_per_update: int = 1
    judge_at: JudgeAt = JudgeAt()
    order: int | None = None

    @classmethod
    def chosen(
        cls,
        name: ScheduleName,
        edits_per_update: int | None,
        case_count: int,
        judge_at: str = "end",
        order: int | None = None,
    ) -> "Schedule":
        """Return the schedule of a run of ``case_count`` cases. By default a batch has all cases, and an update of a sequence
        has one. Judging points that the run does not reach are left out.
        """
        usual = case_count if name == "batch" else 1
        size = min(edits_per_update or usual, case_count)
        return cls(
            name=name,
            edits_per_update=size,
            judge_at=JudgeAt.parse(judge_at).fitted(size, case_count),
            order=order,
        )

    def identity(self) -> dict[str, Any]:
        """Return the schedule's description for the manifest."""
        when = WHEN_EVALUATED[self.name]
        judged = when if self.judge_at == JudgeAt() else self.judge_at.in_words()
        return {
            "edits": self.name,
            **({} if self.name == "single" else {"edits_per_update": self.edits_per_update}),
            **({} if self.order is None else {"order": f"shuffled with seed {self.order}"}),
            "judged": judged,
            "model": f"put back {when}",
        }

    def ordered(self, cases: Sequence[EditCase]) -> list[EditCase]:
        """Return the cases in the order in which they are written."""
        if self.order is None:
            return list(cases)
        return sorted(cases, key=lambda case: sha256(f"{self.order}:{case.id}".encode()).digest())

    def sequences(self, cases: Sequence[Case]) -> list[list[Sequence[Case]]]:
        """Return the cases in the order in which they are written: sequences of updates. Each sequence starts with the
        unedited model.
        """
        size = self.edits_per_update
        updates = [cases[start : start + size] for start in range(0, len(cases), size)]
        return [updates] if self.name == "sequential" else [[update] for update in updates]

    def evaluations(self, cases: Sequence[Case]) -> int:
        """Return how many evaluations of ``cases`` there are: of each case at each of its judging points."""
        return sum(len(point.cases) for updates in self.sequences(cases) for point in self.judging_points(updates))

    def judging_points(self, updates: Sequence[Sequence[Case]]) -> list[JudgingPoint[Case]]:
        """Return when the cases of a sequence of ``updates`` are evaluated, in order."""
        return list(self.judge_at.points(updates))


def require_fitting_schedule(
    name: str,
    edits_per_update: int | None,
    patch: object | None,
    judge_at: str = "end",
    order: int | None = None,
) -> None:
    """Raise ``UserError`` for a schedule that cannot be combined with its size, its judging points, an order of edits, or
    with a ``patch`` to evaluate.
    """
    points = JudgeAt.parse(judge_at)
    if name != "sequential" and points != JudgeAt():
        raise UserError(
            "only a sequence has judging points",
            about=Option("judge_at", judge_at),
            way_out=("leave it out, or choose ", Option("schedule", "sequential")),
        )
    points.require_ends_of_updates(edits_per_update or 1)
    if name == "single" and order is not None:
        raise UserError(
            "single edits do not depend on their order",
            about=Option("edit_order", order),
            way_out=("leave it out, or choose ", *TOGETHER),
        )
    if name == "single" and edits_per_update:
        raise UserError(
            "single edits are written alone",
            about=Option("edits_per_update", edits_per_update),
            way_out=("leave it out, or choose ", *TOGETHER),
        )
    if name != "single" and patch:
        raise UserError(
            ("cannot be combined with ", Option("patch"), ", whose edits are already made"),
            about=Option("schedule", name),
            way_out=("leave ", Option("schedule"), " out"),
        )


def short_description(identity: Mapping[str, Any]) -> str:
    """Return a short name of a recorded schedule that tells it from others."""
    size = identity.get("edits_per_update")
    each = f", {size} edit{'s' if size > 1 else ''} per update" if size else ""
    order = f", {identity['order']}" if "order" in identity else ""
    return f"{identity['edits']}{each}{order}"


def description(identity: Mapping[str, Any]) -> str:
    """Return one line that describes a recorded schedule."""
    return f"{short_description(identity)}; evaluated {identity['judged']}; model {identity['model']}"
