"""A user's own questions as a dataset: any table, read through a mapping of its fields."""

from collections.abc import Iterable

from pydantic import Field

from wildcore import Dataset, Offer, hookimpl, lazy
from wildcore.datasets import TableParams


class MappedTableParams(TableParams):
    """Parameters of ``table``: where the rows are, and which of their fields holds what.

    A field inside objects is named by its path, such as ``requested_rewrite.subject``. A field that is named must be in every
    row, though it may hold nothing.
    """

    prompt: str = "prompt"
    """Field with the question or the beginning of a sentence whose answer is edited."""

    target: str = "target"
    """Field with the new answer."""

    subject: str | None = None
    """Field with the words of the prompt that name what the fact is about; most editors need them. Left out: "subject", if
    there."""

    aliases: str | None = None
    """Field with further names of the new answer, one text or a list. Left out: "aliases", if there."""

    ground_truth: str | None = None
    """Field with the answer held before the edit; the new answer competes with it. Left out: "ground_truth", if there."""

    rephrase: str | None = None
    """Field with the prompt in other words, one text or a list: the generalization probes. Left out: "rephrase", if there."""

    locality_prompt: str | None = None
    """Field with unrelated questions, one text or a list: the locality probes. Left out: "locality_prompt", if there."""

    locality_answer: str | None = None
    """Field with their answers: for one question its accepted answers, for a list of questions a list with one answer each.
    Left out: "locality_answer", if there."""

    portability_prompt: str | None = None
    """Field with questions that follow from the new answer, one text or a list: the portability probes. Left out:
    "portability_prompt", if there."""

    portability_answer: str | None = None
    """Field with their answers, as of the locality questions. Left out: "portability_answer", if there."""

    id: str | None = None
    """Field with the name of the case, unique in the data. Left out: the row's number."""

    tags: tuple[str, ...] = ()
    """Fields to keep with the case, to choose cases by."""

    separator: str | None = Field(default=None, min_length=1)
    """What parts the texts of a list that is written into one cell, such as ";". Left out: a cell is one text."""


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Dataset]]:
    """Offer the reader of any table."""
    return [
        Offer(
            "table",
            lazy("wildcore_table.dataset:MappedTable"),
            MappedTableParams,
            "your own questions, from any table of fields",
            aliases=("records", "records/records"),
        )
    ]
