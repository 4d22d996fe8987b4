"""What is left of edits at later judging points: the curve, the matrix, the collapse, and several orders summed up."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console
from scipy import stats

from wildcore import EditRequest
from wildcore.cli import main
from wildcore.evaluation.schedules import Schedule
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import (
    CaseRecord,
    EditOutcome,
    JudgingPointRecord,
    Manifest,
    ScoreRecord,
    WeightChange,
)
from wildcore.reporting.retention import collapse_in_words, print_retention
from wildcore.scoring.orders import crossed_interval, over_orders
from wildcore.scoring.retention import collapse, judging_points_of_all, retention, retention_matrices
from wildcore.types import Measured

VALUES = {2: [1.0, 0.5], 4: [0.0, 0.5, 1.0, 0.5], 5: [0.0, 0.0, 0.5, 0.5, 1.0]}
"""The reliability of each case, in order, after 2, 4 and 5 edits."""


def score(case: int, after_edits: int, value: float, kind: str = "reliability", metric: str = "m") -> ScoreRecord:
    return ScoreRecord.model_validate(
        {
            "case": str(case),
            "after_edits": after_edits,
            "protocol": "wild",
            "probe": 0,
            "kind": kind,
            "metric": metric,
            "before": 0.25 if kind == "reliability" else None,
            "before_reason": None if kind == "reliability" else "compares with the unedited model",
            "after": value,
            "after_reason": None,
        }
    )


def run(
    path: Path,
    values: dict[int, list[float]],
    points: Sequence[JudgingPointRecord] = (),
    identity: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Return a scored run whose first cases were evaluated after each number of edits, with these scores."""
    count = max(map(len, values.values()))
    manifest = Manifest(
        created="now", job={}, identity=identity or {}, protocols=(), case_count=count, versions={}, hardware={}, plugins={},
        case_ids=tuple(map(str, range(count))), journal_lines=sum(map(len, values.values())),
    )  # fmt: skip
    folder = RunFolder.create(path, manifest)
    request, edit = EditRequest(prompt="p", target="t"), EditOutcome(status="edited", seconds=0)
    scores = []
    for after, of_cases in values.items():
        for case, value in enumerate(of_cases):
            folder.append(CaseRecord(case=str(case), after_edits=after, request=request, edit=edit, probes=()))
            scores += [
                score(case, after, value),
                score(case, after, 1.0, "locality"),
                score(case, after, 0.9, metric="n"),
            ]
    folder.write_scores(scores)
    for point in points:
        folder.append_point(point)
    return folder


def printed(folder: RunFolder) -> str:
    stream = StringIO()
    console = Console(file=stream, width=140)
    print_retention(console, retention(folder), retention_matrices(folder), {"wild": "w"})
    found = collapse(folder.points())
    return stream.getvalue() + (collapse_in_words(found) if found else "")


