"""n-gram entropy: of published code, of repetition; under patches; and its signs of collapse."""

from collections.abc import Mapping, Sequence
from math import log2
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_collapse.entropy import NGramEntropy, is_one_repeated, n_gram_entropy, words_and_marks
from wildcore_collapse.parameters import EntropyParams
from wildcore_collapse.texts import read_prompts

from wildcore import Measured, Output, Prompt, Saved
from wildcore.models import LoadedModel
from wildcore.patches import Dense, PromptPatch, WeightPatch
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.golden import Golden, far, near
from wildcore.testing.measurements import check_measurement
from wildcore.testing.networks import tiny_model

PUBLISHED = Golden(Path(__file__).parent / "golden").content
TEXTS = [pytest.param(text, id=text["name"]) for text in PUBLISHED["texts"]]
TOLERANCE = 1e-12
BITS = 1e-9


@pytest.fixture(scope="module")
def llama() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of prompts that fit into the context of the tiny models."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("The bridge\n\nIn winter\nStreams do\n", encoding="utf-8")
    return file


def measurement(prompts: Path, **params: Any) -> NGramEntropy:
    return NGramEntropy(EntropyParams(prompts=str(prompts), **{"new_tokens": 16, **params}))


def with_weights_exchanged(words: Sequence[str]) -> float:
    """Return the entropy with the weight of 2-grams at 3-grams: a wrong method."""
    pairs, triples = (list(zip(*(words[i:] for i in range(n)), strict=False)) for n in (2, 3))
    shares = [[grams.count(gram) / len(grams) for gram in set(grams)] for grams in (pairs, triples)]
    bits = [-sum(share * log2(share) for share in some) for some in shares]
    return (4 / 3 * bits[0] + 2 / 3 * bits[1]) / 2


@pytest.mark.parametrize("text", TEXTS)
def test_the_entropy_is_that_of_published_code(text: dict[str, Any]) -> None:
    assert words_and_marks(text["text"]) == text["words"]
    assert n_gram_entropy(text["words"]) == pytest.approx(text["entropy"], rel=TOLERANCE, abs=TOLERANCE)


def test_a_wrong_method_is_told_from_rounding() -> None:
    (text,) = (text for text in PUBLISHED["texts"] if text["name"] == "sentence")
    assert near(abs(n_gram_entropy(text["words"]) / text["entropy"] - 1), TOLERANCE)
    assert far(abs(with_weights_exchanged(text["words"]) / text["entropy"] - 1), TOLERANCE)


def test_the_mean_is_that_of_published_code() -> None:
    found = fmean(n_gram_entropy(text["words"]) for text in PUBLISHED["texts"])
    assert found == pytest.approx(PUBLISHED["mean_entropy"], rel=TOLERANCE)


@pytest.mark.parametrize("name", ["sentence", "one word", "two words in turn", "marks", "only stops", "accents"])
def test_where_nltk_finds_the_same_words_the_text_has_the_published_entropy(name: str) -> None:
    (text,) = (text for text in PUBLISHED["texts"] if text["name"] == name)
    found = n_gram_entropy(words_and_marks(text["text"]))
    assert found == pytest.approx(text["entropy_of_nltk_words"], rel=TOLERANCE, abs=TOLERANCE)


@given(st.lists(st.sampled_from("abcd"), max_size=30))
@settings(max_examples=60, deadline=None)
def test_entropy_is_bounded_and_knows_no_words(words: list[str]) -> None:
    found = n_gram_entropy(words)
    assert -BITS <= found <= log2(max(1, len(words))) + BITS
    assert found == pytest.approx(n_gram_entropy([word.upper() for word in words]))
    if len(set(words)) <= 1:
        assert found == pytest.approx(0, abs=BITS)


@given(st.integers(3, 40))
@settings(max_examples=20, deadline=None)
def test_words_that_are_all_different_have_the_largest_entropy(count: int) -> None:
    words = [str(number) for number in range(count)]
    assert n_gram_entropy(words) == pytest.approx((2 / 3 * log2(count - 1) + 4 / 3 * log2(count - 2)) / 2)


@pytest.mark.parametrize(
    ("text", "tokens", "repeated"),
    [
        ("Rome Rome Rome", (1, 2, 1, 2), True),
        ("....", (7, 7), True),
        ("", (0, 5), True),
        ("�", (9, 9, 9), True),
        ("Rome Rome!", (1, 1, 2), False),
    ],
)
def test_a_repeated_word_or_token_is_recognised(text: str, tokens: tuple[int, ...], repeated: bool) -> None:
    assert is_one_repeated(Output(text=text, token_ids=tokens, stop_reason="forced-length")) is repeated


