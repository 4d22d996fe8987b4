"""Scripts: whether a space stands between prompt and target, and which mark ends a sentence."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import EditCase, EditRequest, Probe, Prompt
from wildcore.datasets.selection import content_hash
from wildcore.models import edit_prompt, tokenise_pair, training_pair
from wildcore.scripts import (
    FULL_STOPS,
    SEPARATORS,
    STOPS,
    Separator,
    ends_in_full_stop,
    own_stop,
    separator_after,
    without_closing_stops,
)
from wildcore.testing.tokenizers import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
MODEL: Any = SimpleNamespace(tokenizer=TOKENIZER, embeddings=len(TOKENIZER))


@pytest.mark.parametrize(
    ("prompt", "separator"),
    [
        ("The capital of France is", " "),
        ("银松镇在哪个城市附近？", ""),
        ("日本の首都は", ""),
        ("シルバーパインは", ""),
        ("เมืองหลวงของไทยคือ", ""),
        ("ນະຄອນຫຼວງຂອງລາວແມ່ນ", ""),
        ("រាជធានីនៃកម្ពុជាគឺ", ""),
        ("မြန်မာနိုင်ငံ၏မြို့တော်", ""),
        ("བོད་ཀྱི་རྒྱལ་ས", ""),
        ("대한민국의 수도는", " "),
        ("भारत की राजधानी", " "),
        ("عاصمة مصر هي", " "),
        ("Столица Франции", " "),
        ("Thủ đô của Việt Nam là", " "),
        ("iPhone是谁发明的", ""),
        ("谁发明了Python？", ""),
        ("谁发明了Python?", ""),
        ("东京的人口（2020）：", ""),
        ("Who wrote 红楼梦?", " "),
        ("The author of ผู้ชนะสิบทิศ", " "),
        ("The capital of 日本 is", " "),
        ("What does 銀行に行きます mean", " "),
        ("", " "),
        ("?", " "),
    ],
)
def test_the_joint_follows_the_script_of_the_prompt(prompt: str, separator: Separator) -> None:
    assert separator_after(prompt) == separator
    request = EditRequest(prompt=prompt, target="東京")
    between = "" if prompt[-1:].isspace() else separator
    assert tokenise_pair(TOKENIZER, edit_prompt(request), request.target).text == f"{prompt}{between}東京"


@given(st.text("abcé 12.,?!'-\n"))
def test_a_text_without_such_letters_is_followed_by_a_space(text: str) -> None:
    assert separator_after(text) == " "


@pytest.mark.parametrize(
    ("choice", "text"), [("auto", "银松镇在东京"), ("space", "银松镇在 东京"), ("none", "银松镇在东京")]
)
def test_the_joint_can_be_chosen(choice: str, text: str) -> None:
    request = EditRequest(prompt="银松镇在", target="东京").with_separator(SEPARATORS[choice])
    assert training_pair(MODEL, request).text == text
    english = EditRequest(prompt="It is in", target="Rome").with_separator(SEPARATORS[choice])
    assert training_pair(MODEL, english).text == ("It is inRome" if choice == "none" else "It is in Rome")


def test_a_chat_template_and_white_space_need_no_joint() -> None:
    assert Prompt(text="<user>", separator="").separator_used == ""
    assert Prompt(text="A:\n").separator_used == ""
    assert Prompt(text="A:").separator_used == " "
    assert Prompt(text="A:", spaced=False).separator_used == ""


def case(prompt: str) -> EditCase:
    probe = Probe(kind="reliability", prompt=prompt, answers=("x",))
    return EditCase(id="1", request=EditRequest(prompt=prompt, target="x"), probes=(probe,))


def test_only_a_joint_that_is_no_ordinary_space_is_recorded_and_the_hash_of_the_cases_stays() -> None:
    english, chinese = case("It is in"), case("银松镇在")
    assert english.with_separators(None) == english
    assert '"separator"' not in english.with_separators(" ").model_dump_json()
    assert chinese.with_separators(None).request.model_dump()["separator"] == ""
    assert chinese.with_separators(" ").probes[0].separator == " "
    assert EditCase.model_validate_json(chinese.with_separators(None).model_dump_json()) == chinese.with_separators(
        None
    )
    assert content_hash([english, chinese]) == content_hash([english.with_separators(""), chinese.with_separators(" ")])
    assert content_hash([english, chinese]) == "9485257757ed4b60", "as before there was a separator to choose"


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("Paris", "."),
        ("东京", "。"),
        ("東京タワー", "。"),
        ("दिल्ली", "।"),
        ("ঢাকা", "।"),
        ("القاهرة", "."),
        ("لاہور ہے", "۔"),
        ("Երևան", "։"),
        ("አዲስ አበባ", "።"),
        ("ရန်ကုန်", "။"),
        ("ភ្នំពេញ", "។"),
        ("ལྷ་ས", "།"),
        ("กรุงเทพ", ""),
        ("서울", "."),
        ("Αθήνα", "."),
        ("42", "."),
    ],
)
def test_a_target_is_closed_with_the_full_stop_of_its_script(text: str, stop: str) -> None:
    assert own_stop(text) == stop
    assert tokenise_pair(TOKENIZER, Prompt(text="A:"), text, "stop").text == f"A: {text}{stop}"
    assert tokenise_pair(TOKENIZER, Prompt(text="A:"), text + stop, "stop").text == f"A: {text}{stop}"
    assert ends_in_full_stop(text + stop) == bool(stop)


@pytest.mark.parametrize(
    "text", ["东京。", "东京｡", "東京！", "القاهرة؟", "दिल्ली।", "لاہور۔", "Αθήνα;", "Αθήνα\u037e", "Rome?!"]
)
def test_closing_stops_are_removed_in_every_script(text: str) -> None:
    bare = text.rstrip("。｡！؟।۔;\u037e?!")
    assert without_closing_stops(text) == bare
    assert without_closing_stops(bare) == bare


def test_a_semicolon_is_a_question_mark_only_in_greek() -> None:
    assert without_closing_stops("Rome;") == "Rome;"
    assert not set("،;,:'\"").intersection(STOPS + FULL_STOPS)
