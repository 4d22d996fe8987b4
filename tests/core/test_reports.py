"""Runs as they are printed: what is shown of one, and of several side by side."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wildcore import EditRequest
from wildcore.cli import main
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ScoreRecord
from wildcore.reporting.run_notes import changes, explanation
from wildcore.reporting.run_table import folded, print_table
from wildcore.scoring.differences import ChangeByEdits, changes_by_edits
from wildcore.scoring.means import SummaryRow

NAMED = {"name": "x", "dtype": "float32", "device": "cpu"}
IDENTITY = dict.fromkeys(("model", "dataset", "editor"), NAMED)
SCHEDULE = {"edits": "single", "judged": "after each edit", "model": "put back after each edit"}
WHOLE = {**IDENTITY, "schedule": SCHEDULE}
VERSIONS = {"torch": "2.4.0", "wildcore-rome": "1.0"}


def make_run(path: Path, value: float = 0.5, edits: tuple[EditOutcome, ...] = (), **facts: Any) -> Path:
    """A finished run of one scored case, and of other edits that have no scores."""
    known: dict[str, Any] = {"identity": IDENTITY, "versions": VERSIONS, "hardware": {}, **facts}
    manifest = Manifest(created="now", job={"seed": 0}, protocols=(), case_count=1, plugins={}, **known)
    folder = RunFolder.create(path, manifest)
    for number, edit in enumerate(edits or (EditOutcome(status="edited", seconds=1.0),)):
        request = EditRequest(prompt="Who keeps the mill?", target="Anna")
        folder.append(CaseRecord(case=str(number), request=request, edit=edit, probes=()))
    place: dict[str, Any] = {"case": "0", "protocol": "wild", "probe": 0, "kind": "reliability", "metric": "entropy"}
    folder.write_scores([ScoreRecord(**place, before=value, before_reason=None, after=value, after_reason=None)])
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def compared(*runs: Path) -> str:
    done = call("compare", *runs)
    assert done.exit_code == 0, done.output
    return done.stdout


def unlike(*runs: Path) -> list[str]:
    """In what a comparison says that runs differ, besides its columns."""
    found: list[str] = json.loads(call("compare", *runs, "--json").stdout)["beside"]
    said = " ".join(compared(*runs).split())
    assert ("Also different: " + "; ".join(found) in said) if found else "Also different" not in said
    return found


def test_one_case_outside_the_unit_interval_is_compared_without_an_interval(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "first", 3.25), make_run(tmp_path / "second", 1.0)]
    text = compared(*runs)
    cells = next(line for line in text.splitlines() if "entropy" in line).split()
    assert cells[-2:] == ["3.250", "1.000"]
    assert "No ranking" in text, "it is not known whether more is better"


def test_seconds_are_of_the_edits_that_were_made(tmp_path: Path) -> None:
    edited, refused = EditOutcome(status="edited", seconds=3.0), EditOutcome(status="refused", reason="no", seconds=1.0)
    some = make_run(tmp_path / "some", edits=(edited, refused))
    none = make_run(tmp_path / "none", edits=(refused,))
    lines = compared(some, none).splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith("s per edit"))
    assert [line.split()[-1] for line in lines[start + 1 : start + 3]] == ["3.00", "-"]
    assert json.loads(call("show", some, "--json").stdout)["seconds_per_edit"] == 3.0
    assert json.loads(call("show", none, "--json").stdout)["seconds_per_edit"] is None


def test_runs_under_the_same_versions_on_the_same_machine_are_alike(tmp_path: Path) -> None:
    machines = [{"device": f"cuda:{number}", "accelerator": "A", "memory_gib": 31.2 + number} for number in range(2)]
    assert unlike(*(make_run(tmp_path / str(one["device"]), hardware=one) for one in machines)) == []


def test_other_versions_and_hardware_are_said_each_in_a_line(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "a", hardware={"accelerator": "A", "threads": 4}),
        make_run(tmp_path / "b", versions={"torch": "2.5.1", "wildcore-rome": "1.1"}, hardware={"threads": 4}),
        make_run(tmp_path / "c", hardware={"accelerator": "B", "threads": 4}),
    ]
    assert unlike(*runs) == [
        "version of torch is 2.4.0 or 2.5.1",
        "version of wildcore-rome is 1.0 or 1.1",
        "hardware.accelerator is A or none or B",
    ]


def test_a_package_that_one_run_did_without_is_no_difference_and_an_unknown_revision_is(tmp_path: Path) -> None:
    more = {**VERSIONS, "wildcore-memit": "1.0", "source revision": "abc"}
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", versions=more)]
    assert unlike(*runs) == ["version of source revision is none or abc"]


@pytest.mark.parametrize(
    ("identity", "missing"),
    [
        ({}, "model.name, model.dtype, model.device, dataset.name, editor.name"),
        ({"dataset": NAMED, "editor": NAMED}, "model.name, model.dtype, model.device"),
        ({**IDENTITY, "model": "x"}, "model.name, model.dtype, model.device"),
        ({**IDENTITY, "dataset": {"name": None}}, "dataset.name"),
        (
            {**IDENTITY, "editor": {"name": "x", "transforms": [{"name": "y"}, {"nom": "z"}]}},
            "editor.transforms.1.name",
        ),
        ({**IDENTITY, "schedule": {**SCHEDULE, "judged": {}}}, "schedule.judged"),
    ],
)
def test_a_record_without_what_is_shown_is_one_message(
    tmp_path: Path, identity: dict[str, object], missing: str
) -> None:
    run, whole = make_run(tmp_path / "run", identity=identity), make_run(tmp_path / "whole", identity=WHOLE)
    said = f"Error: {run / 'manifest.json'}: its identity does not say {missing}; it is damaged or of another version"
    for arguments in (("show", run), ("show", run, "--edits"), ("compare", whole, run)):
        done = call(*arguments)
        assert done.exit_code == 2
        assert done.stderr.startswith(said)
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1


def test_a_whole_record_is_shown(tmp_path: Path) -> None:
    done = call("show", make_run(tmp_path / "run", identity=WHOLE))
    assert done.exit_code == 0
    assert "x on x (float32, cpu), 1 edits of x" in done.stdout
    assert "Schedule: single; evaluated after each edit" in done.stdout


def changed(metrics: Sequence[str], cases: int = 30) -> list[ChangeByEdits]:
    """How scores changed that are 0 before every edit, and 1 after all but one."""
    scores = [
        ScoreRecord(
            case=str(case), protocol="synthetic", probe=0, kind="generalization", metric=metric, before=0.0,
            before_reason=None, after=float(case > 0), after_reason=None,
        )
        for metric in metrics
        for case in range(cases)
    ]  # fmt: skip
    return changes_by_edits(scores)


def test_changes_by_the_edits_are_said_with_what_could_be_detected() -> None:
    found = changed(["token-match"])
    paired = found[0].paired
    assert paired.detectable is not None
    assert list(changes(found, {})) == [
        f"synthetic generalization: +0.967 ({paired.low:+.3f} to {paired.high:+.3f}; p < 0.001; "
        f"{paired.detectable:.3f})"
    ]
    assert "(1 here)" in next(explanation(found))


def test_changes_name_the_metric_where_there_are_several_and_say_why_there_is_no_interval() -> None:
    found = changed(["token-match", "exact-match"], cases=1)
    assert "short generalization (exact-match): +0.000" in list(changes(found, {"synthetic": "short"}))
    assert "2 changes: no interval and no p: one case" in explanation(found)
    assert list(changes([], {})) == list(explanation([])) == []


LONG = "wild[generator: autoregressive(max_new_tokens=3); truncator: stop-strings(stops=[.])]"
VALUES = {"before": 0.5, "after": 1.0, "low": 0.439, "high": 1.0, "cases": 3, "scored": 9}


def summary_row(**fields: Any) -> SummaryRow:
    known = {"protocol": "wild", "kind": "generalization", "metric": "m", "unscored": 0, "refused": 0, **VALUES}
    return SummaryRow(**known | fields)


def table_of(rows: Sequence[SummaryRow], width: int = 80, **labels: str) -> list[str]:
    console = Console(width=width, file=StringIO())
    print_table(console, rows, labels)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_the_table_fits_into_80_columns_with_long_names_and_all_counts() -> None:
    rows = [
        summary_row(metric="prediction-powered-token-agreement", unscored=1_000, refused=20, cases=10_000),
        summary_row(protocol=LONG, kind="hard-locality", metric="agreementofeverytokenwiththeunedited", before=-12.345),
    ]
    lines = table_of(rows, **{LONG: "variant of wild"})
    assert max(map(len, lines)) <= 80
    joined = "".join(line.strip() for line in lines)
    for piece in ("unscored", "refused", "10000", "1000", "20", "0.439 to 1.000", "-12.345", "variant of wild"):
        assert piece in joined
    metrics = "".join(line.split()[1 if line.split()[0].endswith("ity") or "gen" in line else 0] for line in lines[2:])
    assert "prediction-" in metrics
    narrow = table_of(rows, width=50)
    assert any("20" in line and "1000" in line for line in narrow), "nothing is cut in a narrower window"


def test_counts_have_a_column_only_where_there_are_any() -> None:
    assert "unscored" not in table_of([summary_row()])[0]
    assert "refused" not in table_of([summary_row()])[0]
    assert table_of([summary_row(refused=2)])[0].split()[-2:] == ["n", "refused"]
    assert table_of([summary_row(refused=2)])[2].split()[-2:] == ["3", "2"]


@given(st.text(st.sampled_from("ab- "), max_size=40), st.integers(1, 9))
def test_a_folded_name_loses_nothing(name: str, width: int) -> None:
    lines = folded(name, width)
    assert "".join(lines) == name
    assert all(len(line) <= width + 1 for line in lines)
