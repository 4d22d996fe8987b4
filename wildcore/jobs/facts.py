"""Tables of facts to be written into one patch. Every row is checked before a model is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wildcore.datasets.checks import folded
from wildcore.datasets.reading import MISSING_VALUES
from wildcore.datasets.rows import MalformedRow, Row, edit_request
from wildcore.datasets.selection import other_form_note
from wildcore.datasets.tables import TableParams, read_table, reading_of
from wildcore.equivalence import difference
from wildcore.errors import Option, Refused, UserError
from wildcore.models.tokens import subject_span
from wildcore.types import EditRequest, Malformed


@dataclass(frozen=True)
class Fact:
    """A fact of a table, and its place there."""

    place: str
    request: EditRequest


@dataclass
class FactTable:
    """The valid facts of a table, what is wrong with each of the other rows, and notes on what was noticed.

    Answers are given in Unicode's form NFC; ``other_form`` counts the facts in which this changed one.
    """

    facts: list[Fact] = field(default_factory=list)
    bad: list[Malformed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    other_form: int = 0

    def add(self, fact: Fact) -> Fact:
        """Add a valid fact, and return it as it was added."""
        added = Fact(fact.place, fact.request.with_canonical_answers())
        self.other_form += added != fact
        self.facts.append(added)
        return added


def read_facts(path: Path, needs_subject: bool = False) -> FactTable:
    """Read a whole table with the fields of ``EditRequest``.

    A row is malformed if it lacks a field, if it repeats or contradicts the fact of an earlier row, or, with
    ``needs_subject``, if its subject is missing or not in its prompt. Prompts and answers are compared without case and with
    single white space. Raises ``UserError`` if the table as a whole cannot be read, or has no row.
    """
    table, earlier = FactTable(), dict[str, Fact]()
    params = TableParams(path=path, missing_values=MISSING_VALUES)
    reading = reading_of(params)
    try:
        for row in read_table(params, reading):
            found = row if isinstance(row, Malformed) else _checked(row, needs_subject, earlier)
            if isinstance(found, Malformed):
                table.bad.append(found)
            else:
                earlier[folded(found.request.prompt)] = table.add(found)
    except UserError as error:  # messages of the table reader speak of the dataset
        raise error.renamed({"dataset.path": lambda path: Option("edits", path)}) from error
    if not table.facts and not table.bad:
        raise UserError("it holds no fact", about=Option("edits", path))
    table.notes.extend(reading.notes(with_parameters=False))
    if table.other_form:
        table.notes.append(other_form_note(table.other_form, "facts"))
    return table


def _checked(row: Row, needs_subject: bool, earlier: dict[str, Fact]) -> Fact | Malformed:
    try:
        request = edit_request(row)
    except MalformedRow as error:
        return Malformed(place=error.place, problem=error.problem)
    problems = [*_subject_missing(request, needs_subject), *_repeated(request, earlier)]
    return Malformed(place=row.place, problem="; ".join(problems)) if problems else Fact(row.place, request)


def _subject_missing(request: EditRequest, needs_subject: bool) -> Iterator[str]:
    if needs_subject:
        try:
            subject_span(request.prompt, request.subject)
        except Refused as refusal:
            yield f"field 'subject': {refusal}; the editor needs it there"


def _repeated(request: EditRequest, earlier: dict[str, Fact]) -> Iterator[str]:
    other = earlier.get(folded(request.prompt))
    if other is None:
        return
    if _accepted(request) & _accepted(other.request):
        yield f"field 'prompt': it repeats the fact of {other.place}"
    else:
        near = difference(request.target, other.request.target)
        yield (
            f"field 'target': {request.target!r} contradicts {other.place}, whose answer to the same prompt is "
            f"{other.request.target!r}{f': {near}' if near else ''}"
        )


def _accepted(request: EditRequest) -> frozenset[str]:
    return frozenset(folded(answer) for answer in (request.target, *request.aliases))


def malformed(facts: Sequence[Fact], refusals: Sequence[Refused | None]) -> list[Malformed]:
    """Return those of ``facts`` that were refused, each with the reason."""
    pairs = zip(facts, refusals, strict=True)
    return [Malformed(place=fact.place, problem=str(refusal)) for fact, refusal in pairs if refusal is not None]
