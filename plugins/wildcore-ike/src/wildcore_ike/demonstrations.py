"""Demonstrations of edits: which are shown for a new fact, and in what form (Zheng et al., EMNLP 2023, section 4)."""

from collections.abc import Sequence
from typing import Literal

import torch
from wildcore_retrieval.memory import statement
from wildcore_retrieval.retrievers import Retriever

from wildcore import EditRequest, FrozenData
from wildcore_ike.pool import PoolCase

Kind = Literal["copy", "update", "retain"]
KINDS: tuple[Kind, ...] = ("copy", "update", "retain")


class Demonstration(FrozenData):
    """An edit with a prompt and its right answer."""

    fact: str
    prompt: str
    answer: str

    @property
    def text(self) -> str:
        """The demonstration as the model reads it."""
        separator = EditRequest(prompt=self.prompt, target=self.answer).separator_used
        return f"{new_fact(self.fact)}Prompt: {self.prompt}{separator}{self.answer}\n\n"

    def gives_away(self, question: str, edited: EditRequest) -> bool:
        """Return whether it answers ``question``, and differently from the fact that is ``edited``."""
        return self.prompt == question and self.fact != statement(edited)


def new_fact(fact: str) -> str:
    """Return a fact in the form in which it is announced."""
    return f"New Fact: {fact}\n"


def copy_of(request: EditRequest) -> Demonstration:
    """Return the demonstration that asks for a fact by its own prompt."""
    return Demonstration(fact=statement(request), prompt=request.prompt, answer=request.target.strip())


class Demonstrations:
    """Chooses demonstrations from a pool."""

    def __init__(self, pool: Sequence[PoolCase], retriever: Retriever, kinds: Sequence[int]) -> None:
        self.pool = pool
        self.index = retriever.index([statement(case.request) for case in pool])
        self.cycle = [kind for kind, number in zip(KINDS, kinds, strict=True) for _ in range(number)]

    def choose(self, request: EditRequest, count: int, seed: int) -> tuple[Demonstration, ...]:
        """Return ``count`` demonstrations for ``request``, or fewer if there are not as many; the most similar one is the
        last.

        Cases with the request's own prompt or subject are not shown, because they may reveal what is asked about the edit.
        Random choices depend only on ``seed``.
        """
        near = [self.pool[place] for place in self.index.nearest(statement(request), len(self.pool))]
        cases = [case for case in near if not _about_the_same(case, request)][:count]
        generator = torch.Generator().manual_seed(seed)
        kinds = self.drawn_kinds(count, generator)
        return tuple(reversed([shown_as(*one, generator) for one in zip(kinds, cases, strict=False)]))

    def drawn_kinds(self, count: int, generator: torch.Generator) -> list[Kind]:
        """Return ``count`` kinds in the requested proportion, in random order."""
        order = torch.randperm(count, generator=generator).tolist()
        return [self.cycle[place % len(self.cycle)] for place in order]


def shown_as(kind: Kind, case: PoolCase, generator: torch.Generator) -> Demonstration:
    """Return a case as a demonstration of ``kind``, or as a copy if it lacks the fields for that kind."""
    fact = statement(case.request)
    if kind == "update" and case.rephrased:
        prompt = case.rephrased[_draw(len(case.rephrased), generator)]
        return Demonstration(fact=fact, prompt=prompt, answer=case.request.target.strip())
    if kind == "retain" and case.unrelated:
        prompt, answer = case.unrelated[_draw(len(case.unrelated), generator)]
        return Demonstration(fact=fact, prompt=prompt, answer=answer)
    return copy_of(case.request)


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=generator))


def _about_the_same(case: PoolCase, request: EditRequest) -> bool:
    if case.request.subject is not None and case.request.subject == request.subject:
        return True
    return request.prompt in (case.request.prompt, *case.rephrased, *(prompt for prompt, _ in case.unrelated))
