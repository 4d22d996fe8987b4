"""Asks the unedited and the edited model the questions of cases under every protocol.

A change of weights is computed beside the weights, for one edit as for many: each answer is the same as it would be alone,
except for last digits that depend on a batch's size and shape. Only a generator that is not row-wise reads from weights to
which the change has been added, rounded to their dtype; this too is the same for one edit as for many.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate

from wildcore.evaluation.questions import (
    Answers,
    Question,
    generate_answers,
    render_questions,
    rewritten,
    unanswerable,
)
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.inference.prompt_cache import PromptCache
from wildcore.interfaces import NO_PROGRESS, Patch, Progress
from wildcore.models.loaded import LoadedModel
from wildcore.patches.accumulated import CombinedPatch, can_share_prompts, changes_prompts
from wildcore.patches.batched import RowPatches
from wildcore.patches.modules import ModulePatch
from wildcore.patches.prompts import PromptPatch
from wildcore.patches.routed import RoutedPatches, find_routed
from wildcore.patches.weights import WeightPatch
from wildcore.protocols import ReadyProtocol
from wildcore.records.continuations import put_off, same_beginning, was_cut
from wildcore.types import EditCase, Output, Probe

QuestionsByProtocol = dict[str, list[Question]]
AnswersByProtocol = dict[str, list[Answers]]
Continued = dict[tuple[str, int], Output | None]
"""The output of an edited model without the stop rule, by protocol and by the probe's index."""


@dataclass
class Examiner:
    """Asks a model the questions of cases under every protocol. The unedited model's answers are computed once and kept."""

    model: LoadedModel
    protocols: Sequence[ReadyProtocol]
    unedited: UneditedAnswers
    continuation: int = 0
    """Number of characters for which an edited model continues after its answer to an edit prompt (0: none), to show what
    follows."""
    reuses_unedited: bool = True
    """Whether answers of the unedited model are taken for those to prompts that a routed patch leaves as they are."""
    progress: Progress = NO_PROGRESS
    """Where it is shown under which protocol which model is asked, and for how long."""

    def questions(self, case: EditCase) -> QuestionsByProtocol:
        """Return the case's probes as rendered by each protocol, by protocol name."""
        return {protocol.name: render_questions(self.model, protocol, case.probes) for protocol in self.protocols}

    def answer_unedited(self, cases: Sequence[QuestionsByProtocol]) -> list[AnswersByProtocol]:
        """Return the unedited model's answers to each case; the model must be unedited."""
        shared = self._shared(cases, [0] * len(cases))
        answers: AnswersByProtocol = {}
        for protocol in self.protocols:
            with self.progress.track(f"asking the unedited model, {protocol.name}", None):
                answers[protocol.name] = self.unedited.answers(protocol, _all(cases, protocol.name), shared)
        return _by_case(cases, answers)

    def rewrite_questions(self, case: QuestionsByProtocol, patch: Patch) -> QuestionsByProtocol:
        """Return the case's questions for the edited model: unchanged, unless the patch changes prompts."""
        if not changes_prompts(patch):
            return case
        with patch.applied(self.model):
            return {protocol: rewritten(self.model, questions) for protocol, questions in case.items()}

    def answer_edited(self, cases: Sequence[QuestionsByProtocol], patches: Sequence[Patch]) -> list[AnswersByProtocol]:
        """Return each edited model's answers to its case, computed together if patches and generators allow it.

        The answers under a patch depend on that patch alone, not on the others in the batch. The questions must come from
        ``rewrite_questions``, so that a patch that changes prompts has already been used.
        """
        if not patches:
            return []
        with self.progress.track("asking the edited models", None):
            return self._after(cases, patches)

    def _after(self, cases: Sequence[QuestionsByProtocol], patches: Sequence[Patch]) -> list[AnswersByProtocol]:
        """Return each edited model's answers to its case."""
        if all(shares_a_batch(patch) for patch in patches):
            return self._after_each(cases, patches)
        routed = find_routed(patches)
        if routed is not None:
            return self._after_routed(cases, routed)
        if all(patch is patches[0] for patch in patches):
            return self._after_one(cases, patches[0])
        return [self._after([case], [patch])[0] for case, patch in zip(cases, patches, strict=True)]

    def continued(
        self,
        cases: Sequence[EditCase],
        asked: Sequence[QuestionsByProtocol],
        patches: Sequence[Patch],
        after: Sequence[AnswersByProtocol],
    ) -> list[Continued]:
        """Return each edited model's continuations of answers to edit prompts that are correct and were ended by the stop
        rule.

        ``answer_edited`` are its answers. Continuations are generated separately, so that they cannot change a digit of the
        answers.
        """
        found: list[Continued] = [{} for _ in cases]
        if not self.continuation:
            return found
        cut = [self._cut(*one) for one in zip(cases, asked, after, strict=True)]
        chosen = [index for index, places in enumerate(cut) if places]
        names = {name for places in cut for name, _ in places}
        delayed = [put_off(p, self.continuation) for p in self.protocols if p.name in names]
        longer = replace(self, protocols=delayed, reuses_unedited=False)  # kept answers are those of the undelayed rule
        questions = [
            {name: [asked[index][name][place] for own, place in cut[index] if own == name] for name in names}
            for index in chosen
        ]
        for index, given in zip(chosen, longer.answer_edited(questions, [patches[i] for i in chosen]), strict=True):
            answers = {name: iter(of_protocol) for name, of_protocol in given.items()}
            for name, place in cut[index]:
                again = next(answers[name])
                found[index][name, place] = same_beginning(after[index][name][place], again)
        return found

    def _cut(self, case: EditCase, asked: QuestionsByProtocol, after: AnswersByProtocol) -> list[tuple[str, int]]:
        """Return which answers to the case's edit prompts are correct and were ended by the stop rule: protocols and probe
        indices.
        """
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

    def _after_routed(
        self, cases: Sequence[QuestionsByProtocol], patches: Sequence[ModulePatch]
    ) -> list[AnswersByProtocol]:
        """Return each edited model's answers to its case, in one batch if the generator allows it; those to prompts that a
        patch leaves as they are, from the unedited model's.
        """
        different = list({id(patch): patch for patch in patches}.values())
        numbers = {id(patch): number for number, patch in enumerate(different)}
        stacked = RoutedPatches(self.model, different)
        answers: AnswersByProtocol = {}
        for protocol in self.protocols:
            asked = _all(cases, protocol.name)
            pairs = zip(cases, patches, strict=True)
            owners = [numbers[id(patch)] for case, patch in pairs for _ in case[protocol.name]]
            found: dict[int, Answers] = {}
            if protocol.generator.supports_row_patches:
                found = self._left_unedited(stacked, protocol, asked, owners)
                others = [index for index in range(len(asked)) if index not in found]
                questions = [asked[index] for index in others]
                given = generate_answers(self.model, protocol, questions, stacked, [owners[index] for index in others])
                found |= dict(zip(others, given, strict=True))
            else:
                for number, patch in enumerate(different):
                    own = [index for index, owner in enumerate(owners) if owner == number]
                    found |= dict(zip(own, self._under(patch, protocol, [asked[i] for i in own]), strict=True))
            answers[protocol.name] = [found[index] for index in range(len(asked))]
        return _by_case(cases, answers)

    def _left_unedited(
        self, stacked: RoutedPatches, protocol: ReadyProtocol, asked: Sequence[Question], owners: Sequence[int]
    ) -> dict[int, Answers]:
        """Return the unedited model's answers to the questions that the patches leave as they are, by their indices."""
        if not self.reuses_unedited:
            return {}
        whole = [index for index, question in enumerate(asked) if not unanswerable(self.model, question)]
        left = stacked.leave_unedited([asked[index].prompt for index in whole], [owners[index] for index in whole])
        found = [index for index, unedited in zip(whole, left, strict=True) if unedited]
        self.unedited.reused += len(found)
        return dict(zip(found, self.unedited.answers(protocol, [asked[index] for index in found]), strict=True))

    def _after_each(self, cases: Sequence[QuestionsByProtocol], patches: Sequence[Patch]) -> list[AnswersByProtocol]:
        """Return each edited model's answers to its case, all in one batch if the generator allows it."""
        stacked = RowPatches(self.model, [_weights(patch) for patch in patches])
        shared = self._shared(cases, range(len(cases)))
        answers: dict[str, list[Answers]] = {}
        for protocol in self.protocols:
            if protocol.generator.supports_row_patches:
                owners = [index for index, case in enumerate(cases) for _ in case[protocol.name]]
                answers[protocol.name] = generate_answers(
                    self.model, protocol, _all(cases, protocol.name), stacked, owners, shared
                )
            else:
                pairs = zip(cases, patches, strict=True)
                alone = [self._under(patch, protocol, case[protocol.name]) for case, patch in pairs]
                answers[protocol.name] = [given for of_case in alone for given in of_case]
        return _by_case(cases, answers)

    def _under(
        self, patch: Patch, protocol: ReadyProtocol, questions: Sequence[Question], shared: PromptCache | None = None
    ) -> list[Answers]:
        with nullcontext() if isinstance(patch, PromptPatch) else patch.applied(self.model):
            return generate_answers(self.model, protocol, questions, shared=shared)

    def _shared(self, cases: Sequence[QuestionsByProtocol], owners: Sequence[int]) -> PromptCache:
        """Return the prompt cache for the prompts that several protocols ask; ``owners`` holds the model of each case."""
        names = [protocol.name for protocol in self.protocols if protocol.generator.supports_row_patches]
        owned = list(zip(owners, cases, strict=True))
        asked = [[(owner, question.prompt) for owner, case in owned for question in case[name]] for name in names]
        return PromptCache(self.model, asked if len(names) > 1 else [])


