"""The numbers are those that the harness itself measures on a folder of the edited model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from wildcore_lm_eval import tasks as loading
from wildcore_lm_eval.language_model import EditedModel
from wildcore_lm_eval.measurement import LmEval
from wildcore_lm_eval.parameters import LmEvalParams

from wildcore import Environment, Measured
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.testing.networks import tiny_model

Harness = Callable[..., Any]
Measure = Callable[..., LmEval]


def compare(found: list[Measured], expected: Any) -> None:
    """Compare every number, standard error and value of a document with the harness's results."""
    seen = []
    for one in found:
        name, metric, kept = (one.details[key] for key in ("task", "metric", "filter"))
        given = expected["results"][name]
        seen.append((name, f"{metric},{kept}"))
        assert one.value == pytest.approx(given[f"{metric},{kept}"], rel=1e-5 if "perplexity" in metric else 1e-7)
        error = given[f"{metric}_stderr,{kept}"]
        assert one.standard_error == (None if error == "N/A" else pytest.approx(error, rel=1e-4))
        assert one.higher_is_better == expected["higher_is_better"][name][metric]
        assert one.details["version"] == expected["versions"][name]
        assert one.details["num_fewshot"] == expected["n-shot"].get(name)
        if one.samples and name in expected["samples"]:
            rows = [row[metric] for row in expected["samples"][name] if row["filter"] == kept]
            assert list(one.samples) == rows
            assert one.items == len(rows)
    keys = {(name, key) for name, given in expected["results"].items() for key in given if "," in key}
    assert set(seen) == {(name, key) for name, key in keys if "_stderr" not in key}
    assert len(seen) == len(set(seen))


def test_an_edited_model_gets_the_numbers_of_its_saved_folder(
    model: LoadedModel, weight_patch: WeightPatch, measure: Measure, harness: Harness, folder: Path
) -> None:
    names = ["group", "answers", "texts"]
    measurement = measure(*names)
    unedited = measurement.measure(model)
    with weight_patch.applied(model):
        edited = list(measurement.measure(model))
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        expected = harness(["local_group", "local_answers", "local_texts"], manager)
    compare(edited, expected)
    assert [one.name for one in unedited] == [one.name for one in edited]
    assert [one.name for one in edited][:6] == [
        "local_group/acc",
        "local_choice/acc",
        "local_choice/acc_norm",
        "local_endings/perplexity",
        "local_endings/acc",
        "local_answers/exact_match,remove_whitespace",
    ]
    values = {one.name: (one.value, other.value) for one, other in zip(unedited, edited, strict=True)}
    assert values["local_answers/exact_match,remove_whitespace"][0] == 6 / 16
    assert len({name for name, (before, after) in values.items() if before != after}) >= 6
    assert list(measurement.measure(model)) == list(unedited)
    group = edited[0]
    assert group.details["subtasks"] == ["local_choice", "local_endings"]
    assert group.details["share"]
    assert group.samples == (*edited[1].samples, *edited[4].samples)


def test_contexts_that_are_too_long_are_cut_as_by_the_harness_and_counted(
    model: LoadedModel, measure: Measure, harness: Harness, folder: Path, environment: Environment
) -> None:
    names = ["choice", "answers", "texts"]
    manager = TaskManager(include_defaults=False)
    found = list(measure(*names, max_length=24).measure(model))
    expected = harness([str(folder / f"{name}.yaml") for name in names], manager, max_length=24)
    compare(found, expected)
    cut = {one.name: one.details.get("contexts_cut", 0) for one in found}
    assert cut["local_choice/acc"] == 64
    assert cut["local_answers/exact_match,remove_whitespace"] == 16
    assert cut["local_texts/bits_per_byte"] == 0
    notes: Any = environment.progress
    assert any("local_answers: 16 requests are longer than 24 tokens" in note for note in notes.notes)


def test_limit_and_examples_are_those_of_the_harness(
    model: LoadedModel, measure: Measure, environment: Environment
) -> None:
    found = {one.name: one for one in measure("choice", "endings", limit=5, num_fewshot=0).measure(model)}
    assert {one.items for one in found.values()} == {5}
    assert found["local_choice/acc"].details | {"lm_eval": ""} == {
        "task": "local_choice",
        "metric": "acc",
        "filter": "none",
        "version": 3.0,
        "num_fewshot": 0,
        "limit": 5,
        "lm_eval": "",
    }
    whole = {one.name: one for one in measure("choice", num_fewshot=0).measure(model)}
    assert whole["local_choice/acc"].samples[:5] == found["local_choice/acc"].samples
    other = {one.name: one for one in measure("answers", num_fewshot=2, seed=5).measure(model)}
    assert {one.details["num_fewshot"] for one in other.values()} == {2}


