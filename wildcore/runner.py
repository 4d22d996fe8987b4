"""The job itself: for every case, ask the unedited model, edit, ask again, record.

Knows resolved objects only: neither where they came from nor who asked.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from wildcore.errors import Refused
from wildcore.examine import Answers, Question, ask, pose, unanswerable
from wildcore.interfaces import Editor, Environment, Patch
from wildcore.models import LoadedModel
from wildcore.protocols import ReadyProtocol
from wildcore.records import CaseRecord, EditOutcome, ProbeRecord, RunFolder
from wildcore.types import EditCase
from wildcore.unedited import UneditedAnswers

AnswersByProtocol = dict[str, list[Answers]]


@dataclass
class Examiner:
    """Puts cases to a model under every protocol. What the unedited model says is asked once and kept."""

    model: LoadedModel
    protocols: Sequence[ReadyProtocol]
    batch_size: int
    unedited: UneditedAnswers

    def questions(self, case: EditCase) -> dict[str, list[Question]]:
        """Return the case's probes as each protocol puts them, by protocol name."""
        return {protocol.name: pose(self.model, protocol, case.probes) for protocol in self.protocols}

    def before(self, questions: dict[str, list[Question]]) -> AnswersByProtocol:
        """Return the unedited model's answers; the model must be unedited."""
        return {p.name: self.unedited.answers(p, questions[p.name]) for p in self.protocols}

    def now(self, questions: dict[str, list[Question]]) -> AnswersByProtocol:
        """Return the answers of the model as it is now."""
        return {p.name: ask(self.model, p, questions[p.name], self.batch_size) for p in self.protocols}


def run(
    editor: Editor,
    examiner: Examiner,
    cases: Iterable[EditCase],
    environment: Environment,
    folder: RunFolder,
    on_case: Callable[[CaseRecord], None],
) -> None:
    """Carry out every case as a single edit judged right after itself, and append each to the run's journal.

    The model is the unedited one before and after every case.
    """
    editor.reset()
    editor.prepare(examiner.model, environment)
    for case in cases:
        record = run_case(editor, examiner, case)
        folder.append(record)
        on_case(record)


def run_case(editor: Editor, examiner: Examiner, case: EditCase) -> CaseRecord:
    """Judge one edit: answers before, the edit, answers after, and the model put back."""
    questions = examiner.questions(case)
    before = examiner.before(questions)
    patch, outcome = attempt(editor, examiner.model, case)
    after: AnswersByProtocol | None = None
    if patch is not None:
        with patch.applied(examiner.model):
            after = examiner.now(questions)
    return CaseRecord(
        case=case.id,
        request=case.request,
        tags=case.tags,
        edit=outcome,
        probes=tuple(_probe_records(examiner.model, case, questions, before, after)),
    )


def attempt(editor: Editor, model: LoadedModel, case: EditCase) -> tuple[Patch | None, EditOutcome]:
    """Ask the editor for a patch; a refusal is an outcome, not an error."""
    start = time.perf_counter()
    try:
        patch = editor.edit(model, [case.request])
    except Refused as refusal:
        return None, EditOutcome(status="refused", reason=str(refusal), seconds=time.perf_counter() - start)
    seconds = time.perf_counter() - start
    return patch, EditOutcome(status="edited", seconds=seconds, patch=patch.describe())


def _probe_records(
    model: LoadedModel,
    case: EditCase,
    questions: dict[str, list[Question]],
    before: AnswersByProtocol,
    after: AnswersByProtocol | None,
) -> Iterator[ProbeRecord]:
    for protocol, posed in questions.items():
        for index, (probe, question) in enumerate(zip(case.probes, posed, strict=True)):
            yield ProbeRecord(
                protocol=protocol,
                probe=index,
                kind=probe.kind,
                question=probe.prompt,
                answers=probe.answers,
                prompt=question.prompt.text,
                gold_token_ids=question.gold.token_ids,
                before=before[protocol][index],
                after=after[protocol][index] if after else (),
                unanswered=unanswerable(model, question),
            )
