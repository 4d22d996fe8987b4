"""Published protocols: their definitions, and the whole chain on small models beside the decoding of transformers."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from wildcore import Answer, AnsweredProbe, Probe, Use, UserError
from wildcore.evaluation.questions import generate_answers, render_questions
from wildcore.jobs.protocols import make_protocol
from wildcore.models import LoadedModel
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Registry, load_registry
from wildcore.testing.networks import tiny_model

CHAT = (
    "<s>{% for message in messages %}[{{ message.role }}] {{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
SYSTEM = "You are a helpful assistant."
QUESTIONS = [
    "Where was Marie Curie born?",
    "which river flows through Paris",
    "The capital of Canada is",
    "Who wrote 24 books?",
    "Where is Rome?",
    "who lives in the U.S.",
]
INSTRUCTION = "Please answer the question:\n\nQ: {question}\nA:"
WILD_AUTHORS = {
    "wild-authors": Use(name="question-only"),
    "wild-authors-instruction": Use(name="qa-instruction", params={"template": INSTRUCTION}),
}
FIRST = (Use(name="exact-match", params={"aliases": False, "as_published": False}),)
HARNESS = (Use(name="lm-eval-exact-match"),)


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = load_registry(["published", "synthetic", "wild"])
    assert not registry.broken
    return registry


def ready(registry: Registry, name: str) -> ReadyProtocol:
    return make_protocol(registry, registry.find_protocol(name).offer)


def model_with_chat(model_type: str, seed: int = 0) -> LoadedModel:
    model = tiny_model(model_type, seed=seed)
    model.tokenizer.chat_template = CHAT
    return model


@pytest.mark.parametrize(("name", "context"), WILD_AUTHORS.items())
def test_wild_authors(registry: Registry, name: str, context: Use) -> None:
    definition = ready(registry, name).definition
    assert definition.context == context
    assert definition.generator == Use(name="autoregressive", params={"max_new_tokens": 50})
    assert definition.truncator == Use(name="strip-stops", params={"stops": [".", "\n"]})
    assert definition.metrics == {"reliability": FIRST, "generalization": FIRST, "locality": (Use(name="unchanged"),)}
    assert "WanliYoung/Revisit-Editing-Evaluation at 61ccca3" in definition.cites


def test_easyedit(registry: Registry) -> None:
    definition = ready(registry, "easyedit").definition
    of_the_template = {"template": None, "template_arguments": {}}
    assert definition.context == Use(
        name="chat", params={**of_the_template, "system": SYSTEM, "add_special_tokens": True}
    )
    assert definition.generator == Use(name="autoregressive", params={"max_new_tokens": 512})
    assert definition.truncator == Use(name="strip-stops", params={"stops": [".", "\n"]})
    same_text = (Use(name="unchanged-text"),)
    scored = dict.fromkeys(("reliability", "generalization", "portability"), FIRST)
    assert definition.metrics == scored | {"locality": same_text}
    assert "zjunlp/EasyEdit at 14cea82" in definition.cites


def test_lm_eval(registry: Registry) -> None:
    definition = ready(registry, "lm-eval").definition
    assert definition.context == Use(name="nq-open")
    assert definition.generator == Use(name="autoregressive", params={"max_new_tokens": 256})
    assert definition.truncator == Use(
        name="stop-strings", params={"stops": ["\n", ".", ","], "skip_leading_white_space": False}
    )
    assert definition.metrics == dict.fromkeys(("reliability", "generalization", "locality", "portability"), HARNESS)
    assert "lm-evaluation-harness at 4e7e0d4" in definition.cites


@pytest.mark.parametrize("name", [*WILD_AUTHORS, "easyedit"])
def test_a_protocol_whose_code_has_a_judge_says_that_it_has_none(registry: Registry, name: str) -> None:
    protocol = ready(registry, name)
    assert "without a key for its judge" in protocol.definition.summary
    assert "the metric judge" in protocol.definition.summary


def published_prompt(name: str, model: LoadedModel, question: str) -> str:
    if name == "easyedit":
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        return str(model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    if name == "wild-authors-instruction":
        return INSTRUCTION.format(question=question)
    return f"Answer these questions:\n\nQ: {question.rstrip('?')}?\nA:" if name == "lm-eval" else question


@torch.inference_mode()
def transformers_generate(name: str, model: LoadedModel, question: str, stops: Sequence[str], tokens: int) -> list[int]:
    """Answer one question as the published code does: transformers' own loop and stop strings, no batch."""
    encoded = model.tokenizer(published_prompt(name, model, question), return_tensors="pt", return_token_type_ids=False)
    generated = model.network.generate(
        **encoded,
        max_new_tokens=tokens,
        stop_strings=[*stops, model.tokenizer.eos_token],
        tokenizer=model.tokenizer,
        pad_token_id=model.tokenizer.eos_token_id,
        do_sample=False,
    )
    ids: list[int] = generated[0, encoded["input_ids"].shape[1] :].tolist()
    return ids


