"""Fluency: the entropy of bigrams and trigrams."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_text_metrics.entropy import NGramEntropy, entropy

from wildcore import Answer, AnsweredProbe, Output, Score


def score(output_text: str) -> Score:
    output = Output(text=output_text, token_ids=(1,), stop_reason="max-new-tokens")
    answer = Answer(text="cut", token_ids=(1,), output=output)
    probe = AnsweredProbe(
        kind="reliability", question="?", answers=("x",), gold_token_ids=(), answer=answer, unedited=answer
    )
    (result,) = NGramEntropy().score([probe])
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # two bigrams, one trigram
        ("one two three", 1 / 3),
        # three bigrams, two trigrams
        ("one two three four", log2(3) / 3 + 2 / 3),
        # one bigram, one trigram, over and over
        ("go go go go go go", 0.0),
        # "a b" and "b a" three and two times; "a b a" and "b a b" twice each
        ("x y x y x y", (0.6 * log2(1 / 0.6) + 0.4 * log2(1 / 0.4)) / 3 + 2 / 3),
        # marks are words: "Yes" "." "It" "is" "."
        ("Yes. It is.", log2(4) / 3 + 2 * log2(3) / 3),
        # "do" "n't" "go"
        ("don't go", 1 / 3),
    ],
)
def test_the_weighted_mean_of_two_entropies(text: str, expected: float) -> None:
    assert score(text).value == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "Paris", "Paris.", "\n \n", "Par is"])
def test_too_few_words_are_not_scored(text: str) -> None:
    assert score(text) == Score(value=None, reason="the output has fewer than 3 words")


@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=30), st.sampled_from([2, 3]))
def test_entropy_lies_between_one_n_gram_and_all_different(words: list[str], n: int) -> None:
    found = entropy(words, n)
    assert -1e-9 <= found <= log2(len(words) - n + 1) + 1e-9
    assert entropy(words, 3) >= entropy(words, 2) - 1 - 1e-9


def test_going_round_in_circles_is_less_fluent() -> None:
    fluent = score("Marie Curie was born in Warsaw and later moved to Paris with her sister").value
    circles = score("Marie Curie was Marie Curie was Marie Curie was Marie Curie was Marie Curie").value
    assert fluent is not None
    assert circles is not None
    assert circles < fluent / 1.5
