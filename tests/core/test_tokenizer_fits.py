"""Where the tokenizer and the network of a model disagree, this is found at loading, and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from wildcore import Refused, UserError
from wildcore.architectures import built_in_families
from wildcore.errors import render
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.models.tokens import require_fits_context
from wildcore.testing.networks import tiny_model
from wildcore.types import EditRequest

FAMILIES = {family.model_type: family for family in built_in_families()}
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"

Load = Callable[..., LoadedModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A function that saves a tiny model after a change of its tokenizer or network, and loads it."""

    def changed(change: Callable[[Any, Any], None]) -> LoadedModel:
        model = tiny_model("llama")
        change(model.tokenizer, model.network)
        model.network.save_pretrained(tmp_path / "model")
        model.tokenizer.save_pretrained(tmp_path / "model")
        return load_model(ModelRequest(str(tmp_path / "model"), device="cpu"), FAMILIES)

    return changed


def add_word(tokenizer: Any, network: Any) -> None:
    tokenizer.add_tokens(["Brightwater"])


def test_a_word_without_an_embedding_is_named_at_loading_and_at_the_prompt(load: Load) -> None:
    model = load(add_word)
    rows = model.network.config.vocab_size
    (note,) = map(render, model.notes)
    assert f"no embedding (it has {rows}): 'Brightwater' ({rows}); a text with one of them cannot be read" in note
    with pytest.raises(Refused, match=rf"its token 'Brightwater' \({rows}\) has no embedding"):
        require_fits_context(model, EditRequest(prompt="The town of Brightwater lies in", target="Canada"))
    with pytest.raises(UserError, match=rf"its token 'Brightwater' \({rows}\) has no embedding"):
        model.network(torch.tensor([[5, rows]]))
    require_fits_context(model, EditRequest(prompt="The capital of Canada is", target="Ottawa"))
    assert model.network(torch.tensor([[5, 6]])).logits.shape[-1] == rows


def test_a_padding_token_without_an_embedding_is_not_used(load: Load) -> None:
    model = load(lambda tokenizer, network: tokenizer.add_special_tokens({"pad_token": "[PAD]"}))
    assert "'[PAD]'" in render(model.notes[0])
    assert model.padding == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda tokenizer, network: setattr(tokenizer, "eos_token", "<unk>"),
            "the end-of-sequence token is '<unk>' (3) by the tokenizer, but by config.json '</s>' (2) and by "
            "generation_config.json '</s>' (2)",
        ),
        (
            lambda tokenizer, network: setattr(network, "generation_config", GenerationConfig(eos_token_id=3)),
            "the end-of-sequence token is '</s>' (2) by the tokenizer, but by generation_config.json '<unk>' (3)",
        ),
        (
            lambda tokenizer, network: setattr(tokenizer, "bos_token", "<unk>"),
            "the beginning-of-sequence token is '<unk>' (3) by the tokenizer, but by config.json '<s>' (1); the tokenizer's is "
            "used",
        ),
    ],
)
def test_special_tokens_that_differ_are_named(change: Callable[[Any, Any], None], said: str, load: Load) -> None:
    assert said in [render(note) for note in load(change).notes]


def test_a_model_without_an_end_is_named(load: Load) -> None:
    def without(tokenizer: Any, network: Any) -> None:
        tokenizer.eos_token = None
        network.config.eos_token_id = network.generation_config.eos_token_id = None

    model = load(without)
    assert "neither the tokenizer nor the configuration names an end-of-sequence token" in render(model.notes[0])
    assert model.end_of_sequence == frozenset()


def test_several_ends_that_include_the_tokenizers_agree_with_it(load: Load) -> None:
    model = load(lambda tokenizer, network: setattr(network.generation_config, "eos_token_id", [3, 2]))
    assert model.notes == ()


def test_a_chat_template_whose_replies_end_by_a_token_that_ends_nothing_is_named(load: Load) -> None:
    def with_template(tokenizer: Any, network: Any) -> None:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        network.resize_token_embeddings(len(tokenizer))
        tokenizer.chat_template = TEMPLATE

    model = load(with_template)
    assert "the chat template ends a reply with '<|im_end|>'" in render(model.notes[0])
