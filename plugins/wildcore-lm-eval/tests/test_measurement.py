"""What the measurement does besides measuring: nothing is printed, nothing is silent, and a broken model has no numbers."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from wildcore_lm_eval import wildcore_options
from wildcore_lm_eval.measurement import LmEval
from wildcore_lm_eval.parameters import LmEvalParams
from wildcore_lm_eval.tasks import load_tasks, manager_of

from wildcore import Environment, UserError
from wildcore.models import LoadedModel
from wildcore.params import build
from wildcore.testing.networks import tiny_model

Measure = Callable[..., LmEval]


def test_the_harness_is_imported_by_prepare_alone(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from wildcore.registry import load_registry\n"
        "from wildcore.jobs.build import make\n"
        "found = load_registry(['lm-eval']).find('measurement', 'lm-eval')\n"
        "measurement, _ = make(found, 'measurement', {'tasks': 'none.yaml'})\n"
        "assert 'lm_eval' not in sys.modules and 'torch' not in sys.modules\n"
        "from wildcore import UserError\n"
        "from wildcore.testing.conformance import quiet_environment\n"
        "try:\n"
        "    measurement.prepare(quiet_environment(pathlib.Path('.')))\n"
        "except UserError as error:\n"
        "    print(error)\n"
        "assert 'lm_eval' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "measurement.lm-eval.tasks=none.yaml: there is no such file\n", done.stderr


def test_nothing_is_printed_and_the_process_stays_as_it_was(
    model: LoadedModel, measure: Measure, capfd: pytest.CaptureFixture[str], environment: Environment
) -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    measurement = measure("choice", "endings", limit=3)
    assert capfd.readouterr().out == ""
    measurement.measure(model)
    assert capfd.readouterr() == ("", "")
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert model.max_batch_size == 5
    notes: Any = environment.progress
    assert notes.notes == [
        "lm-evaluation-harness: [Task: local_choice] num_fewshot > 0 but fewshot_split is None. using preconfigured rule."
    ]
    measurement.measure(model)
    assert len(notes.notes) == 1


def test_a_model_whose_logits_are_not_finite_has_no_numbers_and_a_reason(model: LoadedModel, measure: Measure) -> None:
    measurement = measure("group", "answers", "texts", limit=4)
    unedited, broken = measurement.measure(model), tiny_model("llama", tokenizer=model.tokenizer)
    broken.max_batch_size = 3
    broken.mlp_output(1).weight[0, 0] = float("nan")
    found = measurement.measure(broken)
    assert [one.name for one in found] == [one.name for one in unedited]
    assert all(one.value is None and one.standard_error is None and one.samples == () for one in found)
    reasons = {one.name: one.reason for one in found}
    assert reasons["local_choice/acc"] == "the model's logits are not finite (16 requests)"
    assert reasons["local_group/acc"] == "the model's logits are not finite (20 requests)"
    assert reasons["local_answers/exact_match,first_word"] == "the model's logits are not finite (4 requests)"
    signs = measurement.signs_of_collapse(unedited, found)
    assert len(signs) == len(found)
    assert "local_choice/acc has no value: the model's logits are not finite (16 requests)" in signs
    assert not measurement.signs_of_collapse(unedited, unedited)
    assert not measurement.signs_of_collapse(found, found)


def test_a_perplexity_beyond_all_numbers_has_no_value(model: LoadedModel, measure: Measure) -> None:
    measurement = measure("endings", "texts", limit=3)
    head = model.network.lm_head.weight
    kept = head.data.clone()
    try:
        head.data.mul_(3000)
        found = {one.name: one for one in measurement.measure(model)}
    finally:
        head.data.copy_(kept)
    assert found["local_texts/word_perplexity"].reason == "the harness gives inf"
    assert found["local_endings/perplexity"].value is None
    assert found["local_endings/acc"].value is not None


def test_texts_that_the_model_cannot_hold_are_said(model: LoadedModel, measure: Measure, folder: Path) -> None:
    found = {one.name: one for one in measure("endings", max_length=2).measure(model)}
    assert found["local_endings/acc"].value is None
    assert "the text to score is longer than the model's context" in str(found["local_endings/acc"].reason)
    with pytest.raises(
        UserError, match="the task local_answers generates up to 12 tokens, and tiny-llama reads 12 at once"
    ):
        measure("answers", max_length=12).measure(model)


@pytest.mark.parametrize(
    ("given", "tasks"),
    [
        ("arc_easy", ("arc_easy",)),
        ("arc_easy, boolq,", ("arc_easy", "boolq")),
        (["my,task.yaml", "boolq"], ("my,task.yaml", "boolq")),
    ],
)
def test_tasks_are_named_in_one_text_or_in_a_list(given: Any, tasks: tuple[str, ...]) -> None:
    assert build(LmEvalParams, {"tasks": given}, "x").tasks == tasks


@pytest.mark.parametrize("given", ["", [], ["a", "a"], {"tasks": 1}, 5, None])
def test_other_lists_of_tasks_are_refused(given: Any) -> None:
    with pytest.raises(UserError, match="tasks"):
        build(LmEvalParams, {"tasks": given}, "x")


def test_the_options_set_what_they_say() -> None:
    options = {one.option: one for one in wildcore_options()}
    assert options["--capability"].sets == "measurement.lm-eval.tasks"
    assert options["--capability"].adds_measurement == "lm-eval"
    assert options["--capability-limit"].sets == "measurement.lm-eval.limit"
    assert options["--capability-limit"].adds_measurement is None


def test_a_group_may_name_tasks_of_the_harness_and_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "group.yaml").write_text("group: 'mine'\ntask: [a]\n", encoding="utf-8")
    (tmp_path / "task.yaml").write_text("task: a\n", encoding="utf-8")
    with patch("wildcore_lm_eval.tasks.TaskManager") as made:
        manager_of([str(tmp_path / "task.yaml")])
        manager_of([str(tmp_path / "task.yaml"), "boolq"])
        manager_of([str(tmp_path / "group.yaml")])
    here = str(tmp_path.resolve())
    assert [call.kwargs for call in made.call_args_list] == [
        {"include_path": [], "include_defaults": False},
        {"include_path": [], "include_defaults": True},
        {"include_path": [here], "include_defaults": True},
    ]


def test_examples_that_a_task_does_not_have_are_noted(folder: Path) -> None:
    text = (folder / "choice.yaml").read_text(encoding="utf-8").replace("num_fewshot: 1", "num_fewshot: 0")
    (folder / "zero.yaml").write_text(text, encoding="utf-8")
    loaded = load_tasks(LmEvalParams(tasks=(str(folder / "zero.yaml"),), num_fewshot=3))
    assert loaded.notes == ("lm-eval: local_choice is measured without examples, as the task itself says",)


@pytest.mark.parametrize(
    ("part", "other"),
    [("docs.jsonl", "examples.jsonl"), ("Question: ", "Query: "), ('doc_to_target: "{{gold}}"', "doc_to_target: 0")],
)
def test_another_question_or_answer_is_another_resource(
    folder: Path, measure: Callable[..., LmEval], part: str, other: str
) -> None:
    unchanged = measure("choice").pin_resources()
    assert list(unchanged) == ["local_choice"]
    assert measure("choice").pin_resources() == unchanged
    written = (folder / "choice.yaml").read_text(encoding="utf-8")
    assert part in written
    try:
        (folder / "choice.yaml").write_text(written.replace(part, other), encoding="utf-8")
        assert measure("choice").pin_resources() != unchanged
    finally:
        (folder / "choice.yaml").write_text(written, encoding="utf-8")
