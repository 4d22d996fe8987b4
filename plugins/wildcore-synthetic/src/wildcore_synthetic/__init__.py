"""The older evaluation of edits: bare question, teacher forcing, output cut to the gold's length, token match."""

from collections.abc import Iterable

from wildcore import Context, EvalProtocol, Generator, Metric, Offer, Truncator, Use, hookimpl, lazy

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 4"


@hookimpl
def wildcore_contexts() -> Iterable[Offer[Context]]:
    """Offer the bare question."""
    return [
        Offer(
            "question-only",
            lazy("wildcore_synthetic.modules:QuestionOnly"),
            summary="the bare question, nothing around it",
            cites=MIRAGE,
        )
    ]


@hookimpl
def wildcore_generators() -> Iterable[Offer[Generator]]:
    """Offer teacher forcing."""
    summary = "predicts each gold token with all earlier gold tokens given; reads the gold"
    return [Offer("teacher-forcing", lazy("wildcore_synthetic.modules:TeacherForcing"), summary=summary, cites=MIRAGE)]


@hookimpl
def wildcore_truncators() -> Iterable[Offer[Truncator]]:
    """Offer truncation to the gold's length."""
    summary = "cuts the output to as many tokens as the gold has; reads the gold"
    return [Offer("gold-length", lazy("wildcore_synthetic.modules:GoldLength"), summary=summary, cites=MIRAGE)]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer the two token ratios."""
    return [
        Offer(
            "token-match",
            lazy("wildcore_synthetic.metrics:TokenMatch"),
            summary="share of the gold's tokens predicted at their place",
            cites=MIRAGE,
        ),
        Offer(
            "token-agreement",
            lazy("wildcore_synthetic.metrics:TokenAgreement"),
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
