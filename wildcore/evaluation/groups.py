"""Groups of cases: how many are run at a time, and how their edits are evaluated."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

from torch import OutOfMemoryError

from wildcore.evaluation.examiner import AnswersByProtocol, Continued, Examiner, QuestionsByProtocol
from wildcore.evaluation.questions import unanswerable
from wildcore.interfaces import Patch, Progress
from wildcore.models.loaded import LoadedModel
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, ProbeRecord
from wildcore.types import EditCase

OnCase = Callable[[CaseRecord], None]


def run_in_groups(
    carry_out: Callable[[Sequence[EditCase]], list[CaseRecord]],
    cases: Iterable[EditCase],
    folder: RunFolder,
    on_case: OnCase,
    progress: Progress,
    group_size: int,
    finished: Collection[str],
) -> None:
    """Run ``carry_out`` on groups of up to ``group_size`` cases and append each record to the journal.

    If memory runs out, the group that failed is halved, a note is made, and the run continues at that size;
    ``OutOfMemoryError`` is raised only if a single case does not fit. On resume the groups are formed as before, so an
    unfinished group is run whole and its numbers agree to the last digit; cases in ``finished`` are not appended twice. After an
    out-of-memory error the sizes, and so the last digits, may differ.
    """
    waiting = iter(cases)
    while group := list(islice(waiting, group_size)):
        while any(case.id not in finished for case in group):
            tried = min(group_size, len(group))
            try:
                records = carry_out(group[:tried])
            except OutOfMemoryError:
                if tried == 1:
                    raise
                group_size = tried // 2
                progress.note(f"out of memory; going on with {group_size} edits at once")
                continue
            for record in records:
                if record.case not in finished:
                    folder.append(record)
                    on_case(record)
            group = group[len(records) :]


def evaluate_edits(
    examiner: Examiner,
    cases: Sequence[EditCase],
    outcomes: Sequence[EditOutcome],
    patches: Sequence[Patch | None],
    after_edits: int = 1,
) -> list[CaseRecord]:
    """Ask the unedited model each case's questions, then the model under the case's patch, if there is one. ``after_edits`` is
    recorded as the number of edits made before.
    """
    questions = [examiner.questions(case) for case in cases]
    before = examiner.answer_unedited(questions)
    edited = {index: patch for index, patch in enumerate(patches) if patch is not None}
    asked = [examiner.rewrite_questions(questions[index], patch) for index, patch in edited.items()]
    given = examiner.answer_edited(asked, list(edited.values()))
    continued = examiner.continued([cases[index] for index in edited], asked, list(edited.values()), given)
    after = dict(zip(edited, zip(asked, given, continued, strict=True), strict=True))
    return [
        CaseRecord(
            case=case.id,
            after_edits=after_edits,
            request=case.request,
            tags=case.tags,
            edit=outcomes[index],
            probes=tuple(probe_records(examiner.model, case, questions[index], before[index], after.get(index))),
        )
        for index, case in enumerate(cases)
    ]


def probe_records(
    model: LoadedModel,
    case: EditCase,
    questions: QuestionsByProtocol,
    before: AnswersByProtocol,
    after: tuple[QuestionsByProtocol, AnswersByProtocol, Continued] | None,
) -> Iterator[ProbeRecord]:
    """Yield a case's probes under every protocol, with the answers before and after the edit."""
    for protocol, posed in questions.items():
        for index, (probe, question) in enumerate(zip(case.probes, posed, strict=True)):
            asked = after[0][protocol][index] if after else question
            yield ProbeRecord(
                protocol=protocol,
                probe=index,
                kind=probe.kind,
                nearness=probe.nearness,
                question=probe.prompt,
                answers=probe.answers,
                prompt=question.prompt.text,
                separator=probe.separator_to_record,
                prompt_after=None if asked.prompt == question.prompt else asked.prompt.text,
                gold_token_ids=question.gold.token_ids,
                before=before[protocol][index],
                after=after[1][protocol][index] if after else (),
                continued=after[2].get((protocol, index)) if after else None,
                unanswered=unanswerable(model, question) or unanswerable(model, asked),
            )
