"""Asks a model a user's own questions, as a protocol asks them, before an edit and after it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildcore.api.jobs import job, joined_settings, plugins, protocol_names
from wildcore.api.naming import errors_in_python
from wildcore.api.patches import ModelPatch, fitting
from wildcore.api.progress import reporter_for
from wildcore.datasets.selection import CaseFilter, CaseReader, other_form_note
from wildcore.defaults import WILD
from wildcore.errors import Option, UserError
from wildcore.jobs.build import make_reader
from wildcore.jobs.in_use import in_use, require_unedited
from wildcore.jobs.protocols import ready_protocols
from wildcore.jobs.spec import AskJob, CaseChoice, names_used
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter
from wildcore.scripts import SEPARATORS, SeparatorChoice
from wildcore.storage.cache import cache_folder
from wildcore.types import (
    Answer,
    AnsweredProbe,
    EditCase,
    EditRequest,
    EvalProtocol,
    FrozenData,
    Malformed,
    Probe,
    ProbeKind,
)

if TYPE_CHECKING:
    from wildcore.interfaces import Patch
    from wildcore.models.loaded import LoadedModel

UNKNOWN = ""
"""The answer of a question that has none."""

BATCHES_AT_ONCE = 8
"""Number of batches of questions between two steps of the progress bar."""


class Reply(FrozenData, frozen=True):
    """A model's answer to one question under ``protocol``.

    ``accepted`` are the right answers; empty if the question has none. ``prompt`` is what the model read. ``answers`` holds
    one answer, or one for each sample drawn, or none; ``unanswered`` then says why.
    """

    protocol: str
    question: str
    accepted: tuple[str, ...]
    kind: ProbeKind
    prompt: str
    gold_token_ids: tuple[int, ...]
    answers: tuple[Answer, ...]
    unanswered: str | None = None

    @property
    def text(self) -> str | None:
        """The answer as the protocol cuts it; of several samples the first. None: there is no answer."""
        return self.answers[0].text if self.answers else None

    @property
    def output(self) -> str | None:
        """Everything that the model generated, before it was cut. None: there is no answer."""
        return self.answers[0].output.text if self.answers else None

    def __repr__(self) -> str:
        if self.unanswered:
            return f"Reply({self.question!r}: unanswered: {self.unanswered})"
        samples = f", the first of {len(self.answers)} samples" if len(self.answers) > 1 else ""
        return f"Reply({self.question!r} -> {self.text!r}, cut from {self.output!r}{samples})"

    __str__ = __repr__


def question(
    prompt: str, answer: str, *others: str, kind: ProbeKind = "reliability", rival: str | None = None
) -> Probe:
    """Return a question with the right ``answer`` and ``others`` that are accepted too, so that a reply can be scored.

    ``rival`` is the answer that the right one competes with, for metrics that compare the two.
    """
    return Probe(kind=kind, prompt=prompt, answers=(answer, *others), rival=rival)


@errors_in_python
def ask(
    model: "LoadedModel",
    questions: str | Probe | Sequence[str | Probe],
    protocol: str | EvalProtocol = WILD,
    *,
    patch: ModelPatch | str | Path | None = None,
    context: str | None = None,
    generator: str | None = None,
    truncator: str | None = None,
    dataset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    sample_seed: int = 0,
    batch_size: int = 32,
    target_separator: SeparatorChoice = "auto",
    progress: bool = True,
) -> list[Reply]:
    """Ask ``model``, under ``patch`` if one is given, and return its replies in order, the same as in a run of ``protocol``.

    ``context``, ``generator`` and ``truncator`` replace those of the protocol; ``settings`` maps names such as
    "generator.max_new_tokens" to values; ``dataset`` is for contexts that show examples, which are drawn by ``sample_seed``.
    The unedited model's answers are kept in the cache, as in a run. Raises ``UserError`` for bad input, and for a protocol that
    reads the right answer if a question has none.
    """
    require_unedited(model)
    (name,), own = protocol_names([protocol])
    registry = plugins(own)
    spec = job(
        AskJob,
        dataset=dataset,
        protocols=(name,),
        context=context,
        generator=generator,
        truncator=truncator,
        settings=joined_settings(settings),
        sample_seed=sample_seed,
        batch_size=batch_size,
        target_separator=target_separator,
    )
    ready = ready_protocols(registry, spec, names_used(registry, [], dataset), _reader(registry, spec))[0]
    asked = [_probe(one) for one in ([questions] if isinstance(questions, str | Probe) else questions)]
    probes = [probe.with_separator(SEPARATORS[spec.target_separator]).with_canonical_answers() for probe in asked]
    _require_answers(ready, probes)
    reporter = reporter_for(progress)
    if changed := sum(one.answers != other.answers for one, other in zip(asked, probes, strict=True)):
        reporter.note(other_form_note(changed, "questions"))
    applied = None if patch is None else fitting(patch, model).patch
    with in_use(model, batch_size):
        replies = list(_replies(model, ready, probes, applied, batch_size * BATCHES_AT_ONCE, reporter))
    return replies


def _replies(
    model: "LoadedModel",
    protocol: ReadyProtocol,
    probes: Sequence[Probe],
    patch: "Patch | None",
    together: int,
    reporter: Reporter,
) -> Iterator[Reply]:
    from wildcore.evaluation.examiner import Examiner
    from wildcore.evaluation.questions import unanswerable  # heavy
    from wildcore.evaluation.unedited import UneditedAnswers

    examiner = Examiner(model, [protocol], UneditedAnswers(cache_folder(), model))
    with reporter.track("asking", len(probes)) as advance:
        for start in range(0, len(probes), together):
            group = tuple(probes[start : start + together])
            case = EditCase(id="asked", request=EditRequest(prompt="", target=""), probes=group)
            posed = examiner.questions(case)
            if patch is None:
                answers = examiner.answer_unedited([posed])[0]
            else:
                posed = examiner.rewrite_questions(posed, patch)
                answers = examiner.answer_edited([posed], [patch])[0]
            for probe, put, given in zip(group, posed[protocol.name], answers[protocol.name], strict=True):
                yield Reply(
                    protocol=protocol.name,
                    question=probe.prompt,
                    accepted=() if probe.answers == (UNKNOWN,) else probe.answers,
                    kind=probe.kind,
                    prompt=put.prompt.text,
                    gold_token_ids=put.gold.token_ids,
                    answers=given,
                    unanswered=unanswerable(model, put),
                )
            advance(len(group))
    for remark in (*model.warnings, *examiner.unedited.notes()):
        reporter.note(remark)


def answered_probes(reply: Reply, unedited: Reply | None) -> list[AnsweredProbe]:
    """Return a reply as a metric receives it, once for each sample; ``unedited`` None: the reply itself is used in its place.

    Raises ``UserError`` for a reply to a question without an answer.
    """
    if not reply.accepted:
        raise UserError(
            "the question came without an answer to compare with",
            about=repr(reply.question),
            way_out="ask it as wildcore.api.question(prompt, answer)",
        )
    asked = Probe(kind=reply.kind, prompt=reply.question, answers=reply.accepted)
    return [
        asked.answered(answer, reply.gold_token_ids, other)
        for answer, other in zip(reply.answers, (unedited or reply).answers, strict=False)
    ]


def _probe(given: str | Probe) -> Probe:
    if isinstance(given, Probe):
        return given
    if not isinstance(given, str):
        raise UserError(f"expected text or what wildcore.api.question returns, found {given!r:.80}", about="questions")
    return Probe(kind="reliability", prompt=given, answers=(UNKNOWN,))


def _require_answers(protocol: ReadyProtocol, probes: Sequence[Probe]) -> None:
    readers = [part for part in ("generator", "truncator") if getattr(protocol, part).reads_gold]
    without = [probe for probe in probes if probe.answers == (UNKNOWN,)]
    if readers and without:
        raise UserError(
            f"the right answer is read by its {' and its '.join(readers)}, and {without[0].prompt!r} comes without",
            about=f"protocol {protocol.name}",
            way_out="ask it as wildcore.api.question(prompt, answer)",
        )


class _NoDataset:
    def cases(self) -> Iterator[EditCase | Malformed]:
        raise UserError(
            "it shows examples of a dataset, and none is named",
            about=Option("context"),
            way_out=("name one (", Option("dataset", "NAME"), ")"),
        )


def _reader(registry: Registry, spec: AskJob) -> CaseReader:
    if not spec.dataset:
        return CaseReader("", _NoDataset(), CaseFilter())
    return make_reader(
        registry, CaseChoice(dataset=spec.dataset, settings=spec.settings, sample_seed=spec.sample_seed)
    )[0]
