"""Published shapes of data files: how they are recognised, and what makes their cases."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wildcore import EditCase
from wildcore.datasets import MalformedRow, Row
from wildcore_table import MappedTableParams
from wildcore_table import nested_shapes as nested
from wildcore_table.mapping import ROLES, FieldMapping

CaseMaker = Callable[[Row], Iterable[EditCase]]


@dataclass(frozen=True)
class Shape:
    """A published shape. Its rows are ``known_by`` fields that all exist.

    A flat shape is a ``preset`` of the mapping. A nested one has a function that ``makes`` its cases, and ``uses`` these fields
    at the top of a row. ``has_unanswered``: some questions have no answer.
    """

    name: str
    known_by: tuple[str, ...]
    preset: Mapping[str, str] = field(default_factory=dict)
    makes: Callable[[Row, MappedTableParams], Iterator[EditCase]] | None = None
    uses: frozenset[str] = frozenset()
    has_unanswered: bool = False


QUESTION = {"prompt": "question", "target": "answer", "id": "id"}
SQUAD = {"prompt": "question", "target": "answers.text", "id": "id"}
EASYEDIT = {
    "target": "target_new", "rephrase": "rephrase_prompt", "locality_answer": "locality_ground_truth",
    "portability_answer": "portability_ground_truth", "id": "case_id",
}  # fmt: skip
UNKE = QUESTION | {
    "rephrase": "para_question", "portability_prompt": "sub_question", "portability_answer": "sub_answer"
}  # fmt: skip
POPQA = {"prompt": "question", "target": "obj", "aliases": "possible_answers", "subject": "subj", "id": "id"}
TRIVIAQA = {"prompt": "question", "target": "answer.value", "aliases": "answer.aliases", "id": "question_id"}
TRIVIAQA_FILE = {"prompt": "Question", "target": "Answer.Value", "aliases": "Answer.Aliases", "id": "QuestionId"}
KNOWEDIT = frozenset(
    ("subject", "concept", "prompt", "text", "target_new", "labels", "ground_truth", "rephrase", "rephrase_prompt", "alias",
     "portability", "locality")
)  # fmt: skip
MQUAKE = frozenset(("case_id", "requested_rewrite", "questions", "answer", "new_answer", "new_answer_alias"))
RIPPLE = frozenset(("edit", *nested.RIPPLE_KINDS))
COUNTERFACT = frozenset(("case_id", "requested_rewrite", "paraphrase_prompts", "neighborhood_prompts"))

SHAPES = (
    Shape("rippleedits", ("edit.prompt", "Relation_Specificity"), makes=nested.rippleedits, uses=RIPPLE),
    Shape("mquake", ("requested_rewrite.0.prompt", "questions"), makes=nested.mquake, uses=MQUAKE),
    Shape("counterfact", ("requested_rewrite.prompt", "neighborhood_prompts"), makes=nested.counterfact, uses=COUNTERFACT),
    Shape("knowedit", ("prompt", "target_new", "portability"), makes=nested.knowedit, uses=KNOWEDIT),
    Shape("knowedit", ("prompt", "target_new", "locality"), makes=nested.knowedit, uses=KNOWEDIT),
    Shape("knowedit", ("text", "labels", "concept"), makes=nested.knowedit, uses=KNOWEDIT),
    Shape("easyedit", ("prompt", "target_new"), EASYEDIT),
    Shape("unke", ("question", "answer", "para_question"), UNKE),
    Shape("unke", ("question", "answer", "sub_question"), UNKE),
    Shape("popqa", ("question", "possible_answers", "obj"), POPQA),
    Shape("squad", ("paragraphs",), SQUAD, nested.squad_articles, frozenset(("paragraphs", "title")), has_unanswered=True),
    Shape("squad", ("question", "answers.text"), SQUAD, has_unanswered=True),
    Shape("triviaqa", ("question", "answer.value"), TRIVIAQA),
    Shape("triviaqa", ("Question", "Answer.Value"), TRIVIAQA_FILE),
    Shape("nq-open", ("question", "answer"), QUESTION),
)  # fmt: skip
"""All shapes; of several that fit a row the first is taken. Those of one name are variants."""


def case_maker(params: MappedTableParams, first: Row) -> CaseMaker:
    """Return what makes cases of the rows of a table, whose ``first`` row shows its shape.

    Raises ``MalformedRow`` if the shape that the user names does not fit the row.
    """
    shape = _shape_of(params, first)
    if shape is None:
        return FieldMapping(params).cases_of
    if params.shape == "auto":
        first.reading.form.append(
            f"recognised as {shape.name} by its fields {', '.join(shape.known_by)}; dataset.shape=none switches this off"
        )
    if shape.makes is None:
        mapping = FieldMapping(params, shape.preset, shape.has_unanswered)
        return _counting_unused(mapping.cases_of, mapping.used)
    return _counting_unused(_nested_maker(shape, params), shape.uses)


def _shape_of(params: MappedTableParams, row: Row) -> Shape | None:
    if params.shape == "none":
        return None
    if params.shape != "auto":
        variants = [shape for shape in SHAPES if shape.name == params.shape]
        return next((shape for shape in variants if _fits(shape, row)), variants[0])
    is_mapped = {"prompt", "target"} & params.model_fields_set or (_has(row, "prompt") and _has(row, "target"))
    return None if is_mapped else next((shape for shape in SHAPES if _fits(shape, row)), None)


def _fits(shape: Shape, row: Row) -> bool:
    return all(_has(row, name) for name in shape.known_by)


def _has(row: Row, name: str) -> bool:
    try:
        row.require(name)
    except MalformedRow:
        return False
    return True


def _counting_unused(make: CaseMaker, used: frozenset[str]) -> CaseMaker:
    def counting(row: Row) -> list[EditCase]:
        cases = list(make(row))
        for name in _unused(row.fields, used):
            if row.holds(name):
                row.reading.leave_unused(name)
        return cases

    return counting


def _unused(fields: Mapping[str, Any], used: frozenset[str]) -> Iterator[str]:
    """Yield the names of fields that are not used, also those beside a used one inside an object."""
    for name, value in fields.items():
        if name not in used:
            yield name
        elif isinstance(value, Mapping) and any(path.startswith(f"{name}.") for path in used):
            yield from (path for inner in value if (path := f"{name}.{inner}") not in used)


def _nested_maker(shape: Shape, params: MappedTableParams) -> CaseMaker:
    makes = shape.makes
    assert makes is not None, "only nested shapes have a function of their own"
    named = [role for role in ROLES if role in params.model_fields_set and getattr(params, role)]
    off = [role for role in ROLES if getattr(params, role) is False]

    def make(row: Row) -> Iterator[EditCase]:
        if named and not shape.preset:
            problem = (
                f"the shape {shape.name} names its own fields; leave out dataset.{named[0]}, or set dataset.shape=none"
            )
            raise MalformedRow(row.place, problem)
        return (_without(case, off) for case in makes(row, params))

    return make


KIND_OF = {"rephrase": "generalization", "locality_prompt": "locality", "portability_prompt": "portability"}


def _without(case: EditCase, off: Iterable[str]) -> EditCase:
    """Return a case without the parts that are switched off."""
    kinds = {KIND_OF[role] for role in off if role in KIND_OF}
    probes = tuple(probe for probe in case.probes if probe.kind not in kinds)
    empty: dict[str, object] = {"subject": None, "aliases": (), "ground_truth": None}
    request = case.request.model_copy(update={role: empty[role] for role in off if role in empty})
    return case.model_copy(update={"probes": probes, "request": request})
