"""Run folders, patch files and caches that an earlier wildcore wrote can still be read, shown, resumed and applied."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors import safe_open
from safetensors.torch import load_file

import wildcore.testing
from wildcore.cli import main

WRITTEN = Path(__file__).parent / "data" / "written-by-0.1.0"
TINY_LLAMA = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
MODEL = ("--model", "tiny-llama", "--dtype", "float32", "--device", "cpu")
CASES = ("--dataset", "counterfact", "--set", "dataset.path=cases.json", "--limit", 2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a copy of the files, with the model that they name, the current folder."""
    here = tmp_path / "here"
    shutil.copytree(WRITTEN, here)
    shutil.copytree(TINY_LLAMA, here / "tiny-llama")
    monkeypatch.chdir(here)
    monkeypatch.setenv("WILDCORE_CACHE", str(here / "cache"))
    return here


def run(*arguments: object) -> Result:
    """Run a command of wildcore that must succeed."""
    done = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def lines(file: Path) -> list[dict[str, Any]]:
    """Return the records of a file without their checksums, which an earlier version did not write."""
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in record.items() if name != "checksum"} for record in records]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_shown_as_it_was_measured() -> None:
    assert "rome on pocket (float32, cpu), 3 edits of pocketqa" in run("show", "single", "--edits").stdout
    assert "Reliability is 0.833 under synthetic and 0.667 under wild:" in run("show", "single").stdout
    found = json.loads(run("show", "single", "--json").stdout)
    measured = ("protocol", "kind", "metric", "before", "after", "cases", "scored", "unscored", "refused")
    then = json.loads(Path("single/summary.json").read_text())["cells"]
    assert [[cell[name] for name in measured] for cell in found["cells"]] == [
        [cell[name] for name in measured] for cell in then
    ]
    assert len(found["cells"]) == 14, "four kinds of probes by two protocols, and three of them by the added metric"


def test_finished_runs_are_compared() -> None:
    shutil.copytree("single", "other")
    manifest = json.loads(Path("other/manifest.json").read_text())
    manifest["identity"]["seed"] = 5
    Path("other/manifest.json").write_text(json.dumps(manifest))
    compared = run("compare", "single", "other").stdout
    assert "run  seed  s per edit" in compared
    assert "0.833" in compared
    agreement = run("agreement", "single", "--metric", "contains", "--metric", "exact-match").stdout
    assert "Equal verdicts: 22 of 22" in agreement


