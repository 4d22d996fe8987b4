"""The log-probability of a gold answer and of its rival."""

from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from wildcore import Generator, Gold, Output, Prompt, StopRule
from wildcore.inference import map_target_logits
from wildcore.models import LoadedModel, TokenisedPair, at_least_float32, tokenise_pair

Scored = tuple[tuple[int, ...], float | None]
"""The most probable token at each position of a target, and the target's mean log-probability."""


class Likelihood(Generator):
    """Teacher forcing that also measures.

    Measures are natural logarithms in float32, as means over an answer's tokens: "target-log-probability" of the gold and
    "rival-log-probability"; "target-tokens" counts the gold's tokens. A measure that is not finite is omitted. The rival's is
    also omitted if there is no rival or it does not fit into the model's context.
    """

    reads_gold = True
    supports_row_patches = True

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Return the outputs of teacher forcing, with the measures. ``stop`` is not needed."""
        known = [gold for gold in golds if gold is not None]
        if len(known) != len(prompts):
            raise ValueError("likelihood needs the gold of every prompt")
        targets = [
            tokenise_pair(model.tokenizer, prompt, gold.text) for prompt, gold in zip(prompts, known, strict=True)
        ]
        rivals = [_rival(model, prompt, gold) for prompt, gold in zip(prompts, known, strict=True)]
        scored = _score(model, [*enumerate(targets), *((i, rival) for i, rival in enumerate(rivals) if rival)])
        of_rivals = iter(scored[len(targets) :])
        return [
            (_output(model, target, of_target, next(of_rivals) if rival else None),)
            for target, of_target, rival in zip(targets, scored, rivals, strict=False)
        ]


def _rival(model: LoadedModel, prompt: Prompt, gold: Gold) -> TokenisedPair | None:
    """Return the prompt followed by the rival. None: there is no rival, or it does not fit."""
    if gold.rival is None:
        return None
    joined = tokenise_pair(model.tokenizer, prompt, gold.rival)
    return joined if model.max_length is None or len(joined.token_ids) <= model.max_length else None


def _score(model: LoadedModel, rows: Sequence[tuple[int, TokenisedPair]]) -> list[Scored]:
    """Score rows, each given with the index of its prompt."""

    def take(index: int, logits: Tensor) -> Scored:
        return tuple(logits.argmax(-1).tolist()), _mean_log_probability(logits, rows[index][1].target_ids)

    return map_target_logits(model, [row for _, row in rows], take, [prompt for prompt, _ in rows])


def _mean_log_probability(logits: Tensor, target_ids: Sequence[int]) -> float | None:
    """Return the mean over the target's tokens, or None if it is not finite; ``logits`` [tokens, vocabulary]."""
    places = torch.tensor(target_ids, dtype=torch.long, device=logits.device)[:, None]
    mean = float(at_least_float32(logits).log_softmax(-1).gather(-1, places).mean())
    return mean if isfinite(mean) else None


def _output(model: LoadedModel, target: TokenisedPair, of_target: Scored, of_rival: Scored | None) -> Output:
    chosen, log_probability = of_target
    measures: Mapping[str, float | None] = {
        "target-log-probability": log_probability,
        "target-tokens": float(len(target.target_ids)),
        "rival-log-probability": of_rival[1] if of_rival else None,
    }
    return Output(
        text=model.tokenizer.decode(chosen, skip_special_tokens=True),
        token_ids=chosen,
        stop_reason="teacher-forced",
        measures={name: value for name, value in measures.items() if value is not None},
    )
