"""Parameters of IKE."""

from typing import ClassVar

from pydantic import Field, field_validator
from wildcore_retrieval.parameters import RETRIEVER, RetrieverParams

from wildcore import Departure

SAMPLE = "sample"


class IkeParams(RetrieverParams):
    """Parameters of ``ike``. The defaults are the published ones, except the pool and how texts are compared."""

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
    """Number of demonstrations before the new fact, if they fit into the model's context. With 0 only the new fact is
    shown."""

    pool: str = SAMPLE
    """Edits to demonstrate with: "sample" (bundled), or a table with the fields prompt and target, and if known subject,
    rephrase, locality_prompt and locality_answer."""

    kinds: tuple[int, int, int] = (1, 3, 4)
    """Proportion of the three kinds of demonstrations: "copy" asks for the demonstrated edit itself, "update" asks by a
    rephrasing, "retain" asks for something else, which is unchanged. An edit without the fields for its kind is shown as a
    copy."""

    repeat_fact: bool = True
    """Whether the new fact itself is the last demonstration, as a copy, if there are others."""

    new_facts: int = Field(default=1, gt=0)
    """If several facts are edited, how many are shown before a question: those most similar to it."""

    answer_room: int = Field(default=64, ge=0)
    """Tokens of the model's context to leave for the answer. If the demonstrations do not fit into the rest, those least
    similar to the new fact are left out first."""

    @field_validator("kinds")
    @classmethod
    def _some_kind(cls, kinds: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(kinds) < 0 or not any(kinds):
            raise ValueError("three whole numbers from 0, not all of them 0, such as [1, 3, 4]")
        return kinds
