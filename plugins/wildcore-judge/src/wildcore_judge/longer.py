"""Asking once more, with more tokens, about a text whose reply was cut off."""

from dataclasses import dataclass

LEAST_TOKENS = 4096
"""A model that thinks before it replies needs a few thousand."""
FACTOR = 4
TRIALS = 3


def longer(max_tokens: int) -> int:
    """Return the maximum length of a second reply."""
    return max(LEAST_TOKENS, FACTOR * max_tokens)


@dataclass
class LongerReplies:
    """Whether longer replies help: they are asked for until the first ``trials`` all had no verdict."""

    max_tokens: int
    trials: int = TRIALS
    asked: int = 0
    clear: int = 0

    @property
    def are_worthwhile(self) -> bool:
        """Whether a longer reply may have a verdict, as far as earlier ones show."""
        return self.clear > 0 or self.asked < self.trials

    def count(self, is_clear: bool) -> None:
        """Count a longer reply."""
        self.asked += 1
        self.clear += is_clear

    def account(self) -> str | None:
        """Return how many replies were asked for again. None: none was."""
        if not self.asked:
            return None
        return (
            f"replies cut off at {self.max_tokens} tokens: {self.asked} asked for again with {longer(self.max_tokens)}, "
            f"{self.clear} of them clear then; metric.judge.max_tokens sets the first number"
        )