def changed_copy(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Copy the run ``single`` under a name, with a changed identity."""
    shutil.copytree("single", name)
    manifest = json.loads(Path("single/manifest.json").read_text())
    change(manifest["identity"])
    Path(name, "manifest.json").write_text(json.dumps(manifest))


def unlike(*runs: str) -> list[str]:
    """Return what a comparison says of differences between runs."""
    differs: list[str] = json.loads(run("compare", *runs, "--json").stdout)["differs"]
    return differs


def metrics_of(identity: dict[str, Any]) -> Any:
    return identity["protocols"]["wild"]["metrics"]["reliability"][0]["params"]


def test_a_parameter_that_a_run_is_too_old_to_have_is_no_difference_at_its_default() -> None:
    changed_copy("older", lambda identity: metrics_of(identity).clear())
    changed_copy("other", lambda identity: metrics_of(identity).update(aliases=False))
    assert unlike("older", "single") == []
    (difference,) = unlike("older", "other")
    assert "protocols.wild.metrics.reliability.0.params.aliases is True or False" in difference


def test_the_earlier_name_of_a_dataset_is_no_difference() -> None:
    params = {"path": "rows.json"}
    changed_copy("older", lambda one: one["dataset"].update(name="records", plugin="records", params=params))
    changed_copy("newer", lambda one: one["dataset"].update(name="table", plugin="table", params=params))
    assert unlike("older", "newer") == []
    other = " ".join(run("compare", "older", "single").stdout.split())
    assert "The datasets differ (pocketqa in run 2, table in run 1): no difference is computed between them" in other


def test_a_finished_run_is_scored_by_a_further_metric() -> None:
    before, scorings = lines(Path("single/scores.jsonl")), Path("single/scorings.jsonl").read_text()
    run("score", "single", "--metric", "token-f1")
    after = lines(Path("single/scores.jsonl"))
    assert [score for score in after if score["metric"] != "token-f1"] == before
    assert {score["protocol"] for score in after if score["metric"] == "token-f1"} == {"synthetic", "wild"}
    assert Path("single/scorings.jsonl").read_text().startswith(scorings)


@pytest.mark.parametrize(("name", "cases"), [("interrupted", 3), ("sequence-ft-m", 4), ("sequence-grace", 4)])
def test_an_interrupted_run_is_resumed(name: str, cases: int) -> None:
    journal, prepared = Path(name) / "journal.jsonl", contents(Path("cache/prepared"))
    finished = journal.read_text(encoding="utf-8") if journal.exists() else ""
    run("eval", "--resume", name, "--quiet")
    assert journal.read_text(encoding="utf-8").startswith(finished)
    assert [case["edit"]["status"] for case in lines(journal)] == ["edited"] * cases
    assert {(score["case"], score["protocol"]) for score in lines(Path(name) / "scores.jsonl")} == {
        (str(case), protocol) for case in range(cases) for protocol in ("synthetic", "wild")
    }
    assert len(lines(Path(name) / "work.jsonl")) == 2
    assert prepared.items() <= contents(Path("cache/prepared")).items(), "what was prepared before is to stay as it is"


@pytest.mark.parametrize(("name", "written"), [("sequence-ft-m", 4), ("sequence-grace", 2)])
def test_a_resumed_sequence_begins_with_the_updates_that_were_written(name: str, written: int) -> None:
    with safe_open(Path(name) / "sequence.safetensors", framework="pt") as stream:
        kept = json.loads(stream.get_tensor("facts").numpy().tobytes())
    run("eval", "--resume", name, "--quiet")
    seconds = [case["edit"]["seconds"] for case in lines(Path(name) / "journal.jsonl")]
    assert len(kept["outcomes"]) == written
    assert seconds[:written] == [outcome["seconds"] for outcome in kept["outcomes"]], "they are not to be made again"


def test_a_run_recorded_under_the_earlier_name_of_its_dataset_is_resumed_with_one_note() -> None:
    rows = [
        {"prompt": "Who keeps the mill?", "target": name, "subject": "the mill", "id": name} for name in ("Ann", "Tim")
    ]
    Path("rows.json").write_text(json.dumps(rows))
    asked = ("--dataset", "records", "--set", "dataset.records.path=rows.json", "--set", "dataset.table.id=id")
    begun = run("eval", *MODEL, *asked, "--editor", "ft-m", "--out", "mine")
    note = "Note: dataset 'records' is now called 'table'; the earlier name still works\n"
    assert begun.stderr.count(note) == 1
    manifest = json.loads(Path("mine/manifest.json").read_text())
    dataset = manifest["identity"]["dataset"]
    assert (dataset["name"], dataset["plugin"], dataset["params"]["path"]) == ("table", "table", "rows.json")
    dataset |= {"name": "records", "plugin": "records"}  # as it was recorded under that name
    del manifest["checksum"]
    Path("mine/manifest.json").write_text(json.dumps(manifest))
    finished = lines(Path("mine/journal.jsonl"))
    Path("mine/journal.jsonl").write_text(json.dumps(finished[0]) + "\n")
    resumed = run("eval", "--resume", "mine")
    assert resumed.stderr.count(note) == 1
    assert [case["case"] for case in lines(Path("mine/journal.jsonl"))] == ["Ann", "Tim"]
    assert lines(Path("mine/journal.jsonl"))[1]["probes"] == finished[1]["probes"]


@pytest.mark.parametrize("editor", ["rome", "grace", "scr"])
def test_a_patch_file_is_evaluated(editor: str) -> None:
    run("eval", "--patch", f"{editor}.safetensors", *MODEL, *CASES, "--out", "evaluated", "--quiet")
    cases = lines(Path("evaluated/journal.jsonl"))
    assert [case["edit"]["status"] for case in cases] == ["edited", "edited"]
    asked = [probe for case in cases for probe in case["probes"] if probe["kind"] == "reliability"]
    if editor == "scr":  # it changes what is asked
        assert all(probe["prompt_after"] for probe in asked)
    else:
        assert any(probe["before"][0]["text"] != probe["after"][0]["text"] for probe in asked)


def test_a_patch_file_of_weights_becomes_a_model() -> None:
    run("apply", "rome.safetensors", *MODEL[:2], "--device", "cpu", "--out", "edited", "--quiet")
    before, after = (load_file(f"{model}/model.safetensors") for model in ("tiny-llama", "edited"))
    changed = [name for name in before if not before[name].equal(after[name])]
    assert changed == ["model.layers.0.mlp.down_proj.weight"]


def test_what_was_prepared_is_listed_and_sound() -> None:
    listed = run("cache", "list").stdout
    assert "second-moments" in listed
    assert "prefixes" in listed
    assert run("cache", "verify").exit_code == 0
