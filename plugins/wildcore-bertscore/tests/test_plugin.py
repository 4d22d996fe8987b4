"""What the plugin offers, its cost on import, and its README."""

from pathlib import Path

from wildcore.jobs.build import make
from wildcore.registry import load_registry

README = Path(__file__).parents[1] / "README.md"


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
