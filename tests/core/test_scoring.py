"""What scores add up to, checked by other routes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from wildcore import EvalProtocol, Metric, Score, Use
from wildcore.protocols import Metrics, as_variant, with_added
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord
from wildcore.scoring.clusters import subjects
from wildcore.scoring.intervals import NO_INTERVAL, NORMAL_95, interval, wilson
from wildcore.scoring.means import summarise
from wildcore.scoring.scores import COMPARES, REFUSED, score_case, score_run

means = st.floats(0, 1, allow_subnormal=False)
counts = st.integers(1, 100_000)


def row(case: str, after: float | None, before: float | None = 0.0, probe: int = 0, **changes) -> ScoreRecord:
    """A score with what a test does not care about filled in."""
    reason = None if after is not None else "no answer"
    values = {"protocol": "wild", "kind": "reliability", "metric": "exact-match", "after_reason": reason, **changes}
    return ScoreRecord(case=case, probe=probe, before=before, before_reason=None, after=after, **values)


@given(mean=means, count=counts)
def test_wilson_is_where_the_score_test_turns(mean: float, count: int) -> None:
    """The ends are the proportions p with (mean - p)^2 = z^2 p (1 - p) / n: the roots of a quadratic."""
    w = NORMAL_95**2 / count
    roots = sorted(np.roots([1 + w, -(2 * mean + w), mean**2]).real)
    assert wilson(mean, count) == pytest.approx(roots, abs=1e-6)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341), (81, 263, 0.25529, 0.36621)],
)
def test_wilson_known_values(successes: int, count: int, low: float, high: float) -> None:
    """The last row is the example of Newcombe (1998), table I, by its method 3."""
    assert wilson(successes / count, count) == pytest.approx((low, high), abs=1e-4)


@given(mean=means, count=counts)
def test_wilson_holds_the_mean_and_stays_a_proportion(mean: float, count: int) -> None:
    low, high = wilson(mean, count)
    assert 0 <= low <= high <= 1
    assert low - 1e-12 <= mean <= high + 1e-12


@given(mean=means, count=counts, factor=st.integers(2, 10))
def test_wilson_narrows_with_more_cases(mean: float, count: int, factor: int) -> None:
    def width(cases: int) -> float:
        low, high = wilson(mean, cases)
        return high - low

    assert width(count * factor) < width(count)


@given(mean=means, count=counts)
def test_wilson_is_symmetric(mean: float, count: int) -> None:
    low, high = wilson(mean, count)
    mirrored = wilson(1 - mean, count)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


def test_a_case_counts_once_however_many_probes_it_has() -> None:
    many = [row("a", value, probe=index) for index, value in enumerate([1.0, 1.0, 1.0, 0.0])]
    (cell,) = summarise([*many, row("b", 0.0)])
    assert (cell.after, cell.cases, cell.scored) == (0.375, 2, 5)
    assert cell.interval == "t"


def test_unscored_and_refused_are_counted_and_are_no_zeros() -> None:
    rows = [row("a", 1.0), row("b", None), row("c", None, after_reason=REFUSED), row("d", None, after_reason=REFUSED)]
    (cell,) = summarise(rows)
    assert (cell.after, cell.cases, cell.scored, cell.unscored, cell.refused) == (1.0, 1, 1, 1, 2)


def test_before_is_over_the_cases_that_after_is_over() -> None:
    rows = [row("a", 1.0, before=0.0), row("b", 0.0, before=0.5), row("c", None, before=1.0, after_reason=REFUSED)]
    (cell,) = summarise(rows)
    assert (cell.before, cell.after) == (0.25, 0.5)


def test_nothing_scored_gives_no_number() -> None:
    (cell,) = summarise([row("a", None), row("b", None, after_reason=REFUSED)])
    assert (cell.before, cell.after, cell.low, cell.high) == (None, None, None, None)
    assert (cell.cases, cell.scored, cell.unscored, cell.refused) == (0, 0, 1, 1)


def test_a_metric_without_a_before_has_none() -> None:
    (cell,) = summarise([row("a", 1.0, before=None)])
    assert (cell.before, cell.after) == (None, 1.0)


def test_protocols_kinds_and_metrics_are_never_mixed() -> None:
    others = [{"protocol": "synthetic"}, {"kind": "locality"}, {"metric": "token-match"}]
    rows = summarise([row("a", 1.0), *(row("a", 0.0, **other) for other in others)])
    assert [one.after for one in rows] == [1.0, 0.0, 0.0, 0.0]
    assert summarise([]) == []


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.floats(0, 1)), min_size=1))
def test_every_score_is_accounted_for(values: list[tuple[str, float | None]]) -> None:
    (cell,) = summarise(row(case, after, probe=index) for index, (case, after) in enumerate(values))
    assert cell.scored + cell.unscored + cell.refused == len(values)
    assert cell.cases == len({case for case, after in values if after is not None})
    scored = [after for _, after in values if after is not None]
    if cell.after is not None:
        assert min(scored) - 1e-12 <= cell.after <= max(scored) + 1e-12


class GivenAnswers(Metric):
    """1 for the answer "yes", no score for an empty one."""

    def score(self, items):
        return [
            Score(value=None, reason="empty") if not i.answer.text else Score(value=i.answer.text == "yes")
            for i in items
        ]


class SameAsUnedited(Metric):
    """1 where the answer is the unedited model's."""

    reads_unedited = True

    def score(self, items):
        return [Score(value=item.answer.text == item.unedited.text) for item in items]


