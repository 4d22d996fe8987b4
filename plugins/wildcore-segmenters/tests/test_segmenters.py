"""Words by dictionaries, where the packages with the dictionaries are installed."""

import sys
from pathlib import Path

import pytest

from wildcore import UserError
from wildcore.jobs.build import segmenters
from wildcore.registry import load_registry
from wildcore.testing.packages import check_import, check_offers, check_readme
from wildcore.words import word_texts

EXTRAS = {"jieba": "chinese", "janome": "japanese", "pythainlp": "thai"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("jieba", "北京东路在东京都吗", ["北京", "东路", "在", "东京都", "吗"]),
        ("janome", "日本の首都は東京です", ["日本", "の", "首都", "は", "東京", "です"]),
        ("pythainlp", "เมืองหลวงของไทยคือกรุงเทพมหานคร", ["เมืองหลวง", "ของ", "ไทย", "คือ", "กรุงเทพมหานคร"]),
    ],
)
def test_words(name: str, text: str, words: list[str]) -> None:
    pytest.importorskip(name)
    segmenter = segmenters(load_registry(["segmenters"]))(name)
    assert list(segmenter.segment(text)) == words
    assert word_texts(f"{text}.", segmenter.segment) == words


@pytest.mark.parametrize("name", EXTRAS)
def test_without_its_package_a_segmenter_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (name, f"{name}.tokenizer", f"{name}.tokenize"):
        monkeypatch.setitem(sys.modules, module, None)  # as if the package were not installed
    with pytest.raises(UserError) as error:
        segmenters(load_registry(["segmenters"]))(name)
    message = str(error.value)
    assert message.startswith(f"segmenter {name}: its package cannot be imported")
    assert message.endswith(f"; install it: pip install 'wildcore-segmenters[{EXTRAS[name]}]'")


def test_the_package() -> None:
    check_import("wildcore_segmenters", [*EXTRAS, "torch", "transformers"])
    check_offers("segmenters")
    check_readme("segmenters", Path(__file__).parents[1] / "README.md")
