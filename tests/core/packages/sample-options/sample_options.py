"""A plugin that adds a metric, and an option that stands for its parameter."""

from pathlib import Path

from wildcore import Metric, Offer, Params, Score, Shortcut, UserError, hookimpl


class WordParams(Params):
    """Parameters of ``says``."""

    word: str
    """The word that must be in the answer."""


class Says(Metric):
    """1 if a word is in the answer; the word "impossible" cannot be looked for."""

    expensive = True

    def __init__(self, word: str) -> None:
        self.word = word

    def prepare(self, environment):
        if self.word == "impossible":
            raise UserError("--says impossible: it cannot be said")
        assert Path(environment.cache).is_absolute()

    def score(self, items):
        return [Score(value=float(self.word in item.answer.text), details={"word": self.word}) for item in items]


@hookimpl
def wildcore_metrics():
    return [Offer("says", lambda params: Says(params.word), WordParams, "1 if a word is in the answer")]


@hookimpl
def wildcore_options():
    return [Shortcut("--says", sets="metric.says.word", help="Look for this word.", adds_metric="says")]
