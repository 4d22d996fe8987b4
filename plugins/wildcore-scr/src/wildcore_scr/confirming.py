"""Asks the model which of the facts retrieved for a question is relevant, and reads its reply."""

import re
from collections.abc import Mapping, Sequence

from wildcore_retrieval.room import most_that_fit
from wildcore_retrieval.words import words

from wildcore import Prompt
from wildcore.inference import decode
from wildcore.models import LoadedModel, render_chat
from wildcore.scripts import ends_in_full_stop, own_stop
from wildcore_scr.parameters import FACT, FACTS, QUESTION, ScrParams


def confirmed_facts(
    model: LoadedModel, params: ScrParams, questions: Sequence[str], facts: Sequence[Sequence[str]], chat: bool
) -> list[list[str] | None]:
    """Return for each question the texts to show: those of its ``facts``, nearest first, that ``model`` confirms, or its
    reply.

    Empty: the model declined. As many facts are shown as fit into the context; None: none fits, so the model was not asked.
    """
    numbers = [_most(model, params, question, own, chat) for question, own in zip(questions, facts, strict=True)]
    asked = [place for place, number in enumerate(numbers) if number]
    prompts = [_asking(model, params, questions[place], facts[place][: numbers[place]], chat) for place in asked]
    found: list[list[str] | None] = [None] * len(questions)
    for place, reply in zip(asked, _replies(model, params, prompts), strict=True):
        found[place] = _told(params, reply, facts[place][: numbers[place]])
    return found


def _told(params: ScrParams, reply: str, facts: Sequence[str]) -> list[str]:
    if any(words.casefold() in reply.casefold() for words in params.declined):
        return []
    if params.retrieved == 1:
        return list(facts)
    return chosen(reply, facts) if params.told == "fact" else [stated(reply, params.reply_pattern)]


def stated(reply: str, pattern: str | None) -> str:
    """Return the fact in a reply, closed with the full stop of its script: what ``pattern`` finds in it, else the whole reply."""
    found = re.search(pattern, reply) if pattern else None
    text = found[FACT].strip() if found else reply
    return text if ends_in_full_stop(text) or not text else text + own_stop(text)


def chosen(reply: str, facts: Sequence[str]) -> list[str]:
    """Return the facts that a reply confirms: those that it repeats, else the one with which it shares most words.

    Of several that share equally many words, the first is returned.
    """
    said = words(reply)
    repeated = [fact for fact in facts if _contains(said, words(fact))]
    return repeated or [max(facts, key=lambda fact: len(set(said) & set(words(fact))))]


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with ``values`` inserted; braces in them are kept as they are."""
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
    return Prompt(text=render_chat(model, message), separator="", special_tokens=False)


def _replies(model: LoadedModel, params: ScrParams, prompts: Sequence[Prompt]) -> list[str]:
    """Return the model's replies to the prompts."""
    by_line = params.reply_ends == "line"
    limits = [params.reply_tokens] * len(prompts)
    outputs = decode(model, prompts, limits, lambda row, text, count: by_line and "\n" in text.lstrip())
    return [output.text.strip().partition("\n")[0] if by_line else output.text for output in outputs]


def _contains(said: Sequence[str], wanted: Sequence[str]) -> bool:
    starts = range(len(said) - len(wanted) + 1)
    return any(list(said[start : start + len(wanted)]) == list(wanted) for start in starts)