def test_a_model_that_says_one_token_only_has_no_entropy(prompts: Path) -> None:
    model = tiny_model("llama")
    model.network.get_output_embeddings().weight.data.zero_()  # all logits are equal, and the first token is chosen
    (found,) = measurement(prompts).measure(model)
    assert found.value == 0
    assert found.samples == (0, 0, 0)
    assert found.details["repeating"] == 1


def test_a_number_is_the_mean_over_continuations(llama: LoadedModel, prompts: Path) -> None:
    (found,) = measurement(prompts).measure(llama)
    assert found.items == len(found.samples) == 3
    assert found.value == pytest.approx(fmean(found.samples))
    assert found.standard_error == pytest.approx(stdev(found.samples) / 3**0.5)
    assert found.value > 1
    assert found.higher_is_better
    assert found.details["new_tokens"] == 16
    assert found.details["repeating"] == 0


class Passes:
    """Counts the passes of the network."""

    allows_cuda_graph = False

    def __init__(self) -> None:
        self.count = 0

    def on_batch(self, reading: Any) -> None:
        self.count += 1


def test_the_end_of_the_sequence_ends_no_continuation(prompts: Path) -> None:
    model, passes = tiny_model("llama"), Passes()
    model.network.get_output_embeddings().weight.data.zero_()
    model.network.generation_config.eos_token_id = 0  # the token that is chosen
    model.listeners.append(passes)
    measurement(prompts).measure(model)
    assert passes.count == 16


def test_logits_that_are_not_finite_are_a_sign(llama: LoadedModel, prompts: Path) -> None:
    projection, made = llama.mlp_output(1), measurement(prompts)
    unedited = made.measure(llama)
    with WeightPatch({projection.name: Dense(torch.full_like(projection.weight, torch.nan))}).applied(llama):
        edited = made.measure(llama)
    assert edited[0].value is None
    assert edited[0].reason == "the model's logits are not finite"
    (sign,) = made.signs_of_collapse(unedited, edited)
    assert sign.startswith(
        "n-gram-entropy cannot be measured (the model's logits are not finite); of the unedited model it is "
    )


@pytest.mark.parametrize(("value", "collapsed"), [(1.99, True), (2.0, False), (0.0, True), (4.5, False)])
def test_less_than_half_of_the_entropy_is_a_sign(value: float, collapsed: bool) -> None:
    before, after = (Measured(name="n-gram-entropy", value=number) for number in (4.0, value))
    signs = NGramEntropy(EntropyParams()).signs_of_collapse([before], [after])
    assert signs == ([f"n-gram-entropy is {value:.3g}, of the unedited model 4"] if collapsed else [])


class Longer(PromptPatch):
    def __init__(self, text: str) -> None:
        self.text = text

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        assert list(questions) == [prompt.text for prompt in prompts]
        return [prompt.model_copy(update={"text": f"{self.text} {prompt.text}"}) for prompt in prompts]

    def to_saved(self) -> Saved:
        return Saved({}, {})

    def describe(self) -> Mapping[str, Any]:
        return {"finite": True}


def test_a_patch_of_prompts_acts(llama: LoadedModel, prompts: Path) -> None:
    unedited = measurement(prompts).measure(llama)
    with Longer("Note: it rains.").applied(llama):
        assert measurement(prompts).measure(llama) != unedited


def test_a_prompt_that_leaves_no_room_is_a_reason_and_no_sign(llama: LoadedModel, prompts: Path) -> None:
    made = measurement(prompts)
    unedited = made.measure(llama)
    with Longer("it rains and " * 20).applied(llama):
        edited = made.measure(llama)
    assert edited[0].value is None
    assert str(edited[0].reason).endswith("tokens and 16 new ones exceed the model's 128")
    assert not made.signs_of_collapse(unedited, edited)
    assert not made.signs_of_collapse(edited, unedited)


def test_a_token_without_embedding_is_a_reason(prompts: Path) -> None:
    model = tiny_model("llama")
    model.network.resize_token_embeddings(10)
    (found,) = measurement(prompts).measure(model)
    assert str(found.reason).startswith("the network has no embedding for token")


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_it_keeps_what_measurements_promise(model_type: str, prompts: Path, tmp_path: Path) -> None:
    check_measurement(lambda: measurement(prompts), tiny_model(model_type), quiet_environment(tmp_path))


def test_the_bundled_prompts_are_open_ended() -> None:
    found = read_prompts("sample")
    assert len(set(found)) == 10
    assert all(prompt[-1].isalpha() or prompt.endswith(",") for prompt in found)


def test_other_prompts_are_another_resource(prompts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(prompts.read_text(encoding="utf-8") + "\nAnd then", encoding="utf-8")
    pinned = [NGramEntropy(EntropyParams(prompts=str(file))).pin_resources() for file in (prompts, prompts, other)]
    assert pinned[0] == pinned[1] != pinned[2]
