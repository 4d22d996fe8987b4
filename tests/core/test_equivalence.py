"""Texts that are equal in Unicode are equal, and messages name the characters of texts that only look the same."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from wildcore import EditRequest, Refused
from wildcore.datasets.given import GivenTensors, GivenTexts, entry_name
from wildcore.equivalence import (
    canonical,
    canonically_equal,
    count_occurrences,
    differ_only_in_form,
    difference,
    find_last,
    fold_lookalikes,
    mixed_scripts,
)
from wildcore.jobs.facts import read_facts
from wildcore.models import subject_span

TEXTS = st.text("abé ếệ한글ガ\u1112\u1161\u11ab\u0301\u0302\u0323\u212b\u2126x", max_size=12)
FORMS = ("NFC", "NFD")


@given(TEXTS, TEXTS, TEXTS)
def test_whether_a_text_is_found_does_not_depend_on_the_form_of_either(before: str, wanted: str, after: str) -> None:
    for text in (f"{before} {wanted} {after}", f"{before} {after}"):
        spans = {}
        for form in FORMS:
            shaped = unicodedata.normalize(form, text)
            for other in FORMS:
                span = find_last(shaped, unicodedata.normalize(other, wanted))
                spans[form, other] = span
                assert span is None or canonical(wanted) in canonical(shaped[slice(*span)])
        assert len({span is None for span in spans.values()}) == 1
        assert not canonical(wanted) or (spans["NFD", "NFC"] is None) == (canonical(wanted) not in canonical(text))


@given(st.text(max_size=20), st.text(max_size=3))
def test_in_composed_texts_it_is_found_where_python_finds_it(text: str, wanted: str) -> None:
    text, wanted = canonical(text), canonical(wanted)
    place = text.rfind(wanted) if wanted else -1
    assert find_last(text, wanted) == (None if place < 0 else (place, place + len(wanted)))


@pytest.mark.parametrize("subject", ["Hà Nội", "서울", "Ångström", "が", "Ω"])
def test_a_subject_is_found_in_a_prompt_in_another_form(subject: str) -> None:
    for form, other in (FORMS, FORMS[::-1]):
        prompt = unicodedata.normalize(form, f"Where is {subject}, {subject} exactly?")
        start, end = subject_span(prompt, unicodedata.normalize(other, subject))
        assert prompt[start:end] == unicodedata.normalize(form, subject)
        assert start > prompt.index(",")
        assert count_occurrences(prompt, unicodedata.normalize(other, subject)) == 2


def test_a_part_of_a_composed_letter_is_not_found() -> None:
    assert find_last(unicodedata.normalize("NFD", "café"), "cafe") is None
    assert find_last(unicodedata.normalize("NFD", "각"), "가") is None
    assert find_last("রামের বাড়ি", "রাম") == (0, 3), "a vowel sign after a name does not make it another name"


@pytest.mark.parametrize(
    ("subject", "prompt", "told"),
    [
        (
            "Zed's lake",
            "Where is Zed\u2019s lake?",
            "it has 'Zed\u2019s lake': they look alike, but one has U+0027 APOSTROPHE, the other U+2019 RIGHT SINGLE "
            "QUOTATION MARK",
        ),
        ("Jean-Luc", "Who is Jean\u2010Luc?", "one has U+002D HYPHEN-MINUS, the other U+2010 HYPHEN"),
        ("A1", "Where is Ａ１?", "the other U+FF21 FULLWIDTH LATIN CAPITAL LETTER A, U+FF11 FULLWIDTH DIGIT ONE"),
        ("Anna", "Who is \u0410nna?", "the other U+0410 CYRILLIC CAPITAL LETTER A"),
        ("Berg hof", "Where is Berg\u00a0hof?", "one has U+0020 SPACE, the other U+00A0 NO-BREAK SPACE"),
        ("Berghof", "Where is Berg\u200bhof?", "one has none of these, the other U+200B ZERO WIDTH SPACE"),
    ],
)
def test_a_message_names_the_characters_that_differ(subject: str, prompt: str, told: str) -> None:
    with pytest.raises(Refused) as refusal:
        subject_span(prompt, subject)
    assert told in str(refusal.value)


def test_nothing_is_added_for_texts_that_look_different() -> None:
    with pytest.raises(Refused) as refusal:
        subject_span("Where is Rome?", "Paris")
    assert str(refusal.value).endswith("'Where is Rome?'")
    assert difference("Rome", "Paris") is None
    assert difference("Rome", "Rome") is None
    assert difference("é", "e\u0301") is None


@given(TEXTS)
def test_both_forms_are_equal_and_folded_to_the_same(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in FORMS)
    assert canonically_equal(composed, decomposed)
    assert fold_lookalikes(composed) == fold_lookalikes(decomposed)


@given(st.text(max_size=20))
def test_folding_twice_is_folding_once_and_leaves_ascii_words(text: str) -> None:
    folded = fold_lookalikes(text)
    assert fold_lookalikes(folded) == folded
    assert fold_lookalikes('Paris (1-2), it\'s "old"') == 'Paris (1-2), it\'s "old"'


def test_only_texts_of_different_forms_differ_only_in_form() -> None:
    assert differ_only_in_form("caf\u00e9", "cafe\u0301")
    assert not differ_only_in_form("caf\u00e9", "caf\u00e9")
    assert not differ_only_in_form("caf\u00e9", "cafe")


@pytest.mark.parametrize(("form", "other"), [FORMS, FORMS[::-1]])
def test_an_entry_of_a_given_file_is_found_in_any_form(form: str, other: str, tmp_path: Path) -> None:
    request = EditRequest(prompt="Où est-ce?", target="Hà Nội")
    name = unicodedata.normalize(form, entry_name(request))
    (tmp_path / "texts.json").write_text(json.dumps({name: "a text"}), encoding="utf-8")
    save_file({name: np.ones(2)}, tmp_path / "tensors.safetensors")
    asked = request.model_copy(update={"prompt": unicodedata.normalize(other, request.prompt)})
    assert GivenTexts(tmp_path / "texts.json", "editor.texts").of(asked) == "a text"
    tensors = GivenTensors(tmp_path / "tensors.safetensors", "editor.tensors")
    tensors.require((2,), lambda tensor: True, "numbers")
    assert tensors.of(asked).tolist() == [1, 1]


def test_a_table_of_facts_is_read_in_one_form_which_is_counted(tmp_path: Path) -> None:
    rows = [{"prompt": f"Where {town}?", "target": town} for town in (unicodedata.normalize("NFD", "Hà Nội"), "Paris")]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    table = read_facts(tmp_path / "facts.jsonl")
    assert [fact.request.target for fact in table.facts] == ["Hà Nội", "Paris"]
    assert [fact.request.prompt for fact in table.facts] == [row["prompt"] for row in rows]
    assert table.notes[-1].endswith("which are written and compared in NFC: those of 1 facts")


def test_words_of_two_alphabets() -> None:
    assert mixed_scripts("Who is \u0410nna?") == "\u0410nna"
    assert mixed_scripts("\u0410\u043d\u043d\u0430 in Moscow") is None
