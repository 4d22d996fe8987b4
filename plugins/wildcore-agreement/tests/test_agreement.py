"""How far two metrics agree: the statistics against other routes, the commands on run folders as a run leaves them."""

import csv
import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import assume, given
from hypothesis import strategies as st
from wildcore_agreement.verdicts import find_label

from wildcore import Answer, EditRequest, EvalProtocol, Output, Score, Use
from wildcore.cli import main
from wildcore.datasets import TableParams, read_table
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ProbeRecord, ScoreRecord
from wildcore.scoring import kappa
from wildcore.scoring.intervals import NORMAL_95, wilson
from wildcore.scoring.prediction_powered import corrected_mean
from wildcore.scoring.scores import COMPARES, REFUSED

EXACT, JUDGE = "exact-match", "judge(model='grader')"

cells = st.integers(0, 60)
tables = st.tuples(st.tuples(cells, cells), st.tuples(cells, cells))
full_cells = st.integers(1, 400)
full_tables = st.tuples(st.tuples(full_cells, full_cells), st.tuples(full_cells, full_cells))


def standard_error(table: Sequence[Sequence[int]]) -> float:
    found = kappa(table)
    assert found.low is not None
    assert found.value is not None
    return (found.value - found.low) / NORMAL_95


def test_kappa_of_the_published_example() -> None:
    """Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions (2003), table 18.1: kappa .676, s.e. .088."""
    table = [[75, 1, 4], [5, 4, 1], [0, 0, 10]]
    assert kappa(table).value == pytest.approx(0.676, abs=5e-4)
    assert standard_error(table) == pytest.approx(0.088, abs=5e-4)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[20, 5], [10, 15]], 0.4),  # observed 35/50; by chance .5 x .6 + .5 x .4 = .5
        ([[45, 15], [25, 15]], 0.06 / 0.46),  # observed .6; by chance .6 x .7 + .4 x .3 = .54
        ([[25, 35], [5, 35]], 0.14 / 0.54),  # observed .6; by chance .6 x .3 + .4 x .7 = .46
    ],
)
def test_kappa_by_hand(table: list[list[int]], expected: float) -> None:
    assert kappa(table).value == pytest.approx(expected)


def plain_kappa(shares: np.ndarray) -> float:
    expected = shares.sum(1) @ shares.sum(0)
    return float((np.trace(shares) - expected) / (1 - expected))


