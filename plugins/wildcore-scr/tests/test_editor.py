"""SCR keeps what every editor must keep, and puts the confirmed facts before the question."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from wildcore_scr import wildcore_editors
from wildcore_scr.confirming import chosen, stated
from wildcore_scr.editor import Scr, ScrPatch
from wildcore_scr.parameters import ScrParams

from wildcore import EditRequest, Output, Prompt, Refused, Saved, UserError
from wildcore.inference import decode
from wildcore.models import LoadedModel
from wildcore.params import build
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import MAX_LENGTH, tiny_model

(OFFER,) = wildcore_editors()
REQUESTS = (
    EditRequest(prompt="Rome is in", subject="Rome", target="Peru"),
    EditRequest(prompt="The Nile ends in", subject="The Nile", target="Japan"),
    EditRequest(prompt="Who wrote the old book?", target="Anna Smith"),
)
FACTS = ["Rome is in Peru", "The Nile ends in Japan", "Who wrote the old book? Anna Smith"]
SHORT = {"confirm_template": "{facts}\n{question}\n", "reply_tokens": 4, "answer_template": "{facts}\n"}
ASK = "wildcore_scr.confirming.decode"

Say = Callable[[str], str]


def make(**parameters: Any) -> Scr:
    editor: Scr = OFFER.make(OFFER.params(**parameters))
    return editor


@pytest.fixture
def model() -> LoadedModel:
    """Return a model to whose context, as it says, everything here fits."""
    model = tiny_model("llama")
    model.network.config.max_position_embeddings = 100_000
    return model


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Say], list[Prompt]]:
    """Return a function that lets every model reply as ``say`` does to a text, and keeps what it was asked."""
    asked: list[Prompt] = []

    def replies(say: Say) -> list[Prompt]:
        def answer(model: LoadedModel, prompts: Sequence[Prompt], limits: Sequence[int], stop: Any) -> list[Output]:
            asked.extend(prompts)
            return [Output(text=say(p.text), token_ids=(5,), stop_reason="stop-rule") for p in prompts]

        monkeypatch.setattr(ASK, answer)
        return asked

    return replies


def read(model: LoadedModel, patches: Sequence[ScrPatch], *questions: str, prompts: Sequence[Prompt] = ()) -> list[str]:
    """Return what the model reads for questions under ``patches``, applied in order."""
    model.prompt_patches += patches
    try:
        put = list(prompts) or [Prompt(text=question) for question in questions]
        return [prompt.text for prompt in model.rewrite_prompts(put, questions)]
    finally:
        model.prompt_patches.clear()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("confirm", ["model", "none"])
def test_conformance(family: str, confirm: str, tmp_path: Path) -> None:
    model, environment = tiny_model(family), quiet_environment(tmp_path)
    check_editor(lambda: make(confirm=confirm, **SHORT), model, REQUESTS, environment)


def test_the_model_is_asked_about_the_nearest_facts_and_the_one_it_names_is_told(
    model: LoadedModel, says: Callable[[Say], list[Prompt]]
) -> None:
    asked = says(lambda text: "\n The Nile ends in Japan.")
    patch = make(retrieved=2).edit(model, REQUESTS)
    (text,) = read(model, [patch], "Where does the Nile end?")
    told = "Answer by what is said here.\n\nFact: The Nile ends in Japan\n\n"
    assert text == f"{told}Question: Where does the Nile end?\nAnswer:"
    (prompt,) = asked
    assert "Facts:\nThe Nile ends in Japan\n" in prompt.text
    assert "Question: Where does the Nile end?\n" in prompt.text
    assert sum(fact in prompt.text for fact in FACTS) == 2


def test_a_question_without_a_relevant_fact_stays_as_it_was(
    model: LoadedModel, says: Callable[[Say], list[Prompt]]
) -> None:
    says(lambda text: 'No relevant fact."' if "snow" in text else "Rome is in Peru")
    patch = make().edit(model, REQUESTS)
    unrelated, related = read(model, [patch], "What colour is snow?", "Where is Rome?")
    assert unrelated == "What colour is snow?"
    assert "Fact: Rome is in Peru\n" in related
    assert patch.describe() == {
        "finite": True,
        "facts": 3,
        "retriever": "words",
        "questions": {"with_facts": 1, "without": 1, "no_room_to_ask": 0},
    }


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Rome is in Peru", FACTS[:1]),
        ("The fact is: rome is in  PERU!", FACTS[:1]),
        ("Rome is in Peru and the Nile ends in Japan.", FACTS[:2]),
        ("It must be the one about the Nile", FACTS[1:2]),
        ("Anna Smith", FACTS[2:]),
        ("xyzzy", FACTS[:1]),
        ("", FACTS[:1]),
    ],
)
def test_what_a_reply_confirms(reply: str, expected: list[str]) -> None:
    assert chosen(reply, FACTS) == expected


@pytest.mark.parametrize(
    ("reply", "pattern", "expected"),
    [
        ("Rome is in Peru", None, "Rome is in Peru."),
        (" Rome is in Peru.", None, " Rome is in Peru."),
        ("", None, ""),
        ('I choose "Rome is in Peru", as it fits.', r'choose "(?P<fact>[^"]*)"', "Rome is in Peru."),
        ("Rome is in Peru", r'choose "(?P<fact>[^"]*)"', "Rome is in Peru."),
    ],
)
def test_what_a_reply_states(reply: str, pattern: str | None, expected: str) -> None:
    assert stated(reply, pattern) == expected


@pytest.mark.parametrize("reply", ["There is no relevant fact here", "NO RELEVANT FACT", "No relevant information."])
@pytest.mark.parametrize("told", ["fact", "reply"])
def test_a_reply_declines_by_any_of_the_words(
    reply: str, told: str, model: LoadedModel, says: Callable[[Say], list[Prompt]]
) -> None:
    says(lambda text: reply)
    assert read(model, [make(told=told).edit(model, REQUESTS)], "Where is Rome?") == ["Where is Rome?"]


def test_a_reply_is_told_in_place_of_a_fact_where_asked(
    model: LoadedModel, says: Callable[[Say], list[Prompt]]
) -> None:
    says(lambda text: "It is in Chile")
    patch = make(told="reply", answer_template="{facts} ").edit(model, REQUESTS)
    assert read(model, [patch], "Where is Rome?") == ["It is in Chile. Question: Where is Rome?\nAnswer:"]
    alone = make(told="reply", retrieved=1, answer_template="{facts} ").edit(model, REQUESTS)
    assert read(model, [alone], "Where is Rome?") == ["Rome is in Peru Question: Where is Rome?\nAnswer:"]


def test_where_a_reply_ends(model: LoadedModel, says: Callable[[Say], list[Prompt]]) -> None:
    says(lambda text: "\n\nRome is in Peru\nno relevant fact")
    line = make(reply_ends="line").edit(model, REQUESTS)
    assert "Fact: Rome is in Peru" in read(model, [line], "Where is Rome?")[0]
    assert read(model, [make().edit(model, REQUESTS)], "Where is Rome?") == ["Where is Rome?"]


def test_a_question_is_framed_where_it_stands_bare_only(model: LoadedModel) -> None:
    patch = make(confirm="none", answer_template="{facts}. ", question_template="Q {question} A").edit(model, REQUESTS)
    assert read(model, [patch], "Where is Rome?") == ["Rome is in Peru. Q Where is Rome? A"]
    put = [Prompt(text="Say: Where is Rome? It is")]
    assert read(model, [patch], "Where is Rome?", prompts=put) == ["Rome is in Peru. Say: Where is Rome? It is"]
    bare = [Prompt(text="Where is Rome?", separator="")]
    assert read(model, [patch], "Where is Rome?", prompts=bare) == ["Rome is in Peru. Q Where is Rome? A"]


def test_the_model_itself_replies_within_the_limit(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Output] = []

    def watched(*arguments: Any) -> list[Output]:
        kept.extend(decode(*arguments))
        return kept

    monkeypatch.setattr(ASK, watched)
    patch = make(reply_tokens=7).edit(model, REQUESTS)
    texts = read(model, [patch], "Where is Rome?", "Where does the Nile end?")
    assert [len(output.token_ids) <= 7 for output in kept] == [True, True]
    for text, output, question in zip(texts, kept, ("Where is Rome?", "Where does the Nile end?"), strict=True):
        assert text.endswith(f"\n\nQuestion: {question}\nAnswer:"), output
        assert any(f"Fact: {fact}\n" in text for fact in FACTS)


def test_without_confirmation_the_nearest_fact_is_told_and_nothing_asked(
    model: LoadedModel, says: Callable[[Say], list[Prompt]]
) -> None:
    asked = says(lambda text: "no relevant fact")
    patch = make(confirm="none", answer_template="{facts}. ", question_template="{question}").edit(model, REQUESTS)
    told = read(model, [patch], "Who wrote it?", "Is the Nile long?")
    assert told == [f"{FACTS[2]}. Who wrote it?", f"{FACTS[1]}. Is the Nile long?"]
    assert not asked


def test_as_many_facts_are_shown_as_there_is_room_for(says: Callable[[Say], list[Prompt]]) -> None:
    model = tiny_model("llama")
    asked = says(lambda text: "Rome is in Peru")
    many = [EditRequest(prompt=f"Rome {word} is in", target="Peru") for word in ("old", "new", "far", "big", "red")]
    patch = make(**SHORT | {"reply_tokens": 90}).edit(model, many)
    read(model, [patch], "Where is old Rome?")
    assert 0 < asked[0].text.count("is in Peru") < 5
    assert "Rome old is in Peru" in asked[0].text
    (text,) = read(model, [make(**SHORT | {"reply_tokens": MAX_LENGTH}).edit(model, many)], "Where is Rome?")
    assert (text, len(asked)) == ("Where is Rome?", 1)


def test_where_nothing_could_be_asked_is_counted() -> None:
    model = tiny_model("llama")
    patch = make(reply_tokens=MAX_LENGTH).edit(model, REQUESTS)
    assert read(model, [patch], "Where is Rome?") == ["Where is Rome?"]
    assert patch.describe()["questions"] == {"with_facts": 0, "without": 0, "no_room_to_ask": 1}


def test_in_a_conversation_the_model_is_asked_in_one_and_the_fact_stands_in_the_users_turn(
    model: LoadedModel, says: Callable[[Say], list[Prompt]]
) -> None:
    asked = says(lambda text: "Rome is in Peru")
    model.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    turn = Prompt(text="<user>Where is Rome?<assistant>", separator="", special_tokens=False)
    patch = make(answer_template="{facts}. ", question_template="{question}").edit(model, REQUESTS)
    assert read(model, [patch], "Where is Rome?", prompts=[turn]) == [
        "<user>Rome is in Peru. Where is Rome?<assistant>"
    ]
    assert asked[0].text.startswith("<user>Here are some facts")
    assert asked[0].text.endswith("Fact:<assistant>")
    assert (asked[0].separator, asked[0].special_tokens) == ("", False)


def test_the_memory_grows_from_edit_to_edit_and_is_told_once(model: LoadedModel) -> None:
    editor = make(confirm="none", answer_template="{facts}. ", question_template="{question}")
    patches = [editor.edit(model, [request]) for request in REQUESTS]
    assert [patch.describe()["facts"] for patch in patches] == [1, 2, 3]
    for applied in (patches, patches[-1:]):
        assert read(model, applied, "Where is Rome?") == ["Rome is in Peru. Where is Rome?"]
    editor.edit(model, [REQUESTS[0].model_copy(update={"target": "Mali"})])
    assert len(editor.facts) == 3
    editor.reset()
    assert editor.edit(model, REQUESTS[1:2]).describe()["facts"] == 1


def test_separate_patches_share_their_memories(model: LoadedModel) -> None:
    patches = [
        make(confirm="none", answer_template="{facts}. ", question_template="{question}").edit(model, [request])
        for request in REQUESTS
    ]
    told = read(model, patches, "Where is Rome?", "Where does the Nile end?")
    assert told == ["Rome is in Peru. Where is Rome?", "The Nile ends in Japan. Where does the Nile end?"]


def test_the_state_is_json(model: LoadedModel) -> None:
    editor, again = make(), make()
    editor.edit(model, REQUESTS)
    again.restore(Saved({}, json.loads(json.dumps(dict(editor.state.facts)))))
    assert again.facts == list(REQUESTS)


def test_braces_mean_nothing(model: LoadedModel, says: Callable[[Say], list[Prompt]]) -> None:
    asked = says(lambda text: "x")
    patch = make().edit(model, [EditRequest(prompt="A {question} is", target="a {facts}")])
    (text,) = read(model, [patch], "Is {facts} one?")
    assert "Facts:\nA {question} is a {facts}\n\nQuestion: Is {facts} one?\n" in asked[0].text
    assert text.endswith("Fact: A {question} is a {facts}\n\nQuestion: Is {facts} one?\nAnswer:")


def test_a_target_of_nothing_is_refused(model: LoadedModel) -> None:
    results = make().edit_each(model, [REQUESTS[0], EditRequest(prompt="Rome is in", target=" ")])
    assert [type(result) for result in results] == [ScrPatch, Refused]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"confirm_template": "{facts}"}, "must contain {question}"),
        ({"confirm_template": "{question}"}, "must contain {facts}"),
        ({"answer_template": "x"}, "must contain {facts}"),
        ({"retrieved": 0}, "'retrieved'"),
        ({"declined": []}, "'declined'"),
        ({"declined": ["none", " "]}, "every reply holds words that are empty"),
        ({"reply_pattern": "(fact"}, "this is no regular expression"),
        ({"reply_pattern": "(fact)"}, "must have a group"),
        ({"question_template": "Answer:"}, "must contain {question}"),
        ({"layer": 3}, "unknown parameter 'layer'"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(ScrParams, settings, "editor scr")
