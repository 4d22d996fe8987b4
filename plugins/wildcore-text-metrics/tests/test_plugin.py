"""What the plugin offers, its cost on import, and its README."""

from pathlib import Path

from wildcore.jobs.build import make
from wildcore.registry import load_registry

README = Path(__file__).parents[1] / "README.md"
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
