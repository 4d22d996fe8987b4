"""General ability: the tasks of lm-evaluation-harness, on the edited model in memory."""

from collections.abc import Iterable

from wildcore import Measurement, Offer, Shortcut, hookimpl, lazy
from wildcore_lm_eval.parameters import LmEvalParams

GAO = "Gao et al., The Language Model Evaluation Harness, doi 10.5281/zenodo.12608602"


@hookimpl
def wildcore_measurements() -> Iterable[Offer[Measurement]]:
    """Offer ``lm-eval``."""
    summary = "general ability, in the tasks of lm-evaluation-harness (arc_easy, nq_open, mmlu, ...)"
    return [Offer("lm-eval", lazy("wildcore_lm_eval.measurement:LmEval"), LmEvalParams, summary, GAO)]


@hookimpl
def wildcore_options() -> Iterable[Shortcut]:
    """Offer the options that name the tasks and limit their size."""
    return [
        Shortcut(
            "--capability",
            "measurement.lm-eval.tasks",
            "Measure general ability in these tasks of lm-evaluation-harness; a task is a name or a YAML file.",
            "TASK[,TASK]",
            adds_measurement="lm-eval",
        ),
        Shortcut(
            "--capability-limit",
            "measurement.lm-eval.limit",
            "Use only the first N questions of each of these tasks. [default: all]",
            "N",
        ),
    ]
