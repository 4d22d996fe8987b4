"""Asking the model which of the facts retrieved for a question is relevant, and reading what it says."""

import re
from collections.abc import Mapping, Sequence

from wildcore_retrieval.room import most_that_fit
from wildcore_retrieval.words import words

from wildcore import Prompt
from wildcore.decode import decode
from wildcore.models import LoadedModel
from wildcore_scr.parameters import FACTS, QUESTION, ScrParams


def confirmed_facts(
    model: LoadedModel, params: ScrParams, questions: Sequence[str], facts: Sequence[Sequence[str]], chat: bool
) -> list[list[str] | None]:
    """Return for each question those of its ``facts``, the nearest first, that ``model`` confirms; none where it declines.

    As many facts are shown as the context has room for; None where there is room for none, so that nothing was asked.
    """
    numbers = [_most(model, params, question, own, chat) for question, own in zip(questions, facts, strict=True)]
    asked = [place for place, number in enumerate(numbers) if number]
    prompts = [_asking(model, params, questions[place], facts[place][: numbers[place]], chat) for place in asked]
    found: list[list[str] | None] = [None] * len(questions)
    for place, reply in zip(asked, _replies(model, prompts, params.reply_tokens), strict=True):
        found[place] = chosen(reply, facts[place][: numbers[place]], params.declined)
    return found


def chosen(reply: str, facts: Sequence[str], declined: str) -> list[str]:
    """Return the facts that a reply confirms: those that it repeats, else the one that it shares most words with.

    Of those that share as many, the first. None for a reply that says ``declined``.
    """
    if declined.casefold() in reply.casefold():
        return []
    said = words(reply)
    repeated = [fact for fact in facts if _contains(said, words(fact))]
    return repeated or [max(facts, key=lambda fact: len(set(said) & set(words(fact))))]


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with ``values`` in their places; braces in them mean nothing."""
    places = re.compile("|".join(re.escape(name) for name in values))
    return places.sub(lambda place: values[place.group()], template)


def _most(model: LoadedModel, params: ScrParams, question: str, facts: Sequence[str], chat: bool) -> int:
    def written(number: int) -> Prompt:
        return _asking(model, params, question, facts[:number], chat)

    return most_that_fit(model, len(facts), params.reply_tokens, written)


def _asking(model: LoadedModel, params: ScrParams, question: str, facts: Sequence[str], chat: bool) -> Prompt:
    text = filled(params.confirm_template, {FACTS: "\n".join(facts), QUESTION: question})
    if not chat:
        return Prompt(text=text)
    message = [{"role": "user", "content": text}]
    turn = model.tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    return Prompt(text=str(turn), joint="", special_tokens=False)


def _replies(model: LoadedModel, prompts: Sequence[Prompt], limit: int) -> list[str]:
    """Return the first line of what the model says to each prompt."""
    outputs = decode(model, prompts, [limit] * len(prompts), lambda row, text, count: "\n" in text.lstrip())
    return [output.text.strip().partition("\n")[0] for output in outputs]


def _contains(said: Sequence[str], wanted: Sequence[str]) -> bool:
    starts = range(len(said) - len(wanted) + 1)
    return any(list(said[start : start + len(wanted)]) == list(wanted) for start in starts)
