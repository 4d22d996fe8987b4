"""What the plugin offers, examples drawn from a dataset, and its README."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wildcore import EditCase, EditRequest, Malformed
from wildcore.assembly import make
from wildcore.params import ContextParams
from wildcore.registry import Registry, load_registry
from wildcore.selection import Choice, Reader
from wildcore.testing.networks import tiny_model

README = Path(__file__).parents[1] / "README.md"
COMMANDS = [
    line.split() for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    wildcore describe")
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = load_registry(["prompting"])
    assert not registry.broken
    return registry


class Mills:
    """A dataset of ten cases."""

    def cases(self) -> Iterator[EditCase | Malformed]:
        for number in range(10):
            request = EditRequest(prompt=f"Who keeps mill {number}?", target=f"Anna {number}")
            yield EditCase(id=str(number), request=request, probes=())


def test_examples_come_from_cases_that_are_not_evaluated(registry: Registry) -> None:
    found = registry.find("context", "few-shot")
    params = found.offer.params.model_validate({"count": 3})
    assert isinstance(params, ContextParams)
    reader = Reader("mills", Mills(), Choice(seed=7))
    complete = params.with_examples(reader.examples(params.examples_needed()))
    context, recorded = make(found, "context", complete.model_dump(mode="json", exclude_defaults=True))
    text = context.render("Who else?", tiny_model("gpt2")).text
    left = [case.request for case in reader.cases()]
    assert len(left) == 7
    assert not any(request.prompt in text or request.target in text for request in left)
    assert text.count("Who keeps mill") == 3
    assert len(json.loads(recorded.model_dump_json())["examples"]) == 3


def test_loading_the_plugin_is_cheap() -> None:
    code = "import sys, wildcore_prompting; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'ijson')))"
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