@given(full_tables)
def test_the_variance_is_that_of_the_delta_method(table: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Numerically: the gradient of kappa at the observed shares, and the multinomial covariance of these."""
    counts = np.array(table, dtype=float)
    total = counts.sum()
    shares = counts / total
    step = 1e-6
    nudges = np.eye(4).reshape(4, 2, 2) * step
    gradient = np.array([plain_kappa(shares + nudge) - plain_kappa(shares - nudge) for nudge in nudges]) / (2 * step)
    flat = shares.ravel()
    variance = gradient @ (np.diag(flat) - np.outer(flat, flat)) @ gradient / total
    found = kappa(table)
    assert found.value == pytest.approx(plain_kappa(shares))
    if found.low is not None and found.low > -1:
        assert standard_error(table) == pytest.approx(sqrt(variance), rel=1e-4, abs=1e-7)


def test_the_interval_holds_kappa_as_often_as_it_says() -> None:
    shares = np.array([[0.45, 0.10], [0.15, 0.30]])
    draws = np.random.default_rng(0).multinomial(300, shares.ravel(), size=2000).reshape(-1, 2, 2)
    held = [found.low <= plain_kappa(shares) <= found.high for found in map(kappa, draws.tolist())]
    assert 0.935 < np.mean(held) < 0.965  # three standard errors of a share of .95 in 2,000 draws


@given(tables)
def test_kappa_of_scikit_learn(table: tuple[tuple[int, int], tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found = kappa(table)
    assume(found.value is not None)
    pairs = [(i, j) for i in (0, 1) for j in (0, 1) for _ in range(table[i][j])]
    first, second = zip(*pairs, strict=True)
    assert found.value == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)


@given(tables)
def test_kappa_is_the_same_both_ways_round_and_within_its_interval(
    table: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    found, turned = kappa(table), kappa(list(zip(*table, strict=True)))
    assert found.undefined == turned.undefined
    assert (found.value is None) == (sum(map(sum, table)) in (0, table[0][0], table[1][1]))
    if found.value is not None:
        assert found.value == pytest.approx(turned.value)
        assert -1 <= found.value <= 1
    if found.low is not None:
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert (found.low, found.high) == pytest.approx((turned.low, turned.high))


@pytest.mark.parametrize(
    ("table", "value", "said"),
    [
        ([[0, 0], [0, 0]], None, "no answer was scored by both"),
        ([[7, 0], [0, 0]], None, "both gave every answer the same verdict"),
        ([[0, 0], [0, 7]], None, "both gave every answer the same verdict"),
        ([[5, 0], [0, 2]], 1.0, "no interval"),
        ([[5, 5], [0, 0]], 0.0, "no interval"),
        ([[0, 5], [5, 0]], -1.0, "no interval"),
    ],
)
def test_what_is_undefined_is_said(table: list[list[int]], value: float | None, said: str) -> None:
    found = kappa(table)
    assert found.value == (None if value is None else pytest.approx(value))
    assert (found.low, found.high) == (None, None)
    assert said in str(found.undefined)


def answer(text: str) -> Answer:
    return Answer(text=text, token_ids=(), output=Output(text=text, token_ids=(), stop_reason="stop-rule"))


def probe(number: int, before: Sequence[str], after: Sequence[str], **changes: Any) -> ProbeRecord:
    return ProbeRecord(
        **{
            "protocol": "wild", "probe": number, "kind": "reliability", "question": f"Question {number}?",
            "answers": ("Anna", "Anne"), "prompt": f"Q: Question {number}?", "gold_token_ids": (),
            "before": tuple(map(answer, before)), "after": tuple(map(answer, after)), **changes,
        }
    )  # fmt: skip


def score(metric: str, number: int, before: float | None, after: float | None, **changes: Any) -> ScoreRecord:
    return ScoreRecord(
        **{
            "case": "1", "protocol": "wild", "probe": number, "kind": "reliability", "metric": metric,
            "before": before, "before_reason": None if before is not None else "no reply",
            "after": after, "after_reason": None if after is not None else "no reply", **changes,
        }
    )  # fmt: skip


def run_folder(path: Path, probes: Sequence[ProbeRecord], scores: Sequence[ScoreRecord]) -> Path:
    use = Use(name="x")
    protocols = [
        EvalProtocol(name=name, summary="", context=use, generator=use, truncator=use, metrics={})
        for name in ("wild", "other")
    ]
    named = {"name": "x", "dtype": "float32", "device": "cpu"}
    identity = dict.fromkeys(("model", "dataset", "editor"), named)
    facts: dict[str, Any] = {"identity": identity, "job": {"seed": 0}, "versions": {}, "hardware": {}, "plugins": {}}
    folder = RunFolder.create(
        path, Manifest(created="2026-01-01T00:00:00+00:00", protocols=protocols, case_count=1, **facts)
    )
    request = EditRequest(prompt="Question 0?", target="Anna")
    edit = EditOutcome(status="edited", seconds=1.0)
    folder.append(CaseRecord(case="1", request=request, edit=edit, probes=tuple(probes)))
    folder.write_scores(scores)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four probes with answers before and after: verdicts both correct 3, exact only 1, judge only 2, both incorrect 1."""
    probes = [probe(number, ["Peter"], [f"Anna, I say {number}"]) for number in range(4)]
    reply = Score(value=1.0, details={"judge": "grader", "reply": "CORRECT, plainly", "verdict": "CORRECT"})
    scores = [
        *(score(EXACT, number, *values) for number, values in enumerate([(1, 1), (1, 0), (0, 1), (0, 0)])),
        score(JUDGE, 0, 1.0, 1.0),
        score(JUDGE, 1, 0.0, 1.0, after_samples=[reply]),
        score(JUDGE, 2, 1.0, 1.0),
        score(JUDGE, 3, 0.0, None),
    ]
    return run_folder(tmp_path / "run", probes, scores)


def agreement(run: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["agreement", str(run), *map(str, arguments)])


def compared(run: Path, *arguments: object) -> list[dict[str, Any]]:
    done = agreement(run, "--json", *arguments)
    assert done.exit_code == 0, done.output
    content: list[dict[str, Any]] = json.loads(done.stdout)["agreements"]
    return content


def refused(run: Path, *arguments: object) -> str:
    done = agreement(run, *arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    return done.stderr


def test_two_metrics_of_a_run(run: Path) -> None:
    (one,) = compared(run)
    assert (one["first"], one["second"]) == (EXACT, JUDGE)
    assert one["table"] == [[3, 1], [2, 1]]
    assert (one["both"], one["differ"], one["neither"], one["graded"]) == (7, 3, 0, [0, 0])
    assert one["observed"] == pytest.approx(4 / 7)
    assert (one["low"], one["high"]) == pytest.approx(wilson(4 / 7, 7))
    assert one["kappa"]["value"] == pytest.approx(kappa([[3, 1], [2, 1]]).value)
    assert (one["only_first"], one["only_second"]) == ({"no reply": 1}, {})
    assert one["distinct"] == 7


@pytest.mark.parametrize(("when", "table"), [("before", [[1, 1], [1, 1]]), ("after", [[2, 0], [1, 0]])])
def test_answers_before_or_after_the_edit(run: Path, when: str, table: list[list[int]]) -> None:
    assert compared(run, "--when", when)[0]["table"] == table


def test_they_can_be_named_by_a_prefix_in_either_order(run: Path) -> None:
    (one,) = compared(run, "--metric", "judge", "--metric", "exact-match")
    assert (one["first"], one["second"]) == (JUDGE, EXACT)
    assert one["table"] == [[3, 2], [1, 1]]
    assert (one["only_first"], one["only_second"]) == ({}, {"no reply": 1})


def test_the_answers_that_they_differ_on_are_shown_with_the_judges_words(run: Path) -> None:
    done = agreement(run)
    assert done.exit_code == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "Equal verdicts: 4 of 7, 0.571 (95 % interval 0.250 to 0.842)" in lines
    assert "Scored by exact-match alone: 1. judge(model='grader'): no reply (1)" in lines
    assert "They differ on 3; the first 3:" in lines
    place = lines.index("case 1, wild, reliability, after: Question 1?")
    assert lines[place + 1] == "gold 'Anna', answer 'Anna, I say 1'"
    assert lines[place + 2] == "incorrect by exact-match"
    assert lines[place + 3].startswith("correct by judge(model='grader'), reply 'CORRECT, plainly', judge 'grader'")


def test_a_limit_on_what_is_shown_still_counts_the_rest(run: Path) -> None:
    assert "They differ on 3; the first 1:" in agreement(run, "--limit", 1).stdout
    (one,) = compared(run, "--limit", 0)
    assert (one["differ"], one["differing"]) == (3, [])


def test_the_same_answer_twice_is_said_to_be_no_second_one(tmp_path: Path) -> None:
    scores = [score(metric, 0, 1.0, 1.0) for metric in (EXACT, JUDGE)]
    path = run_folder(tmp_path / "run", [probe(0, ["Anna"], ["Anna"])], scores)
    said = agreement(path).stdout
    assert "2 answers scored by both, 1 of them distinct" in said
    assert "Cohen's kappa: undefined: both gave every answer the same verdict" in said
    assert "Intervals take answers as independent" in said
    assert "Intervals" not in agreement(path, "--when", "after").stdout


@pytest.mark.parametrize(("threshold", "table"), [(0.5, [[2, 0], [0, 0]]), (0.51, [[1, 0], [1, 0]])])
def test_scores_in_between_count_from_the_threshold_on(
    tmp_path: Path, threshold: float, table: list[list[int]]
) -> None:
    scores = [score("ratio", 0, 0.5, 1.0), score(JUDGE, 0, 1.0, 1.0)]
    path = run_folder(tmp_path / "run", [probe(0, ["An"], ["Anna"])], scores)
    (one,) = compared(path, "--threshold", threshold)
    assert (one["table"], one["graded"]) == (table, [1, 0])
    said = agreement(path, "--threshold", threshold).stdout
    assert f"ratio: 1 scores lie between 0 and 1; correct from {threshold} on" in said


def test_every_sample_is_an_answer(tmp_path: Path) -> None:
    values = [Score(value=value) for value in (1.0, 0.0, 1.0)]
    judged = [Score(value=1.0), Score(value=1.0), Score(value=None, reason="unclear")]
    scores = [
        score(EXACT, 0, 0.0, 2 / 3, after_samples=values),
        score(JUDGE, 0, 0.0, 1.0, after_samples=judged),
    ]
    path = run_folder(tmp_path / "run", [probe(0, ["Peter"], ["Anna", "Karl", "Anne"])], scores)
    (one,) = compared(path)
    assert one["table"] == [[1, 0], [1, 1]]
    assert one["only_first"] == {"unclear": 1}
    assert one["differing"][0]["said"]["sample"] == 1
    assert one["differing"][0]["said"]["answer"] == "Karl"


def test_a_refused_edit_has_no_answer_to_count(tmp_path: Path) -> None:
    nothing = {"after": None, "after_reason": REFUSED}
    scores = [score(metric, 0, 1.0, **nothing) for metric in (EXACT, JUDGE)]
    path = run_folder(tmp_path / "run", [probe(0, ["Anna"], [])], scores)
    (one,) = compared(path)
    assert (one["both"], one["neither"]) == (1, 0)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Four metrics, of which two share answers, one scores locality alone and one gives no verdicts."""
    probes = [
        probe(0, ["Peter"], ["Anna"]),
        probe(1, ["white"], ["white"], kind="locality"),
        probe(0, ["Peter"], ["Ann"], protocol="other"),
    ]
    unchanged = score("unchanged", 1, None, 1.0, kind="locality", before_reason=COMPARES)
    scores = [
        *(score(metric, 0, 0.0, 1.0) for metric in (EXACT, JUDGE)),
        score(JUDGE, 0, 0.0, 0.0, protocol="other"),
        unchanged,
        score("entropy", 0, 7.5, 3.0),
    ]
    return run_folder(tmp_path / "run", probes, scores)


def test_without_names_all_pairs_with_answers_in_common_are_shown(mixed: Path) -> None:
    done = agreement(mixed, "--json")
    assert [(one["first"], one["second"]) for one in json.loads(done.stdout)["agreements"]] == [(EXACT, JUDGE)]
    assert "left out, since their scores are no verdicts: entropy" in done.stderr


def test_two_that_share_no_answer_are_told_so_when_named(mixed: Path) -> None:
    (one,) = compared(mixed, "--metric", "exact-match", "--metric", "unchanged")
    assert (one["both"], one["observed"], one["low"]) == (0, None, None)
    assert one["kappa"]["undefined"] == "no answer was scored by both"
    assert (sum(one["only_first"].values()), sum(one["only_second"].values())) == (2, 1)


def test_answers_are_chosen_by_protocol_and_kind(mixed: Path) -> None:
    named = ("--metric", "exact-match", "--metric", "judge")
    (one,) = compared(mixed, *named, "--protocol", "wild")
    assert (one["both"], one["only_second"]) == (2, {})
    (one,) = compared(mixed, *named, "--protocol", "other")
    assert (one["both"], one["only_second"]) == (0, {"not among what it scores": 2})
    (one,) = compared(mixed, *named, "--kind", "locality", "--kind", "portability")
    assert (one["both"], one["only_first"], one["only_second"]) == (0, {}, {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--metric", "exact-match"), "exact-match: it is the only one; give the option twice"),
        (("--metric", "judge", "--metric", JUDGE), "give the option twice, once for each of the metrics to compare"),
        (("--metric", "exakt-match", "--metric", "judge"), "no such scores in this run; did you mean 'exact-match'?"),
        (("--metric", "e", "--metric", "judge"), "several metrics of this run begin so: exact-match; entropy"),
        (("--metric", "entropy", "--metric", "judge"), "its scores, such as 7.5, are no verdicts"),
        (("--protocol", "wlid"), "--protocol wlid: not a protocol of this run; did you mean 'wild'?"),
        (("--kind", "portability"), "no two of its metrics (exact-match; judge(model='grader'); unchanged) scored the same"),
        (("--threshold", "0"), "0.0 is not in the range 0<x<=1"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message(mixed: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(mixed, *arguments)


def test_a_run_with_one_metric_is_told_how_to_get_another(tmp_path: Path) -> None:
    path = run_folder(tmp_path / "run", [probe(0, ["Peter"], ["Anna"])], [score(EXACT, 0, 0.0, 1.0)])
    said = refused(path)
    assert "1 of its metrics give verdicts (exact-match), and two are needed" in said
    assert f"wildcore score {path} --metric NAME" in said
    assert "not a run folder" in refused(tmp_path)


def test_a_mean_is_corrected_by_peoples_labels_of_some_answers(tmp_path: Path) -> None:
    """The judge accepts everything; people accept two of four. The others are corrected by what they say."""
    verdicts = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    labels = [1.0, 0.0, 0.0, 1.0]
    probes = [probe(number, ["Peter"], [f"Anna {number}"]) for number in range(8)]
    scores = [score(JUDGE, number, None, verdict) for number, verdict in enumerate(verdicts)]
    scores += [score("human-labels(file='sheet.csv')", number, None, label) for number, label in enumerate(labels)]
    run = run_folder(tmp_path / "run", probes, scores)
    ((row,),) = (one["corrected"] for one in compared(run))
    expected = corrected_mean(labels, verdicts[:4], verdicts[4:])
    assert expected is not None
    assert (row["when"], row["metric"], row["uncorrected"]) == ("after", JUDGE, 0.75)
    assert row["mean"] == expected.model_dump()
    assert 0.4 < row["mean"]["value"] < 0.6
    assert "0.750" in agreement(run).stdout
    assert "prediction-powered estimate" in agreement(run).stdout


def test_without_labels_nothing_is_corrected(run: Path) -> None:
    assert compared(run)[0]["corrected"] == []
    assert "prediction-powered" not in agreement(run).stdout


def test_a_whole_name_wins_over_longer_ones() -> None:
    assert find_label(["exact-match", "exact-match(aliases=False)"], "exact-match") == "exact-match"


ODD = ['Anna, "the keeper"', "Anna\nBerg", "=1+1", "", "Änne; Karl"]


def with_odd_answers(path: Path) -> Path:
    probes = [probe(number, [text], [text]) for number, text in enumerate(ODD)]
    probes += [probe(9, ["white"], ["white"], kind="locality"), probe(0, ODD[:1], ["Ida"], protocol="other")]
    return run_folder(path, probes, [score(EXACT, 0, 0.0, 1.0)])


def test_a_sheet_has_every_distinct_answer_once_and_reads_back(tmp_path: Path) -> None:
    run, file = with_odd_answers(tmp_path / "run"), tmp_path / "sheet.csv"
    done = agreement(run, "--sheet", file)
    assert done.exit_code == 0
    assert "6 answers to label" in done.stdout
    rows = [row.fields for row in read_table(TableParams(path=file))]
    assert [row["answer"] for row in rows] == [*ODD, "Ida"]
    assert {tuple(row) for row in rows} == {("question", "gold", "answer", "label")}
    assert {(row["gold"], row["label"]) for row in rows} == {("Anna", "")}


def test_a_sheet_of_chosen_answers(tmp_path: Path) -> None:
    run, file = with_odd_answers(tmp_path / "run"), tmp_path / "sheet.csv"
    assert agreement(run, "--sheet", file, "--when", "after", "--protocol", "other").exit_code == 0
    with file.open(newline="", encoding="utf-8") as stream:
        assert [row["answer"] for row in csv.DictReader(stream)] == ["Ida"]


def test_a_sheet_overwrites_nothing(tmp_path: Path) -> None:
    run, file = with_odd_answers(tmp_path / "run"), tmp_path / "sheet.csv"
    file.write_text("labels")
    assert "it is there already and may hold labels" in refused(run, "--sheet", file)
    assert file.read_text() == "labels"
    assert "the name must end in .csv" in refused(run, "--sheet", tmp_path / "sheet.txt")
    assert "cannot be written" in refused(run, "--sheet", tmp_path / "nowhere" / "sheet.csv")
    assert "the run holds no such answer" in refused(run, "--sheet", tmp_path / "s.csv", "--kind", "portability")


def test_without_its_plugin_the_command_is_missing_and_the_rest_of_the_core_works(run: Path) -> None:
    done = CliRunner().invoke(main, ["--plugins", "", "agreement", str(run)])
    assert done.exit_code == 2
    assert "No such command 'agreement'. The plugin 'agreement' has it; add that plugin to --plugins." in done.stderr
    shown = CliRunner().invoke(main, ["--plugins", "", "show", str(run), "--edits"])
    assert shown.exit_code == 0, shown.output
    assert "Question 0?" in shown.stdout


def test_a_filled_in_sheet_scores_the_run(tmp_path: Path) -> None:
    """The whole way with the judge plugin: sheet, labels, score, agreement."""
    pytest.importorskip("wildcore_judge.labels")
    probes = [probe(0, ["Peter"], ["Anna"]), probe(1, ["Karl"], ['Anna, "the keeper"'])]
    scores = [score(EXACT, 0, 0.0, 1.0), score(EXACT, 1, 0.0, 0.0)]
    run, file = run_folder(tmp_path / "run", probes, scores), tmp_path / "sheet.csv"
    agreement(run, "--sheet", file)
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": "correct" if "Anna" in row["answer"] else "incorrect"} for row in rows)
    named = ["--metric", "human-labels", "--set", f"metric.human-labels.file={file}"]
    done = CliRunner().invoke(main, ["score", str(run), *named])
    assert done.exit_code == 0, done.output
    (one,) = compared(run, "--metric", "exact", "--metric", "human")
    assert one["table"] == [[1, 0], [1, 2]]
