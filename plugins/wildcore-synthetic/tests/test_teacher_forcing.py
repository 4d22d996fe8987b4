"""Teacher forcing, the bare question, and the cut to the gold's length."""

import math

import pytest
import torch
from wildcore_synthetic.modules import GoldLength, QuestionOnly, TeacherForcing

from wildcore import Gold, Output, Prompt
from wildcore.models import LoadedModel, encode, tokenise_pair
from wildcore.testing.networks import MODEL_TYPES, tiny_model
from wildcore.testing.tokenizers import byte_level_tokenizer, metaspace_tokenizer

PAIRS = [
    ("Where was Marie Curie born?", "Warsaw, the capital of Poland"),
    ("Rome is in", "Italy"),
    ("The capital of Canada, a country in the north, is", "Ottawa"),
    ("She lives in", "the U.S. and St. Moritz with 24 books"),
]


def never(row: int, text: str, token_count: int) -> bool:
    return False


def gold(model: LoadedModel, prompt: Prompt, text: str) -> Gold:
    return Gold(text=text, token_ids=tokenise_pair(model.tokenizer, prompt, text).target_ids)


def teacher_force(model: LoadedModel, pairs: list[tuple[str, str]]) -> list[Output]:
    prompts = [Prompt(text=question) for question, _ in pairs]
    golds = [gold(model, prompt, answer) for prompt, (_, answer) in zip(prompts, pairs, strict=True)]
    return [output for (output,) in TeacherForcing().generate(model, prompts, golds, never)]


@torch.inference_mode()
def one_by_one(model: LoadedModel, question: str, answer: str) -> tuple[int, ...]:
    """Predict each gold token from the prompt and the gold tokens before it, by a forward pass of its own."""
    prompt = list(encode(model.tokenizer, Prompt(text=question)))
    target = gold(model, Prompt(text=question), answer).token_ids
    given = [prompt + list(target[:count]) for count in range(len(target))]
    return tuple(int(model.network(input_ids=torch.tensor([ids])).logits[0, -1].argmax()) for ids in given)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_each_token_is_predicted_from_the_gold_before_it(model_type: str) -> None:
    model = tiny_model(model_type)
    outputs = teacher_force(model, PAIRS)
    assert [output.token_ids for output in outputs] == [one_by_one(model, *pair) for pair in PAIRS]
    for (question, answer), output in zip(PAIRS, outputs, strict=True):
        assert len(output.token_ids) == len(gold(model, Prompt(text=question), answer).token_ids)
        assert output.text == model.tokenizer.decode(output.token_ids, skip_special_tokens=True)
        assert output.stop_reason == "teacher-forced"


@pytest.mark.parametrize("prefix_space", [True, False])
def test_sentencepiece_style_tokenizers_give_the_same(prefix_space: bool) -> None:
    model = tiny_model("llama", tokenizer=metaspace_tokenizer(prefix_space))
    assert [output.token_ids for output in teacher_force(model, PAIRS)] == [one_by_one(model, *pair) for pair in PAIRS]


@torch.inference_mode()
def test_the_gold_is_measured_on_the_way() -> None:
    model = tiny_model("llama")
    for (question, answer), output in zip(PAIRS, teacher_force(model, PAIRS), strict=True):
        joined = tokenise_pair(model.tokenizer, Prompt(text=question), answer)
        logits = model.network(input_ids=torch.tensor([joined.token_ids])).logits[0, joined.prompt_length - 1 : -1]
        logs = [
            float(row[token]) for row, token in zip(logits.double().log_softmax(-1), joined.target_ids, strict=True)
        ]
        assert output.measures == {"target-log-probability": pytest.approx(sum(logs) / len(logs), abs=1e-4)}


def test_a_measure_that_is_no_finite_number_is_left_out() -> None:
    model = tiny_model("llama")
    model.network.get_output_embeddings().weight.fill_(math.nan)
    (output,) = teacher_force(model, PAIRS[:1])
    assert output.measures == {}
    assert output.token_ids


def test_it_is_not_free_decoding() -> None:
    model = tiny_model("llama")
    question, answer = PAIRS[3]
    other = answer.replace("the", "three")
    (one,), (two,) = teacher_force(model, [(question, answer)]), teacher_force(model, [(question, other)])
    assert one.token_ids[0] == two.token_ids[0]
    assert one.token_ids[1:] != two.token_ids[1:]


def test_without_the_gold_it_says_so() -> None:
    with pytest.raises(ValueError, match="needs the gold of every prompt"):
        TeacherForcing().generate(tiny_model("llama"), [Prompt(text="Who?")], [None], never)


@pytest.mark.parametrize("question", ["Who?", "", "{question}", " Q: x\nA: "])
def test_question_only_is_the_question(question: str) -> None:
    assert QuestionOnly().render(question, tiny_model("llama")) == Prompt(text=question)


def test_gold_length_cuts_to_the_golds_count() -> None:
    tokenizer = byte_level_tokenizer()
    ids = tuple(tokenizer.encode(" Paris is the capital", add_special_tokens=False))
    output = Output(text=" Paris is the capital ", token_ids=ids, stop_reason="stop-rule")
    answer = GoldLength().truncate(output, Gold(text="Rome", token_ids=(1, 2)))
    assert answer.token_ids == ids[:2]
    assert answer.output == output
    assert GoldLength().truncate(output, Gold(text="long", token_ids=tuple(range(99)))).token_ids == ids


def test_gold_length_is_reached_at_the_golds_count() -> None:
    three = Gold(text="x", token_ids=(1, 2, 3))
    assert [GoldLength().is_complete("", count, three) for count in range(1, 5)] == [False, False, True, True]


def test_gold_length_without_the_gold_says_so() -> None:
    with pytest.raises(ValueError, match="was not given it"):
        GoldLength().is_complete("", 1, None)


def test_both_declare_that_they_read_the_gold() -> None:
    assert TeacherForcing.reads_gold
    assert GoldLength.reads_gold
