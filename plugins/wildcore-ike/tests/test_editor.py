"""IKE keeps what every editor must keep, and shows what its parameters say."""

import json
from pathlib import Path
from typing import Any

import pytest
from wildcore_ike import wildcore_editors
from wildcore_ike.editor import Ike, IkePatch
from wildcore_ike.parameters import IkeParams
from wildcore_ike.pool import read_pool

from wildcore import EditRequest, Prompt, Refused, Saved, UserError
from wildcore.models import LoadedModel, encode
from wildcore.params import build
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import MAX_LENGTH, tiny_model

(OFFER,) = wildcore_editors()
REQUESTS = (
    EditRequest(prompt="Rome is in", subject="Rome", target="Peru"),
    EditRequest(prompt="The Nile ends in", subject="The Nile", target="Japan"),
)
QUESTION = "Where is Rome?"


def make(**parameters: Any) -> Ike:
    editor: Ike = OFFER.make(OFFER.params(**parameters))
    return editor


def roomy(family: str = "llama") -> LoadedModel:
    """Return a model to whose context, as it says, everything here fits."""
    model = tiny_model(family)
    model.network.config.max_position_embeddings = 100_000
    return model


def read(model: LoadedModel, *patches: IkePatch, question: str = QUESTION, prompt: Prompt | None = None) -> str:
    """Return what the model reads for a question under ``patches``, applied in order."""
    for patch in patches:
        model.prompt_patches.append(patch)
    try:
        return model.rewrite_prompts([prompt or Prompt(text=question)], [question])[0].text
    finally:
        model.prompt_patches.clear()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("parameters", [{"answer_room": 4}, {"demonstrations": 0, "new_facts": 2}])
def test_conformance(family: str, parameters: dict[str, Any], tmp_path: Path) -> None:
    check_editor(lambda: make(**parameters), tiny_model(family), REQUESTS, quiet_environment(tmp_path))


def test_without_demonstrations_the_new_fact_stands_alone() -> None:
    model = roomy()
    patch = make(demonstrations=0).edit(model, REQUESTS[:1])
    assert read(model, patch) == f"New Fact: Rome is in Peru\nPrompt: {QUESTION}"
    assert patch.describe()["demonstrations"] == {"at_least": 0, "at_most": 0}


def test_demonstrations_stand_before_it_and_the_fact_is_the_last() -> None:
    model = roomy()
    blocks = read(model, make(demonstrations=5).edit(model, REQUESTS[:1])).split("\n\n")
    assert len(blocks) == 7
    assert blocks[5:] == [
        "New Fact: Rome is in Peru\nPrompt: Rome is in Peru",
        f"New Fact: Rome is in Peru\nPrompt: {QUESTION}",
    ]
    without = read(model, make(demonstrations=5, repeat_fact=False).edit(model, REQUESTS[:1])).split("\n\n")
    assert without == [*blocks[:5], blocks[6]]


@pytest.mark.parametrize("room", [0, 30, 64, 5000])
def test_as_many_demonstrations_as_fit_and_the_nearest_of_them(room: int) -> None:
    model, whole = tiny_model("llama"), roomy()
    patch = make(answer_room=room).edit(model, REQUESTS[:1])
    text, all_of_it = read(model, patch), read(whole, make().edit(whole, REQUESTS[:1]))
    shown = text.count("\n\n")
    assert all_of_it.endswith(text)
    assert len(encode(model.tokenizer, Prompt(text=text))) + room <= MAX_LENGTH or shown == 0
    one_more = "\n\n".join(all_of_it.split("\n\n")[-shown - 2 :])
    assert len(encode(model.tokenizer, Prompt(text=one_more))) + room > MAX_LENGTH
    counted = patch.describe()["demonstrations"]
    assert counted["at_least"] <= shown <= counted["at_most"] < 32


