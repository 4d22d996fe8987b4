"""Under patches that route by the prompt, or rewrite it, the harness asks the edited model as a user would."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from wildcore_grace.editor import Grace
from wildcore_grace.parameters import GraceParams
from wildcore_ike.editor import Ike
from wildcore_ike.parameters import IkeParams
from wildcore_lm_eval.language_model import EditedModel
from wildcore_lm_eval.measurement import LmEval
from wildcore_lm_eval.parameters import LmEvalParams
from wildcore_lm_eval.tasks import load_tasks
from wildcore_scr.editor import Scr
from wildcore_scr.parameters import ScrParams

from wildcore import EditRequest, Environment, Measured, Patch
from wildcore.models import LoadedModel

Measure = Callable[..., LmEval]
CONTEXT = "Q: Who keeps the red tower?\nA:"
FACT = EditRequest(prompt=CONTEXT, target="a stone", subject="the red tower")
OTHERS = ("Q: Who keeps the blue mill?\nA:", "The capital of France is", "Q: Who keeps the red tower? A:")
TARGETS = (" a stone", " a stone or a river, and more", " Anna")


@pytest.fixture(scope="module")
def grace(model: LoadedModel) -> Patch:
    return Grace(GraceParams(layer=2, steps=40, initial_radius=0.001)).edit(model, [FACT])


def scored(model: LoadedModel, pairs: Sequence[tuple[str, str]], doc: dict[str, Any] | None = None) -> list[Any]:
    """Return what the harness is told of each pair (context, continuation)."""

    class Task:
        def doc_to_text(self, doc: dict[str, Any]) -> str:
            return str(doc.get("text", ""))

    asked = EditedModel(model, LmEvalParams(tasks=("t",)), {"t": Task()}, lambda steps: None)
    return asked.loglikelihood([Instance("loglikelihood", doc or {}, pair, 0, ("t", 0, 1)) for pair in pairs])


def test_a_routed_patch_acts_on_the_prompt_it_was_made_for_and_on_no_other(model: LoadedModel, grace: Patch) -> None:
    """The route follows from the prompt alone: a continuation, however long, changes nothing."""
    edited = [(CONTEXT, target) for target in TARGETS]
    others = [(context, target) for context in OTHERS for target in TARGETS]
    before, before_others = scored(model, edited), scored(model, others)
    with grace.applied(model):
        together = scored(model, edited + others)
        alone = [scored(model, [pair])[0] for pair in edited + others]
    assert together[: len(edited)] != before
    assert together[0][0] > before[0][0] + 1
    assert together[0][1]
    assert not before[0][1]
    assert together[1][0] != pytest.approx(before[1][0], abs=0.1)
    for (value, greedy), (wanted, is_greedy) in zip(together, alone, strict=True):
        assert value == pytest.approx(wanted, abs=1e-4)
        assert greedy == is_greedy
    for (value, _), (wanted, _) in zip(together[len(edited) :], before_others, strict=True):
        assert value == pytest.approx(wanted, abs=1e-4)


def samples(found: Sequence[Measured]) -> dict[str, tuple[float, ...]]:
    return {one.name: one.samples for one in found}


@pytest.fixture
def about_the_fact(folder: Path) -> str:
    """Return the name of a task in which the edited fact is the first of three questions."""
    questions = ["Who keeps the red tower?", "Who keeps the blue mill?", "Who keeps the white bridge?"]
    rows = [
        {"question": one, "answer": ["nobody", "a stone"], "choices": ["Anna", "a stone"], "gold": 1}
        for one in questions
    ]
    (folder / "fact.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name in ("answers", "endings"):
        text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
        text = text.replace(f"local_{name}", f"{name}_of_fact").replace("/docs.jsonl", "/fact.jsonl")
        (folder / f"{name}_of_fact.yaml").write_text(text, encoding="utf-8")
    return "answers_of_fact"


def test_tasks_under_a_routed_patch(
    model: LoadedModel, grace: Patch, measure: Measure, about_the_fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurement = measure(about_the_fact, "endings_of_fact", num_fewshot=0)
    before = samples(measurement.measure(model))
    with grace.applied(model):
        after = samples(measurement.measure(model))
        monkeypatch.setattr(model, "max_batch_size", 1)
        assert samples(measurement.measure(model)) == after
    answers, endings = "answers_of_fact/exact_match,remove_whitespace", "endings_of_fact/acc"
    assert before[answers] == before[endings] == (0, 0, 0)
    assert after[answers] == after[endings] == (1, 0, 0)
    assert samples(measurement.measure(model)) == before


def test_facts_are_put_before_the_question_by_ike(model: LoadedModel, environment: Environment) -> None:
    editor = Ike(IkeParams(demonstrations=0))
    editor.prepare(model, environment)
    patch = editor.edit(model, [FACT])
    pairs = [(context, target) for context in (CONTEXT, OTHERS[1]) for target in TARGETS]
    announced = f"New Fact: {CONTEXT} a stone\nPrompt: "
    plain = scored(model, pairs)
    by_hand = [scored(model, [(announced + context, target)])[0] for context, target in pairs]
    with patch.applied(model):
        found = scored(model, [*pairs, ("", " Anna")])
    assert [value for value, _ in found[:-1]] == pytest.approx([value for value, _ in by_hand], abs=1e-4)
    assert all(abs(value - other) > 0.1 for (value, _), (other, _) in zip(found, plain, strict=False))
    assert found[-1][0] == pytest.approx(scored(model, [("", " Anna")])[0][0], abs=1e-4)


def test_the_question_by_which_facts_are_chosen_is_the_documents_own(model: LoadedModel) -> None:
    """SCR finds facts by the bare question, not by the examples before it, and asks once for all choices of a document."""
    patch = Scr(ScrParams(retrieved=1, confirm="none")).edit(model, [FACT])
    asked: list[tuple[str, str]] = []

    class Watched:
        def rewrite(self, model: LoadedModel, prompts: Sequence[Any], questions: Sequence[str]) -> list[Any]:
            asked.extend((prompt.text, question) for prompt, question in zip(prompts, questions, strict=True))
            return list(prompts)

    model.prompt_patches.append(Watched())
    with patch.applied(model):
        shown = f"Q: an example\nA: Rome\n{CONTEXT}"
        found = scored(model, [(shown, target) for target in TARGETS], {"question": "Who keeps the red tower?"})
        scored(model, [(shown, " Anna")], {"text": CONTEXT})
        scored(model, [(shown, " Anna")], {"text": "not in it"})
    model.prompt_patches.clear()
    assert asked == [(shown, "Who keeps the red tower?"), (shown, CONTEXT), (shown, shown)]
    told = f"Answer by what is said here.\n\nFact: {CONTEXT} a stone\n\n"
    by_hand = scored(model, [(told + shown, target) for target in TARGETS])
    assert [value for value, _ in found] == pytest.approx([value for value, _ in by_hand], abs=1e-4)


@pytest.mark.parametrize("method", ["ike", "scr"])
def test_tasks_under_patches_of_prompts(
    method: str, model: LoadedModel, measure: Measure, about_the_fact: str, environment: Environment
) -> None:
    """What the harness generates is what the model generates after the rewritten prompt, one at a time."""
    editor: Any = Ike(IkeParams(demonstrations=0)) if method == "ike" else Scr(ScrParams(confirm="none"))
    if method == "ike":
        editor.prepare(model, environment)
    patch = editor.edit(model, [FACT])
    loaded = load_tasks(measure(about_the_fact).params)
    asked = EditedModel(model, LmEvalParams(tasks=("t",)), loaded.tasks, lambda steps: None)
    generation = {"until": ["\n"], "max_gen_toks": 8, "do_sample": False}
    doc = {"question": "Who keeps the red tower?", "answer": []}

    def requests(texts: Sequence[str]) -> list[Instance]:
        metadata = ("answers_of_fact", 0, 1)
        return [Instance("generate_until", doc, (text, generation), 0, metadata) for text in texts]

    contexts = [CONTEXT, OTHERS[0]]
    with patch.applied(model):
        found, rewritten = asked.generate_until(requests(contexts)), asked.rewritten(requests(contexts))
    assert all(len(new) > len(old) for new, old in zip(rewritten, contexts, strict=True))
    assert found == [asked.generate_until(requests([text]))[0] for text in rewritten]
    assert found != asked.generate_until(requests(contexts))
