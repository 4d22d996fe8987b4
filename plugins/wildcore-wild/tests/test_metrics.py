"""Exact match and equality with the unedited model."""

import unicodedata

import pytest
from wildcore_wild.metrics import CarefulMatch, ExactMatch, FoldedMatch, Unchanged
from wildcore_wild.parameters import ExactMatchParams, MatchParams

from wildcore import COMPARED_CAREFULLY, Answer, AnsweredProbe, Metric, Output, Score


def answer(text: str = "", token_ids: tuple[int, ...] = ()) -> Answer:
    output = Output(text=text, token_ids=token_ids, stop_reason="end-of-sequence")
    return Answer(text=text, token_ids=token_ids, output=output)


def probe(now: Answer, golds: tuple[str, ...] = ("x",), then: Answer | None = None) -> AnsweredProbe:
    return AnsweredProbe(
        kind="reliability", question="?", answers=golds, gold_token_ids=(), answer=now, unedited=then or answer()
    )


def exact(text: str, *golds: str) -> float | None:
    (score,) = ExactMatch(ExactMatchParams()).score([probe(answer(text), golds)])
    return score.value


def test_exact_match_compares_normalised() -> None:
    assert exact(" the  Seine.", "Seine") == 1.0
    assert exact("The The", "The The") == 1.0
    assert exact("", "The The") == 0.0
    assert exact("Seine and Marne", "Seine") == 0.0


def test_any_accepted_answer_counts() -> None:
    assert exact("NYC", "New York", "New York City", "N.Y.C.") == 1.0
    assert exact("Boston", "New York", "New York City", "N.Y.C.") == 0.0


def test_without_aliases_the_first_answer_alone_counts() -> None:
    items = [probe(answer(text), ("New York", "New York City")) for text in ("New York City", "new york")]
    assert [score.value for score in ExactMatch(ExactMatchParams(aliases=False)).score(items)] == [0.0, 1.0]
    assert [score.value for score in ExactMatch(ExactMatchParams(aliases=True)).score(items)] == [1.0, 1.0]


def test_unchanged_compares_every_token() -> None:
    def unchanged(now: tuple[int, ...], then: tuple[int, ...]) -> float | None:
        (score,) = Unchanged().score([probe(answer("same text", now), then=answer("same text", then))])
        return score.value

    assert unchanged((1, 2, 3), (1, 2, 3)) == 1.0
    assert unchanged((), ()) == 1.0
    assert unchanged((1, 2), (1, 2, 3)) == 0.0
    assert unchanged((1, 2, 4), (1, 2, 3)) == 0.0
    assert Unchanged.reads_unedited
    assert not ExactMatch.reads_unedited


def test_unchanged_takes_outputs_that_differ_only_in_their_form_for_equal() -> None:
    (same,), (other_stop,) = (
        Unchanged().score([probe(answer("caf\u00e9.", (1, 2)), then=answer(text, (3, 4, 2)))])
        for text in ("cafe\u0301.", "cafe\u0301\n")
    )
    assert (same.value, other_stop.value) == (1.0, 0.0)


def test_scores_come_in_the_order_of_the_items() -> None:
    items = [probe(answer(text), ("Paris",)) for text in ("Paris", "Rome", "paris.")]
    assert [score.value for score in ExactMatch(ExactMatchParams()).score(items)] == [1.0, 0.0, 1.0]
    assert ExactMatch(ExactMatchParams()).score([]) == []


def score(metric: Metric, text: str, *golds: str) -> Score:
    (found,) = metric.score([probe(answer(text), golds)])
    return found


def test_a_target_that_loses_its_meaning_is_compared_carefully_and_this_is_recorded() -> None:
    metric = ExactMatch(ExactMatchParams())
    assert score(metric, "C", "C++") == Score(value=0.0, details={COMPARED_CAREFULLY: {"C++": "symbol"}})
    assert score(metric, "5", "minus five", "-5") == Score(value=0.0, details={COMPARED_CAREFULLY: {"-5": "number"}})
    assert score(metric, "A.", "A") == Score(value=1.0, details={COMPARED_CAREFULLY: {"A": "empty"}})
    assert score(metric, "Seine", "the Seine") == Score(value=1.0)
    assert score(ExactMatch(ExactMatchParams(aliases=False)), "x", "Rome", "-5") == Score(value=0.0)


@pytest.mark.parametrize(("text", "gold"), [("C", "C++"), ("5", "-5"), ("35", "3.5"), ("", "The The")])
def test_as_published_nothing_is_compared_otherwise(text: str, gold: str) -> None:
    assert score(ExactMatch(ExactMatchParams(as_published=True)), text, gold) == Score(value=1.0)
    assert score(ExactMatch(ExactMatchParams()), text, gold).value == 0.0


def test_a_careful_and_a_folded_match() -> None:
    careful, folded = CarefulMatch(MatchParams()), FoldedMatch(MatchParams())
    assert score(careful, "the Node.js.", "Node.js").value == 1.0
    assert score(careful, "Nodejs", "Node.js").value == 0.0
    assert score(folded, "Zed\u2019s lake", "Zed's lake").value == 1.0
    assert score(ExactMatch(ExactMatchParams()), "Zed\u2019s lake", "Zed's lake").value == 0.0
    assert score(folded, "\uff34\uff4f\uff4b\uff59\uff4f", "Tokyo").value == 1.0
    assert score(folded, "Kyoto", "Tokyo").value == 0.0
    assert score(CarefulMatch(MatchParams(aliases=False)), "b", "a", "b").value == 0.0


@pytest.mark.parametrize("gold", ["Hà Nội", "서울", "São Paulo", "が", "A\u030a"])
@pytest.mark.parametrize(
    "metric", [ExactMatch(ExactMatchParams()), CarefulMatch(MatchParams()), FoldedMatch(MatchParams())]
)
def test_both_unicode_forms_are_the_same(metric: Metric, gold: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, gold) for form in ("NFC", "NFD"))
    assert score(metric, composed, decomposed).value == score(metric, decomposed, composed).value == 1.0
