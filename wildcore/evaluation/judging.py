"""Judging points: after how many edits of a sequence its cases are evaluated."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from wildcore.errors import Option, UserError
from wildcore.types import FrozenData

Case = TypeVar("Case")

FORMS = "end, each, every:K, matrix, or numbers of edits such as 1,10,100"
EVERY = re.compile(r"every:([0-9]{1,18})")
NUMBERS = re.compile(r"[0-9]{1,18}( *, *[0-9]{1,18})*")


@dataclass(frozen=True)
class JudgingPoint(Generic[Case]):
    """A moment of a sequence: ``after_edits`` edits of it are made, the last by the update of index ``update``; ``cases`` are
    those to evaluate.
    """

    update: int
    after_edits: int
    cases: Sequence[Case]


class JudgeAt(FrozenData):
    """The choice of judging points.

    ``end``: all cases after all edits. ``each``: each update's cases right after it, and never again. ``matrix``: all cases
    written so far, after each update. ``every``: the same after every ``numbers[0]`` edits, and after all. ``numbers``: the
    same after these numbers of edits, and after all.
    """

    form: Literal["end", "each", "matrix", "every", "numbers"] = "end"
    numbers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "JudgeAt":
        """Return the choice that a user wrote. Raises ``UserError`` for any other text."""
        plain = text.strip().lower()
        if plain in ("end", "each", "matrix"):
            return cls.model_validate({"form": plain})
        if found := EVERY.fullmatch(plain):
            form, numbers = "every", {int(found[1])}
        else:
            form, numbers = "numbers", {int(one) for one in plain.split(",")} if NUMBERS.fullmatch(plain) else set()
        if not numbers or 0 in numbers:
            raise UserError("not a choice of judging points", Option("judge_at", text), f"choose {FORMS}")
        return cls.model_validate({"form": form, "numbers": sorted(numbers)})

    def __str__(self) -> str:
        listed = ",".join(map(str, self.numbers))
        return {"every": f"every:{listed}", "numbers": listed}.get(self.form, self.form)

    def fitted(self, edits_per_update: int, edits: int) -> "JudgeAt":
        """Return the choice without what a sequence of ``edits`` does not reach; what is left may be the end alone."""
        if self.form in ("every", "numbers"):
            reached = tuple(number for number in self.numbers if number < edits)
            return self.model_copy(update={"numbers": reached}) if reached else JudgeAt()
        return JudgeAt() if self.form in ("matrix", "each") and edits_per_update >= edits else self

    def beyond(self, edits: int) -> list[int]:
        """Return the numbers of edits that a sequence of ``edits`` does not reach."""
        return [number for number in self.numbers if number > edits]

    def require_ends_of_updates(self, edits_per_update: int) -> None:
        """Raise ``UserError`` for a number of edits at which no update of ``edits_per_update`` edits ends."""
        wrong = [number for number in self.numbers if number % edits_per_update]
        if wrong:
            raise UserError(
                f"no update of {edits_per_update} edits ends after {wrong[0]} edits",
                about=Option("judge_at", str(self)),
                way_out=f"choose multiples of {edits_per_update}",
            )

    def in_words(self) -> str:
        """Return when cases are evaluated, as records say it."""
        if self.form == "end":
            return "after all edits"
        if self.form == "each":
            return "right after their own update"
        if self.form == "matrix":
            return "after each update, with all cases so far"
        listed = ", ".join(map(str, self.numbers))
        when = f"every {listed} edits" if self.form == "every" else f"{listed} edits"
        return f"after {when} and after all, with all cases so far"

    def points(self, updates: Sequence[Sequence[Case]]) -> Iterator[JudgingPoint[Case]]:
        """Yield the judging points of a sequence of ``updates``, in order."""
        made = 0
        so_far: list[Case] = []
        for index, update in enumerate(updates):
            so_far += update
            made += len(update)
            if self.form == "each":
                yield JudgingPoint(index, made, update)
            elif index == len(updates) - 1 or self._is_due(made):
                yield JudgingPoint(index, made, tuple(so_far))

    def _is_due(self, made: int) -> bool:
        if self.form == "every":
            return made % self.numbers[0] == 0
        return self.form == "matrix" or made in self.numbers
