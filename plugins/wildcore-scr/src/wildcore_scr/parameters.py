"""Parameters of selective contextual reasoning."""

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator
from wildcore_retrieval.parameters import RETRIEVER, RetrieverParams

from wildcore import Departure, require_placeholder

FACTS = "{facts}"
QUESTION = "{question}"

CONFIRM = (
    "Here are some facts and a question.\n\nFacts:\n{facts}\n\nQuestion: {question}\n\n"
    'Copy the one fact that answers the question. If none of them does, write "no relevant fact".\n\nFact:'
)
ANSWER = "Answer by what is said here.\n\nFact: {facts}\n\n"
FRAME = "Question: {question}\nAnswer:"
FACT = "fact"


class ScrParams(RetrieverParams):
    """Parameters of ``scr``."""

    departures: ClassVar[tuple[Departure, ...] | None] = (
        RETRIEVER,
        Departure(
            "told",
            "fact",
            "reply",
            "the paper tells the model the fact that was retrieved; the code tells it its own reply about the fact",
        ),
        Departure(
            "declined",
            ("no relevant fact", "no relevant information"),
            ("no relevant fact", "no relevant information", "false"),
            'the code also takes "false" for declining, which may stand in a fact',
        ),
        Departure(
            "templates",
            "worded by us",
            "the authors' words",
            "the templates are ours, with the same parts in the same order: give others by confirm_template, answer_template and "
            "question_template",
            by_switch=False,
        ),
    )

    retrieved: int = Field(default=5, gt=0)
    """Number of facts to retrieve for a question: those most similar to it."""

    confirm: Literal["model", "none"] = "model"
    """Who decides which of them is relevant: the model itself, or nobody; then the fact most similar to the question is
    used."""

    confirm_template: str = CONFIRM
    """Prompt that asks the model for the relevant fact; {facts} is replaced by the facts, one on each line, and {question} by
    the question. In a conversation it is a message of the user."""

    reply_tokens: int = Field(default=50, gt=0)
    """Most tokens in that reply."""

    reply_ends: Literal["limit", "line"] = "limit"
    """Where the reply ends: at the limit or where the model ends it, or after its first line. A model that is not trained to
    follow instructions continues, and a later line may contradict the first."""

    declined: tuple[str, ...] = Field(default=("no relevant fact", "no relevant information"), min_length=1)
    """Phrases that say that no fact is relevant. A reply without any of them confirms a fact."""

    told: Literal["fact", "reply"] = "fact"
    """What is shown: the facts of the memory that the reply repeats, else the one with which it shares most words; or the
    reply itself, closed with a full stop. With ``retrieved=1`` it is the fact."""

    reply_pattern: str | None = None
    """Regular expression for a shown reply: what a model says around the fact; the fact is its group "fact". Left out, or no
    match: the whole reply."""

    answer_template: str = ANSWER
    """Text before a question for which facts were confirmed; {facts} is replaced by them, one on each line."""

    question_template: str = FRAME
    """Template for such a question if it is bare; {question} is replaced by the question. Text that a protocol puts around a
    question is kept. "{question}" adds nothing."""

    embedding_similarity: Literal["cosine", "dot"] = "dot"
    """How embeddings are compared: by cosine similarity, or by dot product, for which retrievers such as Contriever are
    trained."""

    @field_validator("confirm_template", "answer_template")
    @classmethod
    def _holds_the_facts(cls, template: str) -> str:
        return require_placeholder(FACTS, template)

    @field_validator("declined")
    @classmethod
    def _says_something(cls, declined: tuple[str, ...]) -> tuple[str, ...]:
        if not all(words.strip() for words in declined):
            raise ValueError("every reply holds words that are empty; leave them out")
        return declined

    @field_validator("reply_pattern")
    @classmethod
    def _has_the_group(cls, pattern: str | None) -> str | None:
        try:
            known = pattern is None or FACT in re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"this is no regular expression: {error}") from error
        if not known:
            raise ValueError(f"the expression must have a group (?P<{FACT}>...)")
        return pattern

    @field_validator("confirm_template", "question_template")
    @classmethod
    def _holds_the_question(cls, template: str) -> str:
        return require_placeholder(QUESTION, template)
