"""Reads any table through a mapping of its fields."""

from collections.abc import Iterator
from typing import Literal

from wildcore import EditCase, EditRequest, Malformed, Probe
from wildcore.datasets import MalformedRow, Row, parsed, read_table
from wildcore_table import MappedTableParams


class MappedTable:
    """A table whose fields are named by ``params``."""

    def __init__(self, params: MappedTableParams) -> None:
        self.params = params

    def cases(self) -> Iterator[EditCase | Malformed]:
        """Yield the cases in the order of the rows."""
        return parsed(read_table(self.params), self._case)

    def _case(self, row: Row) -> EditCase:
        request = EditRequest(
            prompt=row.text(self.params.prompt),
            target=row.text(self.params.target),
            subject=self._text(row, "subject"),
            aliases=self._texts(row, "aliases"),
            ground_truth=self._text(row, "ground_truth"),
        )
        return EditCase(
            id=str(row.number) if self.params.id is None else row.text(self.params.id),
            request=request,
            probes=(
                *self._of_the_edit(row, request),
                *self._asked(row, "locality"),
                *self._asked(row, "portability"),
            ),
            tags=dict(self._tags(row)),
        )

    def _of_the_edit(self, row: Row, request: EditRequest) -> Iterator[Probe]:
        answers, rival = (request.target, *request.aliases), request.ground_truth
        yield Probe(kind="reliability", prompt=request.prompt, answers=answers, rival=rival)
        for prompt in self._texts(row, "rephrase"):
            yield Probe(kind="generalization", prompt=prompt, answers=answers, rival=rival)

    def _asked(self, row: Row, kind: Literal["locality", "portability"]) -> Iterator[Probe]:
        prompts, answers = self._texts(row, f"{kind}_prompt"), self._texts(row, f"{kind}_answer")
        if len(prompts) == 1 and answers:
            yield Probe(kind=kind, prompt=prompts[0], answers=answers)
        elif len(prompts) == len(answers):
            yield from (Probe(kind=kind, prompt=p, answers=(a,)) for p, a in zip(prompts, answers, strict=True))
        else:
            problem = f"{len(prompts)} {kind} questions and {len(answers)} answers; each question needs its answer"
            raise MalformedRow(row.place, problem)

    def _tags(self, row: Row) -> Iterator[tuple[str, str]]:
        for name in self.params.tags:
            row.require(name)
            if row.holds(name):
                yield name, row.text(name)

    def _text(self, row: Row, role: str) -> str | None:
        return row.optional_text(self._field(row, role))

    def _texts(self, row: Row, role: str) -> tuple[str, ...]:
        name = self._field(row, role)
        return row.texts(name, self.params.separator) if row.holds(name) else ()

    def _field(self, row: Row, role: str) -> str:
        """Return the name of the field for ``role``. A field that the user has named must exist."""
        named: str | None = getattr(self.params, role)
        if named is not None:
            row.require(named)
        return role if named is None else named
