"""What two measurements of an ability say about a loss: known answers, and tests that keep their error rates."""

import random
from math import sqrt
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wildcore import Measured
from wildcore.reporting.capability import capability
from wildcore.scoring.capability import Change, change, changes


def of(*samples: float, name: str = "arc_easy/acc", **fields: object) -> Measured:
    """Return an accuracy over ``samples``."""
    values = {"value": fmean(samples or [0]), "higher_is_better": True, "items": len(samples), "samples": samples}
    return Measured(name=name, **values | fields)


def answers(right: int, wrong: int, lost: int = 0, gained: int = 0) -> tuple[Measured, Measured]:
    """Return two accuracies over the same questions, of which some are right in both, wrong in both, lost, or gained."""
    before = [1] * right + [0] * wrong + [1] * lost + [0] * gained
    after = [1] * right + [0] * wrong + [0] * lost + [1] * gained
    return of(*before), of(*after)


def changed(before: Measured, after: Measured, margin: float = 1.0) -> Change:
    found = change(before, after, margin)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("counts", "loss", "equivalent", "verdict"),
    [
        ((900, 100), "at most", True, "at most 1 point lost"),
        ((500, 480, 10, 10), "at most", True, "at most 1 point lost"),
        ((500, 440, 10, 50), "at most", False, "at most 1 point lost"),
        ((400, 400, 150, 50), "more than", False, "more than 1 point lost"),
        ((50, 40, 6, 4), "unknown", False, "cannot be told with 100 items (the interval is -7.3 to +3.3)"),
        ((60, 40), "unknown", False, "cannot be told with 100 items (the interval is -3.0 to +3.0)"),
        ((0, 0, 300, 0), "more than", False, "more than 1 point lost"),
    ],
)
def test_verdicts(counts: tuple[int, ...], loss: str, equivalent: bool, verdict: str) -> None:
    found = changed(*answers(*counts))
    assert found.loss == loss
    assert found.is_equivalent is equivalent
    assert found.verdict == verdict
    assert found.equivalence == ("within 1 point" if equivalent else "not shown to be within 1 point")


def test_a_gain_is_no_loss_but_not_equivalent() -> None:
    found = changed(*answers(500, 300, 0, 200))
    assert found.difference == 20
    assert found.p_loss is not None
    assert found.p_gain is not None
    assert found.p_loss < 1e-9
    assert found.p_gain > 1 - 1e-9
    assert found.p_equivalence == found.p_gain
    assert found.verdict == "at most 1 point lost"
    assert not found.is_equivalent


def test_the_numbers_of_one_comparison() -> None:
    """90 questions, of which 3 are lost and 1 gained: worked out by hand from the table of t with 89 degrees of freedom."""
    found = changed(*answers(50, 36, 3, 1), margin=5)
    mean = -2 / 90
    spread = sqrt((4 - 90 * mean**2) / 89 / 90)
    assert found.difference == pytest.approx(100 * mean)
    assert found.low == pytest.approx(100 * (mean - 1.66216 * spread), abs=1e-3)
    assert found.high == pytest.approx(100 * (mean + 1.66216 * spread), abs=1e-3)
    assert found.p_loss == pytest.approx(float(stats.t.sf((mean + 0.05) / spread, 89)), rel=1e-9)
    assert found.p_loss == pytest.approx(0.1073, abs=1e-4)  # t is 1.25


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=3, max_size=40),
    st.sampled_from([0.5, 1.0, 5.0, 20.0]),
)
def test_paired_tests_are_those_of_scipy(pairs: list[tuple[int, int]], margin: float) -> None:
    before, after = ([pair[place] / 8 for pair in pairs] for place in (0, 1))
    found = changed(of(*before), of(*after), margin)
    differences = [100 * (b - a) for a, b in zip(before, after, strict=True)]
    assert found.difference == pytest.approx(fmean(differences), abs=1e-9)
    assert found.paired
    if stdev(differences) == 0:
        return
    loss = stats.ttest_1samp(differences, -margin, alternative="greater")
    gain = stats.ttest_1samp(differences, margin, alternative="less")
    assert found.p_loss == pytest.approx(loss.pvalue, rel=1e-6, abs=1e-12)
    assert found.p_gain == pytest.approx(gain.pvalue, rel=1e-6, abs=1e-12)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert found.low == pytest.approx(max(interval.low, -100), rel=1e-6, abs=1e-9)
    assert found.high == pytest.approx(min(interval.high, 100), rel=1e-6, abs=1e-9)


def test_paired_tests_are_those_of_statsmodels() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    for counts, margin in (((500, 480, 12, 8), 1.0), ((80, 15, 1, 4), 5.0), ((30, 30, 20, 20), 2.5)):
        before, after = answers(*counts)
        found = changed(before, after, margin)
        share = margin / 100
        both, (_, p_low, _), (_, p_high, _) = weightstats.ttost_paired(
            np.array(after.samples), np.array(before.samples), -share, share
        )
        assert found.p_equivalence == pytest.approx(both, rel=1e-9)
        assert found.p_loss == pytest.approx(p_low, rel=1e-9)
        assert found.p_gain == pytest.approx(p_high, rel=1e-9)


