"""The protocols of the paper's controlled studies: every combination of input, generation and truncation.

A protocol scores by token match and by exact match, so that the metric is varied without asking the model again. Reliability is
the only probe, as in the paper's section 6.
"""

from collections.abc import Iterable
from itertools import product

from wildcore import EvalProtocol, Use
from wildcore.scoring import MODULES, Module
from wildcore.types import FrozenData

SYNTHETIC_VALUES = ("question-only", "teacher-forcing", "gold-length", "token-match")
WILD_VALUES = ("qa-instruction", "autoregressive", "stop-strings", "exact-match")
"""What each module is in ``synthetic`` and in ``wild``; the paper's WILD scores by an LLM judge."""
SHORT = {
    "question-only": "bare",
    "qa-instruction": "guided",
    "teacher-forcing": "forced",
    "autoregressive": "free",
    "gold-length": "gold",
    "stop-strings": "natural",
}


class Combination(FrozenData):
    """Which of the four modules are as in ``wild``; the others are as in ``synthetic``."""

    wild: frozenset[Module]

    @property
    def values(self) -> tuple[str, str, str, str]:
        """The names of context, generator, truncator and metric."""
        context, generator, truncator, metric = (
            of_wild if module in self.wild else of_synthetic
            for module, of_synthetic, of_wild in zip(MODULES, SYNTHETIC_VALUES, WILD_VALUES, strict=True)
        )
        return context, generator, truncator, metric


def protocol_name(context: str, generator: str, truncator: str) -> str:
    """Return the name of the protocol with these modules, such as guided-free-natural."""
    return "-".join(SHORT[name] for name in (context, generator, truncator))


def controlled_protocols() -> Iterable[EvalProtocol]:
    """Return the eight protocols."""
    pairs = zip(SYNTHETIC_VALUES[:3], WILD_VALUES[:3], strict=True)
    for context, generator, truncator in product(*pairs):
        yield EvalProtocol(
            name=protocol_name(context, generator, truncator),
            summary=f"controlled study: {context}, {generator}, {truncator}; token match and exact match",
            cites="Yang et al., The Mirage of Model Editing, ACL 2025, section 6",
            context=Use(name=context),
            generator=Use(name=generator),
            truncator=Use(name=truncator),
            metrics={"reliability": (Use(name="token-match"), Use(name="exact-match"))},
        )
