"""Which cases of a dataset a run takes: filtered, drawn, set aside as examples, counted.

Data flows through once: rows, without the malformed, where the tags fit, in the order drawn, up to the limit.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from wildcore.errors import UserError, nearest
from wildcore.interfaces import Dataset
from wildcore.types import EditCase, Malformed, Record

MALFORMED_LISTED = 100


class Choice(Record):
    """Which cases were asked for. ``limit`` takes the first so many, ``sample`` draws so many with ``seed``."""

    where: Mapping[str, str] = {}
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    skip_malformed: bool = False


@dataclass
class Reader:
    """Reads a dataset as ``choice`` says, and counts what it leaves out."""

    name: str
    dataset: Dataset
    choice: Choice
    set_aside: set[str] = field(default_factory=set)
    malformed: list[Malformed] = field(default_factory=list)
    other_tags: int = 0

    @property
    def wanted(self) -> int | None:
        """How many cases were asked for; None for all."""
        return self.choice.limit if self.choice.sample is None else self.choice.sample

    def examples(self, count: int) -> list[EditCase]:
        """Draw cases to be shown as examples and set them aside. Raises ``UserError`` if there are too few."""
        drawn = _drawn(self._fitting(), count, random.Random(f"examples {self.choice.seed}"))
        if len(drawn) < count:
            raise UserError(
                f"dataset {self.name}: {count} examples are wanted and it holds {len(drawn)} cases that fit"
            )
        self.set_aside |= {case.id for case in drawn}
        return drawn

    def candidates(self) -> Iterator[EditCase]:
        """Yield all cases that may be taken, in the order in which they are."""
        left = (case for case in self._fitting() if case.id not in self.set_aside)
        if self.choice.sample is None:
            return left
        everything = list(left)
        random.Random(self.choice.seed).shuffle(everything)
        return iter(everything)

    def cases(self) -> list[EditCase]:
        """Return the cases wanted."""
        if self.choice.sample is None:
            return list(islice(self.candidates(), self.choice.limit))
        left = (case for case in self._fitting() if case.id not in self.set_aside)
        return _drawn(left, self.choice.sample, random.Random(self.choice.seed))

    def _fitting(self) -> Iterator[EditCase]:
        """Yield the well-formed cases whose tags fit, in the dataset's order, and count the others anew."""
        self.malformed.clear()
        self.other_tags = 0
        seen: dict[str, set[str]] = {}
        fitted = False
        for case in self._well_formed():
            if all(case.tags.get(tag) == value for tag, value in self.choice.where.items()):
                fitted = True
                yield case
            else:
                self.other_tags += 1
                for tag, value in case.tags.items():
                    seen.setdefault(tag, set()).add(value)
        if not fitted and self.choice.where:
            raise UserError(
                f"--where {_pairs(self.choice.where)}: no case of {self.name} fits; {_hint(self.choice, seen)}"
            )

    def _well_formed(self) -> Iterator[EditCase]:
        for row in self.dataset.cases():
            if isinstance(row, EditCase):
                yield row
            elif self.choice.skip_malformed:
                self.malformed.append(row)
            else:
                raise UserError(f"{row.place}: {row.problem} (--skip-malformed leaves such rows out and lists them)")

    def facts(self) -> dict[str, Any]:
        """Return what the record says of the choice and of what was left out."""
        listed = [row.model_dump() for row in self.malformed[:MALFORMED_LISTED]]
        counts = {"malformed": len(self.malformed), "malformed_listed": listed, "set_aside": sorted(self.set_aside)}
        return self.choice.model_dump() | counts

    def notes(self) -> Iterator[str]:
        """Say what was left out."""
        if self.malformed:
            first = self.malformed[0]
            yield f"{len(self.malformed)} malformed rows left out; the first: {first.place}: {first.problem}"
        if self.set_aside:
            yield f"{len(self.set_aside)} cases set aside as examples, not evaluated"
        if self.other_tags:
            yield f"--where {_pairs(self.choice.where)}: {self.other_tags} cases with other tags left out"


def require_some(name: str, cases: list[EditCase]) -> list[EditCase]:
    """Return ``cases``. Raises ``UserError`` for none, or for an id that occurs twice."""
    if not cases:
        raise UserError(f"dataset {name}: it holds no case")
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise UserError(f"dataset {name}: the case id {case.id!r} occurs twice")
        seen.add(case.id)
    return cases


def content_hash(cases: Iterable[EditCase]) -> str:
    """Return a hash of all that the cases say."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.model_dump_json().encode())
    return digest.hexdigest()[:16]


def require_one_choice(limit: int | None, sample: int | None) -> None:
    """Raise ``UserError`` where ``--limit`` and ``--sample`` are both given."""
    if limit and sample:
        raise UserError("--limit takes the first cases and --sample draws some; give one of them")


def parse_where(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``tag=value`` pairs. Raises ``UserError`` for any other form."""
    where: dict[str, str] = {}
    for pair in pairs:
        tag, equals, value = pair.partition("=")
        if not equals or not tag:
            raise UserError(f"--where {pair}: write --where TAG=VALUE, such as --where source=NQ")
        if tag in where:
            raise UserError(f"--where {pair}: {tag} is given twice")
        where[tag] = value
    return where


def _drawn(cases: Iterable[EditCase], count: int, generator: random.Random) -> list[EditCase]:
    """Draw ``count`` cases, each equally likely, in one pass that holds no more than those (reservoir sampling)."""
    drawn: list[EditCase] = []
    for index, case in enumerate(cases):
        if index < count:
            drawn.append(case)
        elif (place := generator.randrange(index + 1)) < count:
            drawn[place] = case
    return drawn


def _pairs(where: Mapping[str, str]) -> str:
    return " ".join(f"{tag}={value}" for tag, value in where.items())


def _hint(choice: Choice, seen: Mapping[str, set[str]]) -> str:
    for tag in choice.where:
        if tag not in seen:
            return f"tag {tag!r}: {nearest(tag, list(seen))}"
    return "; ".join(f"{tag} is one of {', '.join(sorted(seen[tag])[:10])}" for tag in choice.where)
