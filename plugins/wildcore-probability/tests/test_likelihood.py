"""The log-probabilities of gold and rival are those of the plainest computation."""

import math

import pytest
import torch
from wildcore_probability.likelihood import Likelihood

from wildcore import Gold, Output, Prompt
from wildcore.models import LoadedModel, encode, tokenise_pair
from wildcore.testing.networks import MAX_LENGTH, MODEL_TYPES, tiny_model
from wildcore.testing.tokenizers import metaspace_tokenizer

Asked = tuple[str, str, str | None]
ASKED: list[Asked] = [
    ("Where was Marie Curie born?", "Warsaw, the capital of Poland", "Paris"),
    ("Rome is in", "Italy", "the north of France"),
    ("The capital of Canada, a country in the north, is", "Ottawa", None),
    ("She lives in", "the U.S. and St. Moritz", "24 books"),
]


def never(row: int, text: str, token_count: int) -> bool:
    return False


def measure(model: LoadedModel, asked: list[Asked] = ASKED) -> list[Output]:
    prompts = [Prompt(text=question) for question, _, _ in asked]
    golds = [
        Gold(text=answer, token_ids=tokenise_pair(model.tokenizer, prompt, answer).target_ids, rival=rival)
        for prompt, (_, answer, rival) in zip(prompts, asked, strict=True)
    ]
    return [output for (output,) in Likelihood().generate(model, prompts, golds, never)]


@torch.inference_mode()
def plainest(model: LoadedModel, question: str, answer: str) -> tuple[tuple[int, ...], float]:
    """Predict each token of an answer by a forward pass of its own: arg-max tokens, and mean log-probability in float64."""
    prompt = Prompt(text=question)
    ids, target = list(encode(model.tokenizer, prompt)), tokenise_pair(model.tokenizer, prompt, answer).target_ids
    logs, chosen = [], []
    for token in target:
        logits = model.network(input_ids=torch.tensor([ids])).logits[0, -1].double()
        logs.append(float(logits.log_softmax(-1)[token]))
        chosen.append(int(logits.argmax()))
        ids.append(token)
    return tuple(chosen), sum(logs) / len(logs)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("max_batch_size", [None, 2])
def test_gold_and_rival_are_measured_and_the_gold_predicted(model_type: str, max_batch_size: int | None) -> None:
    model = tiny_model(model_type)
    model.max_batch_size = max_batch_size
    outputs = measure(model)
    for (question, answer, rival), output in zip(ASKED, outputs, strict=True):
        chosen, log_probability = plainest(model, question, answer)
        assert output.token_ids == chosen
        assert output.text == model.tokenizer.decode(chosen, skip_special_tokens=True)
        assert output.stop_reason == "teacher-forced"
        expected = {"target-log-probability": log_probability, "target-tokens": len(chosen)}
        if rival:
            expected["rival-log-probability"] = plainest(model, question, rival)[1]
        assert output.measures == pytest.approx(expected, abs=1e-4)
    assert len({output.measures["target-tokens"] for output in outputs}) > 2


@pytest.mark.parametrize("prefix_space", [True, False])
def test_sentencepiece_style_tokenizers_give_the_same(prefix_space: bool) -> None:
    model = tiny_model("llama", tokenizer=metaspace_tokenizer(prefix_space))
    for (question, answer, _), output in zip(ASKED, measure(model), strict=True):
        expected = plainest(model, question, answer)[1]
        assert output.measures["target-log-probability"] == pytest.approx(expected, abs=1e-4)


def test_a_batch_without_rivals_measures_golds_alone() -> None:
    outputs = measure(tiny_model("llama"), [(question, answer, None) for question, answer, _ in ASKED])
    assert all(output.measures.keys() == {"target-log-probability", "target-tokens"} for output in outputs)
    assert [o.measures["target-log-probability"] for o in outputs] == pytest.approx(
        [o.measures["target-log-probability"] for o in measure(tiny_model("llama"))], abs=1e-5
    )


def test_swapping_gold_and_rival_swaps_their_measures() -> None:
    question, one, other = ASKED[0]
    (forth,), (back,) = (
        measure(tiny_model("llama"), [pair]) for pair in ((question, one, other), (question, other, one))
    )
    assert forth.measures["target-log-probability"] == pytest.approx(back.measures["rival-log-probability"], abs=1e-5)
    assert forth.measures["rival-log-probability"] == pytest.approx(back.measures["target-log-probability"], abs=1e-5)


def test_a_rival_beyond_the_context_is_not_measured() -> None:
    model = tiny_model("gpt2")
    long = "Paris " * MAX_LENGTH
    with_long, without = measure(model, [("Rome is in", "Italy", long), ("Rome is in", "Italy", None)])
    assert with_long.measures == pytest.approx(without.measures, abs=1e-5)


def test_what_is_no_finite_number_is_left_out() -> None:
    model = tiny_model("llama")
    model.network.get_output_embeddings().weight.fill_(math.nan)
    (output,) = measure(model, ASKED[:1])
    assert output.measures == {"target-tokens": 6.0}
    assert Output.model_validate_json(output.model_dump_json()) == output


def test_low_precision_is_scored_in_float32() -> None:
    model = tiny_model("llama", dtype=torch.bfloat16)
    question, answer, _ = ASKED[3]
    (output,) = measure(model, [(question, answer, None)])
    prompt = tokenise_pair(model.tokenizer, Prompt(text=question), answer)
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([prompt.token_ids])).logits[0, prompt.prompt_length - 1 : -1]
    logs = logits.double().log_softmax(-1)
    expected = sum(float(row[token]) for row, token in zip(logs, prompt.target_ids, strict=True)) / len(logs)
    assert output.measures["target-log-probability"] == pytest.approx(expected, abs=1e-4)


def test_without_the_gold_it_says_so() -> None:
    with pytest.raises(ValueError, match="needs the gold of every prompt"):
        Likelihood().generate(tiny_model("llama"), [Prompt(text="Who?")], [None], never)
