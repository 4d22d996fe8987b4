"""Evaluation protocols of published code, each under its own name."""

from collections.abc import Iterable

from wildcore import Context, EvalProtocol, Metric, Offer, Truncator, Use, hookimpl, lazy
from wildcore_published.parameters import StripStopsParams

AUTHORS = (
    "Yang et al., The Mirage of Model Editing, ACL 2025; code WanliYoung/Revisit-Editing-Evaluation at 61ccca3, "
    "easyeditor/evaluate/evaluate_utils.py"
)
EASYEDIT = (
    "Wang et al., EasyEdit, ACL 2024 (demonstrations); code zjunlp/EasyEdit at 14cea82, "
    'easyeditor/evaluate/evaluate_utils.py, evaluation_type "LLM-judge"'
)
HARNESS = (
    "Gao et al., lm-evaluation-harness; code EleutherAI/lm-evaluation-harness at 4e7e0d4, "
    "lm_eval/tasks/nq_open/nq_open.yaml, version 4.0"
)


@hookimpl
def wildcore_contexts() -> Iterable[Offer[Context]]:
    """Offer the prompt of the harness's task."""
    return [
        Offer(
            "nq-open",
            lazy("wildcore_published.contexts:NQOpen"),
            summary="the question as lm-evaluation-harness puts it in nq_open",
            cites=HARNESS,
        )
    ]


@hookimpl
def wildcore_truncators() -> Iterable[Offer[Truncator]]:
    """Offer the one-pass stripping of stop strings."""
    summary = "ends with the token that holds a stop string, and takes only a stop string at the very end off"
    return [Offer("strip-stops", lazy("wildcore_published.truncators:StripStops"), StripStopsParams, summary, AUTHORS)]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer EasyEdit's locality and the harness's exact match."""
    return [
        Offer(
            "unchanged-text",
            lazy("wildcore_published.metrics:UnchangedText"),
            summary="1 if the answer's text is that of the unedited model (locality)",
            cites=EASYEDIT,
        ),
        Offer(
            "lm-eval-exact-match",
            lazy("wildcore_published.metrics:HarnessExactMatch"),
            summary="1 if the answer equals any accepted answer, normalised as lm-evaluation-harness does",
            cites=HARNESS,
        ),
    ]


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer four protocols of published code."""
    return [
        _wild_authors("wild-authors", "question-only", "the released code of the WILD paper, by default"),
        _wild_authors(
            "wild-authors-instruction",
            "qa-instruction",
            "the released code of the WILD paper with the instruction of the paper's tables (context_type qa_inst)",
        ),
        _easyedit(),
        _lm_eval(),
    ]


def _wild_authors(name: str, context: str, what: str) -> EvalProtocol:
    match = (Use(name="exact-match", params={"aliases": False}),)
    return EvalProtocol(
        name=name,
        summary=f"{what}, as it runs without a key for its judge; the metric judge can be added",
        cites=AUTHORS,
        context=Use(name=context),
        generator=Use(name="autoregressive", params={"max_new_tokens": 50}),
        truncator=Use(name="strip-stops"),
        metrics={"reliability": match, "generalization": match, "locality": (Use(name="unchanged"),)},
    )


def _easyedit() -> EvalProtocol:
    match = (Use(name="exact-match", params={"aliases": False}),)
    return EvalProtocol(
        name="easyedit",
        summary="EasyEdit's LLM-judge mode, as it runs without a key for its judge; the metric judge can be added",
        cites=EASYEDIT,
        context=Use(name="chat", params={"system": "You are a helpful assistant.", "add_special_tokens": True}),
        generator=Use(name="autoregressive", params={"max_new_tokens": 512}),
        truncator=Use(name="strip-stops"),
        metrics={
            "reliability": match,
            "generalization": match,
            "locality": (Use(name="unchanged-text"),),
            "portability": match,
        },
    )


def _lm_eval() -> EvalProtocol:
    match = (Use(name="lm-eval-exact-match"),)
    return EvalProtocol(
        name="lm-eval",
        summary="the task nq_open of lm-evaluation-harness, without examples; locality is asked for its gold too",
        cites=HARNESS,
        context=Use(name="nq-open"),
        generator=Use(name="autoregressive", params={"max_new_tokens": 256}),
        truncator=Use(name="stop-strings", params={"stops": ("\n", ".", ",")}),
        metrics={"reliability": match, "generalization": match, "locality": match, "portability": match},
    )