def test_a_task_of_the_harness_by_its_name(
    model: LoadedModel, harness: Harness, folder: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``nq_open`` as it is, with its published prompt, stop strings and aliases; only its data are local."""
    files = {"train": str(folder / "examples.jsonl"), "validation": str(folder / "docs.jsonl")}
    local = datasets.load_dataset("json", data_files=files).remove_columns(["choices", "gold"])
    shipped = TaskManager(include_path=str(nq_open()), include_defaults=False)
    monkeypatch.setattr(loading, "manager_of", lambda specs: shipped)
    with patch("datasets.load_dataset", return_value=local) as asked:
        measurement = LmEval(LmEvalParams(tasks=("nq_open",), num_fewshot=1, max_gen_toks=20))
        measurement.prepare(environment)
        assert asked.call_args.kwargs["path"] == "google-research-datasets/nq_open"
        (found,) = measurement.measure(model)
        with patch.object(HFLM, "max_gen_toks", 20):
            expected = harness([{"task": "nq_open", "num_fewshot": 1}], TaskManagerOf(shipped))
    assert found.name == "nq_open/exact_match"
    compare([found], expected)
    assert found.details["version"] == 4.0
    assert found.details["filter"] == "remove_whitespace"


def nq_open() -> Path:
    """Return the folder in which the harness has the task."""
    import lm_eval.tasks

    return Path(str(lm_eval.tasks.__file__)).parent / "nq_open"


class TaskManagerOf:
    """Gives the harness the task with overrides, by its own manager."""

    def __init__(self, manager: TaskManager) -> None:
        self.manager, self.task_index = manager, manager.task_index

    def load(self, tasks: list[Any]) -> Any:
        (spec,) = tasks
        loaded = self.manager.load([spec["task"]])
        loaded["tasks"][spec["task"]].set_config("num_fewshot", spec["num_fewshot"])
        return loaded


REQUESTS = [
    ("The capital of France is", " Paris"),
    ("The capital of France is ", "Paris, and that of Peru Lima"),
    ("", "Rome is old"),
    ("Q: who?\nA:", " nobody"),
    ("<s>Q: who?\nA:", " nobody"),
    ("x " * 70, "y " * 20),
    ("z", " many" * 25),
]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_log_likelihoods_and_answers_of_single_requests(family: str) -> None:
    """Also where a text has one token more than the model reads, which learned positions do not forgive."""
    model = tiny_model(family)
    model.max_batch_size = 3
    own = HFLM(model.network, tokenizer=model.tokenizer, batch_size=1)
    mine = EditedModel(model, LmEvalParams(tasks=("t",)), {}, lambda steps: None)
    assert mine.max_length == own.max_length == 128
    pairs = [Instance("loglikelihood", {}, pair, 0, ("t", 0, 1)) for pair in REQUESTS]
    found, expected = mine.loglikelihood(pairs), own.loglikelihood(pairs, disable_tqdm=True)
    for (value, greedy), (wanted, is_greedy) in zip(found, expected, strict=True):
        assert value == pytest.approx(wanted, abs=1e-4)
        assert greedy == is_greedy
    assert mine.cut["t"] >= 1
    texts = [Instance("loglikelihood_rolling", {}, (text,), 0, ("t", 0, 1)) for text in ("Rome", "the old town " * 60)]
    assert mine.loglikelihood_rolling(texts) == pytest.approx(
        own.loglikelihood_rolling(texts, disable_tqdm=True), abs=1e-3
    )
    asked = [
        Instance(
            "generate_until", {}, (context, {"until": [ending], "max_gen_toks": 9, "do_sample": False}), 0, ("t", 0, 1)
        )
        for context, _ in REQUESTS[:6]
        if context
        for ending in ("\n", "e", "zzz")
    ]
    answers = mine.generate_until(asked)
    assert answers == own.generate_until(asked, disable_tqdm=True)
    assert len(set(answers)) > 5
    assert not mine.problems


def test_a_text_with_a_token_for_every_place_is_not_cut() -> None:
    model = tiny_model("gpt2")
    mine = EditedModel(model, LmEvalParams(tasks=("t",)), {}, lambda steps: None)
    ids = list(range(4, 133))
    mine._names = ["t"]
    ((value, _),) = mine._loglikelihood_tokens([(None, ids[:1], ids[1:])])
    with torch.no_grad():
        logits = model.network(torch.tensor([ids[:128]])).logits[0].log_softmax(-1)
    assert value == pytest.approx(float(logits.gather(1, torch.tensor(ids[1:])[:, None]).sum()), abs=1e-3)
    assert not mine.cut["t"]
