"""Decoding to the gold's length."""

from collections.abc import Sequence

from wildcore import Generator, Gold, Output, Prompt, StopRule
from wildcore.inference import decode
from wildcore.models import LoadedModel

NOTHING = Output(text="", token_ids=(), stop_reason="forced-length")


class ForcedLength(Generator):
    """Greedy decoding to exactly as many tokens as the gold has.

    Neither the truncator's rule nor the end-of-sequence token ends an answer: the model is told where to end, and nothing else.
    """

    reads_gold = True
    supports_row_patches = True

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Return for each prompt as many tokens as its gold has. ``stop`` is not asked."""
        limits = [len(gold.token_ids) for gold in golds if gold is not None]
        if len(limits) != len(prompts):
            raise ValueError("forced-length needs the gold of every prompt")
        outputs = decode(model, prompts, limits, stop=None, at_limit="forced-length")
        return [(output if limit else NOTHING,) for output, limit in zip(outputs, limits, strict=True)]
