"""Solved examples before the question: from the dataset, from a file, or given."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wildcore_prompting.contexts import FewShot
from wildcore_prompting.parameters import Example, FewShotParams

from wildcore import EditCase, EditRequest, Prompt, UserError
from wildcore.testing.networks import tiny_model

MODEL = tiny_model("llama")
ROWS = [{"question": f"Who keeps mill {n}?", "answer": f"Anna {n}"} for n in range(3)]
TWO = (Example(question="Who?", answer="Anna"), Example(question="Where?", answer="Oslo"))


def case(number: int, ground_truth: str | None = None) -> EditCase:
    request = EditRequest(prompt=f"Who keeps mill {number}?", target=f"Anna {number}", ground_truth=ground_truth)
    return EditCase(id=str(number), request=request, probes=())


def render(params: FewShotParams, question: str = "When?") -> Prompt:
    return FewShot(params).render(question, MODEL)


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_the_default_form_character_for_character() -> None:
    prompt = render(FewShotParams(examples=TWO))
    assert prompt.text == "Please answer the question:\n\nQ: Who?\nA: Anna\n\nQ: Where?\nA: Oslo\n\nQ: When?\nA:"
    assert (prompt.separator, prompt.special_tokens) == (" ", True)


def test_a_form_of_ones_own() -> None:
    params = FewShotParams(
        examples=TWO, instruction="", example_template="{answer} <- {question};", template="? <- {question}"
    )
    assert render(params).text == "Anna <- Who?;Oslo <- Where?;? <- When?"


@given(st.lists(st.text("{question}aswr \\1", min_size=1, max_size=12), min_size=3, max_size=3))
def test_braces_in_questions_and_answers_mean_nothing(texts: list[str]) -> None:
    shown, answer, asked = texts
    params = FewShotParams(examples=(Example(question=shown, answer=answer),), instruction="")
    assert render(params, asked).text == "Q: " + shown + "\nA: " + answer + "\n\nQ: " + asked + "\nA:"


def test_cases_of_the_dataset_are_asked_for_and_shown() -> None:
    params = FewShotParams(count=2)
    assert params.examples_needed() == 2
    complete = params.with_examples([case(1), case(2)])
    assert complete.examples == (
        Example(question="Who keeps mill 1?", answer="Anna 1"),
        Example(question="Who keeps mill 2?", answer="Anna 2"),
    )
    assert complete.examples_needed() == 0
    recorded = complete.model_dump(mode="json", exclude_defaults=True)
    assert FewShotParams.model_validate(recorded) == complete


def test_an_example_shows_the_answer_before_the_edit() -> None:
    (example,) = FewShotParams(count=1).with_examples([case(1, ground_truth="Tim")]).examples
    assert example.answer == "Tim"


@pytest.mark.parametrize(
    ("name", "text"),
    [("examples.json", json.dumps(ROWS)), ("examples.jsonl", "\n".join(map(json.dumps, ROWS)))],
)
def test_a_file_of_examples_is_shown_from_its_start(tmp_path: Path, name: str, text: str) -> None:
    params = FewShotParams(path=written(tmp_path, name, text), count=2)
    assert params.examples_needed() == 0
    assert render(params).text.count("Q: ") == 3
    assert render(params).text.startswith("Please answer the question:\n\nQ: Who keeps mill 0?\nA: Anna 0\n\nQ: ")
    complete = params.with_examples(())
    (tmp_path / name).unlink()
    assert render(complete).text.endswith("\nA: Anna 1\n\nQ: When?\nA:"), "what is recorded needs the file no more"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "few.json",
            json.dumps(ROWS),
            r"context.path=.*few.json: 4 examples are wanted and it holds 3; ask for fewer: context.count=3",
        ),
        ("bad.jsonl", '{"question": "Who?"}', r"context.path: .*bad.jsonl, line 1: the field 'answer' is missing"),
        ("bad.jsonl", "{", r"context.path: .*bad.jsonl, line 1, column 2: not valid JSON"),
        ("bad.json", "[1]", r"context.path: .*bad.json, row 1: expected an object"),
        ("bad.txt", "", r"context.path: .*bad.txt: the ending does not tell a format"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        FewShot(FewShotParams(path=written(tmp_path, name, text)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"context.path: .*none.json: cannot be read: No such file"):
        FewShot(FewShotParams(path=tmp_path / "none.json"))


def test_without_a_dataset_there_is_nothing_to_show() -> None:
    with pytest.raises(UserError, match="no dataset to draw examples from; name a file"):
        FewShot(FewShotParams())


def test_given_examples_count_themselves() -> None:
    assert FewShotParams(examples=TWO).count == 2
    with pytest.raises(ValidationError, match="count is 3 and examples holds 2"):
        FewShotParams(examples=TWO, count=3)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"template": "Q:"}, "question"),
        ({"example_template": "{question}"}, "answer"),
        ({"example_template": "{answer}"}, "question"),
    ],
)
def test_templates_hold_what_they_are_for(settings: dict[str, str], missing: str) -> None:
    with pytest.raises(ValidationError, match=rf"must contain \{{{missing}\}}"):
        FewShotParams.model_validate(settings)
