"""``wildcore compare`` of real runs that differ in the editor, a module, the seed, the sample or the model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import wildcore.testing
from wildcore.cli import main
from wildcore.testing.terminals import call_on_terminal

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
FEW = ("eval", "--quiet", "--editor", "ft-m", "--set", "editor.ft-m.steps=5")
RUNS: Mapping[str, tuple[object, ...]] = {
    "plain": ("--limit", 3),
    "rome": ("--limit", 3, "--editor", "rome", "--set", "editor.rome.steps=2"),
    "truncator": ("--limit", 3, "--truncator", "gold-length"),
    "seed": ("--limit", 3, "--seed", 7),
    "shorter": ("--limit", 2),
    "tiny": ("--limit", 3, "--model", TINY),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run folders by name, made once."""
    folder = tmp_path_factory.mktemp("runs")
    for name, options in RUNS.items():
        called = ("eval", "--quiet", *options) if name == "rome" else (*FEW, *options)
        done = CliRunner().invoke(main, [*map(str, called), "--out", str(folder / name)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    return {name: folder / name for name in RUNS}


def compared(*folders: Path) -> tuple[dict[str, Any], str]:
    """A comparison as JSON, and its text on a terminal, whose lines fit 80 columns apart from the paths, in one line."""
    as_json = CliRunner().invoke(main, ["compare", *map(str, folders), "--json"], catch_exceptions=False)
    text = call_on_terminal(["compare", *folders])
    assert text.exit_code == as_json.exit_code == 0, text.output
    lines = [line for line in text.stdout.splitlines() if not any(str(folder) in line for folder in folders)]
    assert max(map(len, lines)) <= 80
    found: dict[str, Any] = json.loads(as_json.stdout)
    return found, " ".join(text.stdout.split())


def columns(found: Mapping[str, Any]) -> dict[str, list[str]]:
    return {column["name"]: column["values"] for column in found["columns"]}


def test_editors_are_ranked(runs: dict[str, Path]) -> None:
    found, text = compared(runs["plain"], runs["rome"])
    assert columns(found) == {"editor": ["ft-m", "rome"]}
    (ranking,) = found["rankings"]
    assert (ranking["protocol"], ranking["kind"], ranking["metric"]) == ("wild", "reliability", "exact-match")
    assert [run["label"] for run in found["runs"]] == ["ft-m", "rome"]
    assert "What it costs in locality: wild.locality (unchanged) is" in text
    assert found["meaning"] == []


def test_a_run_with_another_truncator_is_compared_with_the_protocol(runs: dict[str, Path]) -> None:
    found, text = compared(runs["plain"], runs["truncator"])
    assert columns(found) == {"wild.truncator": ["stop-strings", "gold-length"]}
    assert found["rankings"] == []
    assert {one["protocol"] for one in found["differences"]} == {"synthetic", "wild"}
    assert all(one["paired"]["cases"] > 0 for one in found["differences"])
    assert "Variants, compared with the protocols that they change: wild of run 2." in text
    assert "Runs that differ in wild.truncator are not ranked against each other" in text
    assert compared(runs["truncator"], runs["rome"])[0]["rankings"] == [], "they differ in the truncator too"


def test_runs_in_two_seeds_differ_in_nothing_else(runs: dict[str, Path]) -> None:
    found, text = compared(runs["plain"], runs["seed"])
    assert columns(found) == {"seed": ["0", "7"]}
    assert [run["label"] for run in found["runs"]] == ["seed 0", "seed 7"]
    assert "No ranking" in text


def test_other_rows_are_a_column_and_differences_are_over_the_shared_ones(runs: dict[str, Path]) -> None:
    found, text = compared(runs["plain"], runs["shorter"])
    assert columns(found) == {"cases": ["first 3", "first 2"]}
    of_wild = next(one["paired"] for one in found["differences"] if one["protocol"] == "wild")
    assert (of_wild["cases"], of_wild["left_out"]) == (2, 1)
    assert "Up to 1 case with a value in only one of two runs is not in their difference." in text


def test_runs_on_two_models_show_what_each_knew_before(runs: dict[str, Path]) -> None:
    found, text = compared(runs["plain"], runs["tiny"], runs["rome"])
    assert columns(found) == {"editor": ["ft-m", "ft-m", "rome"], "model": ["pocket", "tiny-llama", "pocket"]}
    assert [run["run"] for ranking in found["rankings"] for run in sorted(ranking["runs"], key=lambda r: r["run"])] == [
        1,
        3,
    ]
    assert found["rankings"][0]["conditions"] == "model pocket"
    assert any(one["run"] == 2 and one["paired"]["cases"] == 3 for one in found["differences"])
    before = [run["numbers"][0]["before"] for run in found["runs"]]
    assert before[0] == before[2] != before[1]
    assert f"before {before[0]:.3f} {before[1]:.3f} {before[2]:.3f}" in text
    assert "Runs on different models are never ranked against each other" in text
