"""Published shapes whose rows contain objects: each function makes the cases of one row."""

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import MalformedRow, Row, distinct
from wildcore_table import MappedTableParams
from wildcore_table.mapping import UNANSWERED, FieldMapping, paired

SEVERAL_EDITS = (
    "cases whose questions of several hops need several edits, so they are left out (dataset.multi_hop=all asks them with the "
    "case's last edit)"
)
CONDITIONS = "queries that say when a question applies, not asked"

RIPPLE_KINDS = {
    "Relation_Specificity": "locality",
    "Forgetfulness": "locality",
    "Logical_Generalization": "portability",
    "Compositionality_I": "portability",
    "Compositionality_II": "portability",
    "Subject_Aliasing": "portability",
}
"""The kind of probe for each group of questions."""


def counterfact(row: Row, params: MappedTableParams) -> Iterator[EditCase]:
    """CounterFact as released (Meng et al., NeurIPS 2022): neighbours keep the old object, which competes with the new one."""
    request = _rewrite(row, "requested_rewrite.")
    neighbours = [
        Probe(kind="locality", prompt=prompt, answers=(request.ground_truth,), rival=request.target)
        for prompt in _texts(row, "neighborhood_prompts")
        if request.ground_truth
    ]
    yield _case(row, request, _texts(row, "paraphrase_prompts"), neighbours)


def mquake(row: Row, params: MappedTableParams) -> Iterator[EditCase]:
    """MQuAKE (Zhong et al., EMNLP 2023): a case for each edit; questions of several hops are portability probes.

    The question form of an edit is its rephrasing. Questions of a case with several edits need all of them together.
    """
    edits = row.rows("requested_rewrite")
    for number, edit in enumerate(edits, start=1):
        probes: list[Probe] = []
        if len(edits) == 1 or (number == len(edits) and params.multi_hop == "all"):
            probes = list(_several_hops(row))
        elif number == 1 and params.multi_hop != "all":
            row.reading.notice(SEVERAL_EDITS, row.place)
        name = _id(row) if len(edits) == 1 else f"{_id(row)}-{number}"
        yield _case(edit, _rewrite(edit, ""), _texts(edit, "question"), probes, name)


def _several_hops(row: Row) -> Iterator[Probe]:
    target, rival = row.text("new_answer"), row.optional_text("answer")
    answers = (target, *distinct(_texts(row, "new_answer_alias"), target))
    for prompt in _texts(row, "questions"):
        yield Probe(kind="portability", prompt=prompt, answers=answers, rival=rival)


def _rewrite(row: Row, path: str) -> EditRequest:
    """Return the edit of CounterFact and MQuAKE, whose prompt is a template for the subject."""
    subject = row.text(f"{path}subject")
    return EditRequest(
        prompt=row.filled(f"{path}prompt", row.text(f"{path}prompt"), subject),
        target=row.text(f"{path}target_new.str"),
        subject=subject,
        ground_truth=row.optional_text(f"{path}target_true.str"),
    )


def knowedit(row: Row, params: MappedTableParams) -> Iterator[EditCase]:
    """KnowEdit (Zhang et al., 2024): ZsRE, WikiData recent and counterfact, and WikiBio, with groups of further questions.

    An answer is a text, a list of alternatives, or a list of lists of names; all are accepted.
    """
    prompt_field = "prompt" if "prompt" in row.fields else "text"
    target_field = "target_new" if "target_new" in row.fields else "labels"
    subject = row.optional_text("subject") or row.optional_text("concept")
    answers = _texts(row, target_field) or (row.text(target_field),)
    request = EditRequest(
        prompt=row.filled(prompt_field, row.text(prompt_field), subject),
        target=answers[0],
        subject=subject,
        aliases=distinct([*answers[1:], *_texts(row, "alias")], answers[0]),
        ground_truth=next(iter(_texts(row, "ground_truth")), None),
    )
    probes = [*_groups(row, "locality", request), *_groups(row, "portability", request)]
    yield _case(row, request, [*_texts(row, "rephrase"), *_texts(row, "rephrase_prompt")], probes, str(row.number))


def _groups(row: Row, kind: Any, request: EditRequest) -> Iterator[Probe]:
    """Yield the questions of all groups of one kind, such as "Reasoning" of portability."""
    groups = row.names_in(kind)
    for path in [kind] if not groups or "prompt" in groups else [f"{kind}.{name}" for name in groups]:
        for item in row.rows(path, or_one=True) if row.holds(path) else []:
            answered = Row(item.place, _with_answers(item.fields), item.number, item.stripped, item.reading)
            if not answered.holds("ground_truth"):
                row.reading.notice(UNANSWERED, item.place)
                continue
            prompts = [answered.filled("prompt", text, request.subject) for text in _texts(answered, "prompt")]
            for prompt, answers in paired(answered, kind, prompts, answered.grouped("ground_truth")):
                yield Probe(kind=kind, prompt=prompt, answers=answers)


