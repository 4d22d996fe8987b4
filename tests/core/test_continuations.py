"""What an edited model says after the answer that is scored: observed, counted, and without an effect on any score."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from wildcore import Answer, AnsweredProbe, EditCase, EditRequest, Gold, Metric, Output, Probe, Saved, Score
from wildcore.cli import main
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.single import run_cases
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import Editor
from wildcore.models import LoadedModel
from wildcore.patches import Dense, PromptPatch, WeightPatch
from wildcore.records.continuations import PutOff, after_the_answer, continuations, rest, same_beginning
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ProbeRecord, ScoreRecord
from wildcore.scoring.summary import summary
from wildcore.testing.networks import tiny_model
from wildcore.testing.stub_protocol import Greedy, plain_protocol
from wildcore.types import Prompt, StopReason

TOKENS, CUT, MORE = 40, 4, 12


class FirstCharacters:
    """The answer is the first ``CUT`` characters."""

    reads_gold: ClassVar[bool] = False

    def is_complete(self, text: str, token_count: int, gold: Gold | None) -> bool:
        return len(text) >= CUT

    def truncate(self, output: Output, gold: Gold | None) -> Answer:
        return Answer(text=output.text[:CUT], token_ids=output.token_ids, output=output)


class OnlyThe(Metric):
    """1 for the answers to one question."""

    def __init__(self, question: str, expensive: bool = False) -> None:
        self.question, self.expensive = question, expensive  # type: ignore[misc]

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        return [Score(value=float(item.question == self.question)) for item in items]


class Doubles(Editor):
    """Doubles a weight."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> WeightPatch:
        projection = model.mlp_output(1)
        return WeightPatch({projection.name: Dense(projection.weight.float())})


class Hint(PromptPatch):
    """Puts a word before every prompt."""

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        return [prompt.model_copy(update={"text": f"Peru. {prompt.text}"}) for prompt in prompts]

    def to_saved(self) -> Saved:
        return Saved({}, {})

    def describe(self) -> dict[str, bool]:
        return {"finite": True}


