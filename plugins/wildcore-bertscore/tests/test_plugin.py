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


def test_the_name_makes_the_metric() -> None:
    registry = load_registry(["bertscore"])
    assert not registry.broken
    found = registry.find("metric", "bert-score")
    metric, params = make(found, "metric", {})
    assert type(metric).__name__ == "BertScore"
    assert metric.expensive
    assert not metric.reads_unedited
    assert params.model_dump()["encoder"] == "roberta-large"
    assert found.offer.summary
    assert found.offer.cites
    assert f"| `{found.offer.name}` |" in README.read_text(encoding="utf-8")


def test_loading_the_plugin_is_cheap() -> None:
    code = (
        "import sys, wildcore_bertscore; sys.exit(any(m in sys.modules for m in ('bert_score', 'torch', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_of_the_readme_run(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert command[-1] in done.stdout
