"""``wildcore compare``: differences paired by case, in every format, and the runs that it refuses."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from wildcore import EditRequest
from wildcore.cli import main
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ScoreRecord

NAMED = {"name": "x", "dtype": "float32", "device": "cpu"}


def make_run(
    path: Path,
    values: Sequence[float],
    editor: str = "a_b",
    dataset: str = "facts",
    first_case: int = 0,
    target: str = "Anna",
    subject: str | None = None,
    **identity: Any,
) -> Path:
    """A finished run with one reliability score for each case."""
    said = {
        "model": NAMED,
        "dataset": {"name": dataset},
        "editor": {"name": editor, "params": {"layer": 1}},
        **identity,
    }
    count = len(values)
    manifest = Manifest(
        created="now",
        job={"seed": 0},
        protocols=(),
        case_count=count,
        plugins={},
        identity=said,
        versions={},
        hardware={},
    )
    folder = RunFolder.create(path, manifest)
    names = [str(first_case + number) for number in range(count)]
    for number, name in enumerate(names):
        about = None if subject is None else f"{subject} {number // 2}"
        request = EditRequest(prompt=f"Who keeps mill {name}?", target=target, subject=about)
        edit = EditOutcome(status="edited", seconds=1.0)
        folder.append(CaseRecord(case=name, request=request, edit=edit, probes=()))
    place: dict[str, Any] = {"protocol": "wild", "probe": 0, "kind": "reliability", "metric": "exact-match"}
    folder.write_scores(
        [
            ScoreRecord(case=name, **place, before=0.0, before_reason=None, after=value, after_reason=None)
            for name, value in zip(names, values, strict=True)
        ]
    )
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)], catch_exceptions=False)


def as_json(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Runs over 20 cases: the second is right wherever the first is, and on 12 more; the third on one more than the first."""
    shares = (4, 16, 5)
    return [
        make_run(tmp_path / f"run{number}", [1.0] * right + [0.0] * (20 - right), editor=f"editor_{number}")
        for number, right in enumerate(shares, start=1)
    ]


def test_differences_are_from_the_first_run_and_adjusted_in_their_family(three: list[Path]) -> None:
    found = as_json(*three)
    second, third = found["differences"]
    assert (found["baseline"], second["run"], third["run"]) == (1, 2, 3)
    assert second["paired"]["difference"] == pytest.approx(0.6)
    assert second["paired"]["p"] == pytest.approx(2 / 2**12)
    assert second["p_holm"] == pytest.approx(4 / 2**12)
    assert (second["family_size"], third["paired"]["p"], third["p_holm"]) == (2, 1.0, 1.0)


def test_another_baseline_turns_the_differences(three: list[Path], tmp_path: Path) -> None:
    found = as_json(*three, "--baseline", three[1])
    assert [(one["run"], one["baseline"]) for one in found["differences"]] == [(1, 2), (3, 2)]
    assert found["differences"][0]["paired"]["difference"] == pytest.approx(-0.6)
    added = as_json(three[0], "--baseline", three[1])
    assert [run["editor"] for run in added["runs"]] == ["editor_2", "editor_1"]


def test_the_text_says_the_family_and_the_smallest_difference(three: list[Path]) -> None:
    text = call(*three).stdout
    assert "Differences from run 1, paired by case" in text
    assert "+0.600" in text
    assert "(2 here)" in " ".join(text.split())
    assert "detectable" in text


def test_csv_has_one_row_for_each_difference(three: list[Path]) -> None:
    rows = list(csv.DictReader(io.StringIO(call(*three, "--csv").stdout)))
    assert [(row["run"], row["run_path"], row["test"]) for row in rows] == [
        ("2", str(three[1]), "mcnemar"),
        ("3", str(three[2]), "mcnemar"),
    ]
    assert float(rows[0]["difference"]) == pytest.approx(0.6)


@pytest.mark.parametrize(("form", "bold"), [("markdown", "**0.800**"), ("latex", r"\textbf{0.800}")])
def test_only_a_best_run_that_stands_out_is_bold(three: list[Path], tmp_path: Path, form: str, bold: str) -> None:
    assert bold in call(*three, f"--{form}").stdout
    close = make_run(tmp_path / "close", [1.0] * 15 + [0.0] * 5, editor="close")
    without = call(*three, close, f"--{form}").stdout
    assert "0.800" in without
    assert bold not in without


def test_names_are_escaped(three: list[Path]) -> None:
    assert r"1: editor\_1" in call(*three, "--latex").stdout
    assert r"1: editor\_1" in call(*three, "--markdown").stdout


def test_cases_about_one_subject_are_drawn_together(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / str(shift), [1.0] * (4 + shift) + [0.0] * (16 - shift), subject="mill") for shift in (0, 7)
    ]
    paired = as_json(*runs)["differences"][0]["paired"]
    assert (paired["cases"], paired["clusters"], paired["test"]) == (20, 10, "sign-flip")
    assert "20 cases are about 10 independent subjects" in call(*runs).stdout


def test_runs_of_one_editor_say_in_what_its_parameters_differ(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(layer), [1.0, 0.0], editor="a", seed=layer) for layer in (1, 2)]
    assert "seed is 1 or 2" in as_json(*runs)["differs"]
    other = make_run(tmp_path / "other", [1.0, 0.0], **{"editor": "a", "seed": 1})
    manifest = other / "manifest.json"
    assert as_json(runs[0], other)["differs"] == []
    assert manifest.exists()


def test_runs_in_the_same_seeds_are_compared_over_seeds_too(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / f"{editor}{seed}", [1.0] * (right + seed) + [0.0] * (20 - right - seed), editor=editor, seed=seed
        )
        for editor, right in (("a", 4), ("b", 10))
        for seed in (0, 1)
    ]
    (found,) = as_json(*runs)["repeated"]
    assert (found["runs"], found["baselines"], found["repetitions"], found["cases"]) == ([3, 4], [1, 2], 2, 20)
    assert found["low"] < found["difference"] < found["high"]
    assert found["difference"] == pytest.approx(0.3)
    assert "Differences over orders or seeds" in call(*runs).stdout


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (
            {"first_case": 50},
            "they have no case in common (0, 1 and 50, 51); compare runs that evaluate the same cases",
        ),
        ({"dataset": "zsre"}, "the datasets differ (facts and zsre), so no case of one is a case of the other"),
        (
            {"target": "Otto"},
            "case 0 is another fact in each ('Who keeps mill 0?' -> 'Anna' and 'Who keeps mill 0?' -> 'Otto')",
        ),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_runs_of_other_facts_are_refused(
    tmp_path: Path, other: dict[str, Any], problem: str, form: tuple[str, ...]
) -> None:
    runs = [make_run(tmp_path / "one", [1.0, 0.0]), make_run(tmp_path / "two", [1.0, 0.0], **other)]
    done = call(*runs, *form)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {runs[0]}, {runs[1]}: {problem}")
    assert len(done.stderr.splitlines()) == 1


def test_two_formats_at_once_are_refused(tmp_path: Path) -> None:
    done = call(make_run(tmp_path / "one", [1.0]), "--json", "--latex")
    assert done.exit_code == 2
    assert done.stderr == "Error: --latex: another format was chosen too; leave out --json\n"
