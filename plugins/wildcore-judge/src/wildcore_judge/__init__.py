"""Answers judged by a language model, or labelled by people."""

from collections.abc import Iterable
from functools import partial

from wildcore import Metric, Offer, Shortcut, hookimpl, lazy
from wildcore.help_pages import EVALUATION
from wildcore_judge.parameters import HumanLabelsParams, JudgeParams

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 4 and appendix A.4"


@hookimpl
def wildcore_metrics() -> Iterable[Offer[Metric]]:
    """Offer a language model's verdict, and labels given by people."""
    return [
        Offer(
            "judge",
            lazy("wildcore_judge.metric:make_judge"),
            JudgeParams,
            "1 if a language model finds that the answer gives the gold",
            MIRAGE,
        ),
        Offer(
            "human-labels",
            lazy("wildcore_judge.labels:HumanLabels"),
            HumanLabelsParams,
            "1 if people labelled the answer correct, from a file",
        ),
    ]


@hookimpl
def wildcore_options() -> Iterable[Shortcut]:
    """Offer the options that name a judge or a file of labels."""
    judge = partial(Shortcut, group=EVALUATION)
    return [
        judge("--judge", "metric.judge.model", "Let this model of a server judge too.", "MODEL", "judge"),
        judge("--judge-local", "metric.judge.local", "Let this model, loaded here, judge too.", "FOLDER|NAME", "judge"),
        judge("--judge-base-url", "metric.judge.base_url", "Address of the judge's server. [default: OpenAI]", "URL"),
        judge(
            "--judge-budget", "metric.judge.budget", "Spend no more than this on the judge; needs its prices.", "USD"
        ),
        judge("--human-labels", "metric.human-labels.file", "Score by people's labels too.", "FILE", "human-labels"),
    ]
