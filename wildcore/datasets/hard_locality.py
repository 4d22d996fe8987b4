"""Hard locality: facts near an edit that it must not change, found among all cases of a dataset.

The locality probes of most datasets ask about an unrelated fact. A method that merely looks for the edit's subject in the
question passes them all. Two sorts of probes show what such a method does: the same subject with another relation, and a near
subject, which is another subject with the same relation. CounterFact (Meng et al., NeurIPS 2022) has probes of the second sort,
its neighbourhood prompts; here both sorts are found in any dataset whose cases name their subjects.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple

from wildcore.datasets.checks import folded
from wildcore.datasets.relations import Relations, SubjectFinder, relation_of
from wildcore.equivalence import canonical
from wildcore.normalise import normalise
from wildcore.types import EditCase, Nearness, Probe, ProbeKind

SAME_RELATION = 0.6
"""Least similarity (``Relations.similarity``) at which another wording is taken for the relation of an edit."""

OTHER_RELATION = 0.3
"""The similarity below which two relations are taken to be different. Between the two bounds this is open, and no probe is
taken."""

MOST_TRIED = 1000
"""Most facts that are tried for one case and one sort of probe, so that the time grows with the number of cases alone."""

CHANGED: tuple[ProbeKind, ...] = ("reliability", "generalization", "portability")
"""Kinds of probes whose answers an edit is supposed to change."""


class Keys(NamedTuple):
    """Texts of a fact in the form in which they are compared."""

    prompt: str
    subject: str
    gold: str


@dataclass(frozen=True)
class Fact:
    """A fact that a dataset states: a prompt about a subject, and the answers that are right without any edit.

    Without an old answer in the dataset, ``answers`` are those that an edit would write. ``wordings`` are its relation as the
    prompt and its rephrasings word it, the prompt's first. ``known`` are all answers that the dataset connects with it, new
    and old, as they are compared.
    """

    prompt: str
    subject: str
    answers: tuple[str, ...]
    wordings: tuple[str, ...]
    known: frozenset[str]

    @property
    def relation(self) -> str:
        """The relation as the prompt words it."""
        return self.wordings[0]

    @cached_property
    def keys(self) -> Keys:
        """Its texts in the form in which they are compared."""
        return Keys(_key(self.prompt), _key(self.subject), _key(self.answers[0]))


def stated_fact(case: EditCase) -> Fact | None:
    """Return the fact that an edit is about. None: its prompt does not contain its subject, or nothing else."""
    edit = case.request
    relation = relation_of(edit.prompt, edit.subject)
    if edit.subject is None or relation is None:
        return None
    rephrased = (relation_of(probe.prompt, edit.subject) for probe in case.probes if probe.kind == "generalization")
    new = (edit.target, *edit.aliases)
    old = () if edit.ground_truth is None else (edit.ground_truth,)
    return Fact(
        prompt=edit.prompt,
        subject=edit.subject,
        answers=old or new,
        wordings=tuple(dict.fromkeys([relation, *filter(None, rephrased)])),
        known=frozenset(map(_key, (*new, *old))),
    )


class HardProbes:
    """Finds hard probes for the cases of a run.

    ``cases`` are all cases of the dataset. Facts are stated by their edit prompts, and by their locality probes if these word
    the relation of some edit prompt. ``edited`` are the cases that are written together: nothing is taken from them, and no
    fact that one of them states is asked about. It is empty if each edit is made and evaluated alone. At most ``count`` probes
    of each sort are found for a case; they are drawn by ``seed`` and do not depend on the order of the cases.
    """

    def __init__(self, cases: Iterable[EditCase], edited: Sequence[EditCase], count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        left_out = {case.id for case in edited}
        used = [case for case in cases if case.id not in left_out]
        self.searched = len(used)
        """Number of cases that facts are taken from."""
        found = list(_facts(used))
        self._relations = Relations({fact.relation for fact in found}, SAME_RELATION)
        written = _Written(edited, self._relations)
        facts = [fact for fact in _distinct(found) if not written.states(fact)]
        placed = sorted(((self._draw(fact.prompt), fact) for fact in facts), key=lambda one: one[0])
        self._by_subject = _groups(placed, lambda fact: canonical(fact.subject))
        self._by_relation = _groups(placed, lambda fact: fact.relation)
        self._by_answer = _groups(placed, lambda fact: (fact.relation, fact.keys.gold))

    def of(self, case: EditCase) -> tuple[Probe, ...]:
        """Return hard probes for a case: those with the same subject, then those with a near one. Their rival is the target.

        A prompt of the case itself is not taken, nor a fact whose answer is the target: no change could be seen.
        """
        own = stated_fact(case)
        if own is None:
            return ()
        asked = {_key(prompt) for prompt in (own.prompt, *(probe.prompt for probe in case.probes))}
        targets = {_key(answer) for answer in (case.request.target, *case.request.aliases)}
        start = self._draw(f"{own.prompt}\0{case.request.target}")

        def taken(facts: Iterator[Fact], same: Callable[[Fact, Fact], bool]) -> list[Fact]:
            """Return the first facts that are not the ``same`` as the edited one or as each other."""
            kept: list[Fact] = []
            for fact in islice(facts, MOST_TRIED):
                if len(kept) == self.count:
                    break
                new = fact.keys.prompt not in asked and fact.keys.gold not in targets
                if new and not any(same(fact, other) for other in (own, *kept)):
                    kept.append(fact)
            return kept

        of_subject = _walk(self._by_subject, canonical(own.subject), start)
        found: dict[Nearness, list[Fact]] = {
            "same-subject": taken(of_subject, self._same_fact),
            "near-subject": taken(self._of_relation(own, case.request.ground_truth, start), _same_subject),
        }
        return tuple(
            Probe(
                kind="hard-locality",
                prompt=fact.prompt,
                answers=fact.answers,
                rival=case.request.target,
                nearness=nearness,
            )
            for nearness, facts in found.items()
            for fact in facts
        )

    def _of_relation(self, own: Fact, old: str | None, start: int) -> Iterator[Fact]:
        """Yield facts of a relation: those worded alike with the same ``old`` answer, as in CounterFact, then all worded alike,
        then those in similar words.
        """
        if old is not None:
            yield from _walk(self._by_answer, (own.relation, _key(old)), start)
        for relation in chain([own.relation], self._relations.similar(own.relation)):
            yield from _walk(self._by_relation, relation, start)

    def _same_fact(self, one: Fact, other: Fact) -> bool:
        return same_fact(self._relations, one, other)

    def _draw(self, text: str) -> int:
        """Return a random number that depends on nothing but the text and the seed."""
        digest = hashlib.sha256(f"{self.seed}\0{text}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big")


def same_fact(relations: Relations, one: Fact, other: Fact) -> bool:
    """Return whether two facts may be the same: one subject, and a common answer or relations that are not clearly different."""
    return _same_subject(one, other) and (
        not one.known.isdisjoint(other.known)
        or any(
            relations.similarity(wording, another) >= OTHER_RELATION
            for wording in one.wordings
            for another in other.wordings
        )
    )


def _same_subject(one: Fact, other: Fact) -> bool:
    return one.keys.subject == other.keys.subject


def _key(text: str) -> str:
    """Return a text in the form in which it is compared: normalised, unless nothing would be left."""
    return normalise(text) or folded(text)


class _Written:
    """The facts that are written together, and everything that is asked about what they change."""

    def __init__(self, edited: Sequence[EditCase], relations: Relations) -> None:
        self._relations = relations
        self._prompts = {
            _key(prompt)
            for case in edited
            for prompt in (case.request.prompt, *(probe.prompt for probe in case.probes if probe.kind in CHANGED))
        }
        self._by_subject: dict[str, list[Fact]] = {}
        for fact in filter(None, map(stated_fact, edited)):
            self._by_subject.setdefault(fact.keys.subject, []).append(fact)

    def states(self, fact: Fact) -> bool:
        """Return whether one of the edits states ``fact``, or may do so."""
        near = self._by_subject.get(fact.keys.subject, ())
        return fact.keys.prompt in self._prompts or any(same_fact(self._relations, fact, other) for other in near)


def _facts(cases: Sequence[EditCase]) -> Iterator[Fact]:
    """Yield the facts that cases state; the same fact may occur several times."""
    edits = [fact for case in cases if (fact := stated_fact(case))]
    yield from edits
    finder = SubjectFinder(fact.relation for fact in edits)
    others = {(p.prompt, p.answers) for case in cases for p in case.probes if p.kind == "locality"}
    for prompt, answers in others:
        if found := finder.find(prompt):
            subject, relation = found
            yield Fact(prompt, subject, answers, (relation,), frozenset(map(_key, answers)))


def _distinct(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Yield one fact for each prompt, with all wordings and answers that are known of it."""
    by_prompt: dict[str, list[Fact]] = {}
    for fact in facts:
        by_prompt.setdefault(fact.keys.prompt, []).append(fact)
    for same in by_prompt.values():
        first = min(same, key=lambda fact: (fact.prompt, fact.subject, fact.answers))
        others = {wording for fact in same for wording in fact.wordings} - {first.relation}
        known = frozenset(answer for fact in same for answer in fact.known)
        yield replace(first, wordings=(first.relation, *sorted(others)), known=known)


@dataclass(frozen=True)
class _Group:
    """Facts in a random order, each with the number that placed it."""

    places: list[int]
    facts: list[Fact]


def _groups(placed: Iterable[tuple[int, Fact]], key: Callable[[Fact], Hashable]) -> dict[Hashable, _Group]:
    groups: dict[Hashable, _Group] = {}
    for place, fact in placed:
        group = groups.setdefault(key(fact), _Group([], []))
        group.places.append(place)
        group.facts.append(fact)
    return groups


def _walk(groups: Mapping[Hashable, _Group], key: Hashable, start: int) -> Iterator[Fact]:
    """Yield the facts of a group once around, from a place on."""
    group = groups.get(key)
    if group is not None:
        first = bisect_left(group.places, start)
        yield from (group.facts[index] for index in chain(range(first, len(group.facts)), range(first)))
