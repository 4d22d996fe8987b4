"""Asking a model a case's probes: who is given the gold, and what does not fit."""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from wildcore import Answer, Generator, Gold, Output, Probe, Prompt, StopRule
from wildcore.evaluation.questions import Answers, Question, generate_answers, render_questions, unanswerable
from wildcore.models import LoadedModel, encode, tokenise_pair
from wildcore.protocols import ReadyProtocol
from wildcore.testing.networks import MAX_LENGTH, tiny_model
from wildcore.testing.stub_protocol import plain_protocol

PROBES = [
    Probe(kind="reliability", prompt="Where was Marie Curie born?", answers=("Warsaw", "Warszawa")),
    Probe(kind="locality", prompt="Rome is in", answers=("the old Italy",)),
    Probe(kind="generalization", prompt="The capital of Canada is", answers=("Ottawa",)),
]
SAID = 3


class RecordingGenerator(Generator):
    """Says "word" until it is stopped, and keeps what it was given."""

    reads_gold: ClassVar[bool] = False

    def __init__(self, samples: int = 1) -> None:
        self.samples = samples
        self.golds: list[Gold | None] = []
        self.batches: list[int] = []

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        self.golds += golds
        self.batches.append(len(prompts))
        return [tuple(self._say(row, prompt, stop) for _ in range(self.samples)) for row, prompt in enumerate(prompts)]

    def _say(self, row: int, prompt: Prompt, stop: StopRule) -> Output:
        count = 1
        while not stop(row, "word " * count, count):
            count += 1
        return Output(text=prompt.text + " word" * count, token_ids=(5,) * count, stop_reason="stop-rule")


class GoldReadingGenerator(RecordingGenerator):
    """The same, declared as reading the gold."""

    reads_gold: ClassVar[bool] = True


class WithoutSpecialTokens:
    """The bare question, with no token before it."""

    def render(self, question: str, model: LoadedModel) -> Prompt:
        return Prompt(text=question, special_tokens=False)


class RecordingTruncator:
    """Ends an answer after three tokens, and keeps what it was given."""

    reads_gold: ClassVar[bool] = False

    def __init__(self) -> None:
        self.golds: list[Gold | None] = []

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        self.golds.append(gold)
        return token_count >= SAID

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        self.golds.append(gold)
        return Answer(text=output.text, token_ids=output.token_ids[:SAID], output=output)


class GoldReadingTruncator(RecordingTruncator):
    """Ends an answer at the gold's length."""

    reads_gold: ClassVar[bool] = True

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        self.golds.append(gold)
        assert gold is not None
        return token_count >= len(gold.token_ids)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


def protocol(generator: RecordingGenerator, truncator: RecordingTruncator) -> ReadyProtocol:
    return plain_protocol(generator, truncator=truncator)


def asked(model: LoadedModel, ready: ReadyProtocol, batch_size: int = 2) -> list[Answers]:
    model.max_batch_size = batch_size
    return generate_answers(model, ready, render_questions(model, ready, PROBES))


def test_modules_that_do_not_declare_it_are_never_given_the_gold(model: LoadedModel) -> None:
    generator, truncator = RecordingGenerator(), RecordingTruncator()
    asked(model, protocol(generator, truncator))
    assert generator.golds == [None] * len(PROBES)
    assert truncator.golds == [None] * len(PROBES) * (SAID + 1)


def test_only_the_module_that_declares_it_is_given_the_gold(model: LoadedModel) -> None:
    generator, truncator = GoldReadingGenerator(), RecordingTruncator()
    asked(model, protocol(generator, truncator))
    assert [gold.text for gold in generator.golds if gold] == [probe.answers[0] for probe in PROBES]
    assert set(truncator.golds) == {None}

    generator, truncator = RecordingGenerator(), GoldReadingTruncator()
    asked(model, protocol(generator, truncator))
    assert set(generator.golds) == {None}
    assert {gold.text for gold in truncator.golds if gold} == {probe.answers[0] for probe in PROBES}
    assert None not in truncator.golds


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_each_row_is_stopped_by_its_own_gold_and_answers_come_in_order(batch_size: int, model: LoadedModel) -> None:
    generator = RecordingGenerator()
    ready = protocol(generator, GoldReadingTruncator())
    answers = asked(model, ready, batch_size)
    questions = render_questions(model, ready, PROBES)
    assert [len(answer.output.token_ids) for (answer,) in answers] == [len(q.gold.token_ids) for q in questions]
    assert [answer.text.split(" word")[0] for (answer,) in answers] == [probe.prompt for probe in PROBES]
    assert max(generator.batches) == min(batch_size, len(PROBES))
    assert sum(generator.batches) == len(PROBES)


