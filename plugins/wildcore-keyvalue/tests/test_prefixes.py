"""Prefixes are drawn with a seed and kept."""

from pathlib import Path

import pytest
from wildcore_keyvalue import prefixes
from wildcore_keyvalue.prefixes import STARTS, sampled_prefixes

from wildcore import Prompt
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.networks import tiny_model
from wildcore.tokens import encode

LENGTHS = ((5, 5), (10, 5))


def test_the_bare_prompt_comes_first_and_each_prefix_is_closed(tmp_path: Path) -> None:
    model = tiny_model("llama")
    bare, *sampled = sampled_prefixes(model, quiet_environment(tmp_path), LENGTHS, 5)
    assert bare == ""
    assert len(sampled) == 10
    assert all(prefix.endswith(". ") and prefix.startswith(STARTS) for prefix in sampled)
    assert all(len(encode(model.tokenizer, Prompt(text=prefix))) >= 5 for prefix in sampled)


def test_the_seed_decides_and_the_cache_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    first = sampled_prefixes(model, quiet_environment(tmp_path / "a"), LENGTHS, 5)
    assert sampled_prefixes(model, quiet_environment(tmp_path / "b"), LENGTHS, 5) == first
    assert sampled_prefixes(model, quiet_environment(tmp_path / "a", seed=1), LENGTHS, 5) != first
    monkeypatch.setattr(prefixes, "_sample", lambda *arguments: pytest.fail("sampled again"))
    assert sampled_prefixes(model, quiet_environment(tmp_path / "b"), LENGTHS, 5) == first
