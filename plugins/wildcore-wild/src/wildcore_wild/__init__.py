"""The realistic evaluation of edits: task instruction, autoregressive decoding, natural stop, exact match."""

from collections.abc import Iterable

from wildcore import Context, EvalProtocol, Generator, Metric, Offer, Truncator, Use, hookimpl, lazy
from wildcore_wild.parameters import (
    AutoregressiveParams,
    ChatParams,
    ExactMatchParams,
    QAInstructionParams,
    StopStringsParams,
)

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 4"
SQUAD = "Rajpurkar et al., SQuAD, EMNLP 2016"


def _qa_instruction(params: QAInstructionParams) -> Context:
    from wildcore_wild.contexts import QAInstruction

    return QAInstruction(params.template)


def _chat(params: ChatParams) -> Context:
    from wildcore_wild.contexts import Chat

    return Chat(params.system, params.add_special_tokens)


def _autoregressive(params: AutoregressiveParams) -> Generator:
    from wildcore_wild.autoregressive import Autoregressive

    return Autoregressive(params.max_new_tokens)


def _stop_strings(params: StopStringsParams) -> Truncator:
    from wildcore_wild.truncators import StopStrings

    return StopStrings(params.stops)


def _exact_match(params: ExactMatchParams) -> Metric:
    from wildcore_wild.metrics import ExactMatch

    return ExactMatch(params.aliases)


@hookimpl
def wildcore_contexts() -> Iterable[Offer[Context]]:
    """Offer the question after an instruction, and the model's own chat template."""
    return [
        Offer("qa-instruction", _qa_instruction, QAInstructionParams, "the question behind a task instruction", MIRAGE),
        Offer("chat", _chat, ChatParams, "the question as a user's message in the tokenizer's own chat template"),
    ]


@hookimpl
def wildcore_generators() -> Iterable[Offer[Generator]]:
    """Offer greedy decoding."""
    summary = "greedy decoding with a key-value cache; ends by the truncator's rule or at the end of sequence"
    return [Offer("autoregressive", _autoregressive, AutoregressiveParams, summary, MIRAGE)]


@hookimpl
def wildcore_truncators() -> Iterable[Offer[Truncator]]:
    """Offer the two natural stops."""
    return [
        Offer("stop-strings", _stop_strings, StopStringsParams, "ends the answer before the first stop string", MIRAGE),
        Offer(
            "sentence",
            lazy("wildcore_wild.truncators:Sentence"),
            summary='ends the answer after its first sentence; does not cut "U.S." or "3.5"',
        ),
    ]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer exact match, and equality with the unedited model's answer."""
    return [
        Offer(
            "exact-match",
            _exact_match,
            ExactMatchParams,
            "1 if the answer equals any accepted answer, normalised",
            SQUAD,
        ),
        Offer(
            "unchanged",
            lazy("wildcore_wild.metrics:Unchanged"),
            summary="1 if the answer's tokens are those of the unedited model (locality)",
            cites=MIRAGE,
        ),
    ]


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer ``wild``."""
    match = (Use(name="exact-match"),)
    return [
        EvalProtocol(
            name="wild",
            summary="task instruction, autoregressive decoding, natural stop, exact match: how a user would see it",
            cites=MIRAGE,
            context=Use(name="qa-instruction"),
            generator=Use(name="autoregressive"),
            truncator=Use(name="stop-strings"),
            metrics={
                "reliability": match,
                "generalization": match,
                "locality": (Use(name="unchanged"),),
                "portability": match,
            },
        )
    ]
