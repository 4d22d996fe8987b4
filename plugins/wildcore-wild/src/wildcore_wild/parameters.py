"""Parameters of the wild modules."""

from typing import Any, ClassVar

from pydantic import Field, field_validator

from wildcore import ContextParams, Params, StopStrings, require_placeholder

QUESTION = "{question}"
RESERVED = {
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents", "max_length", "messages",
    "padding", "return_dict", "return_tensors", "strftime_now", "tokenize", "tools", "truncation", "wildcore_times",
}  # fmt: skip
"""Arguments of a chat template, or of the function that fills it, which decide what the prompt is."""


class QAInstructionParams(Params):
    """Parameters of ``qa-instruction``."""

    template: str = "Please answer the question:\n\nQ: {question}\nA:"
    """The text that the model reads; {question} is replaced by the question."""

    @field_validator("template")
    @classmethod
    def _holds_the_question(cls, template: str) -> str:
        return require_placeholder(QUESTION, template)


class ChatParams(ContextParams):
    """Parameters of ``chat``."""

    uses_chat_template: ClassVar[bool] = True

    template: str | None = None
    """Name of the template, for a model that has several. Left out: its default."""

    template_arguments: dict[str, Any] = Field(default={})
    """Arguments that the template reads, such as {"enable_thinking": false}."""

    system: str | None = None
    """A message of the role "system" before the question. Left out: none, except one that the template itself adds."""

    add_special_tokens: bool = False
    """Let the tokenizer add its special tokens to the template's text, as EasyEdit does; most tokenizers then add a second
    beginning-of-sequence token."""

    @field_validator("template_arguments")
    @classmethod
    def _leaves_the_conversation_alone(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        reserved = sorted(RESERVED & arguments.keys())
        if reserved:
            raise ValueError(f"{reserved[0]} is set by the context itself; leave it out")
        return arguments


class AutoregressiveParams(Params):
    """Parameters of ``autoregressive``."""

    max_new_tokens: int = Field(default=50, gt=0)
    """Decoding ends after this many tokens, regardless of the stop rule."""


class SentenceParams(Params):
    """Parameters of ``sentence``."""

    skip_leading_white_space: bool = False
    """Skip line breaks and other white space at the beginning of an answer; false: a line break there ends it."""


class StopStringsParams(SentenceParams):
    """Parameters of ``stop-strings``."""

    stops: StopStrings = (".", "\n")
    """An answer ends before the first of these strings. The end-of-sequence token ends every answer."""


class MatchParams(Params):
    """Parameters of ``careful-match`` and ``folded-match``."""

    aliases: bool = True
    """Accept every answer that the dataset lists; false: only the first, as the published code does."""


class ExactMatchParams(MatchParams):
    """Parameters of ``exact-match``."""

    as_published: bool = False
    """Compare exactly as SQuAD's script does: also where its normalisation leaves nothing of a target or makes another number
    or name of it, and without regard to closing stops outside ASCII. Texts that are equal in Unicode are the same here too."""
