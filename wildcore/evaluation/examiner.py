"""The job itself: for every case, ask the unedited model, edit, ask again, record.

Single edits are independent, so many are solved and judged together. A change of weights is then computed beside the weights,
for one edit as for many: each answer is what it would be alone, but for the last digits that a batch's size and shape decide.
Only a generator that is not row-wise reads from weights into which the change is added, rounded to their dtype, again for one
edit as for many. Other schedules, whose patch is the sum of all that was written, added likewise, are in
``wildcore.evaluation.sequences``. Knows resolved objects only: neither where they came from nor who asked.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, islice

from torch import OutOfMemoryError

from wildcore.errors import Refused, each_or_refusal
from wildcore.evaluation.failure_filter import answered
from wildcore.evaluation.questions import Answers, Question, ask, pose, rewritten, unanswerable
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.inference.prompt_cache import SharedPrompts
from wildcore.interfaces import Editor, Environment, Patch, Progress
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import within_context
from wildcore.patches.accumulated import Accumulated, can_share_prompts, changes_prompts
from wildcore.patches.batched import RowPatches
from wildcore.patches.prompts import PromptPatch
from wildcore.patches.weights import WeightPatch
from wildcore.protocols import ReadyProtocol
from wildcore.records.continuations import put_off, same_beginning, was_cut
from wildcore.records.run_folder import CaseRecord, EditOutcome, ProbeRecord, RunFolder
from wildcore.records.trace_files import write_case_traces
from wildcore.types import EditCase, Output, Probe

NOT_STACKED = "judged alone: its patch cannot share a batch"

QuestionsByProtocol = dict[str, list[Question]]
AnswersByProtocol = dict[str, list[Answers]]
Continued = dict[tuple[str, int], Output | None]
"""What an edited model says with the stop rule put off, by protocol and the probe's number."""


@dataclass
class Examiner:
    """Puts cases to a model under every protocol. What the unedited model says is asked once and kept."""

    model: LoadedModel
    protocols: Sequence[ReadyProtocol]
    unedited: UneditedAnswers
    continuation: int = 0
    """Characters for which an edited model goes on after its answer to an edit prompt, to see what follows; 0: not looked at."""

    def questions(self, case: EditCase) -> QuestionsByProtocol:
        """Return the case's probes as each protocol puts them, by protocol name."""
        return {protocol.name: pose(self.model, protocol, case.probes) for protocol in self.protocols}

    def before(self, cases: Sequence[QuestionsByProtocol]) -> list[AnswersByProtocol]:
        """Return the unedited model's answers to each case; the model must be unedited."""
        shared = self._shared(cases, [0] * len(cases))
        return _by_case(cases, {p.name: self.unedited.answers(p, _all(cases, p.name), shared) for p in self.protocols})

    def questions_after(self, case: QuestionsByProtocol, patch: Patch) -> QuestionsByProtocol:
        """Return the case's questions as the edited model is asked them: the same, unless the patch changes prompts."""
        if not changes_prompts(patch):
            return case
        with patch.applied(self.model):
            return {protocol: rewritten(self.model, questions) for protocol, questions in case.items()}

    def after(self, cases: Sequence[QuestionsByProtocol], patches: Sequence[Patch]) -> list[AnswersByProtocol]:
        """Return each edited model's answers to its case: together where patches and generators allow it.

        How a patch is judged depends on the patch alone, not on those beside it. The questions are those of
        ``questions_after``, so that a patch that changes prompts has done its part.
        """
        if not patches:
            return []
        if all(shares_a_batch(patch) for patch in patches):
            return self._after_each(cases, patches)
        if all(patch is patches[0] for patch in patches):
            return self._after_one(cases, patches[0])
        return [self.after([case], [patch])[0] for case, patch in zip(cases, patches, strict=True)]

    def continued(
        self,
        cases: Sequence[EditCase],
        asked: Sequence[QuestionsByProtocol],
        patches: Sequence[Patch],
        after: Sequence[AnswersByProtocol],
    ) -> list[Continued]:
        """Return what each edited model says with the stop rule put off, where that ended an answer to an edit prompt that holds.

        ``after`` are its answers. Asked apart from them, so that they do not depend on it by a digit.
        """
        found: list[Continued] = [{} for _ in cases]
        if not self.continuation:
            return found
        cut = [self._cut(*one) for one in zip(cases, asked, after, strict=True)]
        chosen = [index for index, places in enumerate(cut) if places]
        names = {name for places in cut for name, _ in places}
        longer = replace(self, protocols=[put_off(p, self.continuation) for p in self.protocols if p.name in names])
        questions = [
            {name: [asked[index][name][place] for own, place in cut[index] if own == name] for name in names}
            for index in chosen
        ]
        for index, given in zip(chosen, longer.after(questions, [patches[i] for i in chosen]), strict=True):
            answers = {name: iter(of_protocol) for name, of_protocol in given.items()}
            for name, place in cut[index]:
                again = next(answers[name])
                found[index][name, place] = same_beginning(after[index][name][place], again)
        return found

    def _cut(self, case: EditCase, asked: QuestionsByProtocol, after: AnswersByProtocol) -> list[tuple[str, int]]:
        """Return which answers to the case's edit prompts hold and were ended by the stop rule: protocols and probes' numbers."""
        return [
            (protocol.name, place)
            for protocol in self.protocols
            for place, probe in enumerate(case.probes)
            if probe.kind == "reliability"
            and was_cut(answers := after[protocol.name][place])
            and _holds(protocol, probe, asked[protocol.name][place], answers)
        ]

    def _after_one(self, cases: Sequence[QuestionsByProtocol], patch: Patch) -> list[AnswersByProtocol]:
        """Return the answers of one edited model to all cases."""
        shared = self._shared(cases, [0] * len(cases)) if can_share_prompts(patch) else None
        answers = {p.name: self._under(patch, p, _all(cases, p.name), shared) for p in self.protocols}
        return _by_case(cases, answers)

    def _after_each(self, cases: Sequence[QuestionsByProtocol], patches: Sequence[Patch]) -> list[AnswersByProtocol]:
        """Return each edited model's answers to its case, all in one batch where the generator allows it."""
        stacked = RowPatches(self.model, [_weights(patch) for patch in patches])
        shared = self._shared(cases, range(len(cases)))
        answers: dict[str, list[Answers]] = {}
        for protocol in self.protocols:
            if protocol.generator.row_wise:
                owners = [index for index, case in enumerate(cases) for _ in case[protocol.name]]
                answers[protocol.name] = ask(self.model, protocol, _all(cases, protocol.name), stacked, owners, shared)
            else:
                pairs = zip(cases, patches, strict=True)
                alone = [self._under(patch, protocol, case[protocol.name]) for case, patch in pairs]
                answers[protocol.name] = [given for of_case in alone for given in of_case]
        return _by_case(cases, answers)

    def _under(
        self, patch: Patch, protocol: ReadyProtocol, questions: Sequence[Question], shared: SharedPrompts | None = None
    ) -> list[Answers]:
        with nullcontext() if isinstance(patch, PromptPatch) else patch.applied(self.model):
            return ask(self.model, protocol, questions, shared=shared)

    def _shared(self, cases: Sequence[QuestionsByProtocol], owners: Sequence[int]) -> SharedPrompts:
        """Return what keeps the prompts that several protocols put; ``owners`` says which model each case is put to."""
        names = [protocol.name for protocol in self.protocols if protocol.generator.row_wise]
        owned = list(zip(owners, cases, strict=True))
        asked = [[(owner, question.prompt) for owner, case in owned for question in case[name]] for name in names]
        return SharedPrompts(self.model, asked if len(names) > 1 else [])


