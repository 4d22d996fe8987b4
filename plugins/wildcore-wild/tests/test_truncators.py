"""Where answers end."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wildcore_wild.parameters import SentenceParams, StopStringsParams
from wildcore_wild.truncators import Sentence, StopStrings

from wildcore import Output, Truncator

STOPS = StopStringsParams().stops


def cut(truncator: Truncator, text: str) -> str:
    return truncator.truncate(Output(text=text, token_ids=(5, 6), stop_reason="end-of-sequence"), None).text


def pieces(text: str) -> Iterator[str]:
    """Yield what a generator has said after each character."""
    return (text[:end] for end in range(1, len(text) + 1))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Paris", "Paris"),
        (" Paris.", "Paris"),
        (" Paris\n", "Paris"),
        (" Paris.\n\n", "Paris"),
        (" the U.S", "the U"),
        (" Paris).", "Paris)"),
        (" (Paris.)", "(Paris"),
        (" Paris, France. It is", "Paris, France"),
        ("\nParis", ""),
        (".Paris", ""),
        (" \n", ""),
        ("", ""),
        (" 3.5", "3"),
        (" Paris!", "Paris!"),
    ],
)
def test_stop_strings(text: str, answer: str) -> None:
    assert cut(StopStrings(StopStringsParams()), text) == answer


def test_stop_strings_are_the_ones_given() -> None:
    assert cut(StopStrings(StopStringsParams(stops=("###", ","))), "St. Moritz, in Graub\n### no") == "St. Moritz"


@given(st.text("ab .\n)", max_size=20))
def test_nothing_of_a_stop_string_is_left_and_stopping_early_changes_nothing(text: str) -> None:
    truncator = StopStrings(StopStringsParams())
    answer = cut(truncator, text)
    assert not any(stop in answer for stop in STOPS)
    early = next((said for said in pieces(text) if truncator.is_complete(said, 1, None)), text)
    assert cut(truncator, early) == answer


def test_a_truncator_keeps_the_token_ids_and_what_the_model_said() -> None:
    output = Output(text=" Paris. It", token_ids=(7, 8, 9), stop_reason="stop-rule")
    for truncator in (StopStrings(StopStringsParams()), Sentence()):
        answer = truncator.truncate(output, None)
        assert answer.token_ids == (7, 8, 9)
        assert answer.output == output


@pytest.mark.parametrize("stops", [(), ("",), (".", "")])
def test_stop_strings_must_say_something(stops: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="at least one stop string"):
        StopStringsParams(stops=stops)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Paris", "Paris"),
        (" Paris.", "Paris"),
        (" Yes. It is", "Yes"),
        (" Yes.\nIt is", "Yes"),
        (" Yes\nIt is", "Yes"),
        (" Yes! It is", "Yes!"),
        (" the U.S. and more\n", "the U.S. and more"),
        (" the U.S.", "the U.S."),
        (" U.S.", "U.S."),
        (" 3.5 million. Or so", "3.5 million"),
        (" 7. It is", "7"),
        (" In 1867. It", "In 1867"),
        (" J. S. Bach. He", "J. S. Bach"),
        (" J. E. H. Benoît", "J. E. H. Benoît"),
        (" St. Moritz. It", "St. Moritz"),
        (" Dr. No. A film", "Dr. No"),
        (' "Yes." It is', '"Yes."'),
        (" (Paris.) It is", "(Paris.)"),
        (" Paris?! No. Yes", "Paris?!"),
        ("\nParis", ""),
        ("", ""),
    ],
)
def test_sentence(text: str, answer: str) -> None:
    assert cut(Sentence(), text) == answer


@given(
    st.lists(
        st.sampled_from(
            [*("Yes", "U.S", "J", "St", "7", "3.5", ".", ". ", " ", "\n", "!", '"', ")"), *"东。」３．।؟Ω;\u037e"]
        ),
        max_size=9,
    )
)
def test_stopping_a_sentence_early_changes_nothing(words: list[str]) -> None:
    text = "".join(words)
    early = next((said for said in pieces(text) if Sentence().is_complete(said, 1, None)), text)
    assert cut(Sentence(), early) == cut(Sentence(), text)


@pytest.mark.parametrize("text", [" U.S", " U.S.", " U.S. ", " 3.", " 3.5", " Yes.", " St. ", " J. S. B"])
def test_a_sentence_goes_on_while_it_may(text: str) -> None:
    assert not Sentence().is_complete(text, 1, None)


@pytest.mark.parametrize("text", [" Yes. ", " Yes.\n", " Yes\n", " 7. ", " No? "])
def test_a_sentence_has_ended(text: str) -> None:
    assert Sentence().is_complete(text, 1, None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("东京。日本", "东京"),
        ("东京。", "东京"),
        ("東京｡日本", "東京"),
        ("東京．日本", "東京"),
        ("３．５キロ。はい", "３．５キロ"),
        ("「東京。」と言う", "「東京。」"),
        ("東京！日本", "東京！"),
        ("东京.日本", "东京"),
        ("东京. 日本", "东京"),
        ("दिल्ली। यह", "दिल्ली"),
        ("القاهرة؟ نعم", "القاهرة؟"),
        ("لاہور۔ یہ", "لاہور"),
        ("Αθήνα; Ναι", "Αθήνα;"),
        ("Αθήνα\u037e Ναι", "Αθήνα\u037e"),
        ("Rome; yes", "Rome; yes"),
        ("አዲስ አበባ።ነው", "አዲስ አበባ"),
        ("Երևան։ Այո", "Երևան"),
        ("ရန်ကုန်။ဟုတ်", "ရန်ကုန်"),
        ("กรุงเทพ ใช่", "กรุงเทพ ใช่"),
        ("서울입니다. 네", "서울입니다"),
    ],
)
def test_a_sentence_ends_in_every_script(text: str, answer: str) -> None:
    assert cut(Sentence(), text) == answer


@pytest.mark.parametrize(
    ("text", "answer"), [("\nParis", "Paris"), (" \n\n Paris.\nx", "Paris"), (" Paris\nx", "Paris"), ("\n\n", "")]
)
def test_leading_white_space_is_skipped_if_asked(text: str, answer: str) -> None:
    stops = StopStrings(StopStringsParams(skip_leading_white_space=True))
    sentence = Sentence(SentenceParams(skip_leading_white_space=True))
    assert cut(stops, text) == cut(sentence, text) == answer
    for truncator in (stops, sentence):
        early = next((said for said in pieces(text) if truncator.is_complete(said, 1, None)), text)
        assert cut(truncator, early) == answer
    if text.startswith("\n"):
        assert cut(StopStrings(StopStringsParams()), text) == "", "as published"
