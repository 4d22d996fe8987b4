"""One case from one row, through a mapping of its fields."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import MalformedRow, Row, distinct
from wildcore_table import MappedTableParams

UNANSWERED = "questions without an answer, left out"

ROLES = (
    "prompt", "target", "subject", "aliases", "ground_truth", "rephrase", "locality_prompt", "locality_answer",
    "portability_prompt", "portability_answer", "id",
)  # fmt: skip


class FieldMapping:
    """Makes cases of rows whose fields are named by ``params``, and else by the ``preset`` of a published shape.

    A field that the user has named must exist. Rows without an answer are malformed, unless the preset's shape has such rows:
    then they are left out and counted.
    """

    def __init__(
        self, params: MappedTableParams, preset: Mapping[str, str] | None = None, has_unanswered: bool = False
    ) -> None:
        self.params = params
        self.preset = preset or {}
        self.has_unanswered = has_unanswered

    def cases_of(self, row: Row) -> Iterator[EditCase]:
        """Yield the case of a row. Raises ``MalformedRow``."""
        if self.has_unanswered and not row.holds(self._required(row, "target")):
            row.reading.notice(UNANSWERED, row.place)
            return
        request = self._request(row)
        yield EditCase(
            id=self._id(row),
            request=request,
            probes=(
                *self._of_the_edit(row, request),
                *self._asked(row, request, "locality"),
                *self._asked(row, request, "portability"),
            ),
            tags=dict(self._tags(row)),
        )

    @property
    def used(self) -> frozenset[str]:
        """Names of the fields at the top of a row that are read if they exist."""
        names = [name for role in ROLES if (name := self._field(role))]
        return frozenset(part for name in (*names, *self.params.tags) for part in (name, name.partition(".")[0]))

    def _request(self, row: Row) -> EditRequest:
        prompt_field, target_field = self._required(row, "prompt"), self._required(row, "target")
        prompt, answers = row.text(prompt_field), self._texts(row, "target") or (row.text(target_field),)
        subject_field = self._named(row, "subject")
        subject = row.optional_text(subject_field) if subject_field else None
        return EditRequest(
            prompt=row.filled(prompt_field, prompt, subject),
            target=answers[0],
            subject=subject,
            aliases=distinct([*answers[1:], *self._texts(row, "aliases")], answers[0]),
            ground_truth=next(iter(self._texts(row, "ground_truth")), None),
        )

    def _required(self, row: Row, role: Literal["prompt", "target"]) -> str:
        """Return the name of a field that must exist, whoever named it."""
        name = str(self._field(role))
        try:
            row.require(name)
        except MalformedRow as error:
            if role in self.params.model_fields_set:
                raise
            raise MalformedRow(error.place, f"{error.problem}; dataset.{role}=FIELD names another") from None
        return name

    def _id(self, row: Row) -> str:
        name = self._named(row, "id")
        return row.text(name) if name and (row.holds(name) or "id" in self.params.model_fields_set) else str(row.number)

    def _of_the_edit(self, row: Row, request: EditRequest) -> Iterator[Probe]:
        answers, rival = (request.target, *request.aliases), request.ground_truth
        yield Probe(kind="reliability", prompt=request.prompt, answers=answers, rival=rival)
        for prompt in self._prompts(row, "rephrase", request):
            yield Probe(kind="generalization", prompt=prompt, answers=answers, rival=rival)

    def _asked(self, row: Row, request: EditRequest, kind: Literal["locality", "portability"]) -> Iterator[Probe]:
        if self._field(f"{kind}_prompt") is False:
            return
        prompts, answers = self._prompts(row, f"{kind}_prompt", request), self._groups(row, f"{kind}_answer")
        for prompt, accepted in paired(row, kind, prompts, answers):
            yield Probe(kind=kind, prompt=prompt, answers=accepted)

    def _tags(self, row: Row) -> Iterator[tuple[str, str]]:
        for name in self.params.tags:
            row.require(name)
            if row.holds(name):
                yield name, row.text(name)

    def _prompts(self, row: Row, role: str, request: EditRequest) -> list[str]:
        return [row.filled(role, text, request.subject) for text in self._texts(row, role)]

    def _texts(self, row: Row, role: str) -> tuple[str, ...]:
        return tuple(text for group in self._groups(row, role) for text in group)

    def _groups(self, row: Row, role: str) -> list[tuple[str, ...]]:
        name = self._named(row, role)
        return row.grouped(name, self.params.separator) if name and row.holds(name) else []

    def _named(self, row: Row, role: str) -> str | None:
        """Return the name of the field for ``role``, None if it is switched off. A field that the user has named must exist."""
        name = self._field(role)
        if name and getattr(self.params, role):
            row.require(name)
        return name or None

    def _field(self, role: str) -> str | Literal[False] | None:
        """Return the name of the field for ``role``: the user's, else the preset's, else that of the role itself."""
        named: str | Literal[False] | None = getattr(self.params, role)
        if role in self.params.model_fields_set and named is not None:
            return named
        return self.preset.get(role, None if role == "id" else role)


def paired(
    row: Row, kind: str, prompts: Sequence[str], answers: Sequence[tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each prompt with its accepted answers: all of them for one prompt, and one element each for several prompts.

    Raises ``MalformedRow`` if the numbers differ, or a list of answers is empty.
    """
    if not all(answers):
        raise MalformedRow(row.place, f"a {kind} question has an empty list of answers; each question needs its answer")
    if len(prompts) == 1 and answers:
        yield prompts[0], tuple(text for group in answers for text in group)
    elif len(prompts) == len(answers):
        yield from zip(prompts, answers, strict=True)
    else:
        problem = f"{len(prompts)} {kind} questions and {len(answers)} answers; each question needs its answer"
        raise MalformedRow(row.place, problem)
