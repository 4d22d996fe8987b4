"""Words in every script."""

import string
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore.equivalence import canonical
from wildcore.normalise import normalise
from wildcore.words import careful_words, word_texts, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The city of Paris.", ["city", "of", "paris"]),
        ("well-known U.S. men's", ["wellknown", "us", "mens"]),
        ("«Paris» — l’été", ["paris", "l’été"]),
        ("是东京。日本", ["是", "东", "京", "日", "本"]),
        ("3月5日", ["3", "月", "5", "日"]),
        ("iPhone是Apple的", ["iphone", "是", "apple", "的"]),
        ("トム・ハンクスです", ["トム", "ハンクス", "で", "す"]),
        ("दिल्ली भारत।", ["दिल्ली", "भारत"]),
        ("القاهرة، مصر؟", ["القاهرة", "مصر"]),
        ("서울 입니다.", ["서울", "입니다"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("วัดโพธิ์", ["วั", "ด", "โ", "พ", "ธิ์"]),
        ("1990–1995", ["1990", "1995"]),
        ("100 € 🎉", ["100", "€", "🎉"]),
        ("。！？", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert word_texts(text) == expected


@given(st.text(string.printable))
def test_words_of_ascii_are_those_of_squad(text: str) -> None:
    assert word_texts(text) == normalise(text).split()


@given(st.text("aThe éß’.,-东京ガひ한ไทย\u0301。ñ 5", max_size=15))
def test_words_are_ordered_parts_of_the_text(text: str) -> None:
    text = canonical(text)
    found = words(text)
    places = [(word.start, word.end) for word in found]
    assert places == sorted(places)
    read = [(normalize("NFD", word.text), normalize("NFD", text[word.start : word.end].lower())) for word in found]
    assert all(set(word) <= set(part) for word, part in read)
    assert [word.text for word in found] == word_texts(text)


def test_a_segmenter_is_given_the_parts_of_scripts_without_spaces_only() -> None:
    asked: list[str] = []

    def pairs(text: str) -> list[str]:
        asked.append(text)
        return [text[start : start + 2] for start in range(0, len(text), 2)]

    found = words("Paris 在北京东路，No. 5。", pairs)
    assert asked == ["在北京东路"]
    assert [(word.text, word.start, word.end) for word in found] == [
        ("paris", 0, 5), ("在北", 6, 8), ("京东", 8, 10), ("路", 10, 11), ("no", 11, 15), ("5", 16, 18),
    ]  # fmt: skip


def test_careful_words_keep_signs_and_symbols() -> None:
    assert careful_words("It is -5, C++ and 3.5.") == ["it", "is", "-5", "c++", "and", "3.5"]
