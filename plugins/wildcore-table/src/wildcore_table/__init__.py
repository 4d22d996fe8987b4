"""A user's own questions as a dataset: any table, read through a mapping of its fields."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from wildcore import Dataset, Offer, hookimpl, lazy
from wildcore.datasets import MISSING_VALUES, TableParams

ShapeName = Literal[
    "auto", "none", "counterfact", "easyedit", "knowedit", "mquake", "nq-open", "popqa", "rippleedits", "squad", "triviaqa",
    "unke",
]  # fmt: skip

FieldName = str | Literal[False] | None
"""The name of a field; None: that of the role, if the table has it; False: none, even if the table has it."""


class MappedTableParams(TableParams):
    """Parameters of ``table``: where the rows are, and which field holds what.

    A field inside objects and lists is named by its path, such as ``requested_rewrite.subject`` or ``answers.0.text``. A field
    that is named must exist in every row, but may be empty. ``off`` in place of a name switches an optional field off.
    """

    shape: ShapeName = "auto"
    """Published shape of the rows, whose fields need no mapping. auto: recognised by the first row's fields, unless prompt or
    target is set or both exist under these names. none: only the fields named here are read."""

    prompt: str = "prompt"
    """Field with the edit prompt: a question, or the beginning of a sentence, whose answer is edited. "{}" in a prompt stands
    for the subject."""

    target: str = "target"
    """Field with the new answer, or a list of answers: the first is the target, the others are aliases."""

    subject: FieldName = None
    """Field with the subject: the words of the prompt that name what the fact is about. Most editors need it. Left out:
    "subject", if the table has it."""

    aliases: FieldName = None
    """Field with further names of the new answer, one text or a list. Left out: "aliases", if the table has it."""

    ground_truth: FieldName = None
    """Field with the answer before the edit; the new answer competes with it. Left out: "ground_truth", if the table has
    it."""

    rephrase: FieldName = None
    """Field with rephrasings of the prompt, one text or a list: the generalization probes. Left out: "rephrase", if the table
    has it."""

    locality_prompt: FieldName = None
    """Field with unrelated questions, one text or a list: the locality probes. Left out: "locality_prompt", if the table has
    it."""

    locality_answer: FieldName = None
    """Field with their answers: for one question its accepted answers, for a list of questions a list with one answer each.
    Left out: "locality_answer", if the table has it."""

    portability_prompt: FieldName = None
    """Field with questions that follow from the new answer, one text or a list: the portability probes. Left out:
    "portability_prompt", if the table has it."""

    portability_answer: FieldName = None
    """Field with their answers, in the same form as those of the locality questions. Left out: "portability_answer", if the
    table has it."""

    id: str | None = None
    """Field with the name of the case, unique in the data. Left out: the row's number."""

    tags: tuple[str, ...] = ()
    """Fields to keep with the case, so that cases can be chosen by them."""

    separator: str | None = Field(default=None, min_length=1)
    """Separator of the texts of a list in one cell, such as ";". Left out: a cell is one text, unless it contains a list as
    JSON or Python writes it."""

    missing_values: tuple[str, ...] = MISSING_VALUES
    """Texts that stand for a missing value: such a prompt or target makes its row malformed, other fields are read as empty."""

    multi_hop: Literal["single-edits", "all"] = "single-edits"
    """Of which cases of MQuAKE to ask the questions of several hops. single-edits: of cases with one edit. all: the questions
    of a case with several edits are asked with its last edit, for schedules that write them all together."""


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