def test_the_curve_has_all_cases_so_far_and_the_table_the_last(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", VALUES)
    means = {
        point.after_edits: next(row.after for row in point.cells if (row.kind, row.metric) == ("reliability", "m"))
        for point in retention(folder)
    }
    assert means == {2: 0.75, 4: 0.5, 5: 0.4}
    assert {s.after_edits for s in folder.scores()} == {5}
    assert [record.after_edits for record in folder.cases()] == [5] * 5
    assert judging_points_of_all(folder) == {n: frozenset(map(str, range(n))) for n in (2, 4, 5)}


def test_the_matrix_has_a_row_for_the_edits_between_two_points(tmp_path: Path) -> None:
    (matrix,) = retention_matrices(run(tmp_path / "run", VALUES))
    assert (matrix.protocol, matrix.metric) == ("wild", "m")
    assert matrix.groups == ((1, 2), (3, 4), (5, 5))
    assert matrix.after_edits == (2, 4, 5)
    assert matrix.values == ((0.75, 0.25, 0.0), (None, 0.75, 0.5), (None, None, 1.0))


def test_cases_judged_right_after_their_own_edit_make_no_curve(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {1: [1.0]})
    request, edit = EditRequest(prompt="p", target="t"), EditOutcome(status="edited", seconds=0)
    folder.append(CaseRecord(case="1", after_edits=2, request=request, edit=edit, probes=()))
    folder.write_scores([score(0, 1, 1.0), score(1, 2, 0.0)])
    assert retention_matrices(folder) == []
    assert [point.cells for point in retention(folder)] == [(), ()]


def point(after_edits: int, *signs: str, stopped: bool = False, perplexity: float | None = 20.0) -> JudgingPointRecord:
    weights = (WeightChange(module="m", norm=1.1, change=0.5, last_update=0.1),) if after_edits else ()
    measured = {"perplexity": (Measured(name="perplexity", value=perplexity, reason=None if perplexity else "nan"),)}
    return JudgingPointRecord(
        after_edits=after_edits, collapse=signs, stopped=stopped, measured=measured, weights=weights
    )


def test_a_collapse_is_named_from_where_it_lasts() -> None:
    lasting = collapse([point(0), point(1, "a"), point(2), point(5, "b"), point(9, "c", "d")])
    assert lasting is not None
    assert (lasting.after_edits, lasting.signs, lasting.lasting) == (5, ("b",), True)
    passing = collapse([point(1), point(2, "a"), point(5)])
    assert passing is not None
    assert (passing.after_edits, passing.lasting) == (2, False)
    assert collapse([point(0), point(1)]) is None


def test_what_is_printed(tmp_path: Path) -> None:
    points = [point(0), point(2), point(4, "it babbles"), point(5, "it babbles", stopped=True, perplexity=None)]
    text = printed(run(tmp_path / "run", VALUES, points))
    lines = [line.split() for line in text.splitlines()]
    assert ["none", "0.250", "██", "-", "20", "-"] in lines
    assert ["2", "0.750", "██████", "1.000", "20", "0.500"] in lines
    assert ["5", "0.400", "███▎", "1.000", "none", "0.500"] in lines
    assert ["1", "to", "2", "0.75", "0.25", "0.00"] in lines
    assert "The model has collapsed from 4 edits on: it babbles; the sequence was stopped there." in text


def test_of_many_judging_points_some_are_printed_and_this_is_said(tmp_path: Path) -> None:
    text = printed(run(tmp_path / "run", {count: [0.5] * count for count in range(1, 51)}))
    assert "40 of 50 judging points are shown; all are in summary.json." in text
    assert "9 of 50 judging points are shown; all are in summary.json." in text


def test_orders_are_summed_up_by_their_means() -> None:
    (row,) = over_orders([[score(0, 2, 1.0), score(1, 2, 0.0)], [score(1, 2, 0.5), score(0, 2, 1.0)]])
    assert (row.orders, row.mean, row.lowest, row.highest) == (2, 0.625, 0.5, 0.75)
    assert 0 <= row.low <= row.mean <= row.high <= 1


def test_the_interval_over_orders_and_cases_grows_with_either() -> None:
    generator = np.random.default_rng(0)
    cases, orders = generator.normal(size=200), generator.normal(size=12)

    def width(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
        low, high = crossed_interval(values)
        return high - low

    alike = np.tile(cases, (12, 1))
    alone = 2 * 1.96 * cases.std() / np.sqrt(200)
    assert width(alike) == pytest.approx(alone, rel=0.1), "orders that agree are no further observations of the cases"
    assert width(alike + orders[:, None]) > 2 * width(alike)


def test_the_interval_over_orders_is_that_of_t_where_only_one_effect_is_there() -> None:
    generator = np.random.default_rng(0)
    cases, orders = generator.normal(size=20), generator.normal(size=4)
    for effect, values in ((cases, np.tile(cases, (4, 1))), (orders, np.tile(orders[:, None], (1, 20)))):
        assert crossed_interval(values) == pytest.approx(tuple(stats.ttest_1samp(effect, 0).confidence_interval()))


def test_missing_values_are_those_that_the_effects_give() -> None:
    additive = np.array([0.0, 1.0, 3.0])[:, None] + np.arange(6.0)
    holes = additive.copy()
    holes[0, 1] = holes[2, 4] = np.nan
    assert crossed_interval(holes) == pytest.approx(crossed_interval(additive))


@pytest.mark.parametrize(
    "values",
    [[[1.0, 0.0]], [[1.0], [0.0]], [[0.5] * 5] * 3, [[1.0, np.nan], [0.0, 1.0]], [[np.nan, np.nan], [0.0, 1.0]]],
)
def test_too_little_over_orders_has_no_interval(values: list[list[float]]) -> None:
    assert crossed_interval(np.array(values)) == (None, None)


def sequence_of(path: Path, values: dict[int, list[float]], judge_at: str) -> RunFolder:
    """Return a run like those of ``run`` with what a comparison reads of its manifest."""
    named = {"name": "x", "dtype": "float32", "device": "cpu"}
    schedule = Schedule.chosen("sequential", 1, max(values), judge_at).identity()
    identity = {"model": named, "dataset": named, "editor": named, "schedule": schedule}
    return run(path, values, identity=identity)


def after_of(*runs: RunFolder) -> list[str]:
    """Return the reliability of each run in a comparison, as printed."""
    done = CliRunner().invoke(main, ["compare", *(str(one.path) for one in runs)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if line.startswith("reliability"))
    return [cell.strip("*") for cell in line.split()[-len(runs) :]]


def test_sequences_are_compared_at_the_last_point_that_they_share(tmp_path: Path) -> None:
    whole = sequence_of(tmp_path / "whole", VALUES, "2,4")
    stopped = sequence_of(tmp_path / "stopped", {2: [0.0, 0.0], 4: [1.0] * 4}, "2,4")
    shorter = sequence_of(tmp_path / "shorter", {2: [0.5, 0.5]}, "end")
    other = sequence_of(tmp_path / "other", {3: [0.5] * 3}, "end")
    assert after_of(whole, whole) == ["0.400", "0.400"]
    assert after_of(whole, stopped) == ["0.500", "1.000"]
    assert after_of(whole, shorter) == ["0.750", "0.500"]
    assert after_of(whole, other) == ["0.400", "0.500"], "each at its last point"
    apart = CliRunner().invoke(main, ["compare", str(whole.path), str(other.path)]).output
    assert "none of which is shared by all. Runs 1 and 2: no difference is computed between them" in " ".join(
        apart.split()
    )
    assert "Differences from" not in apart