def _holds(protocol: ReadyProtocol, probe: Probe, question: Question, answers: Answers) -> bool:
    """Return whether the first metric of edit prompts scores ``answers`` 1; also true if that metric is too expensive to use
    here.
    """
    metric = next((metric for _, metric in protocol.metrics.get("reliability", ()) if not metric.reads_unedited), None)
    if metric is None or metric.expensive:
        return True
    items = [probe.answered(answer, question.gold.token_ids) for answer in answers]
    return all(score.value == 1 for score in metric.score(items))


def shares_a_batch(patch: Patch) -> bool:
    """Return whether rows under this patch can share a batch with rows under others: it belongs to one edit, not to a
    sequence, and does not route by the prompt.
    """
    return not isinstance(patch, CombinedPatch) and can_share_prompts(patch)


def _weights(patch: Patch) -> list[WeightPatch]:
    return [patch] if isinstance(patch, WeightPatch) else []


def _all(cases: Sequence[QuestionsByProtocol], protocol: str) -> list[Question]:
    return [question for case in cases for question in case[protocol]]


def _by_case(cases: Sequence[QuestionsByProtocol], answers: AnswersByProtocol) -> list[AnswersByProtocol]:
    """Split the answers to all cases' questions by case."""
    split: list[AnswersByProtocol] = [{} for _ in cases]
    for protocol, given in answers.items():
        ends = list(accumulate(len(case[protocol]) for case in cases))
        for index, end in enumerate(ends):
            split[index][protocol] = given[end - len(cases[index][protocol]) : end]
    return split