def _with_answers(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {**fields, "ground_truth": _without_blanks(fields.get("ground_truth"))}


def _without_blanks(value: Any) -> Any:
    """Return a value without blank texts and empty lists inside it."""
    if not isinstance(value, list):
        return value.strip() if isinstance(value, str) else value
    return [inner for item in value if (inner := _without_blanks(item)) not in ("", None, [])]


def rippleedits(row: Row, params: MappedTableParams) -> Iterator[EditCase]:
    """RippleEdits (Cohen et al., TACL 2024): the edit is a whole sentence, from which its answer is told apart.

    All queries of the six groups are asked, without regard to their conditions.
    """
    prompt, target, aliases = _sentence_parts(row)
    old = row.optional_text("edit.original_fact.prompt")
    rival = old.removesuffix(".").removeprefix(prompt).strip() if old and old.startswith(prompt) else None
    request = EditRequest(
        prompt=prompt, target=target, subject=_shared_subject(row, prompt), aliases=aliases, ground_truth=rival or None
    )
    probes: list[Probe] = []
    for group, kind in RIPPLE_KINDS.items():
        for test in row.rows(group) if row.holds(group) else []:
            if test.holds("condition_queries"):
                row.reading.notice(CONDITIONS, test.place)
            probes += _queries(test, kind)
    yield _case(row, request, [], probes, str(row.number))


def _queries(test: Row, kind: Any) -> Iterator[Probe]:
    for query in test.rows("test_queries"):
        answers = [text for answer in _answers(query) for text in answer]
        if answers:
            yield Probe(kind=kind, prompt=query.text("prompt"), answers=tuple(dict.fromkeys(answers)))
        else:
            test.reading.notice(UNANSWERED, query.place)


def _answers(query: Row) -> list[tuple[str, ...]]:
    """Return each answer of a query with its other names."""
    found = query.rows("answers") if query.holds("answers") else []
    return [(one.text("value"), *_texts(one, "aliases")) for one in found if one.holds("value")]


def _sentence_parts(row: Row) -> tuple[str, str, tuple[str, ...]]:
    """Return the edit's prompt, target and aliases.

    The target is an answer that ends the sentence, of a query about the subject's other names; else what differs from the
    original sentence, or follows the last " is ".
    """
    sentence = row.text("edit.prompt").removesuffix(".")
    tests = row.rows("Subject_Aliasing") if row.holds("Subject_Aliasing") else []
    for answer in [one for test in tests for query in test.rows("test_queries") for one in _answers(query)]:
        for name in answer:
            if sentence.endswith(f" {name}"):
                return sentence.removesuffix(name).strip(), name, distinct(answer, name)
    stem = sentence
    if row.holds("edit.original_fact.prompt"):
        stem = _common_start(sentence, row.text("edit.original_fact.prompt"))
    cut = f"{stem} ".rfind(" is ")
    target = sentence[cut + len(" is ") :].strip() if cut >= 0 else ""
    if not target:
        problem = f"field 'edit.prompt': the new answer cannot be told from the rest of {sentence!r:.80}"
        raise MalformedRow(row.place, problem)
    return sentence[: cut + len(" is")], target, ()


def _common_start(first: str, second: str) -> str:
    """Return the words with which both texts begin."""
    pairs = zip(first.split(), second.split(), strict=False)
    return " ".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _shared_subject(row: Row, prompt: str) -> str | None:
    """Return the subject: the words that end the prompt and those of other questions about it, between "of" and "is"."""
    tests = row.rows("Relation_Specificity") if row.holds("Relation_Specificity") else []
    others = [query.optional_text("prompt") or "" for test in tests for query in test.rows("test_queries")]
    backwards = " ".join(reversed(prompt.split()))
    ends = [_common_start(backwards, " ".join(reversed(other.split()))).split()[::-1] for other in others]
    subjects = [_between(end) for end in ends if _between(end)]
    return min(subjects, key=len) if subjects else prompt.removesuffix(" is").rpartition(" of ")[2] or None


def _between(words: list[str]) -> str:
    end = words[:-1] if words[-1:] == ["is"] else words
    return " ".join(end[1:] if end[:1] == ["of"] else end)


def squad_articles(row: Row, params: MappedTableParams) -> Iterator[EditCase]:
    """SQuAD as released (Rajpurkar et al., 2016): the questions of an article's paragraphs."""
    mapping = FieldMapping(params, {"prompt": "question", "target": "answers.text", "id": "id"}, has_unanswered=True)
    for paragraph in row.rows("paragraphs"):
        for question in paragraph.rows("qas"):
            yield from mapping.cases_of(question)


def _case(row: Row, request: EditRequest, rephrased: Any, others: list[Probe], name: str | None = None) -> EditCase:
    answers, rival = (request.target, *request.aliases), request.ground_truth
    asked = [
        Probe(
            kind="generalization", prompt=row.filled("rephrase", prompt, request.subject), answers=answers, rival=rival
        )
        for prompt in rephrased
    ]
    own = Probe(kind="reliability", prompt=request.prompt, answers=answers, rival=rival)
    return EditCase(id=name or _id(row), request=request, probes=(own, *asked, *others))


def _id(row: Row) -> str:
    return row.optional_text("case_id") or str(row.number)


def _texts(row: Row, name: str) -> tuple[str, ...]:
    return tuple(text for group in row.grouped(name) for text in group) if row.holds(name) else ()
