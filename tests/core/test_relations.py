"""Relations of facts: what a prompt says without its subject, which wordings are similar, and whose relation a prompt states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore.datasets.checks import folded
from wildcore.datasets.relations import Relations, SubjectFinder, relation_of


@pytest.mark.parametrize(
    ("prompt", "subject", "relation"),
    [
        ("The capital of France is", "France", "the capital of {} is"),
        ("Rome,  they say, is in", "Rome", "{}, they say, is in"),
        ("Anna knows Anna", "Anna", "anna knows {}"),  # the last one is edited
        ("Cafe\u0301 Anna is in", "Caf\u00e9 Anna", "{} is in"),
        ("法国的首都是", "法国", "{}的首都是"),
        ("The capital of France is", "france", None),
        ("The capital of France is", "Spain", None),
        ("The capital of France is", None, None),
        ("The capital of France is", "", None),
        ("France", "France", None),
        ("The France?", "France", None),  # an article and a question mark say nothing
    ],
)
def test_a_relation_is_what_a_prompt_says_without_its_subject(
    prompt: str, subject: str | None, relation: str | None
) -> None:
    assert relation_of(prompt, subject) == relation


def test_rare_words_count_more_than_frequent_ones() -> None:
    frequent = [
        f"what is the name of the {word} of {{}}?" for word in ("spouse", "publisher", "label", "river", "team")
    ]
    relations = Relations([*frequent, "who is the publisher of {}?"], 0.5)
    spouse, publisher, *_ = frequent
    assert relations.similarity(spouse, publisher) < 0.5 < 6 / 8  # six of eight words are common
    assert relations.similarity(publisher, "the publisher, {}") > relations.similarity(publisher, "the name, {}") > 0
    assert relations.similarity(spouse, "of {} what is the name, the spouse") == 1
    assert relations.similarity(spouse, "qui est {}") == 0


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6).map(lambda words: " ".join(["x{}", *words]))


@given(st.sets(WORDS, min_size=1, max_size=25), WORDS, st.sampled_from([0.2, 0.5, 0.6, 0.9, 1.0]))
def test_similar_relations_are_those_that_a_full_comparison_finds(known: set[str], wanted: str, least: float) -> None:
    relations = Relations(known, least)
    compared = {other: relations.similarity(wanted, other) for other in known - {wanted}}
    expected = [
        other for other in sorted(compared, key=lambda other: (-compared[other], other)) if compared[other] >= least
    ]
    assert list(relations.similar(wanted)) == expected
    assert list(Relations(sorted(known, reverse=True), least).similar(wanted)) == expected


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("Oslo is located in", ("Oslo", "{} is located in")),
        ("The Black Mill  is located in", ("The Black Mill", "{} is located in")),
        (
            "The mother tongue of Ida is",
            ("Ida", "the mother tongue of {} is"),
        ),  # not "The mother tongue of Ida", "{} is"
        ("Ida is", ("Ida", "{} is")),
        ("Where is Oslo?", None),
        ("is located in", None),
        ("Paris located in", None),  # "is" is a part of another word there
    ],
)
def test_a_prompt_that_words_a_known_relation_has_a_subject(prompt: str, found: tuple[str, str] | None) -> None:
    finder = SubjectFinder(["{} is located in", "the mother tongue of {} is", "{} is", "{}is located in"])
    assert finder.find(prompt) == found


@given(st.text(max_size=20) | st.builds("{}in {} is in".format, st.text(max_size=3), st.text(max_size=9)))
def test_any_text_is_searched(text: str) -> None:
    found = SubjectFinder(["{} is in", "in {}"]).find(text)
    if found:
        subject, relation = found
        assert subject == subject.strip() != ""
        assert folded(relation.replace("{}", subject)) == folded(text)
