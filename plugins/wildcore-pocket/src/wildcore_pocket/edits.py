"""Chooses the facts that the corpus states wrongly: the subjects of the edit cases.

All listed outdated answers and misconceptions are used; the rest is drawn. Drawing means sorting by a hash of the seed and the
key, so that the result depends neither on a generator's version nor on the order of the tables.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from wildcore_pocket.world import Fact, Key, Stale, World

SEED = 0
PLAUSIBLE = 20
"""A wrong answer is drawn from this many of the nearest other answers."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Corpus:
    """The world together with the stale answers that the training corpus states instead of the true ones."""

    world: World
    stale: dict[Key, Stale]

    def held(self, fact: Fact) -> str:
        """The answer that the corpus states for a fact."""
        stale = self.stale.get(fact.key)
        return stale.answer if stale else fact.answer

    def true_hop(self, fact: Fact) -> Fact | None:
        """The fact one hop after the fact's true answer. None: there is none, or the corpus states it wrongly."""
        hop = self.world.hop(fact.relation, fact.answer)
        return None if hop is None or hop.key in self.stale else hop


def draw(items: Iterable[T], *salt: str) -> list[T]:
    """The items in an order fixed by the seed, the salt and each item's own text (its repr)."""
    return sorted(items, key=lambda item: _digest(*salt, repr(item)))


def place(key: Key, length: int) -> int:
    """An index into a list of that length, fixed by the seed and the key."""
    return int.from_bytes(_digest("place", *key)) % length


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("|".join((str(SEED), *parts)).encode()).digest()


def choose_stale(world: World) -> Corpus:
    """Decides which facts are stated wrongly, and with which answer.

    Raises:
        ValueError: a relation has fewer facts fit for editing than relations.toml asks for.
    """
    chosen = [world.facts[key] for key in world.listed_stale]
    for relation in world.relations.values():
        fit = [
            fact
            for fact in world.of_relation(relation.name)
            if fact.key not in world.listed_stale and _fit(world, fact)
        ]
        if len(fit) < relation.edits:
            raise ValueError(
                f"relations.toml asks for {relation.edits} edits of {relation.name}, only {len(fit)} facts are fit"
            )
        drawn = draw((fact.key for fact in fit), "edit", relation.name)[: relation.edits]
        chosen += [world.facts[key] for key in drawn]
    edited = {fact.key for fact in chosen}
    stale = {
        fact.key: world.listed_stale.get(fact.key) or Stale(_wrong_answer(world, fact, edited), "wrong")
        for fact in chosen
    }
    return Corpus(world, stale)


def _fit(world: World, fact: Fact) -> bool:
    """Leaves out facts whose answer the prompt already names, and the other way round."""
    question = world.relations[fact.relation].questions[0].format(fact.subject).lower()
    return not any(name.lower() in question or fact.subject.lower() in name.lower() for name in fact.accepted)


def _wrong_answer(world: World, fact: Fact, edited: set[Key]) -> str:
    """Another answer of the relation, drawn from nearby rows: tables are grouped, so these answers are plausible.

    If the true answer has a hop, the wrong one's hop has another answer, so that the portability probe distinguishes them.
    """
    rows = list(enumerate(world.of_relation(fact.relation)))
    place = next(number for number, other in rows if other == fact)
    apart = [(number, other) for number, other in rows if not set(other.accepted) & set(fact.accepted)]
    hop = world.hop(fact.relation, fact.answer)
    if hop is not None and hop.key not in edited:
        apart = [(number, other) for number, other in apart if _leads_elsewhere(world, other, hop)] or apart
    nearest = sorted(apart, key=lambda row: abs(row[0] - place))
    plausible = list(dict.fromkeys(other.answer for _, other in nearest))[:PLAUSIBLE]
    return draw(plausible, "wrong", *fact.key)[0]


def _leads_elsewhere(world: World, other: Fact, hop: Fact) -> bool:
    behind = world.hop(other.relation, other.answer)
    return behind is not None and not set(behind.accepted) & set(hop.accepted)
