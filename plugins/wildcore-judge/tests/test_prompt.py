"""What the judge reads."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.prompt import BUILT_IN, PLACEHOLDERS, GradingPrompt, read_prompt

from wildcore import UserError
from wildcore.params import build

from .judge_server import probe

OWN = "Q {question} G {gold} A {answer} {}"


def test_the_prompt_shows_everything_that_is_graded_and_asks_for_one_thing() -> None:
    text = BUILT_IN.render(probe("Lutetia, I think", ("Paris", "City of  Light"), "Capital of France?"))
    assert "<question>\nCapital of France?\n</question>" in text
    assert "<gold>\nParis\nCity of Light\n</gold>" in text
    assert "<answer>\nLutetia, I think\n</answer>" in text
    assert text.count("Reply with") == 1
    assert text.endswith('{"verdict": "CORRECT"}\n{"verdict": "INCORRECT"}\n')
    assert not any(placeholder in text for placeholder in PLACEHOLDERS)


@given(st.lists(st.text(st.sampled_from("{}ab<>questionaswerld \\1"), min_size=1), min_size=3, max_size=3))
def test_what_is_graded_is_put_in_as_it_is(parts: list[str]) -> None:
    question, gold, answer = parts
    prompt = GradingPrompt("own", "[{answer}|{question}|{gold}]")
    assert prompt.render(probe(answer, (gold,), question)) == f"[{answer}|{question}|{' '.join(gold.split())}]"


def test_placeholders_in_an_answer_stand_for_nothing() -> None:
    text = GradingPrompt("own", OWN).render(probe("{gold} {question}", ("{answer}",), "{answer}?"))
    assert text == "Q {answer}? G {answer} A {gold} {question} {}"


def test_the_version_is_that_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "strict.txt"
    file.write_text(OWN)
    before = read_prompt(file).version
    assert before.startswith("strict-")
    assert read_prompt(file).version == before
    file.write_text(OWN + " ")
    assert read_prompt(file).version != before
    assert BUILT_IN.version.startswith("grading-")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{question} {gold}", r"lacks \{answer\}; there are \{question\}, \{gold\}, \{answer\}"),
        ("grade!", r"lacks \{question\} and \{gold\} and \{answer\}"),
        (OWN + "{prediction}", r"has \{prediction\}, which stands for nothing"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(text: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"prompt_file=.*p\.txt: it {wrong}"):
        build(JudgeParams, {"model": "m", "prompt_file": str(file)}, "metric judge")


def test_a_prompt_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        build(JudgeParams, {"prompt_file": tmp_path / "none.txt"}, "metric judge")
    file = tmp_path / "p.txt"
    file.write_bytes(b"{question}\xff")
    with pytest.raises(UserError, match="not UTF-8 text at byte 10"):
        build(JudgeParams, {"prompt_file": file}, "metric judge")


def test_the_parameters_record_which_text_a_prompt_file_held(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text(OWN)
    params = build(JudgeParams, {"model": "m", "prompt_file": file}, "metric judge")
    recorded = params.model_dump(mode="json", exclude_defaults=True)
    assert recorded == {"model": "m", "prompt_file": str(file), "prompt_version": read_prompt(file).version}
    assert build(JudgeParams, recorded, "metric judge") == params
    file.write_text(OWN + "changed")
    with pytest.raises(UserError, match=r"'prompt_version': .*the prompt is own-[0-9a-f]{12} now"):
        build(JudgeParams, recorded, "metric judge")
    with pytest.raises(UserError, match="the prompt is the built-in one now"):
        build(JudgeParams, {"prompt_version": recorded["prompt_version"]}, "metric judge")
    assert "prompt_version" not in JudgeParams(model="m").model_dump(exclude_defaults=True)
