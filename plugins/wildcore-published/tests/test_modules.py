"""The modules that only published code has."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wildcore_published.contexts import NQOpen
from wildcore_published.metrics import HarnessExactMatch, UnchangedText
from wildcore_published.parameters import StripStopsParams
from wildcore_published.truncators import StripStops

from wildcore import Answer, AnsweredProbe, Output
from wildcore.testing.networks import tiny_model

MODEL = tiny_model("llama")


def cut(text: str, stops: tuple[str, ...] = StripStopsParams().stops) -> str:
    truncator = StripStops(StripStopsParams(stops=stops))
    return truncator.truncate(Output(text=text, token_ids=(5, 6), stop_reason="stop-rule"), None).text


def answer(text: str) -> Answer:
    return Answer(text=text, token_ids=(1,), output=Output(text=text, token_ids=(1,), stop_reason="stop-rule"))


def probe(now: str, golds: tuple[str, ...] = ("x",), then: str = "") -> AnsweredProbe:
    return AnsweredProbe(
        kind="locality", question="?", answers=golds, gold_token_ids=(), answer=answer(now), unedited=answer(then)
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (" Paris.", " Paris"),
        (" Paris\n", " Paris"),
        (" Paris\n.", " Paris"),
        (" Paris.\n", " Paris."),
        (" Paris.\n\n", " Paris.\n"),
        (" Paris..", " Paris."),
        (" the U.S", " the U.S"),
        (" Paris.)", " Paris.)"),
        (" Paris", " Paris"),
        ("\n", ""),
        ("", ""),
    ],
)
def test_strip_stops_takes_each_stop_off_the_end_once_and_in_order(text: str, left: str) -> None:
    assert cut(text) == left


def test_strip_stops_keeps_the_token_ids_and_what_the_model_said() -> None:
    output = Output(text=" Paris.", token_ids=(7, 8), stop_reason="stop-rule")
    cut_answer = StripStops(StripStopsParams(stops=(".",))).truncate(output, None)
    assert cut_answer.token_ids == (7, 8)
    assert cut_answer.output == output


def said(text: str) -> Iterator[str]:
    return (text[:end] for end in range(1, len(text) + 1))


@given(st.text("ab .\n", max_size=12), st.sampled_from([(".", "\n"), ("\n",), ("b.", "a")]))
def test_strip_stops_is_complete_once_a_stop_has_been_said(text: str, stops: tuple[str, ...]) -> None:
    truncator = StripStops(StripStopsParams(stops=stops))
    assert truncator.is_complete(text, 1, None) == any(stop in text for stop in stops)
    early = next((part for part in said(text) if truncator.is_complete(part, 1, None)), text)
    if early != text:
        assert not any(stop in cut(early, stops)[:-1] for stop in stops), "what is left of a stop stands at the end"


@pytest.mark.parametrize("stops", [(), ("",), (".", "")])
def test_stops_must_say_something(stops: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="at least one stop string"):
        StripStopsParams(stops=stops)


@pytest.mark.parametrize(
    "question",
    ["who wrote it", "who wrote it?", "who wrote it ?", "who wrote it? "],
    ids=["bare", "mark", "apart", "space"],
)
def test_nq_open_puts_one_question_mark(question: str) -> None:
    prompt = NQOpen().render(question, MODEL)
    assert prompt.text == "Answer these questions:\n\nQ: who wrote it?\nA:"
    assert (prompt.separator, prompt.special_tokens) == (" ", True)


# what exact_match_hf_evaluate of lm-evaluation-harness at 4e7e0d4 gives with the settings of nq_open
@pytest.mark.parametrize(
    ("text", "golds", "value"),
    [
        ("Paris", ("Paris",), 1.0),
        ("paris!", ("Paris",), 1.0),
        ("the Seine", ("Seine",), 1.0),
        ("THE Seine", ("Seine",), 0.0),
        ("The Seine", ("the seine",), 1.0),
        ("the", ("The",), 1.0),
        ("the", ("a",), 0.0),
        ("", ("the",), 0.0),
        ("", ("The ",), 1.0),
        ("New York  City", ("New York City",), 0.0),
        ("New York", ("Boston", "new york"), 1.0),
        ("rock and a roll", ("rock and roll",), 1.0),
        ("rock-and-roll", ("rockandroll",), 1.0),
        ("Band of the  year", ("Band of year",), 0.0),
        ("Paris", ("London", "Rome"), 0.0),
        ("a a Paris", ("Paris",), 1.0),
        ("Alpha a", ("Alpha",), 0.0),
        ("theatre", ("atre",), 0.0),
        ("An apple", ("apple",), 1.0),
        ("O\u2019Neill", ("ONeill",), 0.0),
        ("U.S", ("us",), 1.0),
    ],
)
def test_exact_match_as_the_harness_has_it(text: str, golds: tuple[str, ...], value: float) -> None:
    (score,) = HarnessExactMatch().score([probe(text, golds)])
    assert score.value == value


def test_white_space_around_an_answer_is_filtered_before_it_is_compared() -> None:
    assert [score.value for score in HarnessExactMatch().score([probe(" Paris "), probe(" x\n")])] == [0.0, 1.0]


def test_unchanged_text_compares_every_letter() -> None:
    items = [probe("Paris", then=then) for then in ("Paris", " Paris", "paris", "")]
    assert [score.value for score in UnchangedText().score(items)] == [1.0, 0.0, 0.0, 0.0]
    assert UnchangedText.reads_unedited
    assert not HarnessExactMatch.reads_unedited
