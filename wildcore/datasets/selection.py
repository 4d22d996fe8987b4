"""Which cases of a dataset a run uses: filtered, drawn, set aside as examples, counted.

Data flows through once: rows, without malformed ones, with matching tags, in the order drawn, up to the limit.

A malformed row counts as a case, unless malformed rows are to be skipped. So as many rows are read as cases are wanted, and
all malformed ones among them are named in one message.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from wildcore.datasets.rows import ROWS_NAMED, bad_rows
from wildcore.errors import Message, Option, UserError, suggestion
from wildcore.interfaces import Dataset
from wildcore.types import EditCase, FrozenData, Malformed

MALFORMED_LISTED = 100

READ_AHEAD = 10_000
"""If the model's answers choose the cases, at most this many rows are read before the model is loaded."""

WAY_OUT = (Option("skip_malformed", True), " leaves such rows out and lists them")


class CaseFilter(FrozenData):
    """Which cases were asked for. ``limit`` uses only the first N cases; ``sample`` draws N cases at random with ``seed``."""

    where: Mapping[str, str] = {}
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    skip_malformed: bool = False


@dataclass
class CaseReader:
    """Reads a dataset according to ``choice``, and counts the cases it leaves out.

    The answers of a case are given in Unicode's form NFC, unless ``as_written``. ``other_form`` counts the cases in which this
    changed one.
    """

    name: str
    dataset: Dataset
    choice: CaseFilter
    held_out: set[str] = field(default_factory=set)
    malformed: list[Malformed] = field(default_factory=list)
    other_tags: int = 0
    as_written: bool = False
    other_form: int = 0

    @property
    def wanted(self) -> int | None:
        """How many cases were asked for. None: all."""
        return self.choice.limit if self.choice.sample is None else self.choice.sample

    def examples(self, count: int) -> list[EditCase]:
        """Draw cases to be shown as examples and set them aside. Raises ``UserError`` if there are too few."""
        drawn = _drawn(self._matching(), count, random.Random(f"examples {self.choice.seed}"))
        self.require_sound()
        if len(drawn) < count:
            raise UserError(
                f"{count} examples are wanted and it holds {len(drawn)} cases that fit", about=f"dataset {self.name}"
            )
        self.held_out |= {case.id for case in drawn}
        return drawn

    def candidates(self) -> Iterator[EditCase]:
        """Yield all cases that may be used, in the order in which they are used.

        Malformed rows are passed over; the caller calls ``require_sound`` after reading enough.
        """
        left = (case for case in self._matching() if case.id not in self.held_out)
        if self.choice.sample is None:
            return left
        everything = list(left)
        self.require_sound()
        random.Random(self.choice.seed).shuffle(everything)
        return iter(everything)

    def cases(self) -> list[EditCase]:
        """Return the cases wanted. Raises ``UserError`` naming every malformed row among the rows read for them."""
        if self.choice.sample is None:
            found = list(self.wanted_of(self.candidates()))
        else:
            left = (case for case in self._matching() if case.id not in self.held_out)
            found = _drawn(left, self.choice.sample, random.Random(self.choice.seed))
        self.require_sound()
        return found

    def wanted_of(self, candidates: Iterator[EditCase]) -> Iterator[EditCase]:
        """Yield the first ``candidates``: as many as are wanted, or all. A malformed row on the way counts as one of them."""
        for count, case in enumerate(candidates, start=1):
            yield case
            if self._are_enough(count):
                return

    def _are_enough(self, count: int) -> bool:
        malformed = 0 if self.choice.skip_malformed else len(self.malformed)
        return self.wanted is not None and count + malformed >= self.wanted

    def read_ahead(self) -> Iterator[EditCase]:
        """Return the candidates; the first ``READ_AHEAD`` of them have already been read and checked.

        Raises ``UserError`` naming every malformed row among those, and later at the first malformed row.
        """
        candidates = self.candidates()
        first = list(islice(candidates, READ_AHEAD))
        self.require_sound()
        return chain(first, self._sound(candidates))

    def _sound(self, candidates: Iterator[EditCase]) -> Iterator[EditCase]:
        for case in candidates:
            self.require_sound()
            yield case
        self.require_sound()

    def require_sound(self) -> None:
        """Raise ``UserError`` naming the malformed rows read so far, unless they are to be skipped."""
        if self.malformed and not self.choice.skip_malformed:
            raise bad_rows(f"dataset {self.name}", self.malformed, WAY_OUT)

    def _matching(self) -> Iterator[EditCase]:
        """Yield the well-formed cases with matching tags, in the dataset's order; restarts the counts of the others."""
        self.malformed.clear()
        self.other_tags = self.other_form = 0
        seen: dict[str, set[str]] = {}
        fitted = False
        for case in self._well_formed():
            if all(case.tags.get(tag) == value for tag, value in self.choice.where.items()):
                fitted = True
                read = self._in_one_form(case)
                self.other_form += read != case
                yield read
            else:
                self.other_tags += 1
                for tag, value in case.tags.items():
                    seen.setdefault(tag, set()).add(value)
        if not fitted and self.choice.where:
            self.require_sound()
            raise UserError(f"no case of {self.name} fits", about=self._where, way_out=_hint(self.choice, seen))

    def _in_one_form(self, case: EditCase) -> EditCase:
        return case if self.as_written else case.with_canonical_answers()

    def _well_formed(self) -> Iterator[EditCase]:
        for row in self.dataset.cases():
            if isinstance(row, EditCase):
                yield row
            else:
                self.malformed.append(row)
                if self.choice.sample is None and self._are_enough(0):
                    return

    def everything(self) -> tuple[list[EditCase], int]:
        """Return all cases of the dataset, with any tags, except those set aside as examples; and the number of malformed rows,
        which are left out.
        """
        rows = list(self.dataset.cases())
        found = [self._in_one_form(row) for row in rows if isinstance(row, EditCase)]
        return [case for case in found if case.id not in self.held_out], len(rows) - len(found)

    def facts(self) -> dict[str, Any]:
        """Return the description of the choice and of what was left out, for the manifest."""
        listed = [row.model_dump() for row in self.malformed[:MALFORMED_LISTED]]
        counts = {"malformed": len(self.malformed), "malformed_listed": listed, "set_aside": sorted(self.held_out)}
        return self.choice.model_dump() | counts

    @property
    def _where(self) -> Option:
        return Option("where", dict(self.choice.where))

    def notes(self) -> Iterator[Message]:
        """Yield notes on what was left out, and on what was noticed in the source."""
        if self.malformed:
            first = self.malformed[0]
            yield f"{len(self.malformed)} malformed rows left out; the first: {first.place}: {first.problem}"
        if self.held_out:
            yield f"{len(self.held_out)} cases set aside as examples, not evaluated"
        if self.other_tags:
            yield (self._where, f": {self.other_tags} cases with other tags left out")
        if self.other_form:
            yield other_form_note(self.other_form, "cases")
        yield from getattr(self.dataset, "notes", tuple)()


