"""The older way to evaluate edits: bare question, teacher forcing, output cut to the gold's length, token match."""

from collections.abc import Iterable
from typing import Any

from wildcore import Context, EvalProtocol, Generator, Metric, NoParams, Offer, Truncator, Use, hookimpl

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 4"


def _question_only(params: NoParams) -> Context:
    from wildcore_synthetic.modules import QuestionOnly

    return QuestionOnly()


def _teacher_forcing(params: NoParams) -> Generator:
    from wildcore_synthetic.modules import TeacherForcing

    return TeacherForcing()


def _gold_length(params: NoParams) -> Truncator:
    from wildcore_synthetic.modules import GoldLength

    return GoldLength()


def _token_match(params: NoParams) -> Metric:
    from wildcore_synthetic.metrics import TokenMatch

    return TokenMatch()


def _token_agreement(params: NoParams) -> Metric:
    from wildcore_synthetic.metrics import TokenAgreement

    return TokenAgreement()


@hookimpl
def wildcore_contexts() -> Iterable[Offer[Any]]:
    """Offer the bare question."""
    return [Offer("question-only", _question_only, summary="the bare question, nothing around it", cites=MIRAGE)]


@hookimpl
def wildcore_generators() -> Iterable[Offer[Any]]:
    """Offer teacher forcing."""
    summary = "predicts each gold token with all earlier gold tokens given; reads the gold"
    return [Offer("teacher-forcing", _teacher_forcing, summary=summary, cites=MIRAGE)]


@hookimpl
def wildcore_truncators() -> Iterable[Offer[Any]]:
    """Offer truncation to the gold's length."""
    summary = "cuts the output to as many tokens as the gold has; reads the gold"
    return [Offer("gold-length", _gold_length, summary=summary, cites=MIRAGE)]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Any]]:
    """Offer the two token ratios."""
    return [
        Offer("token-match", _token_match, summary="share of the gold's tokens predicted at their place", cites=MIRAGE),
        Offer(
            "token-agreement",
            _token_agreement,
            summary="share of places where the token is the one that the unedited model gave (locality)",
            cites=MIRAGE,
        ),
    ]


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer ``synthetic``."""
    match = (Use(name="token-match"),)
    return [
        EvalProtocol(
            name="synthetic",
            summary="bare question, teacher forcing, gold length, token match: how most of the literature measures",
            cites=MIRAGE,
            context=Use(name="question-only"),
            generator=Use(name="teacher-forcing"),
            truncator=Use(name="gold-length"),
            metrics={
                "reliability": match,
                "generalization": match,
                "locality": (Use(name="token-agreement"),),
                "portability": match,
            },
        )
    ]
