"""Tasks over local files, a small model, and the harness's own measurement of a folder."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from wildcore_lm_eval.measurement import LmEval
from wildcore_lm_eval.parameters import LmEvalParams

import wildcore.testing
from wildcore import Environment, Prompt
from wildcore.inference import decode
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.patches import Dense, WeightPatch
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
PLACES = ("mill", "tower", "bridge", "garden", "market")
COLOURS = ("red", "green", "blue", "white")
NAMES = ["Anna", "Oliver Stone", "Marie", "a cat"]
QUESTIONS = 16

CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{folder}/docs.jsonl", train: "{folder}/examples.jsonl"}}}}
output_type: multiple_choice
training_split: train
test_split: test
num_fewshot: 1
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{gold}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 3.0}}
"""
ANSWERS = """
task: local_answers
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{folder}/docs.jsonl", train: "{folder}/examples.jsonl"}}}}
output_type: generate_until
training_split: train
test_split: test
fewshot_delimiter: "\\n"
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n", ".", ","], do_sample: false, temperature: 0.0, max_gen_toks: 12}}
filter_list:
  - {{name: remove_whitespace, filter: [{{function: remove_whitespace}}, {{function: take_first}}]}}
  - {{name: first_word, filter: [{{function: regex, regex_pattern: "(\\\\w+)"}}, {{function: take_first}}]}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, ignore_punctuation: true}}
metadata: {{version: 1.0}}
"""
TEXTS = """
task: local_texts
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{folder}/texts.jsonl"}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - {{metric: word_perplexity}}
  - {{metric: byte_perplexity}}
  - {{metric: bits_per_byte}}
metadata: {{version: 2.0}}
"""
ENDINGS = """
task: local_endings
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{folder}/docs.jsonl"}}}}
output_type: loglikelihood
test_split: test
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: " {{{{answer[1]}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
metadata: {{version: 1.0}}
"""
GROUP = """
group: local_group
task: [local_choice, local_endings]
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: true}
metadata: {version: 5.0}
"""


def documents(model: LoadedModel) -> list[dict[str, Any]]:
    """Return questions with choices, and with accepted answers, of which every other one is the model's own answer."""
    things = [f"the {colour} {place}" for place in PLACES for colour in COLOURS]
    prompts = [Prompt(text=f"Q: Who keeps {thing}?\nA:") for thing in things]
    own = [output.text for output in decode(model, prompts, [12] * len(prompts), None)]
    found = []
    for number, (thing, text) in enumerate(zip(things, own, strict=True)):
        answer = re.split(r"[\n.,]", text)[0].strip() or "nobody" if number % 2 else NAMES[number % 4]
        question = f"Who keeps {thing}?"
        choices = [*NAMES[:3], answer][number % 3 :] + [*NAMES[:3], answer][: number % 3]
        gold = choices.index(answer) if number % 4 else 0
        found.append({"question": question, "answer": ["nobody", answer], "choices": choices, "gold": gold})
    return found


@pytest.fixture(scope="session")
def folder(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with task files and their data."""
    place = tmp_path_factory.mktemp("tasks")
    docs = documents(model)
    _write(place / "docs.jsonl", docs[:QUESTIONS])
    _write(place / "examples.jsonl", docs[QUESTIONS:])
    facts = [f"{doc['choices'][doc['gold']]} is who keeps it; {doc['question']}" for doc in docs]
    _write(place / "texts.jsonl", [{"text": text} for text in (*facts[:5], " ".join(facts))])
    named = {"choice": CHOICE, "answers": ANSWERS, "texts": TEXTS, "endings": ENDINGS}
    for name, text in named.items():
        (place / f"{name}.yaml").write_text(text.format(folder=place), encoding="utf-8")
    (place / "group.yaml").write_text(GROUP, encoding="utf-8")
    return place


def _write(file: Path, rows: Sequence[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    """Return a small model that reads 128 tokens."""
    request = ModelRequest("tiny-llama", folder=TINY, dtype="float32", device="cpu")
    loaded = load_model(request, load_registry([]).families)
    loaded.max_batch_size = 5
    return loaded


@pytest.fixture(scope="session")
def weight_patch(model: LoadedModel) -> WeightPatch:
    """Return a change of weights that alters some answers."""
    generator = torch.Generator().manual_seed(0)
    changed = {}
    for layer in (1, 2):
        projection = model.mlp_output(layer)
        noise = torch.randn(projection.weight.shape, generator=generator)
        changed[projection.name] = Dense(float(projection.weight.std()) * noise)
    return WeightPatch(changed)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return quiet_environment(tmp_path)


@pytest.fixture
def measure(folder: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LmEval]:
    """Return a function that prepares the measurement of task files of the folder, beside which no other tasks are known."""

    def prepared(*names: str, **parameters: Any) -> LmEval:
        local = TaskManager(include_path=str(folder), include_defaults=False)
        monkeypatch.setattr("wildcore_lm_eval.tasks.manager_of", lambda specs: local)
        tasks = tuple(str(folder / f"{name}.yaml") for name in names)
        measurement = LmEval(LmEvalParams(tasks=tasks, **parameters))
        measurement.prepare(environment)
        return measurement

    return prepared


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> Callable[..., dict[str, Any]]:
    """Return a function that saves the model as it is patched, and has the harness measure the folder by its own model class."""

    def results(tasks: Sequence[Any], manager: TaskManager | None = None, max_length: int | None = None) -> Any:
        place = tmp_path_factory.mktemp("model")
        model.network.save_pretrained(place)
        model.tokenizer.save_pretrained(place)
        own = HFLM(str(place), device="cpu", dtype="float32", batch_size=5, max_length=max_length)
        with patch.dict("os.environ", {"DISABLE_MULTIPROC": "1"}), patch("lm_eval.evaluator.add_env_info"):
            return simple_evaluate(own, tasks=list(tasks), task_manager=manager, bootstrap_iters=1000)

    return results