def stripped(model: LoadedModel, ids: list[int]) -> str:
    """Strip as published, but for other special tokens, whose text the published code leaves in."""
    others = {*model.tokenizer.all_special_ids} - {model.tokenizer.eos_token_id}
    text = str(model.tokenizer.decode([token for token in ids if token not in others]))
    for suffix in (".", "\n", model.tokenizer.eos_token):
        text = text[: -len(suffix)] if text.endswith(suffix) else text
    return text


def cut(model: LoadedModel, ids: list[int]) -> str:
    text = str(model.tokenizer.decode(ids, skip_special_tokens=True))
    for stop in ("\n", ".", ","):
        text = text.split(stop)[0]
    return text.strip()


PUBLISHED: dict[str, tuple[tuple[str, ...], int, Any]] = {
    "wild-authors": ((".", "\n"), 50, stripped),
    "wild-authors-instruction": ((".", "\n"), 50, stripped),
    "easyedit": ((".", "\n"), 512, stripped),
    "lm-eval": (("\n", ".", ","), 256, cut),
}


def answers_of(model: LoadedModel, protocol: ReadyProtocol) -> list[Answer]:
    probes = [Probe(kind="reliability", prompt=question, answers=("x",)) for question in QUESTIONS]
    return [answer for (answer,) in generate_answers(model, protocol, render_questions(model, protocol, probes))]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_whole_chain_gives_what_the_published_recipe_gives(registry: Registry, name: str) -> None:
    protocol = ready(registry, name)
    stops, tokens, end = PUBLISHED[name]
    reasons = set()
    for seed in range(3):
        model = model_with_chat("llama", seed)
        model.network.config.max_position_embeddings = 1024
        for question, answer in zip(QUESTIONS, answers_of(model, protocol), strict=True):
            ids = transformers_generate(name, model, question, stops, tokens)
            assert list(answer.token_ids) == ids
            assert answer.text == end(model, ids)
            reasons.add(answer.output.stop_reason)
    seen = {"stop-rule", "max-new-tokens"}  # after the instruction none of these models ends the sequence by itself
    assert reasons == (seen if name == "wild-authors-instruction" else seen | {"end-of-sequence"})


def score(protocol: ReadyProtocol, probe: Probe, answer: Answer, unedited: Answer) -> float | None:
    item = AnsweredProbe(
        kind=probe.kind,
        question=probe.prompt,
        answers=probe.answers,
        gold_token_ids=(),
        answer=answer,
        unedited=unedited,
    )
    ((_, metric),) = protocol.metrics[probe.kind]
    return metric.score([item])[0].value


@pytest.mark.parametrize(("name", "second_counts"), [("wild-authors", 0.0), ("easyedit", 0.0), ("lm-eval", 1.0)])
def test_an_answer_is_scored_by_its_gold_and_only_the_harness_accepts_aliases(
    registry: Registry, name: str, second_counts: float
) -> None:
    protocol, model = ready(registry, name), model_with_chat("llama")
    answer = answers_of(model, protocol)[0]
    gold = answer.text.strip()
    assert gold
    for golds, value in (((gold, "x"), 1.0), (("x", gold), second_counts), (("x", "y"), 0.0)):
        probe = Probe(kind="reliability", prompt=QUESTIONS[0], answers=golds)
        assert score(protocol, probe, answer, answer) == value


def test_locality_is_about_tokens_there_about_text_here_and_about_the_gold_in_the_harness(registry: Registry) -> None:
    def spoken(text: str, ids: tuple[int, ...]) -> Answer:
        base = answers_of(model_with_chat("llama"), ready(registry, "lm-eval"))[0]
        return base.model_copy(update={"text": text, "token_ids": ids})

    probe = Probe(kind="locality", prompt="Where?", answers=("Rome",))
    same_text, gold = (spoken("Paris", (1, 2)), spoken("Paris", (3,))), (spoken("Rome", (4,)), spoken("Oslo", (4,)))
    assert [score(ready(registry, name), probe, *same_text) for name in PUBLISHED] == [0.0, 0.0, 1.0, 0.0]
    assert [score(ready(registry, name), probe, *gold) for name in PUBLISHED] == [1.0, 1.0, 0.0, 1.0]


def test_easyedit_refuses_a_model_without_a_system_message(registry: Registry) -> None:
    protocol = ready(registry, "easyedit")
    with pytest.raises(UserError, match="has no chat template"):
        answers_of(tiny_model("llama"), protocol)
    model = tiny_model("llama")
    model.tokenizer.chat_template = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(UserError, match="leaves the system message out"):
        answers_of(model, protocol)
