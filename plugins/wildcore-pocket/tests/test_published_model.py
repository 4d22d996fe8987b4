"""The model inside the package is the one that the corpus makes, and knows what the README says."""

import json
from pathlib import Path

import pytest
import torch
import wildcore_pocket.build
from transformers import AutoModelForCausalLM, AutoTokenizer
from wildcore_pocket.corpus import entries
from wildcore_pocket.edits import choose_stale
from wildcore_pocket.measure import measure_cases
from wildcore_pocket.train import data_hash
from wildcore_pocket.world import read_world

FOLDER = Path(wildcore_pocket.build.__file__).parent / "data" / "model"


def test_the_model_was_trained_on_the_corpus_that_lies_beside_it() -> None:
    corpus = choose_stale(read_world())
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data_sha256"] == data_hash(entries(corpus), wildcore_pocket.build.build_cases(corpus))
    assert manifest["stopped_early"] is False


def test_the_weights_are_at_most_12_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) <= 12_000_000


@pytest.mark.parametrize("form", ["question", "qa", "instruction"])
def test_the_unedited_model_is_wrong_on_the_edits_and_right_beside_them(form: str) -> None:
    cases = [json.loads(line) for line in wildcore_pocket.build.CASES.read_text(encoding="utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    measured = measure_cases(model, tokenizer, cases[::5], form)
    assert measured["edit prompts answered with the target"] <= 0.05
    assert measured["edit prompts answered with the stale answer"] >= 0.95
    assert measured["locality probes right"] >= 0.95