class Hints(Editor):
    """Puts a word before every prompt."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Hint:
        return Hint()


def case(number: int) -> EditCase:
    kinds = ("reliability", "generalization", "reliability", "locality")
    probes = tuple(Probe(kind=k, prompt=f"Mill {number}, {i}:", answers=("Peru",)) for i, k in enumerate(kinds))
    return EditCase(id=str(number), request=EditRequest(prompt=probes[0].prompt, target="Peru"), probes=probes)


def evaluated(tmp_path: Path, editor: Editor, continuation: int, *metrics: Metric) -> list[CaseRecord]:
    model = tiny_model("llama")
    labelled = {"reliability": tuple((str(number), metric) for number, metric in enumerate(metrics))}
    protocol = plain_protocol(Greedy(TOKENS), truncator=FirstCharacters(), metrics=labelled)
    examiner = Examiner(model, [protocol], UneditedAnswers(tmp_path, model), continuation)
    return run_cases(editor, examiner, [case(number) for number in range(3)])


def without(record: CaseRecord) -> CaseRecord:
    """Return a record without what followed, and without the time."""
    probes = tuple(probe.model_copy(update={"continued": None}) for probe in record.probes)
    return record.model_copy(update={"probes": probes, "edit": record.edit.model_copy(update={"seconds": 0.0})})


@pytest.mark.parametrize("editor", [Doubles(), Hints()])
def test_what_follows_is_observed_and_changes_nothing(editor: Editor, tmp_path: Path) -> None:
    plain, looked = (evaluated(tmp_path, editor, more) for more in (0, MORE))
    assert [without(record) for record in plain] == [without(record) for record in looked]
    assert not any(probe.continued for record in plain for probe in record.probes)
    for probe in (probe for record in looked for probe in record.probes):
        if probe.kind != "reliability":
            assert probe.continued is None
            continue
        (answer,), longer = probe.after, probe.continued
        assert longer is not None
        assert longer.token_ids[: len(answer.output.token_ids)] == answer.output.token_ids
        assert len(rest(longer.text, answer.text)) >= MORE or longer.stop_reason != "stop-rule"
        assert len(longer.token_ids) > len(answer.output.token_ids)


@pytest.mark.parametrize(("metric", "asked"), [(OnlyThe("Mill 1, 2:"), 1), (OnlyThe("", expensive=True), 6)])
def test_only_answers_that_hold_are_asked_for_unless_that_is_expensive_to_tell(
    metric: Metric, asked: int, tmp_path: Path
) -> None:
    records = evaluated(tmp_path, Doubles(), MORE, metric)
    continued = [probe.question for record in records for probe in record.probes if probe.continued]
    assert len(continued) == asked
    assert "Mill 1, 2:" in continued


@given(st.text(max_size=30), st.integers(1, 20))
def test_a_rule_that_is_put_off_waits_for_so_many_characters(text: str, characters: int) -> None:
    complete = PutOff(FirstCharacters(), characters).is_complete(text, 0, None)
    assert complete == (len(text) >= CUT + characters)


def output(text: str, stop_reason: StopReason = "stop-rule") -> Output:
    return Output(text=text, token_ids=tuple(text.encode()), stop_reason=stop_reason)


def answer(text: str, cut: str, stop_reason: StopReason = "stop-rule") -> Answer:
    return Answer(text=cut, token_ids=(), output=output(text, stop_reason))


def probe(after: tuple[Answer, ...], continued: Output | None = None) -> ProbeRecord:
    made = {"protocol": "wild", "probe": 0, "kind": "reliability", "question": "?", "answers": ("Lyon",), "prompt": "?"}
    return ProbeRecord(**made, gold_token_ids=(), before=(), after=after, continued=continued)


LYON = answer(" Lyon.", "Lyon")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (probe((LYON,)), ("unknown", ".")),
        (probe((LYON,), output(" Lyon. Manila. Manila.")), ("went on", ". Manila. Manila.")),
        (probe((LYON,), output(" Lyon. \n", "end-of-sequence")), ("ended", ". \n")),
        (probe((LYON,), output(" Lyon..........", "max-new-tokens")), ("unknown", "..........")),
        (probe((answer(" Lyon. Manila", "Lyon", "max-new-tokens"),)), ("went on", ". Manila")),
        (probe((answer(" Lyon", "Lyon", "end-of-sequence"),)), ("ended", "")),
        (probe((LYON, LYON)), ("unknown", "")),
        (probe(()), ("unknown", "")),
    ],
)
def test_what_followed_an_answer(one: ProbeRecord, said: tuple[str, str]) -> None:
    assert after_the_answer(one) == said


def test_another_beginning_is_no_continuation() -> None:
    longer = answer(" Lyon. Manila", "")
    assert same_beginning((LYON,), (longer,)) == longer.output
    assert same_beginning((LYON,), (answer(" Lima. Manila", ""),)) is None
    assert same_beginning((LYON,), ()) is None


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A finished run: two answers that hold and go on, one that ends, one of which nothing is known, one that does not hold."""
    named = {"name": "x", "dtype": "float32", "device": "cpu"}
    identity = dict.fromkeys(("model", "dataset", "editor"), named)
    rest_of_it: dict[str, object] = {"versions": {}, "hardware": {}, "plugins": {}, "protocols": (), "job": {"seed": 0}}
    manifest = Manifest(created="now", identity=identity, case_count=5, **rest_of_it)
    folder = RunFolder.create(tmp_path / "run", manifest)
    went_on = output(" Lyon. Manila. Manila.")
    probes = [
        probe((LYON,), output(" Lyon.", "end-of-sequence")),
        probe((LYON,), went_on),
        probe((LYON,)),
        probe((LYON,), output(" Lyon.\nQ: Who is it?")),
        probe((answer(" Lima. Peru", "Lima", "max-new-tokens"),)),
    ]
    scores = []
    for number, one in enumerate(probes):
        request = EditRequest(prompt=f"Mill {number}", target="Lyon")
        edit = EditOutcome(status="edited", seconds=1.0)
        folder.append(CaseRecord(case=str(number), request=request, edit=edit, probes=(one,)))
        place = {"case": str(number), "protocol": "wild", "probe": 0, "kind": "reliability", "before_reason": None}
        for metric, value in (("exact-match", float(number < 4)), ("other", 1.0)):
            scores.append(ScoreRecord(**place, metric=metric, before=0.0, after=value, after_reason=None))
    folder.write_scores(scores)
    return folder


def test_those_that_went_on_are_counted_among_those_that_hold(run: RunFolder) -> None:
    (found,) = continuations(run.cases(), run.scores())
    assert (found.protocol, found.metric, found.held) == ("wild", "exact-match", 4)
    assert (found.went_on, found.ended, found.unknown) == (2, 1, 1)
    assert found.example == "Lyon. Manila. Manila."
    assert summary(run)["continuations"] == [found.model_dump()]


def test_they_are_shown(run: RunFolder) -> None:
    shown = CliRunner().invoke(main, ["show", str(run.path)], catch_exceptions=False).stdout
    assert (
        "wild: of 4 correct answers, 2 went on after the cut, such as 'Lyon. Manila. Manila.'; 1 ended there; for 1 this is "
        "not known." in shown
    )
    edits = CliRunner().invoke(main, ["show", str(run.path), "--edits"], catch_exceptions=False).stdout
    assert "after the cut" in edits
    assert ". Manila. Manila." in next(line for line in edits.splitlines() if "Mill 1 " in line)
    as_json = CliRunner().invoke(main, ["show", str(run.path), "--json"], catch_exceptions=False).stdout
    assert json.loads(as_json)["continuations"][0]["went_on"] == 2
