"""Reads CounterFact in its two forms."""

from collections.abc import Iterator

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import MalformedRow, Row, TableDataset
from wildcore_counterfact import CounterFactParams


class CounterFact(TableDataset[CounterFactParams]):
    """CounterFact as released by its authors, nested, or flattened to one paraphrase and one neighbour on each row.

    A row with the field ``requested_rewrite`` is nested. A neighbour is another subject for which the old object is true, so
    its rival is the new object. The nested form's ``generation_prompts`` and ``attribute_prompts`` are not asked: the first
    have no single right answer, and the published evaluation leaves out the second. Tags hold their numbers for each row.
    """

    def cases_of(self, row: Row) -> Iterator[EditCase]:
        """Yield the case of a row, named by ``case_id``."""
        request, paraphrases, neighbours = _nested(row) if "requested_rewrite" in row.fields else _flat(row)
        target, old = request.target, request.ground_truth
        asked = [
            Probe(kind="generalization", prompt=prompt, answers=(target,), rival=old)
            for prompt in paraphrases[: self.params.paraphrases]
        ]
        yield EditCase(
            id=str(row.whole_number("case_id")),
            request=request,
            probes=(
                Probe(kind="reliability", prompt=request.prompt, answers=(target,), rival=old),
                *asked,
                *neighbours[: self.params.neighbours],
            ),
            tags=dict(_tags(row)),
        )


Parts = tuple[EditRequest, tuple[str, ...], list[Probe]]
"""The edit, its paraphrases and its neighbours."""


def _nested(row: Row) -> Parts:
    request = EditRequest(
        prompt=_filled(row),
        target=row.text("requested_rewrite.target_new.str"),
        subject=row.text("requested_rewrite.subject"),
        ground_truth=row.text("requested_rewrite.target_true.str"),
    )
    neighbours = [
        Probe(kind="locality", prompt=prompt, answers=(str(request.ground_truth),), rival=request.target)
        for prompt in row.texts("neighborhood_prompts")
    ]
    return request, row.texts("paraphrase_prompts"), neighbours


def _filled(row: Row) -> str:
    template = row.text("requested_rewrite.prompt")
    if template.count("{}") != 1:
        problem = f"field 'requested_rewrite.prompt': expected one {{}} for the subject, found {template!r:.80}"
        raise MalformedRow(row.place, problem)
    return template.replace("{}", row.text("requested_rewrite.subject"))


def _flat(row: Row) -> Parts:
    request = EditRequest(
        prompt=row.text("prompt"),
        target=row.text("target_new"),
        subject=row.text("subject"),
        ground_truth=row.text("ground_truth"),
    )
    answer = row.text("locality_ground_truth")
    rival = request.target if answer == request.ground_truth else None  # the old object is true only of a neighbour
    neighbour = Probe(kind="locality", prompt=row.text("locality_prompt"), answers=(answer,), rival=rival)
    return request, (row.text("rephrase_prompt"),), [neighbour]


def _tags(row: Row) -> Iterator[tuple[str, str]]:
    relation = row.optional_text("requested_rewrite.relation_id")
    if relation is not None:
        yield "relation", relation
    for name in ("generation_prompts", "attribute_prompts"):
        if row.holds(name):
            yield name, str(len(row.texts(name)))