def _holds(protocol: ReadyProtocol, probe: Probe, question: Question, answers: Answers) -> bool:
    """Say whether the first metric of edit prompts gives ``answers`` 1; also where it is too expensive to be asked here."""
    metric = next((metric for _, metric in protocol.metrics.get("reliability", ()) if not metric.reads_unedited), None)
    if metric is None or metric.expensive:
        return True
    items = [answered(probe, question.gold.token_ids, answer) for answer in answers]
    return all(score.value == 1 for score in metric.score(items))


def shares_a_batch(patch: Patch) -> bool:
    """Say whether rows under this patch can be in one batch with rows under others: it is one edit's, not a sequence's, and
    chooses nothing by the prompt.
    """
    return not isinstance(patch, Accumulated) and can_share_prompts(patch)


def _weights(patch: Patch) -> list[WeightPatch]:
    return [patch] if isinstance(patch, WeightPatch) else []


OnCase = Callable[[CaseRecord], None]


def run(
    editor: Editor,
    examiner: Examiner,
    cases: Iterable[EditCase],
    environment: Environment,
    folder: RunFolder,
    on_case: OnCase,
    together: int = 1,
    done: Collection[str] = (),
) -> None:
    """Carry out every case as a single edit judged right after itself, and append each to the run's journal.

    ``together`` edits are solved and judged at a time. Where ``environment`` has a trace, each case's is kept in the folder. The
    other arguments are those of ``in_groups``. The model is the unedited one before and after.
    """
    editor.reset()
    editor.prepare(examiner.model, environment)

    def carry_out(group: Sequence[EditCase]) -> list[CaseRecord]:
        records = run_cases(editor, examiner, group)
        write_case_traces(folder.path, environment.trace, group)
        return records

    in_groups(carry_out, cases, folder, on_case, environment.progress, together, done)


