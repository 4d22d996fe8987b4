"""Parameters of the prompting contexts."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from wildcore import ContextParams, EditCase, Malformed, Parameter, Params, Setting, UserError, require_placeholder
from wildcore.datasets import Row

QUESTION = "{question}"
ANSWER = "{answer}"


class Example(Params):
    """A question with its answer."""

    question: str = Field(min_length=1)
    """The question, as in a dataset."""

    answer: str = Field(min_length=1)
    """The answer that is shown."""


class FewShotParams(ContextParams):
    """Parameters of ``few-shot``."""

    count: int = Field(default=4, gt=0)
    """Number of examples before the question."""

    path: Path | None = None
    """A .json or .jsonl file of objects with "question" and "answer"; its first ``count`` are shown. Left out: cases of the
    dataset, drawn with the run's seed and not evaluated, each with its answer before the edit if the dataset contains it."""

    examples: tuple[Example, ...] = ()
    """The examples themselves. A run's record contains them. If they are given, neither the path nor the dataset is read."""

    instruction: str = "Please answer the question:\n\n"
    """Text before the first example."""

    example_template: str = "Q: {question}\nA: {answer}\n\n"
    """Form of an example, including the separator from the next one."""

    template: str = "Q: {question}\nA:"
    """Form of the question."""

    @field_validator("example_template", "template")
    @classmethod
    def _holds_the_question(cls, template: str) -> str:
        return require_placeholder(QUESTION, template)

    @field_validator("example_template")
    @classmethod
    def _holds_the_answer(cls, template: str) -> str:
        return require_placeholder(ANSWER, template)

    @model_validator(mode="before")
    @classmethod
    def _count_the_examples(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("examples") and "count" not in values:
            return {**values, "count": len(values["examples"])}
        return values

    @model_validator(mode="after")
    def _as_many_as_counted(self) -> Self:
        if self.examples and len(self.examples) != self.count:
            raise ValueError(f"count is {self.count} and examples holds {len(self.examples)}; leave one of the two out")
        return self

    def examples_needed(self) -> int:
        """Return how many cases of the dataset must be set aside; 0 if the examples come from elsewhere."""
        return 0 if self.examples or self.path else self.count

    def with_examples(self, cases: Sequence[EditCase]) -> Self:
        """Return the parameters with their examples: those of the file, else the ``cases`` set aside.

        Raises ``UserError`` for a file that cannot be read or has too few examples.
        """
        if self.examples:
            return self
        found = _read(self.path, self.count) if self.path else tuple(_example(case) for case in cases)
        return self.model_copy(update={"examples": found})


class PrefixParams(Params):
    """Parameters of ``prefix``."""

    text: str = Field(min_length=1)
    """Text before the question. A space separates the two, unless the text ends in white space, such as a line break, or its
    script has no spaces between words."""

    template: str = QUESTION
    """Template for the text and the question; {question} is replaced by both."""

    @field_validator("template")
    @classmethod
    def _holds_the_question(cls, template: str) -> str:
        return require_placeholder(QUESTION, template)


def _example(case: EditCase) -> Example:
    """Return an example that is true without any edit: a target may be made up, and only the edit itself should state it."""
    request = case.request
    return Example(question=request.prompt, answer=request.ground_truth or request.target)


def _read(path: Path, count: int) -> tuple[Example, ...]:
    from wildcore.datasets import TableParams, read_table

    try:
        found = tuple(_from(row) for row in islice(read_table(TableParams(path=path)), count))
    except UserError as error:
        # messages of the table reader speak of the dataset, whose parameter it usually is
        raise error.renamed({"dataset.path": str}).within("context.path") from error
    if len(found) < count:
        raise UserError(
            f"{count} examples are wanted and it holds {len(found)}",
            Parameter("context.path", path),
            ("ask for fewer: ", Setting("context.count", len(found))),
        )
    return found


def _from(row: Row | Malformed) -> Example:
    if isinstance(row, Malformed):
        raise UserError(row.problem, about=row.place)
    return Example(question=row.text("question"), answer=row.text("answer"))
