"""Removes thoughts from generated text: a step between generation and truncation, for prompts in a chat template."""

from collections.abc import Sequence
from typing import Any

from wildcore.interfaces import StopRule
from wildcore.models.loaded import LoadedModel
from wildcore.thoughts import SplitText, split_thought
from wildcore.types import Answer, Output, Thought


class ReplyStopRule:
    """Applies a stop rule to the reply alone: a thought is never complete, and its tokens are not counted."""

    def __init__(self, rule: StopRule, begun: Sequence[bool]) -> None:
        """``begun[row]``: whether the row's prompt ends with the beginning of a thought."""
        self.rule, self.begun = rule, begun
        self.counted: dict[int, int] = {}

    def __call__(self, row: int, text: str, token_count: int) -> bool:
        """Return whether the row is complete, given everything generated so far."""
        found = split_thought(text, self.begun[row])
        if not found.ended:
            self.counted.pop(row, None)
            return False
        if not found.thought:
            return self.rule(row, text, token_count)
        thought_count = self.counted.setdefault(row, token_count)
        return self.rule(row, found.reply, token_count - thought_count)


def without_thought(model: LoadedModel, output: Output, begun: bool) -> tuple[Output, Thought | None]:
    """Return an output as if the model had generated only its reply, and the thought that was removed (None: there is none).

    A forced output is returned as it is. ``begun``: the prompt ends with the beginning of a thought.
    """
    if output.stop_reason == "teacher-forced":
        return output, None
    found = split_thought(output.text, begun)
    if not found.thought:
        return output, None
    token_ids = _tokens_of_reply(model, output, found)
    reply = output.model_copy(update={"text": found.reply, "token_ids": token_ids})
    return reply, Thought(text=found.thought, ended=found.ended)


def with_thought(answer: Answer, output: Output, thought: Thought | None) -> Answer:
    """Return the answer cut from a reply with the whole ``output`` and the thought that was removed from it."""
    return answer if thought is None else answer.model_copy(update={"output": output, "thought": thought})


def _tokens_of_reply(model: LoadedModel, output: Output, found: SplitText) -> tuple[int, ...]:
    """Return the tokens of the reply: those after the thought. A token that holds parts of both is one of the reply's."""
    ids: Any = output.token_ids
    start = _tokens_within(model, ids, len(found.thought))
    stop = len(ids)
    if len(found.thought + found.reply) < len(output.text):
        stop = _tokens_within(model, ids, len(found.thought + found.reply))
    return tuple(ids[start:stop])


def _tokens_within(model: LoadedModel, token_ids: Sequence[int], characters: int) -> int:
    """Return the largest number of tokens from the beginning whose text is at most ``characters`` long."""
    low, high = 0, len(token_ids)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(model.text_of(token_ids[:middle])) <= characters else (low, middle - 1)
    return low
