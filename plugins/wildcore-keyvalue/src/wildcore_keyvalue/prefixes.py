"""Prefixes: short texts put before the edit prompt so that the edit holds in context.

Sampled from the model itself with a seed, and kept: the same model and seed always give the same prefixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wildcore import Environment, Prompt, Saved
from wildcore.models import LoadedModel
from wildcore.precision import at_least_float32
from wildcore.prepared import prepared_file
from wildcore.tokens import encode


@dataclass(frozen=True)
class PrefixStyle:
    """What the sampled texts begin with, what stands between one and the prompt, and whether lengths count new tokens only."""

    starts: tuple[str, ...]
    ending: str
    new_tokens_only: bool


ROME_STYLE = PrefixStyle(("The", "Therefore", "Because", "I", "You"), ". ", new_tokens_only=False)
"""As the published code of ROME and of the methods built on it has them."""


def sampled_prefixes(
    model: LoadedModel,
    environment: Environment,
    lengths: Sequence[tuple[int, int]],
    top_k: int,
    style: PrefixStyle = ROME_STYLE,
) -> tuple[str, ...]:
    """Return the prefixes to edit under: none at all first, then the sampled ones.

    ``lengths`` holds pairs (tokens, how many); of each, the style's starts are continued in turn.
    """
    facts = {"seed": environment.seed, "lengths": [list(pair) for pair in lengths], "top_k": top_k}
    facts |= {"starts": style.starts, "new_tokens_only": style.new_tokens_only}
    file = prepared_file(environment, model, "prefixes", facts)
    if not file.exists():
        file.save(Saved({}, {"texts": _sample(model, environment.seed, lengths, top_k, style)}))
    return ("", *(f"{text}{style.ending}" for text in file.load().facts["texts"]))


def _sample(
    model: LoadedModel, seed: int, lengths: Sequence[tuple[int, int]], top_k: int, style: PrefixStyle
) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for tokens, count in lengths:
        for index in range(count):
            start = list(encode(model.tokenizer, Prompt(text=style.starts[index % len(style.starts)])))
            length = tokens + len(start) if style.new_tokens_only else tokens
            ids = _continue(model, start, length, top_k, generator)
            texts.append(" ".join(model.tokenizer.decode(ids, skip_special_tokens=True).split()))
    return texts


@torch.inference_mode()
def _continue(model: LoadedModel, ids: list[int], length: int, top_k: int, generator: torch.Generator) -> list[int]:
    """Continue ``ids`` to ``length`` tokens in all, each drawn from the ``top_k`` most probable; ends are not drawn."""
    never = list(model.end_of_sequence)
    while len(ids) < length:
        logits: Tensor = model.network(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
        last = at_least_float32(logits[0, -1]).cpu()
        last[never] = float("-inf")
        best = last.topk(min(top_k, last.numel()))
        drawn = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
        ids = [*ids, int(best.indices[drawn])]
    return ids
