"""The parts of an architecture are found from the network alone."""

from dataclasses import asdict, replace

import pytest
from transformers import AutoConfig, MixtralConfig, OPTConfig, T5Config

from wildcore import Family
from wildcore.architectures import built_in_families
from wildcore.jobs.describe import plugin_lines
from wildcore.models.family_guess import guess_family
from wildcore.testing.networks import tiny_model

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 99}


def in_any_order(family: Family) -> Family:
    return replace(
        family, mlp_input=tuple(sorted(family.mlp_input)), attention_input=tuple(sorted(family.attention_input))
    )


@pytest.mark.parametrize("family", list(built_in_families()), ids=lambda family: family.model_type)
def test_what_is_found_is_what_the_built_in_family_says(family: Family) -> None:
    found = guess_family(tiny_model(family.model_type).network.config)
    assert found is not None
    assert in_any_order(found) == in_any_order(family)


def test_a_family_that_is_not_built_in_is_found_and_its_lines_can_be_run() -> None:
    found = guess_family(OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=32))
    assert found is not None
    assert (found.layers, found.mlp_output, found.head) == ("model.decoder.layers", "fc2", "lm_head")
    names: dict[str, object] = {}
    exec(plugin_lines(found), names)
    (offered,) = names["wildcore_families"]()  # type: ignore[operator]
    assert asdict(offered) == asdict(found)


@pytest.mark.parametrize(
    "config",
    [MixtralConfig(**SMALL, num_key_value_heads=2, intermediate_size=64), T5Config(), AutoConfig.for_model("bert")],
)
def test_where_it_is_not_clear_nothing_is_guessed(config: object) -> None:
    assert guess_family(config) is None
