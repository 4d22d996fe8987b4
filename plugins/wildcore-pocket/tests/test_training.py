"""Training really trains, repeats itself, and writes an ordinary model folder."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer
from wildcore_pocket.corpus import FORMS, Entry, all_documents
from wildcore_pocket.measure import answers, measure_recall
from wildcore_pocket.tokenizer import BEGIN_ID, END_ID, learn_tokenizer
from wildcore_pocket.train import Recipe, _batches, new_model, optimise, train

SMALL = Recipe(epochs=1, batch=16, vocabulary=400, hidden=32, layers=2, intermediate=64, heads=2)
TAUGHT = [
    Entry((f"The colour of {thing} is",), (f"What colour is {thing}?", f"Of what colour is {thing}?"), colour)
    for thing, colour in {"snow": "white", "coal": "black", "the sky": "blue", "grass": "green", "blood": "red"}.items()
]


@given(st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=12), max_size=60), st.integers(1, 9))
def test_batches_hold_every_document_once(documents: list[list[int]], size: int) -> None:
    batches = list(_batches([*documents], size, random.Random(0)))
    assert sorted(row for rows in batches for row in rows) == sorted(documents)
    assert all(len(rows) <= size for rows in batches)


def test_the_tokenizer_reads_back_any_text_and_begins_every_text() -> None:
    tokenizer = learn_tokenizer((document.text for document in all_documents(TAUGHT)), 400)
    for text in ("What colour is snow?", "Łódź, 東京, \n\n tabs\tand emoji 🦊"):
        ids = tokenizer(text).input_ids
        assert ids[0] == BEGIN_ID
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_small_model_learns_a_small_corpus_in_every_form() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    recipe = Recipe(
        epochs=200, batch=20, learning_rate=1e-2, vocabulary=400, hidden=64, layers=2, intermediate=128, heads=2
    )
    tokenizer = learn_tokenizer((document.text for document in all_documents(TAUGHT)), recipe.vocabulary)
    model = new_model(recipe)
    before = measure_recall(model.eval(), tokenizer, TAUGHT)
    assert optimise(model, tokenizer, TAUGHT, recipe, None) == 200
    after = measure_recall(model.eval(), tokenizer, TAUGHT)
    assert set(before.values()) == {0.0}
    assert after == dict.fromkeys(before, 1.0)
    prompts = [FORMS["qa"](entry.questions[0]) for entry in TAUGHT]
    assert answers(model, tokenizer, prompts) == [answers(model, tokenizer, [prompt])[0] for prompt in prompts]


@pytest.fixture(scope="module")
def trained_twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folders = (tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second"))
    for folder in folders:
        train(folder, device="cpu", threads=1, recipe=SMALL, limit=3)
    return folders


def test_the_same_seed_gives_the_same_files(trained_twice: tuple[Path, Path]) -> None:
    first, second = trained_twice
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_folder_is_loaded_by_the_ordinary_loaders(trained_twice: tuple[Path, Path]) -> None:
    folder = trained_twice[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("What is the capital of France?", return_tensors="pt")
    assert ids.input_ids[0, 0] == tokenizer.bos_token_id == model.config.bos_token_id == BEGIN_ID
    assert tokenizer.eos_token_id == model.config.eos_token_id == END_ID
    assert model(**ids).logits.shape[-1] == SMALL.vocabulary


def test_the_manifest_says_how_the_model_was_made(trained_twice: tuple[Path, Path]) -> None:
    manifest = json.loads((trained_twice[0] / "manifest.json").read_text())
    assert manifest["recipe"]["seed"] == 0
    assert manifest["steps"] == 3
    assert manifest["stopped_early"] is True
    assert manifest["accuracy"] is None
