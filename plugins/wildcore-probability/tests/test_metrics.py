"""Scores from measured log-probabilities."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_probability.metrics import (
    NO_RIVAL,
    NO_TARGET,
    ProbabilityMagnitude,
    ProbabilitySuccess,
    TargetProbability,
)

from wildcore import Answer, AnsweredProbe, Metric, Output, Score

ALL = [TargetProbability(), ProbabilitySuccess(), ProbabilityMagnitude()]
LOGS = st.floats(-50, 0)


def score(metric: Metric, **measures: float) -> Score:
    named = {name.replace("_", "-"): value for name, value in measures.items()}
    output = Output(text="x", token_ids=(1,), stop_reason="teacher-forced", measures=named)
    answer = Answer(text="x", token_ids=(1,), output=output)
    item = AnsweredProbe(
        kind="locality", question="?", answers=("x",), gold_token_ids=(1,), answer=answer, unedited=answer
    )
    (given,) = metric.score([item])
    return given


def both(metric: Metric, target: float, rival: float) -> float | None:
    return score(metric, target_log_probability=target, rival_log_probability=rival).value


def test_a_gold_of_probability_one_in_five() -> None:
    target, rival = log(0.2), log(0.05)
    assert both(TargetProbability(), target, rival) == pytest.approx(0.2)
    assert both(ProbabilitySuccess(), target, rival) == 1.0
    assert both(ProbabilityMagnitude(), target, rival) == pytest.approx(0.15)


@given(LOGS, LOGS)
def test_gold_and_rival_compete(target: float, rival: float) -> None:
    success, magnitude = both(ProbabilitySuccess(), target, rival), both(ProbabilityMagnitude(), target, rival)
    reverse = both(ProbabilitySuccess(), rival, target)
    assert (success, reverse) == (float(target > rival), float(rival > target))
    assert magnitude == exp(target) - exp(rival)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_without_the_golds_measure_nothing_is_scored(metric: Metric) -> None:
    for unscored in (score(metric), score(metric, rival_log_probability=-1.0, target_tokens=2.0)):
        assert unscored == Score(value=None, reason=NO_TARGET)


@pytest.mark.parametrize("metric", ALL[1:], ids=lambda metric: type(metric).__name__)
def test_without_a_rival_there_is_no_competition(metric: Metric) -> None:
    assert score(metric, target_log_probability=-1.0) == Score(value=None, reason=NO_RIVAL)
    assert score(TargetProbability(), target_log_probability=-1.0).value == exp(-1)


def test_they_compare_with_the_gold_and_its_rival_not_with_the_unedited_model() -> None:
    assert not any(metric.reads_unedited or metric.expensive for metric in ALL)
