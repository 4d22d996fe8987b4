"""Prefixes are drawn with a seed and kept."""

from pathlib import Path

import pytest
import torch
from wildcore_keyvalue import prefixes
from wildcore_keyvalue.prefixes import ROME_STYLE, PrefixStyle, sampled_prefixes

from wildcore import Prompt
from wildcore.models import encode
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.networks import tiny_model

LENGTHS = ((5, 5), (10, 5))


def test_the_bare_prompt_comes_first_and_each_prefix_is_closed(tmp_path: Path) -> None:
    model = tiny_model("llama")
    bare, *sampled = sampled_prefixes(model, quiet_environment(tmp_path), LENGTHS, 5)
    assert bare == ""
    assert len(sampled) == 10
    assert all(prefix.endswith(". ") and prefix.startswith(ROME_STYLE.starts) for prefix in sampled)
    assert all(len(encode(model.tokenizer, Prompt(text=prefix))) >= 5 for prefix in sampled)


def test_a_style_says_how_texts_begin_and_end_and_what_lengths_count(tmp_path: Path) -> None:
    model = tiny_model("llama")
    style = PrefixStyle(("Who", "The old town"), " - ", new_tokens_only=True)
    _, *sampled = sampled_prefixes(model, quiet_environment(tmp_path), ((3, 4),), 1, style)
    assert sampled[:2] == sampled[2:], "of the most probable token alone there is one text for each start"
    for start, prefix in zip(style.starts, sampled, strict=False):
        ids = list(encode(model.tokenizer, Prompt(text=start)))
        written = model.network.generate(
            torch.tensor([ids]), max_new_tokens=3, do_sample=False, suppress_tokens=list(model.end_of_sequence)
        )
        text = model.tokenizer.decode(written[0], skip_special_tokens=True)
        assert prefix == " ".join(text.split()) + " - "


def test_the_seed_decides_and_the_cache_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    first = sampled_prefixes(model, quiet_environment(tmp_path / "a"), LENGTHS, 5)
    assert sampled_prefixes(model, quiet_environment(tmp_path / "b"), LENGTHS, 5) == first
    assert sampled_prefixes(model, quiet_environment(tmp_path / "a", seed=1), LENGTHS, 5) != first
    monkeypatch.setattr(prefixes, "_sample", lambda *arguments: pytest.fail("sampled again"))
    assert sampled_prefixes(model, quiet_environment(tmp_path / "b"), LENGTHS, 5) == first
