"""Schedules: when edits are written into the model and when they are evaluated. Part of a run's identity."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

from wildcore.errors import Message, Option, UserError
from wildcore.types import FrozenData

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

FIRST_EDITS = 100
"""A run stops after this many edits if all of them were refused for one reason."""


class Schedule(FrozenData):
    """How a run's edits are written and evaluated.

    An update is one change that an editor makes. ``single``: each edit is its own update of the unedited model. ``batch``:
    each group of ``edits_per_update`` edits is one update of the unedited model. ``sequential``: each group is written upon
    all before it.
    """

    name: ScheduleName = "single"
    edits_per_update: int = 1

    @classmethod
    def chosen(cls, name: ScheduleName, edits_per_update: int | None, case_count: int) -> "Schedule":
        """Return the schedule of a run of ``case_count`` cases. By default a batch has all cases, and an update of a sequence
        has one.
        """
        usual = case_count if name == "batch" else 1
        return cls(name=name, edits_per_update=min(edits_per_update or usual, case_count))

    def identity(self) -> dict[str, Any]:
        """Return the schedule's description for the manifest."""
        when = WHEN_EVALUATED[self.name]
        size = {} if self.name == "single" else {"edits_per_update": self.edits_per_update}
        return {"edits": self.name, **size, "judged": when, "model": f"put back {when}"}

    def sequences(self, cases: Sequence[Case]) -> list[list[Sequence[Case]]]:
        """Return the cases in the order in which they are written: sequences of updates. Each sequence starts with the
        unedited model.
        """
        size = self.edits_per_update
        updates = [cases[start : start + size] for start in range(0, len(cases), size)]
        return [updates] if self.name == "sequential" else [[update] for update in updates]


def require_fitting_schedule(name: str, edits_per_update: int | None, patch: object | None) -> None:
    """Raise ``UserError`` for a schedule that cannot be combined with its size or with a ``patch`` to evaluate."""
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
    return f"{identity['edits']}{each}"


def description(identity: Mapping[str, Any]) -> str:
    """Return one line that describes a recorded schedule."""
    return f"{short_description(identity)}; evaluated {identity['judged']}; model {identity['model']}"
