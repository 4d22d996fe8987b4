"""The realistic evaluation of edits: task instruction, autoregressive decoding, natural stop, exact match."""

from collections.abc import Iterable

from wildcore import Context, EvalProtocol, Generator, Metric, Offer, Truncator, Use, hookimpl, lazy
from wildcore_wild.parameters import (
    AutoregressiveParams,
    ChatParams,
    ExactMatchParams,
    MatchParams,
    QAInstructionParams,
    SentenceParams,
    StopStringsParams,
)

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 4"
SQUAD = "Rajpurkar et al., SQuAD, EMNLP 2016"


@hookimpl
def wildcore_contexts() -> Iterable[Offer[Context]]:
    """Offer the question after an instruction, and the model's own chat template."""
    return [
        Offer(
            "qa-instruction",
            lazy("wildcore_wild.contexts:QAInstruction"),
            QAInstructionParams,
            "the question behind a task instruction",
            MIRAGE,
        ),
        Offer(
            "chat",
            lazy("wildcore_wild.contexts:Chat"),
            ChatParams,
            "the question as a user's message in the tokenizer's own chat template",
        ),
    ]


@hookimpl
def wildcore_generators() -> Iterable[Offer[Generator]]:
    """Offer greedy decoding."""
    summary = "greedy decoding with a key-value cache; ends by the truncator's rule or at the end of sequence"
    return [
        Offer(
            "autoregressive", lazy("wildcore_wild.autoregressive:Autoregressive"), AutoregressiveParams, summary, MIRAGE
        )
    ]


@hookimpl
def wildcore_truncators() -> Iterable[Offer[Truncator]]:
    """Offer the two natural stops."""
    return [
        Offer(
            "stop-strings",
            lazy("wildcore_wild.truncators:StopStrings"),
            StopStringsParams,
            "ends the answer before the first stop string",
            MIRAGE,
        ),
        Offer(
            "sentence",
            lazy("wildcore_wild.truncators:Sentence"),
            SentenceParams,
            'ends the answer after its first sentence, in any script; does not cut "U.S." or "3.5"',
        ),
    ]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer exact match, and equality with the unedited model's answer."""
    return [
        Offer(
            "exact-match",
            lazy("wildcore_wild.metrics:ExactMatch"),
            ExactMatchParams,
            "1 if the answer equals any accepted answer, normalised",
            SQUAD,
        ),
        Offer(
            "careful-match",
            lazy("wildcore_wild.metrics:CarefulMatch"),
            MatchParams,
            'exact match that keeps signs, decimal marks and symbols: "-5", "3.5", "C++"',
        ),
        Offer(
            "folded-match",
            lazy("wildcore_wild.metrics:FoldedMatch"),
            MatchParams,
            "exact match that takes look-alike characters for the same: apostrophes, dashes, full width",
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
