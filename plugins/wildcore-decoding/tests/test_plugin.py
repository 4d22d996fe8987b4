"""What the plugin offers, its cost on import, and its README."""

from pathlib import Path

import pytest
from wildcore_decoding.forced_length import ForcedLength
from wildcore_decoding.sampling import Sampling

from wildcore.jobs.build import make
from wildcore.registry import Registry, load_registry

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = load_registry(["decoding"])
    assert not registry.broken
    return registry


def test_the_names_make_these_generators(registry: Registry) -> None:
    forced, _ = make(registry.find("generator", "forced-length"), "generator", {})
    assert isinstance(forced, ForcedLength)
    assert forced.reads_gold
    sampling, params = make(registry.find("generator", "sampling"), "generator", {"samples": 3})
    assert isinstance(sampling, Sampling)
    assert not sampling.reads_gold
    assert sampling.params == params
    assert params.model_dump() == {"temperature": 1.0, "top_p": 1.0, "samples": 3, "seed": 0, "max_new_tokens": 50}
