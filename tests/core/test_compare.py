"""``wildcore compare``: differences paired by case, in every format, what differs between runs, and the ranking."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from wildcore import EditRequest
from wildcore.cli import main
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ScoreRecord
from wildcore.testing.terminals import call_on_terminal

NAMED = {"name": "x", "dtype": "float32", "device": "cpu"}


def make_run(
    path: Path,
    values: Sequence[float],
    editor: str = "a_b",
    dataset: str = "facts",
    first_case: int = 0,
    target: str = "Anna",
    subject: str | None = None,
    layer: int = 1,
    locality: Sequence[float] = (),
    metric: str = "exact-match",
    **identity: Any,
) -> Path:
    """A finished run with one reliability score for each case, and one of locality that has no value before the edit."""
    said = {
        "model": NAMED,
        "dataset": {"name": dataset},
        "editor": {"name": editor, "params": {"layer": layer}},
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
    place: dict[str, Any] = {"protocol": "wild", "probe": 0, "kind": "reliability", "metric": metric}
    other: dict[str, Any] = {"protocol": "wild", "probe": 1, "kind": "locality", "metric": "unchanged"}
    folder.write_scores(
        [
            *(
                ScoreRecord(case=name, **place, before=0.0, before_reason=None, after=value, after_reason=None)
                for name, value in zip(names, values, strict=True)
            ),
            *(
                ScoreRecord(case=name, **other, before=None, before_reason="compares", after=value, after_reason=None)
                for name, value in zip(names, locality, strict=False)
            ),
        ]
    )
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)], catch_exceptions=False)


def on_terminal(*arguments: object) -> Result:
    return call_on_terminal(["compare", *arguments])


def as_json(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Runs over 20 cases: the second is right wherever the first is, and on 12 more; the third on one more than the first. The
    second keeps 13 of 20 answers to other questions, the others keep all.
    """
    shares, kept = (4, 16, 5), (20, 13, 20)
    return [
        make_run(
            tmp_path / f"run{number}",
            [1.0] * right + [0.0] * (20 - right),
            editor=f"editor_{number}",
            locality=[0.0] * (20 - of_others) + [1.0] * of_others,
        )
        for number, (right, of_others) in enumerate(zip(shares, kept, strict=True), start=1)
    ]


def test_differences_are_from_the_first_run_and_adjusted_in_their_family(three: list[Path]) -> None:
    found = as_json(*three)
    second, third = found["differences"][:2]
    assert (found["baseline"], second["run"], third["run"]) == (1, 2, 3)
    assert second["paired"]["difference"] == pytest.approx(0.6)
    assert second["paired"]["p"] == pytest.approx(2 / 2**12)
    assert second["p_holm"] == pytest.approx(4 / 2**12)
    assert (second["family_size"], third["paired"]["p"], third["p_holm"]) == (2, 1.0, 1.0)


def test_another_baseline_turns_the_differences(three: list[Path], tmp_path: Path) -> None:
    found = as_json(*three, "--baseline", three[1])
    assert [(one["run"], one["baseline"]) for one in found["differences"][:2]] == [(1, 2), (3, 2)]
    assert found["differences"][0]["paired"]["difference"] == pytest.approx(-0.6)
    added = as_json(three[0], "--baseline", three[1])
    assert [run["editor"] for run in added["runs"]] == ["editor_2", "editor_1"]


def test_the_text_says_the_family_and_the_smallest_difference(three: list[Path]) -> None:
    text = call(*three).stdout
    assert "Differences from run 1 (editor_1) under wild, paired by case" in text
    assert "+0.600" in text
    assert "(2 here)" in " ".join(text.split())
    assert "The smallest difference that would have been found" in " ".join(text.split())