def answer(text: str) -> dict[str, object]:
    output = {"text": text, "token_ids": [1], "stop_reason": "stop-rule"}
    return {"text": text, "token_ids": [1], "output": output}


def case(
    probes: list[tuple[str, str | None, str | None]], status: str = "edited", unanswered: str | None = None
) -> CaseRecord:
    """A finished case from (kind, answer before, answer after)."""
    return CaseRecord.model_validate(
        {
            "case": "1",
            "request": {"prompt": "p", "target": "t"},
            "edit": {"status": status, "seconds": 1.0},
            "probes": [
                {
                    "protocol": "wild",
                    "probe": index,
                    "kind": kind,
                    "question": "q",
                    "answers": ["yes"],
                    "prompt": "q",
                    "gold_token_ids": [1],
                    "before": [] if before is None else [answer(before)],
                    "after": [] if after is None else [answer(after)],
                    "unanswered": unanswered,
                }
                for index, (kind, before, after) in enumerate(probes)
            ],
        }
    )


@pytest.fixture
def metrics() -> dict[str, Metrics]:
    return {"wild": {"reliability": (("given", GivenAnswers()),), "locality": (("same", SameAsUnedited()),)}}


def test_answers_are_scored_by_the_metric_of_their_kind(metrics) -> None:
    probes = [("reliability", "no", "yes"), ("locality", "left", "right"), ("portability", "no", "no")]
    scores = list(score_case(case(probes), metrics))
    assert [(s.metric, s.probe, s.before, s.after) for s in scores] == [("given", 0, 0.0, 1.0), ("same", 1, None, 0.0)]
    assert scores[1].before_reason == "compares with the unedited model"


def test_why_an_answer_was_not_scored_is_kept(metrics) -> None:
    (empty,) = score_case(case([("reliability", "no", "")]), metrics)
    assert (empty.after, empty.after_reason) == (None, "empty")
    (refused,) = score_case(case([("reliability", "yes", None)], status="refused"), metrics)
    assert (refused.before, refused.after, refused.after_reason) == (1.0, None, REFUSED)
    (too_long,) = score_case(case([("reliability", None, None)], unanswered="too long"), metrics)
    assert (too_long.before_reason, too_long.after_reason) == ("too long", "too long")


class Broken(Metric):
    """No number for any answer but "yes"."""

    def score(self, items):
        return [Score(value=1.0 if item.answer.text == "yes" else float("nan")) for item in items]


def test_a_metric_that_gives_no_number_leaves_the_answer_unscored() -> None:
    (score,) = score_case(case([("reliability", "no", "yes")]), {"wild": {"reliability": (("broken", Broken()),)}})
    assert (score.before, score.before_reason) == (None, "the metric gave nan")
    assert (score.after, score.after_reason) == (1.0, None)
    (cell,) = summarise([ScoreRecord.model_validate_json(score.model_dump_json())])
    assert (cell.before, cell.after) == (None, 1.0)


def test_scores_stay_with_their_probes_when_some_are_missing(metrics) -> None:
    probes = [("reliability", "no", "yes"), ("reliability", None, None), ("reliability", "no", "no")]
    scores = list(score_case(case(probes), metrics))
    assert [(score.probe, score.after) for score in scores] == [(0, 1.0), (1, None), (2, 0.0)]


def sampled(before: list[str], after: list[str]) -> CaseRecord:
    """A finished case with several samples of its one probe."""
    record = case([("reliability", "no", "no")])
    answers = {"before": tuple(answer(text) for text in before), "after": tuple(answer(text) for text in after)}
    probe = type(record.probes[0]).model_validate(record.probes[0].model_dump() | answers)
    return record.model_copy(update={"probes": (probe,)})


def test_samples_are_scored_each_and_averaged(metrics) -> None:
    (score,) = score_case(sampled(["no", "yes", "no", "no"], ["yes", "yes", "no", "yes"]), metrics)
    assert (score.before, score.after) == (0.25, 0.75)
    assert [sample.value for sample in score.after_samples] == [1, 1, 0, 1]
    assert score.after_reason is None


