"""How probable an answer is to the model: the generator ``likelihood``, its metrics, and ROME's protocol."""

from collections.abc import Iterable

from wildcore import EvalProtocol, Generator, Metric, Offer, Use, hookimpl, lazy

ROME = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022"
ROME_CODE = (
    f"{ROME}; code kmeng01/rome at 0874014, experiments/py/eval_utils_counterfact.py and experiments/summarize.py"
)


@hookimpl
def wildcore_generators() -> Iterable[Offer[Generator]]:
    """Offer the log-probabilities of gold and rival."""
    summary = "teacher forcing that measures how probable the gold and its rival are; reads the gold"
    return [Offer("likelihood", lazy("wildcore_probability.likelihood:Likelihood"), summary=summary, cites=ROME_CODE)]


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer the gold's probability, and its comparison with the rival's."""
    return [
        Offer(
            "target-probability",
            lazy("wildcore_probability.metrics:TargetProbability"),
            summary="the gold's probability, per token",
            cites=ROME_CODE,
        ),
        Offer(
            "probability-success",
            lazy("wildcore_probability.metrics:ProbabilitySuccess"),
            summary="1 if the gold is more probable than its rival",
            cites=ROME_CODE,
        ),
        Offer(
            "probability-magnitude",
            lazy("wildcore_probability.metrics:ProbabilityMagnitude"),
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
