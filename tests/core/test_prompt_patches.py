"""Patches that change what a model is asked: where they act, and what the runner does with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from wildcore import (
    EditCase,
    Editor,
    EditRequest,
    Patch,
    Probe,
    Prompt,
    Refused,
    Saved,
)
from wildcore.evaluation.examiner import Examiner, shares_a_batch
from wildcore.evaluation.single import run_cases
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.inference import decode
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.patches import PromptPatch
from wildcore.testing.networks import MAX_LENGTH, tiny_model
from wildcore.testing.stub_protocol import Greedy, plain_protocol

LONG = "Is the sky blue? "
TOKENS = 4


class Before(PromptPatch):
    """Puts a text before the questions that hold a word."""

    def __init__(self, text: str, word: str = "") -> None:
        self.text, self.word = text, word
        self.calls: list[tuple[list[str], list[str]]] = []

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        self.calls.append(([prompt.text for prompt in prompts], list(questions)))
        return [
            prompt.model_copy(update={"text": self.text + prompt.text}) if self.word in question else prompt
            for prompt, question in zip(prompts, questions, strict=True)
        ]

    def to_saved(self) -> Saved:
        return Saved({}, {"text": self.text})

    def describe(self) -> Mapping[str, Any]:
        return {"finite": True, "text": self.text}


class InContext(Editor):
    """Puts the fact before questions about its subject; refuses a fact without one."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        (request,) = requests
        if request.subject is None:
            raise Refused("no subject")
        return Before(f"{request.prompt} {request.target}. ", request.subject)


class Instruction:
    """The question behind an instruction."""

    def render(self, question: str, model: LoadedModel) -> Prompt:
        return Prompt(text=f"Q: {question}")


def case(number: int, subject: str | None, *questions: str) -> EditCase:
    request = EditRequest(prompt=f"{subject} is in", target="Peru", subject=subject)
    probes = tuple(Probe(kind="reliability", prompt=question, answers=("Peru",)) for question in questions)
    return EditCase(id=str(number), request=request, probes=probes)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture
def examiner(model: LoadedModel, tmp_path: Path) -> Examiner:
    return Examiner(model, [plain_protocol(Greedy(TOKENS), Instruction())], UneditedAnswers(tmp_path, model))


def said(model: LoadedModel, text: str) -> str:
    """Return what the unedited model says to a text alone."""
    return decode(model, [Prompt(text=text)], [TOKENS], lambda row, text, count: False)[0].text


def test_a_patch_acts_where_it_is_applied_and_is_given_the_bare_questions(model: LoadedModel) -> None:
    patch, prompts = Before("In Peru. "), [Prompt(text="Q: Where?")]
    assert model.rewrite_prompts(prompts, ["Where?"]) == prompts
    with patch.applied(model):
        assert model.rewrite_prompts(prompts, ["Where?"]) == [Prompt(text="In Peru. Q: Where?")]
    assert model.rewrite_prompts(prompts, ["Where?"]) == prompts
    assert patch.calls == [(["Q: Where?"], ["Where?"])]
    assert prompts == [Prompt(text="Q: Where?")]


def test_patches_act_in_the_order_in_which_they_came(model: LoadedModel) -> None:
    first, second = Before("one "), Before("two ")
    with first.applied(model), second.applied(model):
        assert model.rewrite_prompts([Prompt(text="?")], ["?"])[0].text == "two one ?"
    assert second.calls == [(["one ?"], ["?"])]


def test_a_patch_is_taken_away_whatever_happens(model: LoadedModel) -> None:
    with pytest.raises(ZeroDivisionError), Before("one ").applied(model):
        _ = 1 / 0
    assert model.prompt_patches == []


def test_the_edited_model_reads_the_new_prompt_and_the_record_shows_it(model: LoadedModel, examiner: Examiner) -> None:
    (record,) = run_cases(InContext(), examiner, [case(0, "Rome", "Where is Rome?", "Where is Oslo?")])
    about, other = record.probes
    assert record.edit.patch == {"finite": True, "text": "Rome is in Peru. "}
    assert (about.question, about.prompt) == ("Where is Rome?", "Q: Where is Rome?")
    assert about.prompt_after == "Rome is in Peru. Q: Where is Rome?"
    assert about.before[0].text == said(model, "Q: Where is Rome?")
    assert about.after[0].text == said(model, "Rome is in Peru. Q: Where is Rome?") != about.before[0].text
    assert other.prompt_after is None
    assert other.after == other.before
    assert model.prompt_patches == []


def test_edits_share_a_batch_and_each_is_asked_under_its_own(model: LoadedModel, examiner: Examiner) -> None:
    cases = [case(0, "Rome", "Is Rome old?"), case(1, "Oslo", "Is Oslo old?"), case(2, None, "Is Bern old?")]
    records = run_cases(InContext(), examiner, cases)
    generator = examiner.protocols[0].generator
    assert isinstance(generator, Greedy)
    assert generator.batches[1:] == [["Rome is in Peru. Q: Is Rome old?", "Oslo is in Peru. Q: Is Oslo old?"]]
    assert [record.edit.status for record in records] == ["edited", "edited", "refused"]
    assert [record.edit.fallback for record in records] == [None, None, None]
    for record, single in zip(records, cases, strict=True):
        (alone,) = run_cases(InContext(), examiner, [single])
        assert alone.probes == record.probes
    assert shares_a_batch(Before(""))


def test_a_prompt_that_became_too_long_has_no_answer_and_a_reason(examiner: Examiner) -> None:
    long = LONG * (MAX_LENGTH // 12)  # fits, and before a question no more
    short, fitting = "Where is Rome?", "Is Oslo old?"
    request = EditRequest(prompt=long, target="x", subject="Rome")
    probes = tuple(Probe(kind="reliability", prompt=text, answers=("Peru",)) for text in (short, fitting))
    (record,) = run_cases(InContext(), examiner, [EditCase(id="0", request=request, probes=probes)])
    too_long, answered = record.probes
    assert too_long.unanswered is not None
    assert f"exceed the model's {MAX_LENGTH}" in too_long.unanswered
    assert (len(too_long.before), too_long.after) == (1, ())
    assert too_long.prompt_after is not None
    assert too_long.prompt_after.startswith(long)
    assert (answered.unanswered, len(answered.after)) == (None, 1)


def test_the_gold_of_a_rewritten_question_follows_its_own_prompt(model: LoadedModel, examiner: Examiner) -> None:
    (questions,) = examiner.questions(case(0, "Rome", "Where is Rome?")).values()
    after = examiner.rewrite_questions({"test": questions}, Before("It is in \n"))["test"][0]
    joined = tokenise_pair(model.tokenizer, Prompt(text="It is in \nQ: Where is Rome?"), "Peru")
    assert (after.gold.token_ids, after.prompt_length) == (joined.target_ids, joined.prompt_length)
    assert after.text == "Where is Rome?"