def test_csv_has_one_row_for_each_difference(three: list[Path]) -> None:
    rows = list(csv.DictReader(io.StringIO(call(*three, "--csv").stdout)))
    assert [(row["run"], row["run_path"], row["test"]) for row in rows[:2]] == [
        ("2", str(three[1]), "mcnemar"),
        ("3", str(three[2]), "mcnemar"),
    ]
    assert float(rows[0]["difference"]) == pytest.approx(0.6)
    ranks = [[row[name] for name in rows[0] if name.endswith(("_label", "_best", "_worst"))] for row in rows[:2]]
    assert ranks == [["editor_2", "editor_1", "1", "1", "2", "3"], ["editor_3", "editor_1", "2", "3", "2", "3"]]


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
    runs = [make_run(tmp_path / str(layer), [1.0, 0.0], layer=layer, seed=layer) for layer in (1, 2)]
    assert as_json(*runs)["differs"] == ["editor.params.layer is 1 or 2", "seed is 1 or 2"]
    other = make_run(tmp_path / "other", [1.0, 0.0], editor="other", layer=3, seed=1)
    assert as_json(runs[0], other)["differs"] == []


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
    ("other", "why"),
    [
        (
            {"first_case": 50},
            "Runs 1 and 2, 2 and 3 have no case in common (0, 1 and 50, 51): no difference is computed",
        ),
        ({"dataset": "zsre"}, "The datasets differ (facts in runs 1, 3, zsre in run 2): no difference is computed"),
        (
            {"target": "Otto"},
            "Runs 1 and 2, 2 and 3 have other data (case 0 is 'Who keeps mill 0?' -> 'Anna' and 'Who keeps mill 0?' -> "
            "'Otto'): no difference is computed",
        ),
    ],
)
def test_runs_of_other_facts_are_shown_without_a_difference(tmp_path: Path, other: dict[str, Any], why: str) -> None:
    runs = [
        make_run(tmp_path / "one", [1.0, 0.0]),
        make_run(tmp_path / "two", [0.0, 0.0], editor="b", **other),
        make_run(tmp_path / "three", [1.0, 0.0], editor="c"),
    ]
    found = as_json(*runs)
    assert [sentence.startswith(why) for sentence in found["incomparable"]] == [True]
    assert {one["run"] for one in found["differences"]} == {3}
    assert [run["numbers"][0]["after"] for run in found["runs"]] == [0.5, 0.0, 0.5]
    (ranking,) = found["rankings"]
    assert sorted(run["run"] for run in ranking["runs"]) == [1, 3]
    assert why in said(*runs)


def without_paths(text: str) -> list[str]:
    """The lines but for those that say where a run is: a path is never broken."""
    return [line for line in text.splitlines() if not re.match(r"\d+: /", line)]


def said(*arguments: object) -> str:
    """The text of a comparison on a terminal of 80 columns, in one line."""
    done = on_terminal(*arguments)
    assert done.exit_code == 0, done.output
    assert max(map(len, without_paths(done.stdout))) <= 80
    return " ".join(done.stdout.split())


def test_editors_are_ranked_and_the_first_ones_price_is_said(three: list[Path]) -> None:
    text = said(*three)
    assert "rank run mean vs first 95 % interval locality ties with 1 2 editor_2 0.800 0.650" in text
    assert "2-3 3 editor_3 0.250 -0.550 -0." in text
    assert "unedited 0.000 1.000" in text
    assert "Run 2 (editor_2) is first with 0.800; its difference from every other run stands." in text
    assert (
        "What it costs in locality: wild.locality (unchanged) is 0.650 with run 2 (editor_2) and 1.000 without edits, by "
        "definition: -0.350, 95 % interval "
    ) in text
    (ranking,) = as_json(*three)["rankings"]
    assert ranking["price"]["paired"]["low"] < -0.35 < ranking["price"]["paired"]["high"] < 0
    assert [run["ties"] for run in ranking["runs"]] == [[], [1], [3]]
    assert ranking["runs"][0]["p_holm"] is None
    assert all(run["minus_first"]["p"] <= run["p_holm"] < 0.05 for run in ranking["runs"][1:])
    by_locality = said(*three, "--by", "wild.locality")
    assert "1-2 1 editor_1" in by_locality
    assert "What it reaches in reliability: wild.reliability (exact-match) is 0.200 with run 1" in by_locality


def test_a_wrong_goal_is_one_message_with_what_is_possible(three: list[Path]) -> None:
    done = call(*three, "--by", "wild")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: --by wild: no run has this number; choose one of wild.reliability, wild.locality\n"
    assert said(*three, "--by", "wild.reliability.exact-match") == said(*three)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_the_runs_changes_no_rank(order: list[int]) -> None:
    with TemporaryDirectory() as folder:
        runs = [
            make_run(Path(folder, str(n)), [1.0] * right + [0.0] * (20 - right), editor=f"e{n}")
            for n, right in enumerate((2, 3, 12, 19))
        ]
        found = as_json(*(runs[index] for index in order))["rankings"][0]["runs"]
    assert {run["label"]: (run["best"], run["worst"]) for run in found} == {
        "e0": (3, 4), "e1": (3, 4), "e2": (2, 2), "e3": (1, 1)
    }  # fmt: skip
    assert [run["label"] for run in found] == ["e3", "e2", "e1", "e0"]


