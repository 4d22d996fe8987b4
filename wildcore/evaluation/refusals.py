"""Edits that an editor refuses: found one by one, so that one bad request does not prevent the others from being written."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from wildcore.errors import Refused, map_or_refuse
from wildcore.evaluation.schedules import FIRST_EDITS
from wildcore.interfaces import Editor, Patch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import require_fits_context
from wildcore.records.schema import EditOutcome
from wildcore.types import EditRequest

PARTICULARS = re.compile(r"""(?<!\w)'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\d+""")
"""The parts in which reasons of the same kind differ between requests: quoted text and numbers."""


class AllRefused(Exception):
    """Raised if continuing would measure nothing: the first edits were all refused for one reason, which is the message."""


@dataclass(frozen=True)
class Update:
    """The result of writing requests together: one patch that writes some of them, and the refusals of the others.

    ``refusals`` has one entry for each request; None: the request is written. ``patch`` is None if no request is written.
    """

    patch: Patch | None
    refusals: tuple[Refused | None, ...]

    @property
    def written(self) -> int:
        """The number of requests that the patch writes."""
        return self.refusals.count(None)


def refusals(editor: Editor, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Refused | None]:
    """Return for each request why ``Editor.check`` refuses it. None: it does not."""
    check: Callable[[LoadedModel, EditRequest], None] | None = getattr(editor, "check", None)

    def checked(request: EditRequest) -> None:
        require_fits_context(model, request)
        if check is not None:
            check(model, request)

    return map_or_refuse(checked, requests)


def write_together(
    editor: Editor, model: LoadedModel, requests: Sequence[EditRequest], state: Saved | None = None
) -> Update:
    """Ask ``editor`` for one patch that writes ``requests``, without those that it refuses.

    Requests that ``Editor.check`` refuses are left out first. If ``edit`` still refuses the rest, the requests at fault are
    searched for by editing halves, and the patch is made again from the others. If no request is at fault alone, all are
    refused. ``state`` is the editor's state at the call; it is restored before each further attempt.
    """
    found = refusals(editor, model, requests)
    attempt = _Attempts(editor, model, requests, state)
    left = [place for place, refusal in enumerate(found) if refusal is None]
    while left:
        result = attempt(left)
        if not isinstance(result, Refused):
            return Update(result, tuple(found))
        at_fault = attempt.at_fault(left, result)
        for place, refusal in at_fault.items() or _all_of(left, result).items():
            found[place] = refusal
        left = [place for place in left if found[place] is None]
    attempt.put_back()
    return Update(None, tuple(found))


@dataclass
class _Attempts:
    """Edits subsets of ``requests``, each time with the editor in ``state``."""

    editor: Editor
    model: LoadedModel
    requests: Sequence[EditRequest]
    state: Saved | None
    used: bool = False

    def __call__(self, places: Sequence[int]) -> Patch | Refused:
        """Return the patch that writes the requests at ``places``, or the refusal."""
        if self.used:
            self.put_back()
        self.used = True
        try:
            return self.editor.edit(self.model, [self.requests[place] for place in places])
        except Refused as refusal:
            return refusal

    def at_fault(self, places: Sequence[int], refusal: Refused) -> dict[int, Refused]:
        """The requests at ``places`` were refused together: return which of them are refused alone, and why."""
        if len(places) == 1:
            return {places[0]: refusal}
        found: dict[int, Refused] = {}
        for half in (places[: len(places) // 2], places[len(places) // 2 :]):
            result = self(half)
            if isinstance(result, Refused):
                found |= self.at_fault(half, result)
        return found

    def put_back(self) -> None:
        """Restore the editor's state."""
        set_state(self.editor, self.state)


def _all_of(places: Sequence[int], refusal: Refused) -> dict[int, Refused]:
    return dict.fromkeys(places, Refused(f"its update of {len(places)} edits was refused: {refusal}"))


def set_state(editor: Editor, state: Saved | None) -> None:
    """Set the state of ``editor``. None: clear it."""
    editor.reset()
    if state is not None:
        editor.restore(state)


@dataclass
class RefusalWatch:
    """Watches the first edits of a run of ``total``, in order, for whether all are refused for one reason."""

    total: int
    seen: int = 0
    reasons: set[str | None] = field(default_factory=set)

    def remember(self, outcomes: Iterable[EditOutcome]) -> None:
        """Add the outcomes of edits made before the run was resumed; it is not stopped for them again."""
        for outcome in outcomes:
            self.seen += 1
            if self.seen <= FIRST_EDITS:
                refused = outcome.status == "refused"
                self.reasons.add(without_particulars(outcome.reason or "") if refused else None)

    def take(self, outcome: EditOutcome) -> None:
        """Add the outcome of the next edit. Raises ``AllRefused`` if it completes the first edits and the run has more."""
        self.remember([outcome])
        if self.seen == FIRST_EDITS < self.total and len(self.reasons) == 1 and None not in self.reasons:
            raise AllRefused(outcome.reason or "no reason given")


def without_particulars(reason: str) -> str:
    """Return a reason without quoted text and numbers, so that reasons of the same kind compare equal."""
    return PARTICULARS.sub("…", reason)
