"""Asks a model a case's probes under a protocol: context, generation, truncation."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from wildcore.errors import Refused
from wildcore.inference.prompt_cache import PromptCache
from wildcore.inference.replies import ReplyStopRule, with_thought, without_thought
from wildcore.interfaces import StopRule
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode, require_embeddings, tokenise_pair
from wildcore.patches.batched import RowPatches
from wildcore.patches.routed import RoutedPatches
from wildcore.protocols import ReadyProtocol
from wildcore.thoughts import begins_thought
from wildcore.types import Answer, Gold, Output, Probe, Prompt

Answers = tuple[Answer, ...]
"""The model's answers to one question: one, one for each sample, or none."""


@dataclass(frozen=True)
class Question:
    """A probe as rendered by one protocol: the prompt, its number of tokens, and the gold answer's tokens after it."""

    text: str
    """The probe's own question, without its context."""
    prompt: Prompt
    gold: Gold
    prompt_length: int
    gold_shares_a_token: bool = False
    """True if, with prompt and answer tokenised together, no token ends where the gold answer begins; also if this holds for
    its rival."""


def render_questions(model: LoadedModel, protocol: ReadyProtocol, probes: Sequence[Probe]) -> list[Question]:
    """Render probes as ``protocol`` asks them."""
    questions = []
    for probe in probes:
        gold = Gold(text=probe.answers[0], token_ids=(), rival=probe.rival)
        prompt = protocol.context.render(probe.prompt, model).model_copy(update={"spaced": probe.separator_used == " "})
        questions.append(_tokenise_question(model, Question(probe.prompt, prompt, gold, 0), prompt))
    return questions


def rewritten(model: LoadedModel, questions: Sequence[Question]) -> list[Question]:
    """Return the questions as rewritten by the applied patches that change prompts; unchanged if there are none."""
    prompts = model.rewrite_prompts([q.prompt for q in questions], [q.text for q in questions])
    pairs = zip(questions, prompts, strict=True)
    return [
        question if prompt == question.prompt else _tokenise_question(model, question, prompt)
        for question, prompt in pairs
    ]


def _tokenise_question(model: LoadedModel, question: Question, prompt: Prompt) -> Question:
    """Return the question with ``prompt`` as its prompt."""
    joined = tokenise_pair(model.tokenizer, prompt, question.gold.text)
    gold = question.gold.model_copy(update={"token_ids": joined.target_ids})
    rival = joined if gold.rival is None else tokenise_pair(model.tokenizer, prompt, gold.rival)
    merged = not (joined.prompt_length and rival.prompt_length)
    return replace(
        question,
        prompt=prompt,
        gold=gold,
        prompt_length=len(encode(model.tokenizer, prompt)),
        gold_shares_a_token=merged,
    )


def generate_answers(
    model: LoadedModel,
    protocol: ReadyProtocol,
    questions: Sequence[Question],
    patches: RowPatches | RoutedPatches | None = None,
    owners: Sequence[int] = (),
    shared: PromptCache | None = None,
) -> list[Answers]:
    """Return the model's answers to each question, in order; none to a question that is ``unanswerable``.

    With ``patches``, question i is asked of the edited model ``owners[i]``; the protocol's generator must then be row-wise.
    ``shared`` is the prompt cache of the same models. Generator and truncator are given the gold only if they declare that
    they read it.
    """
    answers: list[Answers] = [()] * len(questions)
    fitting = [index for index, question in enumerate(questions) if not unanswerable(model, question)]
    for batch in _batches(fitting, None if protocol.generator.supports_row_patches else model.max_batch_size):
        chosen = [questions[index] for index in batch]
        asked = [owners[index] if owners else 0 for index in batch]
        sharing = shared.activated(asked) if shared and protocol.generator.supports_row_patches else nullcontext()
        with patches.applied(asked) if patches else nullcontext(), sharing:
            given = _generate(model, protocol, chosen)
        for index, samples in zip(batch, given, strict=True):
            answers[index] = tuple(_truncated(model, protocol, questions[index], output) for output in samples)
    return answers


def _truncated(model: LoadedModel, protocol: ReadyProtocol, question: Question, output: Output) -> Answer:
    """Return the answer in an output; in a chat template, the thought before the reply is removed first."""
    gold = question.gold if protocol.truncator.reads_gold else None
    if not protocol.asks_in_chat:
        return protocol.truncator.truncate(output, gold)
    reply, thought = without_thought(model, output, begins_thought(question.prompt.text))
    return with_thought(protocol.truncator.truncate(reply, gold), output, thought)


def unanswerable(model: LoadedModel, question: Question) -> str | None:
    """Return why the model cannot be asked a question. None: it can."""
    if not question.prompt_length:
        return "the prompt has no token"
    if question.gold_shares_a_token:
        return "no token stands before the gold answer's first, or its rival's, so nothing can be asked for it"
    if not model.embeds_every_token:
        try:
            require_embeddings(model, (*encode(model.tokenizer, question.prompt), *question.gold.token_ids))
        except Refused as refusal:
            return str(refusal)
    needed = question.prompt_length + len(question.gold.token_ids)
    if model.max_length is not None and needed > model.max_length:
        return f"{question.prompt_length} prompt tokens and the gold answer exceed the model's {model.max_length}"
    return None


def _generate(model: LoadedModel, protocol: ReadyProtocol, questions: Sequence[Question]) -> list[tuple[Output, ...]]:
    seen = [question.gold if protocol.truncator.reads_gold else None for question in questions]

    def is_complete(row: int, text: str, token_count: int) -> bool:
        return protocol.truncator.is_complete(text, token_count, seen[row])

    stop: StopRule = is_complete
    if protocol.asks_in_chat:
        stop = ReplyStopRule(is_complete, [begins_thought(question.prompt.text) for question in questions])
    golds = [question.gold if protocol.generator.reads_gold else None for question in questions]
    return protocol.generator.generate(model, [question.prompt for question in questions], golds, stop)


def _batches(indices: Sequence[int], size: int | None) -> Iterator[Sequence[int]]:
    size = size or max(1, len(indices))
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
