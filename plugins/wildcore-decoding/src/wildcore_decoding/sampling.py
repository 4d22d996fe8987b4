"""Sampling.

Every sample of every prompt has its own random stream, so an answer depends neither on its batch nor on the other questions.
The noise is drawn on the CPU and added to float32 logits; the token with the highest sum is drawn (the Gumbel-max trick). So
the same stream gives the same token on every device if the logits are the same. If they differ in the last bits, the token can
differ only if two sums are that close.
"""

from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor

from wildcore import Generator, Gold, Output, Prompt, StopRule
from wildcore.inference import decode
from wildcore.models import LoadedModel, at_least_float32
from wildcore_decoding.parameters import SamplingParams


class Sampling(Generator):
    """Tokens drawn from the model's distribution until the stop rule, the end of sequence or ``max_new_tokens``."""

    reads_gold = False
    supports_row_patches = True

    def __init__(self, params: SamplingParams) -> None:
        self.params = params

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Return ``samples`` outputs for each prompt. Equal prompts get equal answers."""
        limits = [self.params.max_new_tokens] * len(prompts)
        rounds = []
        for sample in range(self.params.samples):
            drawing = Drawing([stream(self.params.seed, prompt.text, sample) for prompt in prompts], self.params)
            rounds.append(decode(model, prompts, limits, stop, choose=drawing))
        return list(zip(*rounds, strict=True))


class Drawing:
    """Draws the next token of each row from the stream of its prompt."""

    def __init__(self, streams: Sequence[torch.Generator], params: SamplingParams) -> None:
        self.streams = streams
        self.temperature, self.top_p = params.temperature, params.top_p

    def __call__(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        """Return a token id for each row of ``logits`` [rows, vocabulary]."""
        scaled = at_least_float32(logits) / self.temperature
        if self.top_p < 1:
            scaled = scaled.masked_fill(~nucleus(scaled, self.top_p), float("-inf"))
        noise = torch.stack([_gumbel(logits.shape[-1], self.streams[row]) for row in rows])
        return (scaled + noise.to(scaled.device)).argmax(-1)


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Mark the fewest most probable tokens that together have at least the probability ``top_p``: [rows, vocabulary]."""
    probabilities, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
    before = probabilities.cumsum(-1) - probabilities
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before < top_p)


def _gumbel(count: int, source: torch.Generator) -> Tensor:
    return -torch.log(-torch.log(torch.rand(count, generator=source)))


def stream(seed: int, text: str, sample: int) -> torch.Generator:
    """Return the random stream of one sample of one prompt."""
    digest = sha256(f"{seed} {sample} {text}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
