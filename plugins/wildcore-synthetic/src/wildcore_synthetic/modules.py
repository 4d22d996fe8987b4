"""The synthetic protocol's context, generation strategy and truncation."""

from collections.abc import Sequence

from torch import Tensor

from wildcore import Answer, Generator, Gold, Output, Prompt, StopRule
from wildcore.forcing import over_targets
from wildcore.models import LoadedModel
from wildcore.tokens import join


class QuestionOnly:
    """The question as it stands."""

    def render(self, question: str, model: LoadedModel) -> Prompt:
        """Return the question itself."""
        return Prompt(text=question)


class TeacherForcing(Generator):
    """One forward pass over prompt and gold: the arg-max at every gold position, whatever was predicted before it."""

    reads_gold = True
    row_wise = True

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        """Return for each prompt as many predicted tokens as its gold has. ``stop`` has nothing to stop here."""
        joined = [
            join(model.tokenizer, p, gold.text) for p, gold in zip(prompts, golds, strict=True) if gold is not None
        ]
        if len(joined) != len(prompts):
            raise ValueError("teacher forcing needs the gold of every prompt")
        return over_targets(model, joined, lambda row, logits: (_output(model, logits),))


def _output(model: LoadedModel, logits: Tensor) -> Output:
    chosen = tuple(logits.argmax(-1).tolist())
    text = model.tokenizer.decode(chosen, skip_special_tokens=True)
    return Output(text=text, token_ids=chosen, stop_reason="teacher-forced")


class GoldLength:
    """Keeps as many tokens as the gold has."""

    reads_gold = True

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        """Say whether the gold's length is reached."""
        return token_count >= len(_present(gold).token_ids)

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        """Cut the token ids to the gold's count.

        The text is the output's own: the generator stopped by this same rule, so there is nothing beyond it to cut.
        """
        return Answer(
            text=output.text.strip(), token_ids=output.token_ids[: len(_present(gold).token_ids)], output=output
        )


def _present(gold: Gold | None) -> Gold:
    if gold is None:
        raise ValueError("gold-length reads the gold and was not given it")
    return gold
