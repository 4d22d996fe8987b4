"""The main job on a small model: what it prints, records and refuses."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wildcore import UserError, testing
from wildcore.jobs.eval import open_evaluation
from wildcore.jobs.eval_plan import plan_evaluation
from wildcore.jobs.spec import JobSpec
from wildcore.registry import load_registry
from wildcore.reporting.console import Reporter

Wildcore = Callable[..., subprocess.CompletedProcess[str]]


def manifest(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return content


def test_headline_table_answers_and_next_command_are_on_stdout_and_the_rest_beside_it(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = wildcore("eval", *job, "--limit", 4, "--out", run)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    headline = next(line for line in lines if line.startswith("Reliability is "))
    assert re.search(r" under wild: synthetic reports [\d.]+ points (more|less) \(.*n = 4\)\.$", headline)
    header = lines.index(next(line for line in lines if line.startswith("protocol ")))
    table = [re.split(" {2,}", line) for line in lines[header : lines.index("", header)]]
    assert table[0] == ["protocol", "probe", "metric", "before", "after", "95 % interval", "n"]
    assert [row[:3] + row[6:] for row in table if row[1] in ("reliability", "locality")] == [
        ["synthetic", "reliability", "token-match", "4"],
        ["synthetic", "locality", "token-agreement", "4"],
        ["wild", "reliability", "exact-match", "4"],
        ["wild", "locality", "unchanged", "4"],
    ]
    for kind in ("  Holds: ", "  Does not hold: ", "  Right, but goes on: "):
        assert sum(line.startswith(kind) for line in lines) == 1
    assert lines[-2:] == [f"Run: {run}", f"Next: wildcore show {run} --edits"]
    assert "ft-m: 4/4" in done.stderr
    assert "ft-m: 4/4" not in done.stdout
    questions = [
        case["request"]["prompt"] for case in map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    ]
    assert not any(question in done.stderr for question in questions), "cases are not listed"
    assert manifest(run)["notes"]
    assert all(f"Note: {note}" in done.stdout for note in manifest(run)["notes"]), "a file is complete by itself"
    assert wildcore("show", run).stdout == done.stdout


def test_quiet_prints_headline_table_and_path_and_edits_each_edit(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = wildcore("eval", *job, "--limit", 2, "--out", run, "--quiet")
    assert done.stderr == ""
    headline, table, path = done.stdout.split("\n\n")
    assert headline.startswith("Reliability is ")
    assert len(table.splitlines()) == 1 + len(json.loads((run / "summary.json").read_text())["cells"])
    assert path == f"Run: {run}\n"
    listed = wildcore("eval", "--resume", run, "--quiet", "--edits").stdout
    assert listed.endswith(done.stdout)
    assert [line.split("  ")[0] for line in listed.splitlines() if " -> " in line] == ["0", "0", "1", "1"]


def test_the_table_says_what_the_scores_say(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    done = wildcore("eval", *job, "--limit", 6, "--out", tmp_path / "run", "--json", "--quiet")
    assert done.stderr == ""
    cells = {(c["protocol"], c["kind"]): c for c in json.loads(done.stdout)["cells"]}
    scores = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    for (protocol, kind), cell in cells.items():
        of_cell = [s["after"] for s in scores if (s["protocol"], s["kind"]) == (protocol, kind)]
        assert cell["after"] == pytest.approx(sum(of_cell) / len(of_cell))
        assert cell["cases"] == 6


def test_the_journal_holds_what_the_model_said_and_read(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    assert wildcore("eval", *job, "--limit", 1, "--out", tmp_path / "run", "--quiet").returncode == 0
    case = json.loads((tmp_path / "run" / "journal.jsonl").read_text())
    wild = next(p for p in case["probes"] if p["protocol"] == "wild" and p["kind"] == "reliability")
    assert wild["prompt"] == f"Please answer the question:\n\nQ: {case['request']['prompt']}\nA:"
    assert wild["after"][0]["output"]["stop_reason"] in (
        "stop-rule",
        "end-of-sequence",
        "max-new-tokens",
        "context-full",
    )
    assert wild["after"][0]["output"]["token_ids"]
    synthetic = next(p for p in case["probes"] if p["protocol"] == "synthetic")
    assert len(synthetic["after"][0]["token_ids"]) == len(synthetic["gold_token_ids"])
    assert case["edit"]["patch"]["change_norm"] > 0


def test_several_editors_make_several_runs_and_one_comparison(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    done = wildcore(
        "eval", *job, "--editor", "rome", "--limit", 2, "--out", tmp_path / "runs", "--set", "editor.rome.steps=3"
    )
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "runs" / "rome")["identity"]["editor"]["params"]["steps"] == 3
    assert manifest(tmp_path / "runs" / "ft-m")["identity"]["editor"]["params"]["steps"] == 25
    assert done.stdout.count("\n  Reliability is ") == 2
    assert f"\nrome: {tmp_path / 'runs' / 'rome'}\n" in done.stdout
    assert "\n1    ft-m " in done.stdout
    assert "\n2    rome " in done.stdout
    again = wildcore("compare", tmp_path / "runs" / "ft-m", tmp_path / "runs" / "rome")
    assert "run  editor  s per edit" in again.stdout
    assert "Also different" not in again.stdout


def test_compare_says_what_else_differs(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    for limit in (2, 3):
        assert wildcore("eval", *job, "--limit", limit, "--out", tmp_path / str(limit), "--quiet").returncode == 0
    done = wildcore("compare", tmp_path / "2", tmp_path / "3")
    assert "run  cases    s per edit" in done.stdout
    assert "1    first 2 " in done.stdout


def test_a_replaced_module_makes_a_variant(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = (
        "--protocol",
        "wild",
        "--limit",
        1,
        "--context",
        "question-only",
        "--set",
        "generator.max_new_tokens=5",
    )
    done = wildcore("eval", *job, *arguments, "--out", run)
    assert done.returncode == 0, done.stderr
    assert (
        "Variant of wild, not wild: context: question-only; generator: autoregressive(max_new_tokens=5)" in done.stdout
    )
    protocol = manifest(run)["protocols"][0]
    assert protocol["variant_of"] == "wild"
    assert protocol["name"] != "wild"
    assert protocol["generator"]["params"] == {"max_new_tokens": 5}
    case = json.loads((run / "journal.jsonl").read_text())
    assert all(len(probe["after"][0]["token_ids"]) <= 5 for probe in case["probes"])


def test_a_replacement_that_changes_nothing_is_no_variant(
    wildcore: Wildcore, job: list[object], tmp_path: Path
) -> None:
    arguments = (
        "--protocol",
        "wild",
        "--limit",
        1,
        "--context",
        "qa-instruction",
        "--set",
        "generator.max_new_tokens=50",
    )
    assert wildcore("eval", *job, *arguments, "--out", tmp_path / "run", "--quiet").returncode == 0
    assert [p["name"] for p in manifest(tmp_path / "run")["protocols"]] == ["wild"]


def test_a_subject_missing_from_its_prompt_is_refused_counted_and_shown(
    wildcore: Wildcore, job: list[object], edits: Path, tmp_path: Path
) -> None:
    rows = json.loads(edits.read_text())[:3]
    rows[1]["subject"] = "the purple palace"
    edits.write_text(json.dumps(rows))
    done = wildcore("eval", *job[:-1], "rome", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "1 refused; the first, case 1: the subject 'the purple palace' does not occur in the prompt" in done.stdout
    refused = json.loads((tmp_path / "run" / "journal.jsonl").read_text().splitlines()[1])
    assert refused["edit"]["status"] == "refused"
    cells = json.loads((tmp_path / "run" / "summary.json").read_text())["cells"]
    assert {(c["cases"], c["scored"], c["unscored"], c["refused"]) for c in cells} == {(2, 2, 0, 1)}


def test_manifest_says_how_the_run_was_made(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    assert wildcore("eval", *job, "--limit", 1, "--out", tmp_path / "run", "--quiet").returncode == 0
    made = manifest(tmp_path / "run")
    assert made["identity"]["editor"]["params"]["layer"] == 2
    assert made["identity"]["editor"]["params"]["close_target"] == "none"
    assert made["identity"]["model"]["fingerprint"]
    assert made["identity"]["schedule"]["judged"] == "after each edit"
    assert {"python", "torch", "transformers", "wildcore", "wildcore-ft", "wildcore-keyvalue"} <= made[
        "versions"
    ].keys()
    assert "ft" in made["plugins"]["loaded"]
    assert made["hardware"]["cores"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "editor.layer=9"], "editor.layer=9: the model has layers 0 to 3"),
        (["--set", "editor.setps=9"], "unknown parameter 'setps'; did you mean 'steps'?"),
        (["--set", "editor.steps=many"], "parameter 'steps'"),
        (["--set", "editor.rome.steps=3"], "this run uses no editor 'rome'"),
        (["--set", "editor.preset=llama-2-7"], "did you mean 'llama-2-7b'?"),
        (["--metric", "exact-mach"], "unknown metric 'exact-mach'; did you mean 'exact-match'?"),
        (["--context", "chat"], "has no chat template"),
        (["--device", "cuda:7"], "--device cuda:7"),
        (["--set", "dataset.path=nowhere.json"], "dataset.path is set twice"),
        (["--resume", "nowhere"], "nowhere: not a run folder"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(
    wildcore: Wildcore, job: list[object], tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = wildcore("eval", *job, "--out", tmp_path / "run", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_a_plan_is_whole_before_the_weights_of_its_model_are_read(tmp_path: Path) -> None:
    folder = shutil.copytree(Path(testing.__file__).parent / "data" / "tiny-llama", tmp_path / "model")
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    job = JobSpec(model=str(folder), dataset="pocketqa", editor="ft-m", protocols=("wild",), only_failures="synthetic")
    plan = plan_evaluation(load_registry(), [job], Reporter(quiet=True))
    assert [protocol.name for protocol in plan.protocols] == ["wild"]
    assert plan.failing_under is not None
    assert plan.failing_under.name == "synthetic"
    assert plan.editors["ft-m"][1]["params"]["layer"] is not None
    with pytest.raises(UserError, match="safetensors"):
        open_evaluation(plan)


def test_a_missing_file_is_named(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    missing = [
        f"dataset.path={tmp_path}/nowhere.json" if str(word).startswith("dataset.path") else word for word in job
    ]
    done = wildcore("eval", *missing, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "nowhere.json: cannot be read: No such file or directory" in " ".join(done.stderr.split())


def test_malformed_data_is_named_by_file_row_and_field(
    wildcore: Wildcore, job: list[object], edits: Path, tmp_path: Path
) -> None:
    rows = json.loads(edits.read_text())
    rows[7]["target_new"] = []
    edits.write_text(json.dumps(rows))
    wrong_type = wildcore("eval", *job, "--out", tmp_path / "run")
    assert f"{edits}, row 8: field 'target_new': expected text that is not empty, found []" in wrong_type.stderr
    edits.write_text('[\n{"case_id": 1,\n]')
    not_json = wildcore("eval", *job, "--out", tmp_path / "run")
    assert f"{edits}, line 3, column 1: not valid JSON" in not_json.stderr
    assert (wrong_type.returncode, not_json.returncode) == (2, 2)


def test_a_full_folder_is_not_written_into(wildcore: Wildcore, job: list[object], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("the only copy")
    done = wildcore("eval", *job, "--out", tmp_path / "full")
    assert done.returncode == 2
    assert "not an empty folder" in done.stderr
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.fixture
def refused(job: list[object], edits: Path) -> Callable[..., list[object]]:
    """Return a function that writes edits, a number of which are refused, and returns the options of a job that makes them."""
    (one, *_) = json.loads(edits.read_text())

    def prepare(count: int, others: int = 0) -> list[object]:
        subjects = [f"the ferry {number}" for number in range(count)] + [one["subject"]] * others
        rows = [one | {"case_id": number, "subject": subject} for number, subject in enumerate(subjects)]
        edits.write_text(json.dumps(rows))
        quick = ("--set", "editor.second_moments=identity", "--set", "editor.prefix_lengths=[]")
        return [*job[:-2], "--editor", "rome", *quick, "--protocol", "synthetic"]

    return prepare


@pytest.mark.parametrize("schedule", ["single", "batch"])
def test_a_run_whose_edits_are_all_refused_says_that_first(
    schedule: str, wildcore: Wildcore, refused: Callable[..., list[object]], tmp_path: Path
) -> None:
    done = wildcore("eval", *refused(3), "--schedule", schedule, "--out", tmp_path / "run")
    assert done.returncode == 3, done.stderr
    said = next(line for line in done.stdout.splitlines() if line.startswith("Nothing was measured: "))
    assert "all 3 edits were refused, 1 of them because of this: the subject 'the ferry" in said
    shown = wildcore("show", tmp_path / "run")
    assert shown.returncode == 0
    assert said in shown.stdout.splitlines()
    as_json = wildcore("eval", "--resume", tmp_path / "run", "--json", "--quiet")
    assert as_json.returncode == 3
    assert json.loads(as_json.stdout)["refused"] == 3
    assert said in as_json.stderr


def test_a_run_stops_where_its_first_hundred_edits_are_refused_for_one_reason(
    wildcore: Wildcore, refused: Callable[..., list[object]], tmp_path: Path
) -> None:
    done = wildcore("eval", *refused(100, others=1), "--out", tmp_path / "run", "--quiet")
    assert done.returncode == 3, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "Nothing was measured: the first 100 edits were all refused for one reason, the last of them: "
    )
    assert "the subject 'the ferry 99' does not occur" in last
    command = last.rpartition("anyway: ")[2]
    assert command == f"wildcore eval --resume {tmp_path / 'run'}"
    resumed = wildcore(*command.split()[1:], "--json", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    summary = json.loads(resumed.stdout)
    assert (summary["cases"], summary["refused"]) == (101, 100)