def test_runs_on_two_models_are_ranked_apart_and_paired_by_fact(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / f"{editor}{model}", [1.0] * right + [0.0] * (20 - right), editor=editor, layer=layer,
            model={**NAMED, "name": f"org/{model}"},
        )
        for editor, right in (("a", 2), ("b", 18))
        for model, layer in (("small", 3), ("large", 9))
    ]  # fmt: skip
    found = as_json(*runs)
    assert [run["label"] for run in found["runs"]] == ["a, small", "a, large", "b, small", "b, large"]
    assert [(one["conditions"], [run["label"] for run in one["runs"]]) for one in found["rankings"]] == [
        ("model small", ["b", "a"]),
        ("model large", ["b", "a"]),
    ]
    assert [one["paired"]["cases"] for one in found["differences"]] == [20, 20, 20]
    assert found["meaning"][0].startswith("Runs on different models are never ranked against each other")
    assert "a: layer is 3 or 9" in found["beside"]


def test_runs_with_other_metrics_have_no_difference_and_say_so_once(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / metric, [1.0, 0.0], metric=metric, editor=metric) for metric in ("exact-match", "contains")
    ]
    found = as_json(*runs)
    assert (found["differences"], found["rankings"]) == ([], [])
    assert [
        text.startswith("Some runs have no metric in common for wild.reliability") for text in found["incomparable"]
    ] == [True]


def test_long_values_are_cut_in_labels_and_equal_labels_are_numbered(tmp_path: Path) -> None:
    names = ("x" * 300 + "1", "x" * 300 + "2", "short")
    found = as_json(*(make_run(tmp_path / str(n), [1.0, 0.0], editor=name) for n, name in enumerate(names)))
    cut = "x" * 47 + "…"
    assert [run["label"] for run in found["runs"]] == [f"{cut} (run 1)", f"{cut} (run 2)", "short"]
    assert found["columns"][0]["values"] == list(names)
    same = as_json(*(make_run(tmp_path / f"same{n}", [1.0, 0.0]) for n in range(2)))
    assert ([run["label"] for run in same["runs"]], same["columns"]) == (["run 1", "run 2"], [])


def test_a_tie_names_its_adjusted_p(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / name, values, editor=name) for name, values in (("a", [1.0] * 6), ("b", [0.0] * 5 + [1.0]))
    ]
    (ranking,) = as_json(*runs)["rankings"]
    assert ranking["runs"][1]["p_holm"] == 0.0625
    assert ranking["runs"][1]["minus_first"]["high"] < 0
    assert "Run 1 (a) is first with 1.000, but not told apart from run 2 (b, 0.167, p = 0.062)." in said(*runs)


def test_runs_that_differ_in_nothing_are_named_by_their_numbers(tmp_path: Path) -> None:
    text = said(*(make_run(tmp_path / str(n), [1.0, 0.0]) for n in range(2)))
    assert "Differences from run 1 under wild" in text
    assert "(run 1)" not in text


def test_many_runs_are_rows(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(n), [1.0] * n + [0.0] * (9 - n), editor=f"editor{n}") for n in range(7)]
    text = on_terminal(*runs).stdout
    assert text.count("\n7 editor6 ") == 1
    assert "\n7 editor6        0.667" in text
    said(*runs)


HOSTILE = ("[bold]x[/bold]\x1b[31m", "a|b\n\n| c |", "\u202eabc", "x" * 300, "$%&_{}~^\\", "--", "run 6")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    return [
        make_run(folder / str(n), [1.0] * n + [0.0] * (6 - n), editor=name, metric=HOSTILE[0], dataset=HOSTILE[1])
        for n, name in enumerate(HOSTILE)
    ]


@pytest.mark.parametrize(
    ("form", "count"), [("text", 3), ("text", 7), ("csv", 7), ("markdown", 7), ("latex", 7), ("json", 7)]
)
def test_hostile_names_are_shown_as_text(hostile: list[Path], form: str, count: int) -> None:
    done = on_terminal(*hostile[:count]) if form == "text" else call(*hostile[:count], f"--{form}")
    assert done.exit_code == 0, done.output
    assert not {"\x1b", "\u202e"} & set(done.stdout)
    if form == "text":
        assert max(map(len, without_paths(done.stdout))) <= 80
        assert "Ranking by wild.reliability ([bold]x[/bold]·[31m)" in " ".join(done.stdout.split())
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == count - 1
    if form == "markdown":
        assert len({line.replace("\\|", "").count("|") for line in done.stdout.splitlines() if line[:1] == "|"}) == 2


def test_two_formats_at_once_are_refused(tmp_path: Path) -> None:
    done = call(make_run(tmp_path / "one", [1.0]), "--json", "--latex")
    assert done.exit_code == 2
    assert done.stderr == "Error: --latex: another format was chosen too; leave out --json\n"
