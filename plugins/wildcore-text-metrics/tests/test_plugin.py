"""What the plugin offers, its cost on import, and its README."""

import subprocess
import sys
from pathlib import Path

import pytest

from wildcore.assembly import make
from wildcore.registry import load_registry

README = Path(__file__).parents[1] / "README.md"
COMMANDS = [
    line.split() for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    wildcore ")
]
NAMES = {
    "token-f1": "TokenF1",
    "contains": "Contains",
    "rouge-l": "RougeL",
    "n-gram-entropy": "NGramEntropy",
    "extra-content": "ExtraContent",
}


def test_the_names_make_these_metrics() -> None:
    registry = load_registry(["text-metrics"])
    assert not registry.broken
    for name, kind in NAMES.items():
        metric, _ = make(registry.find("metric", name), "metric", {})
        assert type(metric).__name__ == kind
        assert not metric.reads_unedited
        assert not metric.expensive
    assert {found.offer.name for found in registry.offers["metric"]} == NAMES.keys()


def test_every_metric_has_a_summary_a_source_and_a_line_in_the_readme() -> None:
    for found in load_registry(["text-metrics"]).offers["metric"]:
        assert found.offer.summary
        assert found.offer.cites
        assert f"| `{found.offer.name}` |" in README.read_text(encoding="utf-8")


def test_loading_the_plugin_is_cheap() -> None:
    code = (
        "import sys, wildcore_text_metrics; sys.exit(any(m in sys.modules for m in ('nltk', 'rouge_score', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_of_the_readme_run(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert command[-1] in done.stdout