def test_a_question_is_posed_with_the_first_answer_as_gold(model: LoadedModel) -> None:
    question = render_questions(model, protocol(RecordingGenerator(), RecordingTruncator()), PROBES[:1])[0]
    assert question.gold.text == "Warsaw"
    assert model.tokenizer.decode(question.gold.token_ids) == " Warsaw"
    assert question.prompt_length == len(encode(model.tokenizer, Prompt(text=PROBES[0].prompt)))


def test_a_question_that_does_not_fit_is_not_asked_and_the_others_are(model: LoadedModel) -> None:
    generator = RecordingGenerator()
    ready = protocol(generator, RecordingTruncator())
    too_long = Probe(kind="reliability", prompt="Paris " * MAX_LENGTH, answers=("Rome",))
    answers = generate_answers(model, ready, render_questions(model, ready, [PROBES[0], too_long, PROBES[1]]))
    assert [len(samples) for samples in answers] == [1, 0, 1]
    assert generator.batches == [2]


def test_every_sample_is_truncated_and_stays_with_its_question(model: LoadedModel) -> None:
    answers = asked(model, protocol(RecordingGenerator(samples=3), RecordingTruncator()))
    assert [len(samples) for samples in answers] == [3, 3, 3]
    assert [{s.text.split(" word")[0] for s in samples} for samples in answers] == [{p.prompt} for p in PROBES]
    assert {s.token_ids for samples in answers for s in samples} == {(5,) * SAID}


def test_the_rival_of_a_probe_goes_with_its_gold(model: LoadedModel) -> None:
    probe = Probe(kind="locality", prompt="Rome is in", answers=("Italy",), rival="Spain")
    (question,) = render_questions(model, protocol(RecordingGenerator(), RecordingTruncator()), [probe])
    assert (question.gold.text, question.gold.rival) == ("Italy", "Spain")


@pytest.mark.parametrize(("prompt_length", "fitting"), [(MAX_LENGTH - 2, True), (MAX_LENGTH - 1, False)])
def test_prompt_and_gold_may_just_fill_the_context(prompt_length: int, fitting: bool, model: LoadedModel) -> None:
    question = Question("?", Prompt(text="?"), Gold(text="x", token_ids=(1, 2)), prompt_length)
    assert (unanswerable(model, question) is None) is fitting


@pytest.mark.parametrize(("gold", "rival"), [("Paris", None), ("the old Paris", None), ("1", "Paris")])
def test_a_prompt_that_merges_with_the_answer_is_not_asked(gold: str, rival: str | None, model: LoadedModel) -> None:
    generator = RecordingGenerator()
    ready = plain_protocol(generator, WithoutSpecialTokens(), RecordingTruncator())
    merging = Probe(kind="reliability", prompt=" ", answers=(gold,), rival=rival)
    questions = render_questions(
        model, ready, [PROBES[0], merging, merging.model_copy(update={"answers": ("1",), "rival": None})]
    )
    lengths = [tokenise_pair(model.tokenizer, question.prompt, gold).prompt_length for question in questions[1:]]
    assert [question.prompt_length for question in questions[1:]] == [1, 1]
    assert lengths == [0, 0] if rival is None else [1, 1]
    assert [len(answers) for answers in generate_answers(model, ready, questions)] == [1, 0, 1]
    assert "so nothing can be asked" in (unanswerable(model, questions[1]) or "")