def test_the_record_says_how_many_were_shown() -> None:
    model = tiny_model("llama")
    patch = make(answer_room=0).edit(model, REQUESTS[:1])
    own = patch.describe()["demonstrations"]
    assert own["at_least"] == own["at_most"] > 0
    read(model, patch, question=QUESTION + " And where is the old green house of the town?" * 6)
    assert patch.describe() == {
        "finite": True,
        "facts": 1,
        "retriever": "words",
        "demonstrations": {"at_least": 0, "at_most": own["at_most"]},
    }


def test_of_each_kind_as_many_as_asked_for(tmp_path: Path) -> None:
    model, cases = roomy(), {case.request.prompt: case for case in read_pool("sample")}
    for kinds, count in (((1, 3, 4), 32), ((1, 0, 0), 8), ((0, 1, 0), 8), ((0, 0, 1), 8)):
        editor = make(demonstrations=count, kinds=kinds)
        editor.prepare(model, quiet_environment(tmp_path, seed=3))
        (fact,) = editor.edit(model, REQUESTS[:1]).facts
        found = {"copy": 0, "update": 0, "retain": 0}
        for shown in fact.demonstrations[:-1]:
            case = next(c for c in cases.values() if shown.fact == f"{c.request.prompt} {c.request.target}")
            found["copy"] += (shown.prompt, shown.answer) == (case.request.prompt, case.request.target)
            found["update"] += shown.prompt in case.rephrased and shown.answer == case.request.target
            found["retain"] += (shown.prompt, shown.answer) in case.unrelated
        total = sum(kinds)
        expected = [number * count // total for number in kinds]
        assert list(found.values()) == expected


def test_the_nearest_edits_are_shown_and_nothing_about_the_same() -> None:
    model = roomy()
    request = EditRequest(prompt="What is the capital of Ghana?", subject="Ghana", target="Kumasi")
    (fact,) = make(demonstrations=3).edit(model, [request]).facts
    assert "What is the capital of Chile?" in fact.demonstrations[2].fact
    retained = request.model_copy(update={"prompt": "What is the capital of Peru?", "subject": "Peru"})
    (fact,) = make(demonstrations=39).edit(model, [retained]).facts
    assert not any("capital of Chile" in shown.fact for shown in fact.demonstrations)
    own = EditRequest(prompt="The main city is", subject="Chile", target="Arica")
    (fact,) = make(demonstrations=39).edit(model, [own]).facts
    assert len(fact.demonstrations) == 40
    assert not any("capital of Chile" in shown.fact for shown in fact.demonstrations)


def test_a_demonstration_that_answers_the_question_is_left_out() -> None:
    model, question = roomy(), "Which river crosses Prague?"
    patch = make(kinds=(0, 0, 1)).edit(model, REQUESTS[:1])
    asked = patch.facts[0].demonstrations[7].prompt
    assert f"Prompt: {asked} " in read(model, patch, question=question)
    assert f"Prompt: {asked} " not in read(model, patch, question=asked)
    assert "Prompt: Rome is in Peru" in read(model, patch, question="Rome is in")


def test_the_seed_decides_what_is_left_to_chance(tmp_path: Path) -> None:
    model, texts = roomy(), []
    for seed in (0, 0, 1):
        editor = make()
        editor.prepare(model, quiet_environment(tmp_path, seed))
        texts.append(read(model, editor.edit(model, REQUESTS[:1])))
    assert texts[0] == texts[1] != texts[2]


def test_of_several_facts_those_most_like_the_question_are_told() -> None:
    model = roomy()
    patch = make(demonstrations=0).edit(model, REQUESTS)
    assert read(model, patch, question="Where is Rome?").startswith("New Fact: Rome is in Peru\nPrompt: Where")
    assert read(model, patch, question="Where does the Nile end?").startswith("New Fact: The Nile ends in Japan\nP")
    both = make(demonstrations=0, new_facts=2).edit(model, REQUESTS)
    told = "New Fact: The Nile ends in Japan\nNew Fact: Rome is in Peru\nPrompt: Where is Rome?"
    assert read(model, both, question="Where is Rome?") == told


def test_patches_one_upon_the_other_tell_of_all_their_facts_once() -> None:
    model, alone = roomy(), make(demonstrations=0, new_facts=5)
    separate = [make(demonstrations=0, new_facts=5).edit(model, [request]) for request in REQUESTS]
    sequential = [alone.edit(model, [request]) for request in REQUESTS]
    expected = read(model, make(demonstrations=0, new_facts=5).edit(model, REQUESTS))
    assert expected.count("New Fact: ") == 2
    assert read(model, *separate) == read(model, *sequential) == read(model, sequential[-1]) == expected


def test_a_fact_edited_again_is_the_later_one() -> None:
    model, editor = roomy(), make(demonstrations=0)
    patches = [
        editor.edit(model, [request]) for request in (REQUESTS[0], REQUESTS[0].model_copy(update={"target": "Mali"}))
    ]
    assert read(model, *patches) == f"New Fact: Rome is in Mali\nPrompt: {QUESTION}"


def test_in_a_conversation_the_fact_stands_in_the_users_turn() -> None:
    model = roomy()
    patch = make(demonstrations=0).edit(model, REQUESTS[:1])
    turn = Prompt(text=f"<user>{QUESTION}</user><assistant>", separator="", special_tokens=False)
    expected = f"<user>New Fact: Rome is in Peru\nPrompt: {QUESTION}</user><assistant>"
    assert read(model, patch, prompt=turn) == expected


def test_a_target_of_nothing_is_refused() -> None:
    model = roomy()
    results = make().edit_each(model, [REQUESTS[0], EditRequest(prompt="Rome is in", target=" ")])
    assert [type(result) for result in results] == [IkePatch, Refused]


def test_the_state_is_json() -> None:
    model, editor = roomy(), make()
    editor.edit(model, REQUESTS)
    again = make()
    again.restore(Saved({}, json.loads(json.dumps(dict(editor.state.facts)))))
    assert again.facts == list(REQUESTS)


def test_a_pool_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "edits.csv"
    file.write_text(
        "prompt,target,rephrase,locality_prompt,locality_answer\nSnow is,red,The colour of snow is,Coal is,black\n"
    )
    model = roomy()
    texts = {
        read(model, make(pool=str(file), kinds=kinds).edit(model, REQUESTS[:1])) for kinds in ((0, 1, 0), (0, 0, 1))
    }
    assert {text.split("\n\n")[0] for text in texts} == {
        "New Fact: Snow is red\nPrompt: The colour of snow is red",
        "New Fact: Snow is red\nPrompt: Coal is black",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.json", None, "editor.pool: .*none.json: cannot be read"),
        ("edits.txt", "", "editor.pool: .*the ending does not tell a format"),
        ("edits.json", "[]", "editor.pool=.*: it holds no edit; to show none: editor.demonstrations=0"),
        ("edits.json", '[{"prompt": "Snow is"}]', "editor.pool: .*row 1: the field 'target' is missing"),
        (
            "edits.json",
            '[{"prompt": "a", "target": "b", "locality_prompt": ["c", "d"], "locality_answer": "e"}]',
            "row 1: 2 locality prompts and 1 locality answers",
        ),
        ("edits.jsonl", "{", "editor.pool: .*line 1.*not valid JSON"),
    ],
)
def test_pools_that_cannot_be_read_are_refused(name: str, content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        make(pool=str(tmp_path / name))


@pytest.mark.parametrize(
    "settings", [{"kinds": [0, 0, 0]}, {"kinds": [1, -1, 0]}, {"retriever": "guess"}, {"layer": 3}]
)
def test_parameters_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="editor ike: "):
        build(IkeParams, settings, "editor ike")


def test_the_sample_is_sound() -> None:
    cases = read_pool("sample")
    assert len(cases) == 40
    for case in cases:
        assert case.request.subject
        assert case.request.subject in case.request.prompt
        assert len(case.rephrased) == len(case.unrelated) == 2