def test_a_sample_that_cannot_be_scored_is_said_and_not_zero(metrics) -> None:
    (score,) = score_case(sampled(["no", "no"], ["yes", ""]), metrics)
    assert (score.after, score.after_reason) == (1.0, "1 of 2 samples: empty")


def test_each_sample_is_compared_with_the_unedited_sample_of_its_number(metrics) -> None:
    record = sampled(["left", "right"], ["left", "left"])
    probe = record.probes[0].model_copy(update={"kind": "locality"})
    (score,) = score_case(record.model_copy(update={"probes": (probe,)}), metrics)
    assert (score.after, score.before, score.before_reason) == (0.5, None, COMPARES)


class Judge(Metric):
    """Knows some answers only, and counts how often it is called and what it is asked."""

    expensive = True

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.calls: list[list[str]] = []

    def score(self, items):
        self.calls.append([item.answer.text for item in items])
        return [
            Score(value=1.0, details={"said": "yes"}) if text in self.known else Score(value=None, reason="down")
            for text in self.calls[-1]
        ]


@pytest.fixture
def run(tmp_path) -> RunFolder:
    nothing: dict[str, Any] = {"job": {}, "identity": {}, "versions": {}, "hardware": {}, "plugins": {}}
    folder = RunFolder.create(tmp_path / "run", Manifest(created="now", protocols=(), case_count=3, **nothing))
    for number, after in enumerate(["yes", "no", "maybe"]):
        record = case([("reliability", "no", after), ("locality", "left", "left")])
        folder.append(record.model_copy(update={"case": str(number)}))
    return folder


def test_a_run_is_scored_in_one_call_for_each_metric(run: RunFolder) -> None:
    judge = Judge({"yes", "no", "maybe"})
    scores = score_run(run, {"wild": {"reliability": (("judge", judge),)}})
    assert judge.calls == [["no", "no", "no", "yes", "no", "maybe"]]
    assert list(run.scores()) == scores
    assert scores[0].after_samples[0].details == {"said": "yes"}


def test_scores_that_are_there_stay_and_missing_ones_are_asked_again(run: RunFolder, metrics) -> None:
    score_run(run, metrics)
    own = list(run.scores())
    added = {"wild": {"reliability": (("judge", Judge({"no", "yes"})),)}}
    score_run(run, added)
    assert list(run.scores())[: len(own)] == own
    (open_one,) = (score for score in run.scores() if score.after_reason == "down")
    assert open_one.case == "2"

    judge = Judge({"maybe", "no"})
    score_run(run, {"wild": {"reliability": (("judge", judge),)}})
    assert judge.calls == [["no", "maybe"]], "only the case that has no score yet is asked"
    assert [score.after for score in run.scores() if score.metric == "judge"] == [1.0, 1.0, 1.0]
    before = run.scores_path.read_bytes()
    again = Judge(set())
    score_run(run, {"wild": {"reliability": (("judge", again),)}})
    assert again.calls in ([], [[]])
    assert run.scores_path.read_bytes() == before


def test_added_metrics_follow_the_protocols_own_and_never_replace_them() -> None:
    own, same_label, other = GivenAnswers(), GivenAnswers(), Judge(set())
    both = with_added({"reliability": (("given", own),)}, {"reliability": (("given", same_label), ("judge", other))})
    assert both["reliability"] == (("given", own), ("judge", other))
    assert both["locality"] == ()


@given(st.lists(st.floats(min_value=-50, max_value=50) | st.floats(0, 1), min_size=2, max_size=30))
def test_the_interval_holds_the_mean_whatever_the_values(values: list[float]) -> None:
    found = interval(values)
    if found.method == "none":
        assert np.std(values) < 1e-9
        return
    assert found.low - 1e-9 <= np.mean(values) <= found.high + 1e-9
    if all(0 <= value <= 1 for value in values):
        assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize("values", [[2.0, 4.0, 6.0], [0.25, 0.5, 0.75, 0.5], [0.0, 1.0, 0.5, 1.0, 1.0, 0.0]])
def test_values_that_are_not_all_0_or_1_have_the_interval_of_students_t(values: list[float]) -> None:
    found, known = interval(values), stats.ttest_1samp(values, 0).confidence_interval()
    assert found.method == "t"
    kept = np.clip(known, 0, 1) if max(values) <= 1 else known
    assert (found.low, found.high) == pytest.approx(tuple(kept))


