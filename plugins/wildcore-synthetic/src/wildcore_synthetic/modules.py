"""The synthetic protocol's context, generation strategy and truncation."""

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor

from wildcore import Answer, Generator, Gold, Output, Prompt, StopRule
from wildcore.inference import map_target_logits
from wildcore.models import LoadedModel, TokenisedPair, at_least_float32, tokenise_pair


class QuestionOnly:
    """The bare question."""

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the question itself."""
        return Prompt(text=question)


class TeacherForcing(Generator):
    """One forward pass over prompt and gold: the arg-max at every gold position, regardless of earlier predictions.

    It also measures "target-log-probability", the mean over the gold's tokens.
    """

    reads_gold = True
    supports_row_patches = True

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Return for each prompt as many predicted tokens as its gold has. ``stop`` is not needed."""
        joined = [
            tokenise_pair(model.tokenizer, p, gold.text)
            for p, gold in zip(prompts, golds, strict=True)
            if gold is not None
        ]
        if len(joined) != len(prompts):
            raise ValueError("teacher forcing needs the gold of every prompt")
        return map_target_logits(model, joined, lambda row, logits: (_output(model, joined[row], logits),))


def _output(model: LoadedModel, row: TokenisedPair, logits: Tensor) -> Output:
    chosen = tuple(logits.argmax(-1).tolist())
    text = model.tokenizer.decode(chosen, skip_special_tokens=True)
    measures = _measures(logits, row.target_ids)
    return Output(text=text, token_ids=chosen, stop_reason="teacher-forced", measures=measures)


def _measures(logits: Tensor, target_ids: Sequence[int]) -> dict[str, float]:
    """Return the mean natural log-probability of the gold's tokens, in float32; empty if it is not finite."""
    places = torch.tensor(target_ids, dtype=torch.long, device=logits.device)[:, None]
    mean = float(at_least_float32(logits).log_softmax(-1).gather(-1, places).mean())
    return {"target-log-probability": mean} if isfinite(mean) else {}


class GoldLength:
    """Keeps as many tokens as the gold has."""

    reads_gold = True

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Return whether the gold's length is reached."""
        return token_count >= len(_present(gold).token_ids)

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the token ids to the gold's number of tokens.

        The text is kept unchanged: the generator stopped by the same rule, so there is nothing to cut.
        """
        return Answer(
            text=output.text.strip(), token_ids=output.token_ids[: len(_present(gold).token_ids)], output=output
        )


def _present(gold: Gold | None) -> Gold:
    if gold is None:
        raise ValueError("gold-length reads the gold and was not given it")
    return gold
