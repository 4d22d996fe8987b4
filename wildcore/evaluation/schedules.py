"""When edits are written into the model and when they are judged: part of what a run is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

from wildcore.errors import Message, Option, UserError
from wildcore.types import Record

Case = TypeVar("Case")
ScheduleName = Literal["single", "batch", "sequential"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)

JUDGED_AND_PUT_BACK: Mapping[ScheduleName, str] = {
    "single": "after each edit",
    "batch": "after each update",
    "sequential": "after all edits",
}
TOGETHER: tuple[Message, ...] = (Option("schedule", "batch"), " or ", Option("schedule", "sequential"))
"""The schedules that write edits together, as messages name them."""

FIRST_EDITS = 100
"""Edits after which a run stops where all of them were refused for one reason."""


class Schedule(Record):
    """How a run's edits are written and judged.

    An update is one change that an editor makes. ``single``: each edit is an update of its own of the unedited model.
    ``batch``: so is every group of ``edits_per_update`` edits. ``sequential``: each such group is written upon all before it.
    """

    name: ScheduleName = "single"
    edits_per_update: int = 1

    @classmethod
    def chosen(cls, name: ScheduleName, edits_per_update: int | None, case_count: int) -> "Schedule":
        """Return the schedule of a run of ``case_count`` cases: by default a batch takes all of them, a sequence one by one."""
        usual = case_count if name == "batch" else 1
        return cls(name=name, edits_per_update=min(edits_per_update or usual, case_count))

    def identity(self) -> dict[str, Any]:
        """Return what the record says of it."""
        when = JUDGED_AND_PUT_BACK[self.name]
        size = {} if self.name == "single" else {"edits_per_update": self.edits_per_update}
        return {"edits": self.name, **size, "judged": when, "model": f"put back {when}"}

    def sequences(self, cases: Sequence[Case]) -> list[list[Sequence[Case]]]:
        """Return the cases as they are written: sequences, each of which begins with the unedited model, of updates."""
        size = self.edits_per_update
        updates = [cases[start : start + size] for start in range(0, len(cases), size)]
        return [updates] if self.name == "sequential" else [[update] for update in updates]


def require_fitting_schedule(name: str, edits_per_update: int | None, patch: object | None) -> None:
    """Raise ``UserError`` for a schedule that its size, or a ``patch`` to judge, does not go together with."""
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


def shortly(identity: Mapping[str, Any]) -> str:
    """Return what tells the schedule of a record from others."""
    size = identity.get("edits_per_update")
    each = f", {size} edit{'s' if size > 1 else ''} per update" if size else ""
    return f"{identity['edits']}{each}"


def in_words(identity: Mapping[str, Any]) -> str:
    """Return in one line what a record says of its schedule."""
    return f"{shortly(identity)}; judged {identity['judged']}; model {identity['model']}"