def test_students_interval_of_a_documented_example() -> None:
    """The ten differences in sleep of Student (Biometrika 6, 1908): mean 1.58, 95 % interval 0.70 to 2.46."""
    found = interval([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


def test_0_1_values_have_wilsons_interval_as_statsmodels_has_it() -> None:
    for correct, count in ((0, 3), (7, 20), (50, 50), (81, 263)):
        found = interval([1.0] * correct + [0.0] * (count - correct))
        assert found.method == "wilson"
        assert (found.low, found.high) == pytest.approx(proportion_confint(correct, count, method="wilson"))


def test_what_shows_no_spread_has_no_interval() -> None:
    assert interval([3.0]) == interval([0.5, 0.5]) == NO_INTERVAL
    assert interval([0.25, 0.5], ["a", "a"]) == NO_INTERVAL


def test_cases_of_one_subject_count_once() -> None:
    values, of_subjects = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0], ["a", "b", "c", "d", "e", "f", "g"]
    twice = interval(values * 2, of_subjects * 2)
    plain, known = interval(values * 2), stats.ttest_1samp(values, 0).confidence_interval()
    assert twice.method == "t"
    assert (twice.low, twice.high) == pytest.approx((known.low, 1.0))
    assert plain.high - plain.low < twice.high - twice.low
    alike = interval([1.0] * 4, ["a", "a", "b", "b"])
    assert (alike.low, alike.high) == wilson(1.0, 2)


def test_rows_say_how_many_clusters_there_are() -> None:
    scores = [row(case, value) for case, value in zip("abcd", [1.0, 1.0, 0.0, 1.0], strict=True)]
    (alone,), (together,) = summarise(scores), summarise(scores, {"a": "Rome", "b": "Rome"})
    assert (alone.cases, alone.clusters, alone.interval) == (4, 4, "wilson")
    assert (together.cases, together.clusters, together.interval) == (4, 3, "t")


def test_a_subject_is_shared_whatever_its_case() -> None:
    base = case([])
    named = {"1": "Rome", "2": " rome", "3": "Oslo", "4": None}
    cases = [
        base.model_copy(update={"case": name, "request": base.request.model_copy(update={"subject": subject})})
        for name, subject in named.items()
    ]
    assert subjects(cases) == {"1": "rome", "2": "rome"}


@pytest.fixture
def published() -> EvalProtocol:
    return EvalProtocol(
        name="wild",
        summary="as published",
        context=Use(name="qa-instruction"),
        generator=Use(name="autoregressive"),
        truncator=Use(name="stop-strings"),
        metrics={"reliability": (Use(name="exact-match"),), "locality": (Use(name="unchanged"),)},
    )


def test_no_difference_is_no_variant(published) -> None:
    assert as_variant(published.model_copy(), published) is published


def test_a_variant_is_named_for_its_differences(published) -> None:
    changed = published.model_copy(
        update={
            "context": Use(name="chat"),
            "generator": Use(name="autoregressive", params={"max_new_tokens": 5}),
            "metrics": {**published.metrics, "reliability": (Use(name="contains"), Use(name="exact-match"))},
        }
    )
    variant = as_variant(changed, published)
    assert variant.differences == (
        "context: chat",
        "generator: autoregressive(max_new_tokens=5)",
        "metric of reliability: contains and exact-match",
    )
    assert variant.name == f"wild[{'; '.join(variant.differences)}]"
    assert variant.variant_of == "wild"
    assert published.variant_of is None


def test_kinds_with_the_same_new_metric_are_named_together(published) -> None:
    contains = (Use(name="contains"),)
    changed = published.model_copy(update={"metrics": {"reliability": contains, "portability": contains}})
    variant = as_variant(changed, published)
    assert variant.differences == ("metric of reliability, portability: contains", "metric of locality: none")


def test_clusters_of_one_size_have_the_robust_interval_of_statsmodels() -> None:
    values = np.random.default_rng(0).random(24)
    clusters = np.repeat(np.arange(8), 3)
    robust = OLS(values, np.ones(24)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    found = interval(values.tolist(), clusters.tolist())
    assert (found.low, found.high) == pytest.approx(tuple(robust.conf_int()[0]))


def test_clusters_of_different_sizes_have_the_spread_of_the_jackknife_and_fewer_degrees_of_freedom() -> None:
    values = 10 * np.random.default_rng(0).random(10)
    clusters = np.array([0, 0, 0, 0, 1, 2, 2, 3, 3, 3])  # as much as 100 / 30 clusters of one size
    without_one = np.array([values[clusters != cluster].mean() for cluster in range(4)])
    error = np.sqrt(3 / 4 * ((without_one - values.mean()) ** 2).sum())
    found = interval(values.tolist(), clusters.tolist())
    assert found.high - values.mean() == pytest.approx(stats.t(100 / 30 - 1).ppf(0.975) * error)
