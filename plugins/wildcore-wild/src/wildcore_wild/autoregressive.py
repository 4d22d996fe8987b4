"""Greedy decoding."""

from collections.abc import Sequence

from wildcore import Generator, Gold, Output, Prompt, StopRule
from wildcore.inference import decode
from wildcore.models import LoadedModel
from wildcore_wild.parameters import AutoregressiveParams


class Autoregressive(Generator):
    """Greedy decoding until the stop rule, the end of sequence, ``max_new_tokens`` or the end of the context length."""

    reads_gold = False
    supports_row_patches = True

    def __init__(self, params: AutoregressiveParams) -> None:
        self.max_new_tokens = params.max_new_tokens

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Decode the prompts in batches of similar length."""
        return [(output,) for output in decode(model, prompts, [self.max_new_tokens] * len(prompts), stop)]
