"""Parameters of selective contextual reasoning."""

from typing import Literal

from pydantic import Field, field_validator
from wildcore_retrieval.parameters import RetrieverParams

FACTS = "{facts}"
QUESTION = "{question}"

CONFIRM = (
    "Here are some facts and a question.\n\nFacts:\n{facts}\n\nQuestion: {question}\n\n"
    'Copy the one fact that answers the question. If none of them does, write "no relevant fact".\n\nFact:'
)
ANSWER = "Answer by what is said here.\n\nFact: {facts}\n\n"


class ScrParams(RetrieverParams):
    """Parameters of ``scr``."""

    retrieved: int = Field(default=5, gt=0)
    """Facts of the memory to look at for a question: those most like it."""

    confirm: Literal["model", "none"] = "model"
    """Who says which of them is relevant: the model itself, or nobody, and then it is the one most like the question."""

    confirm_template: str = CONFIRM
    """How the model is asked for the relevant fact; {facts} stands for the facts, one on each line, and {question} for the
    question. In a conversation it is put as a message of the user."""

    declined: str = Field(default="no relevant fact", min_length=1)
    """Words that say that no fact is relevant. A reply without them confirms: the facts that it repeats, else the one with
    which it shares most words."""

    reply_tokens: int = Field(default=50, gt=0)
    """Most tokens of that reply; it ends with its first line."""

    answer_template: str = ANSWER
    """What is put before a question for which facts were confirmed; {facts} stands for them, one on each line."""

    @field_validator("confirm_template", "answer_template")
    @classmethod
    def _holds_the_facts(cls, template: str) -> str:
        return _holding(FACTS, template)

    @field_validator("confirm_template")
    @classmethod
    def _holds_the_question(cls, template: str) -> str:
        return _holding(QUESTION, template)


def _holding(wanted: str, template: str) -> str:
    if wanted not in template:
        raise ValueError(f"the template must contain {wanted}")
    return template
