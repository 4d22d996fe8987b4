"""How probable the model holds an answer to be: the generator ``likelihood``, its metrics, and ROME's protocol."""

from collections.abc import Iterable
from typing import Any

from wildcore import EvalProtocol, Generator, Metric, NoParams, Offer, Use, hookimpl

ROME = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022"
ROME_CODE = (
    f"{ROME}; code kmeng01/rome at 0874014, experiments/py/eval_utils_counterfact.py and experiments/summarize.py"
)


def _likelihood(params: NoParams) -> Generator:
    from wildcore_probability.likelihood import Likelihood

    return Likelihood()


def _target_probability(params: NoParams) -> Metric:
    from wildcore_probability.metrics import TargetProbability

    return TargetProbability()


def _probability_success(params: NoParams) -> Metric:
    from wildcore_probability.metrics import ProbabilitySuccess

    return ProbabilitySuccess()


def _probability_magnitude(params: NoParams) -> Metric:
    from wildcore_probability.metrics import ProbabilityMagnitude

    return ProbabilityMagnitude()


@hookimpl
def wildcore_generators() -> Iterable[Offer[Any]]:
    """Offer the log-probabilities of gold and rival."""
    summary = "teacher forcing that measures how probable the gold and its rival are; reads the gold"
    return [Offer("likelihood", _likelihood, summary=summary, cites=ROME_CODE)]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Any]]:
    """Offer the gold's probability, and its comparison with the rival's."""
    return [
        Offer("target-probability", _target_probability, summary="the gold's probability, per token", cites=ROME_CODE),
        Offer(
            "probability-success",
            _probability_success,
            summary="1 if the gold is more probable than its rival",
            cites=ROME_CODE,
        ),
        Offer(
            "probability-magnitude",
            _probability_magnitude,
            summary="the gold's probability less its rival's",
            cites=ROME_CODE,
        ),
    ]


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer ``rome``."""
    compared = (Use(name="probability-success"), Use(name="probability-magnitude"))
    return [
        EvalProtocol(
            name="rome",
            summary="bare prompt, no answer is generated: is the gold more probable than its rival, and by how much",
            cites=ROME_CODE,
            context=Use(name="question-only"),
            generator=Use(name="likelihood"),
            truncator=Use(name="gold-length"),
            metrics={"reliability": compared, "generalization": compared, "locality": compared},
        )
    ]