def in_groups(
    carry_out: Callable[[Sequence[EditCase]], list[CaseRecord]],
    cases: Iterable[EditCase],
    folder: RunFolder,
    on_case: OnCase,
    progress: Progress,
    together: int,
    done: Collection[str],
) -> None:
    """Carry out ``together`` cases at a time, or where memory does not suffice half as many as were tried, which is noted.

    Cases ``done`` (ids) are not recorded again, but one is carried out again where another of its group is missing: a group has
    the same members in a run taken up again, which so ends with the same digits. That holds as long as memory suffices. Where a
    group was halved, what is left of it and all later ones go on with fewer; a run taken up again begins with ``together``
    once more, so that its groups may have other members and its measured numbers other last digits. Raises
    ``OutOfMemoryError`` where not even one case can be carried out.
    """
    waiting = iter(cases)
    while group := list(islice(waiting, together)):
        while any(case.id not in done for case in group):
            tried = min(together, len(group))
            try:
                records = carry_out(group[:tried])
            except OutOfMemoryError:
                if tried == 1:
                    raise
                together = tried // 2
                progress.note(f"out of memory; going on with {together} edits at once")
                continue
            for record in records:
                if record.case not in done:
                    folder.append(record)
                    on_case(record)
            group = group[len(records) :]


def run_cases(editor: Editor, examiner: Examiner, cases: Sequence[EditCase]) -> list[CaseRecord]:
    """Make independent edits and judge them."""
    results, seconds = timed_edits(editor, examiner.model, cases)
    patches = [None if isinstance(result, Refused) else result for result in results]
    return judge(examiner, cases, [_outcome(result, seconds) for result in results], patches)


def judge(
    examiner: Examiner, cases: Sequence[EditCase], outcomes: Sequence[EditOutcome], patches: Sequence[Patch | None]
) -> list[CaseRecord]:
    """Ask the unedited model each case's questions, then the model under its patch; not that where there is none."""
    questions = [examiner.questions(case) for case in cases]
    before = examiner.before(questions)
    edited = {index: patch for index, patch in enumerate(patches) if patch is not None}
    asked = [examiner.questions_after(questions[index], patch) for index, patch in edited.items()]
    given = examiner.after(asked, list(edited.values()))
    continued = examiner.continued([cases[index] for index in edited], asked, list(edited.values()), given)
    after = dict(zip(edited, zip(asked, given, continued, strict=True), strict=True))
    return [
        CaseRecord(
            case=case.id,
            request=case.request,
            tags=case.tags,
            edit=outcomes[index],
            probes=tuple(_probe_records(examiner.model, case, questions[index], before[index], after.get(index))),
        )
        for index, case in enumerate(cases)
    ]


def timed_edits(editor: Editor, model: LoadedModel, cases: Sequence[EditCase]) -> tuple[list[Patch | Refused], float]:
    """Ask the editor for a patch for each case; a refusal is an outcome, not an error. Returns also the seconds for each edit:
    those made together share the time.
    """
    start = time.perf_counter()
    asked = each_or_refusal(partial(within_context, model), [case.request for case in cases])
    readable = [request for request in asked if not isinstance(request, Refused)]
    made = iter(editor.edit_each(model, readable) if readable else ())
    results = [one if isinstance(one, Refused) else next(made) for one in asked]
    return results, (time.perf_counter() - start) / len(cases)


def _outcome(result: Patch | Refused, seconds: float) -> EditOutcome:
    if isinstance(result, Refused):
        return EditOutcome(status="refused", reason=str(result), seconds=seconds)
    fallback = None if shares_a_batch(result) else NOT_STACKED
    return EditOutcome(status="edited", seconds=seconds, patch=result.describe(), fallback=fallback)


def _all(cases: Sequence[QuestionsByProtocol], protocol: str) -> list[Question]:
    return [question for case in cases for question in case[protocol]]


def _by_case(cases: Sequence[QuestionsByProtocol], answers: AnswersByProtocol) -> list[AnswersByProtocol]:
    """Cut the answers to all cases' questions into each case's own."""
    split: list[AnswersByProtocol] = [{} for _ in cases]
    for protocol, given in answers.items():
        ends = list(accumulate(len(case[protocol]) for case in cases))
        for index, end in enumerate(ends):
            split[index][protocol] = given[end - len(cases[index][protocol]) : end]
    return split


def _probe_records(
    model: LoadedModel,
    case: EditCase,
    questions: QuestionsByProtocol,
    before: AnswersByProtocol,
    after: tuple[QuestionsByProtocol, AnswersByProtocol, Continued] | None,
) -> Iterator[ProbeRecord]:
    for protocol, posed in questions.items():
        for index, (probe, question) in enumerate(zip(case.probes, posed, strict=True)):
            asked = after[0][protocol][index] if after else question
            yield ProbeRecord(
                protocol=protocol,
                probe=index,
                kind=probe.kind,
                question=probe.prompt,
                answers=probe.answers,
                prompt=question.prompt.text,
                prompt_after=None if asked.prompt == question.prompt else asked.prompt.text,
                gold_token_ids=question.gold.token_ids,
                before=before[protocol][index],
                after=after[1][protocol][index] if after else (),
                continued=after[2].get((protocol, index)) if after else None,
                unanswered=unanswerable(model, question) or unanswerable(model, asked),
            )
