"""What the plugin offers, its cost on import, and its README."""

import subprocess
import sys
from pathlib import Path

import pytest
from wildcore_decoding.forced_length import ForcedLength
from wildcore_decoding.sampling import Sampling

from wildcore.assembly import make
from wildcore.registry import Registry, load_registry

README = Path(__file__).parents[1] / "README.md"
COMMANDS = [
    line.split() for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    wildcore describe")
]


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


def test_loading_the_plugin_is_cheap() -> None:
    code = "import sys, wildcore_decoding; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_of_the_readme_run(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert command[-1] in done.stdout


def test_the_readme_names_every_part_that_the_plugin_offers(registry: Registry) -> None:
    names = [found.offer.name for offers in registry.offers.values() for found in offers]
    assert len(names) == 2
    assert all(f"| `{name}` |" in README.read_text(encoding="utf-8") for name in names)