def test_without_samples_the_standard_errors_are_used() -> None:
    before = of(name="mmlu/acc", value=0.6, items=2000, samples=(), standard_error=0.011, details={"share": True})
    after = before.model_copy(update={"value": 0.597, "standard_error": 0.012})
    found = changed(before, after)
    error = sqrt(0.011**2 + 0.012**2)
    freedom = error**4 / (0.011**4 / 1999 + 0.012**4 / 1999)
    assert not found.paired
    assert found.p_loss == pytest.approx(float(stats.t.sf((-0.003 + 0.01) / error, freedom)), rel=1e-9)
    assert found.verdict == "cannot be told with 2000 items (the interval is -3.0 to +2.4)"
    unknown = changed(before, after.model_copy(update={"standard_error": None}))
    assert unknown.p_equivalence is None
    assert unknown.verdict == "cannot be told with 2000 items (their spread is not known)"
    both_zero = [one.model_copy(update={"standard_error": 0.0}) for one in (before, after)]
    assert changed(*both_zero).low is None


def test_items_that_all_agree_need_to_be_many() -> None:
    """The rule of three: of 298 unchanged questions one in a hundred could still be lost, of 299 not."""
    few, enough = changed(*answers(298, 0)), changed(*answers(299, 0))
    assert (few.loss, enough.loss) == ("unknown", "at most")
    assert enough.p_loss == enough.p_gain == pytest.approx(0.99**299)
    assert few.low == pytest.approx(-100 * (1 - 0.05 ** (1 / 298)))
    assert changed(*answers(2, 0)).loss == "unknown"
    assert changed(*answers(1, 0)).loss == "unknown"
    assert changed(*answers(0, 0, 1, 0)).loss == "unknown"
    assert changed(*answers(0, 0, 0, 20)).loss == "at most"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), st.sampled_from([1.0, 10.0]))
def test_interval_and_test_agree_where_all_items_do(count: int, difference: float, margin: float) -> None:
    before, after = ((0.5,) * count, (0.5 + difference / 2,) * count)
    found = changed(of(*before), of(*after), margin)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.difference <= found.high
    assert (found.p_loss < 0.05) == (found.low > -margin)  # type: ignore[operator]
    assert (found.p_gain < 0.05) == (found.high < margin)  # type: ignore[operator]


def test_error_rates_at_the_margin() -> None:
    """A model that loses exactly the margin is called no worse in about one of twenty comparisons, and so is its opposite."""
    chance = random.Random(0)
    wrongly = {"at most": 0, "more than": 0, "unknown": 0}
    for _ in range(1000):
        drawn = [chance.random() for _ in range(600)]
        before = [1.0 if x < 0.65 else 0.0 for x in drawn]
        after = [1.0 if 0.10 <= x < 0.70 else 0.0 for x in drawn]  # loses 10 points, gains 5
        wrongly[changed(of(*before), of(*after), margin=5).loss] += 1
    assert 25 <= wrongly["at most"] <= 75
    assert 25 <= wrongly["more than"] <= 75


def test_what_is_not_compared() -> None:
    right = of(1, 0, 1)
    perplexity = Measured(name="arc_easy/acc", value=12.0, higher_is_better=False, items=3, standard_error=1.0)
    bleu = Measured(name="arc_easy/acc", value=0.4, higher_is_better=True, items=3, standard_error=0.1)
    missing = right.model_copy(update={"value": None, "reason": "no"})
    for other in (perplexity, bleu, missing, of(2, 0, 1), of(1, 0, 1, higher_is_better=None)):
        assert change(right, other) is None
        assert change(other, other) is None
    with pytest.raises(ValueError, match="3 items cannot be compared one by one with 2"):
        change(right, of(1, 0))
    with pytest.raises(ValueError, match="boolq/acc"):
        change(right, of(1, 0, 1, name="boolq/acc"))
    for margin in (0.0, -1.0, 100.0):
        with pytest.raises(ValueError, match="margin"):
            change(right, right, margin)


def test_numbers_that_both_have_are_printed_with_what_the_tests_say() -> None:
    before, after = answers(500, 480, 10, 10)
    perplexity = Measured(name="texts/word_perplexity", value=21.5, higher_is_better=False, items=8)
    lost = perplexity.model_copy(update={"value": None, "reason": "the logits are not finite"})
    assert [one.name for one, _, _ in changes([before, perplexity], [after])] == ["arc_easy/acc"]
    text = printed([before, perplexity], [after, lost])
    assert "arc_easy/acc" in text
    assert "at most 1 point lost" in text
    assert "within 1 point" in text
    assert "-0.74 to +0.74" in text
    assert "two one-sided tests (TOST)" in text
    assert "texts/word_perplexity of the edited model has no value: the logits are not finite" in text
    assert "TOST" not in printed([perplexity], [perplexity])
    assert printed([before], []) == ""


def printed(before: list[Measured], after: list[Measured]) -> str:
    return "\n".join(capability(before, after))
