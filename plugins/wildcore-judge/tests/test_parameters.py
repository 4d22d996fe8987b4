"""Which judge the parameters name, and settings that would do nothing."""

from typing import Any

import pytest
from wildcore_judge.metric import make_judge
from wildcore_judge.parameters import LOCAL_ONLY, SERVER_ONLY, JudgeParams

from wildcore import UserError
from wildcore.params import build

FOR_BOTH = {"model", "local", "prompt_file", "prompt_version", "max_tokens"}


@pytest.mark.parametrize("named", [{}, {"model": "m", "local": "folder"}])
def test_one_judge_must_be_named(named: dict[str, str]) -> None:
    with pytest.raises(
        UserError, match=r"give either metric\.judge\.model=MODEL, for a server, or metric\.judge\.local=FOLDER"
    ):
        make_judge(JudgeParams(**named))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"model": "m", "device": "cpu"}, "device"),
        ({"model": "m", "batch_size": 1}, "batch_size"),
        ({"local": "folder", "base_url": "http://localhost/v1"}, "base_url"),
        ({"local": "folder", "budget": 1.0}, "budget"),
        ({"local": "folder", "constrain": False}, "constrain"),
    ],
)
def test_a_setting_without_effect_is_refused(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=rf"metric\.judge\.{name}: it does nothing with a "):
        make_judge(JudgeParams(**settings))


def test_parameters_as_recorded_make_the_same_judge_again() -> None:
    params = JudgeParams(model="m", base_url="http://localhost:1/v1", concurrency=2)
    recorded = params.model_dump(mode="json")
    assert build(JudgeParams, recorded, "metric judge") == params
    assert make_judge(build(JudgeParams, recorded, "metric judge")).grader.name == "m"


def test_every_parameter_belongs_to_a_kind_of_judge() -> None:
    assert {*LOCAL_ONLY, *SERVER_ONLY} | FOR_BOTH == JudgeParams.model_fields.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "float31"},
        {"concurrency": 0},
        {"attempts": 0},
        {"timeout": 0},
        {"budget": -1},
        {"model": ""},
        {"lokal": "x"},
    ],
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))!r}"):
        build(JudgeParams, wrong, "metric judge")
