"""Parameters of IKE."""

from typing import ClassVar

from pydantic import Field, field_validator
from wildcore_retrieval.parameters import RETRIEVER, RetrieverParams

from wildcore import Departure

SAMPLE = "sample"


class IkeParams(RetrieverParams):
    """Parameters of ``ike``; the defaults are the published ones, but for the pool and how texts are compared."""

    departures: ClassVar[tuple[Departure, ...] | None] = (
        RETRIEVER,
        Departure(
            "pool",
            SAMPLE,
            "a file of CounterFact",
            "the paper shows 32 of 20,000 edits of CounterFact; the 40 that are bundled are our choice, because data of others "
            "are not part of this package: name a file of them",
            by_switch=False,
        ),
    )

    demonstrations: int = Field(default=32, ge=0)
    """Demonstrations before the new fact, as far as the model's context has room for them. With 0 the new fact stands alone."""

    pool: str = SAMPLE
    """Edits to demonstrate with: "sample" (comes along), or a table with the fields prompt and target, and where known subject,
    rephrase, locality_prompt and locality_answer."""

    kinds: tuple[int, int, int] = (1, 3, 4)
    """How many demonstrations of each kind there are to those of the others: "copy" asks for the demonstrated edit itself,
    "update" in other words, "retain" for something else, which stays as it was. An edit that lacks what its kind shows is a
    copy."""

    repeat_fact: bool = True
    """Whether the new fact itself is the last demonstration, as a copy, where there are others."""

    new_facts: int = Field(default=1, gt=0)
    """Where several facts are edited, how many are put before a question: those most like it."""

    answer_room: int = Field(default=64, ge=0)
    """Tokens of the model's context to leave for the answer. Demonstrations that need more than the rest are left out, those
    least like the new fact first."""

    @field_validator("kinds")
    @classmethod
    def _some_kind(cls, kinds: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(kinds) < 0 or not any(kinds):
            raise ValueError("three whole numbers from 0, not all of them 0, such as [1, 3, 4]")
        return kinds
