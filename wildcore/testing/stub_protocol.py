"""The simplest modules of a protocol: the bare question, greedy decoding, the whole output."""

from collections.abc import Sequence
from typing import ClassVar

from wildcore.inference.decoding import decode
from wildcore.interfaces import Context, Generator, StopRule, Truncator
from wildcore.models.loaded import LoadedModel
from wildcore.protocols import Metrics, ReadyProtocol
from wildcore.types import Answer, EvalProtocol, Gold, Output, Prompt, Use


class Bare:
    """Returns the bare question."""

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the question itself."""
        return Prompt(text=question)


class Greedy(Generator):
    """Greedy decoding of at most ``tokens`` tokens. ``batches`` holds the texts of each call."""

    reads_gold = False
    supports_row_patches = True

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.batches: list[list[str]] = []

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Return one output for each prompt."""
        self.batches.append([prompt.text for prompt in prompts])
        return [(output,) for output in decode(model, prompts, [self.tokens] * len(prompts), stop)]


class Whole:
    """Returns the whole output as the answer, and never stops generation."""

    reads_gold: ClassVar[bool] = False

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return False."""
        return False

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Return the whole output."""
        return Answer(text=output.text, token_ids=output.token_ids, output=output)


def plain_protocol(
    generator: Generator,
    context: Context | None = None,
    truncator: Truncator | None = None,
    metrics: Metrics | None = None,
) -> ReadyProtocol:
    """Return a protocol of modules that no plugin offers. Defaults: the bare question, the whole output, no metric."""
    use = Use(name="own")
    definition = EvalProtocol(name="test", summary="", context=use, generator=use, truncator=use, metrics={})
    return ReadyProtocol(definition, context or Bare(), generator, truncator or Whole(), metrics or {})
