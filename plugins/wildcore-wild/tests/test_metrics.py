"""Exact match and equality with the unedited model."""

from wildcore_wild.metrics import ExactMatch, Unchanged
from wildcore_wild.parameters import ExactMatchParams

from wildcore import Answer, AnsweredProbe, Output


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


def test_scores_come_in_the_order_of_the_items() -> None:
    items = [probe(answer(text), ("Paris",)) for text in ("Paris", "Rome", "paris.")]
    assert [score.value for score in ExactMatch(ExactMatchParams()).score(items)] == [1.0, 0.0, 1.0]
    assert ExactMatch(ExactMatchParams()).score([]) == []
