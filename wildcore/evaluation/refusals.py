"""Edits that an editor refuses: found one by one, so that a request that cannot be written keeps no other from being written."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from wildcore.errors import Refused, each_or_refusal
from wildcore.evaluation.schedules import FIRST_EDITS
from wildcore.interfaces import Editor, Patch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import within_context
from wildcore.records.schema import EditOutcome
from wildcore.types import EditRequest

PARTICULARS = re.compile(r"""(?<!\w)'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\d+""")
"""What tells a reason for one request from the same reason for another: quoted text and numbers."""


class AllRefused(Exception):
    """Raised where going on would measure nothing: the first edits were all refused for one reason, the message."""


@dataclass(frozen=True)
class Update:
    """What came of writing requests together: one patch that writes some of them, and for each of the others why not.

    ``refusals`` has one entry for each request, None for one that is written. ``patch`` is None where none is.
    """

    patch: Patch | None
    refusals: tuple[Refused | None, ...]

    @property
    def written(self) -> int:
        """The number of requests that the patch writes."""
        return self.refusals.count(None)


def refusals(editor: Editor, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Refused | None]:
    """Return for each request why ``editor`` cannot write it, as far as it says so beforehand; None where it says nothing."""
    check: Callable[[LoadedModel, EditRequest], None] | None = getattr(editor, "check", None)

    def checked(request: EditRequest) -> None:
        within_context(model, request)
        if check is not None:
            check(model, request)

    return each_or_refusal(checked, requests)


def write_together(
    editor: Editor, model: LoadedModel, requests: Sequence[EditRequest], state: Saved | None = None
) -> Update:
    """Ask ``editor`` for one patch that writes ``requests``, without those that it refuses.

    Requests that ``Editor.check`` refuses are left out first. Where ``edit`` refuses the others all the same, the requests at
    fault are searched for by editing halves; the patch is then made anew of what is left. If no request is at fault alone, all
    are refused. ``state`` is that of the editor as it is given, to which it is put back before another attempt.
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
    """Edits some of ``requests``, each time with the editor in ``state``."""

    editor: Editor
    model: LoadedModel
    requests: Sequence[EditRequest]
    state: Saved | None
    used: bool = False

    def __call__(self, places: Sequence[int]) -> Patch | Refused:
        """Return the patch that writes the requests at ``places``, or why there is none."""
        if self.used:
            self.put_back()
        self.used = True
        try:
            return self.editor.edit(self.model, [self.requests[place] for place in places])
        except Refused as refusal:
            return refusal

    def at_fault(self, places: Sequence[int], refusal: Refused) -> dict[int, Refused]:
        """Return which of the requests at ``places``, that were refused together, are refused alone, and why."""
        if len(places) == 1:
            return {places[0]: refusal}
        found: dict[int, Refused] = {}
        for half in (places[: len(places) // 2], places[len(places) // 2 :]):
            result = self(half)
            if isinstance(result, Refused):
                found |= self.at_fault(half, result)
        return found

    def put_back(self) -> None:
        """Put the editor back into its state."""
        set_state(self.editor, self.state)


def _all_of(places: Sequence[int], refusal: Refused) -> dict[int, Refused]:
    return dict.fromkeys(places, Refused(f"its update of {len(places)} edits was refused: {refusal}"))


def set_state(editor: Editor, state: Saved | None) -> None:
    """Let ``editor`` go on from ``state``; from none it begins anew."""
    editor.reset()
    if state is not None:
        editor.restore(state)


@dataclass
class RefusalWatch:
    """Looks at the first edits of a run of ``total``, in order, for whether all are refused for one reason."""

    total: int
    seen: int = 0
    reasons: set[str | None] = field(default_factory=set)

    def remember(self, outcomes: Iterable[EditOutcome]) -> None:
        """Take in the outcomes of edits made in an earlier call; a resumed run is not stopped for them again."""
        for outcome in outcomes:
            self.seen += 1
            if self.seen <= FIRST_EDITS:
                refused = outcome.status == "refused"
                self.reasons.add(without_particulars(outcome.reason or "") if refused else None)

    def take(self, outcome: EditOutcome) -> None:
        """Take in the outcome of the next edit. Raises ``AllRefused`` where it is the last of the first, and not of the run."""
        self.remember([outcome])
        if self.seen == FIRST_EDITS < self.total and len(self.reasons) == 1 and None not in self.reasons:
            raise AllRefused(outcome.reason or "no reason given")


def without_particulars(reason: str) -> str:
    """Return a reason without what it quotes of the request and without numbers, so that like reasons compare equal."""
    return PARTICULARS.sub("…", reason)