def other_form_note(count: int, what: str) -> str:
    """Return the note that answers were put into Unicode's form NFC: those of ``count`` cases, facts or questions (``what``)."""
    return f"answers in another Unicode form than NFC, which are written and compared in NFC: those of {count} {what}"


def require_some(name: str, cases: list[EditCase]) -> list[EditCase]:
    """Return ``cases``. Raises ``UserError`` if there are none, or naming all ids that occur more than once."""
    if not cases:
        raise UserError("it holds no case", about=f"dataset {name}")
    times = Counter(case.id for case in cases)
    repeated = [f"{id!r} occurs {count} times" for id, count in times.items() if count > 1]
    if repeated:
        more = f", and {len(repeated) - ROWS_NAMED} more case ids do" if len(repeated) > ROWS_NAMED else ""
        raise UserError(f"the case id {', '.join(repeated[:ROWS_NAMED])}{more}", about=f"dataset {name}")
    return cases


def content_hash(cases: Iterable[EditCase]) -> str:
    """Return a hash of the whole content of the cases, without the separators of their prompts, which the dataset leaves open."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.without_separators().model_dump_json().encode())
    return digest.hexdigest()[:16]


def require_one_choice(limit: int | None, sample: int | None) -> None:
    """Raise ``UserError`` if both ``limit`` and ``sample`` are given."""
    if limit and sample:
        raise UserError(
            (Option("limit"), " takes the first cases and ", Option("sample"), " draws some"),
            way_out="give one of them",
        )


def _drawn(cases: Iterable[EditCase], count: int, generator: random.Random) -> list[EditCase]:
    """Draw ``count`` cases, each equally likely, in one pass that stores no more than these (reservoir sampling)."""
    drawn: list[EditCase] = []
    for index, case in enumerate(cases):
        if index < count:
            drawn.append(case)
        elif (place := generator.randrange(index + 1)) < count:
            drawn[place] = case
    return drawn


def _hint(choice: CaseFilter, seen: Mapping[str, set[str]]) -> str:
    for tag in choice.where:
        if tag not in seen:
            return f"tag {tag!r}: {suggestion(tag, list(seen))}"
    return "; ".join(f"{tag} is one of {', '.join(sorted(seen[tag])[:10])}" for tag in choice.where)
