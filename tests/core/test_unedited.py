"""The unedited model's answers, and the cases that it gets wrong."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from wildcore import (
    EditCase,
    EditRequest,
    EvalProtocol,
    Generator,
    Gold,
    Metric,
    Output,
    Probe,
    Prompt,
    Score,
    StopRule,
    Use,
    UserError,
)
from wildcore.evaluation.failure_filter import FailureFilter
from wildcore.evaluation.questions import render_questions
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.jobs.protocols import make_protocol
from wildcore.models import LoadedModel
from wildcore.protocols import ReadyProtocol
from wildcore.registry import load_registry
from wildcore.testing.conformance import SilentProgress
from wildcore.testing.networks import MAX_LENGTH, tiny_model
from wildcore.testing.stub_protocol import Bare, Whole


class Echo(Generator):
    """Says the prompt's last word, and counts the prompts."""

    reads_gold = False

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        self.prompts += [prompt.text for prompt in prompts]
        words = [prompt.text.split()[-1] for prompt in prompts]
        return [(Output(text=word, token_ids=(1,), stop_reason="stop-rule"),) for word in words]


class GoldEcho(Echo):
    """Says the gold."""

    reads_gold = True

    def generate(
        self, model: LoadedModel, prompts: Sequence[Prompt], golds: Sequence[Gold | None], stop: StopRule
    ) -> list[tuple[Output, ...]]:
        self.prompts += [prompt.text for prompt in prompts]
        return [(Output(text=gold.text, token_ids=(1,), stop_reason="stop-rule"),) for gold in golds if gold]


class Equal(Metric):
    """1 for the gold; the answer "mute" cannot be scored."""

    def score(self, items):
        return [
            Score(value=None, reason="mute") if i.answer.text == "mute" else Score(value=i.answer.text in i.answers)
            for i in items
        ]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


def protocol(generator: Echo, **params: object) -> ReadyProtocol:
    use = Use(name="x")
    definition = EvalProtocol(
        name="test", summary="", context=use, generator=Use(name="echo", params=params), truncator=use, metrics={}
    )
    return ReadyProtocol(definition, Bare(), generator, Whole(), {"reliability": (("equal", Equal()),)})


def probe(prompt: str, gold: str) -> Probe:
    return Probe(kind="reliability", prompt=prompt, answers=(gold,))


def asked(store: UneditedAnswers, ready: ReadyProtocol, probes: Sequence[Probe]) -> list[str | None]:
    answers = store.answers(ready, render_questions(store.model, ready, probes))
    return [samples[0].text if samples else None for samples in answers]


PROBES = [probe("Snow is", "white"), probe("The sky", "blue"), probe("Snow is", "white")]


def test_each_question_is_asked_once_across_stores(model: LoadedModel, tmp_path: Path) -> None:
    first, second = Echo(), Echo()
    store = UneditedAnswers(tmp_path, model)
    assert asked(store, protocol(first), PROBES) == ["is", "sky", "is"]
    assert first.prompts == ["Snow is", "The sky"]
    later = UneditedAnswers(tmp_path, model)
    assert asked(later, protocol(second), [*PROBES, probe("Grass", "green")]) == ["is", "sky", "is", "Grass"]
    assert second.prompts == ["Grass"]


def test_another_generation_or_a_gold_that_is_read_is_another_question(model: LoadedModel, tmp_path: Path) -> None:
    store = UneditedAnswers(tmp_path, model)
    asked(store, protocol(Echo()), PROBES[:1])
    longer, blind, reading = Echo(), Echo(), GoldEcho()
    asked(store, protocol(longer, max_new_tokens=3), PROBES[:1])
    asked(store, protocol(blind), [probe("Snow is", "black")])
    assert asked(store, protocol(reading), [probe("Snow is", "white"), probe("Snow is", "black")]) == ["white", "black"]
    assert (longer.prompts, blind.prompts) == (["Snow is"], [])


@pytest.mark.parametrize("part", ["context", "generator", "truncator"])
def test_a_module_of_another_plugin_or_version_is_asked_anew(part: str, model: LoadedModel, tmp_path: Path) -> None:
    store, first, again, other = UneditedAnswers(tmp_path, model), Echo(), Echo(), Echo()
    sources = dict.fromkeys(("context", "generator", "truncator"), "some-plugin 1.0")
    asked(store, replace(protocol(first), sources=sources), PROBES)
    asked(store, replace(protocol(again), sources=sources), PROBES)
    asked(store, replace(protocol(other), sources=sources | {part: "some-plugin 1.1"}), PROBES)
    assert (len(first.prompts), len(again.prompts), len(other.prompts)) == (2, 0, 2)


PLUGIN = """
from wildcore import Offer, hookimpl
from wildcore.testing.stub_protocol import Bare, Greedy, Whole

@hookimpl
def wildcore_contexts():
    return [Offer("own-context", lambda params: Bare())]

@hookimpl
def wildcore_generators():
    return [Offer("own-generator", lambda params: Greedy(4))]

@hookimpl
def wildcore_truncators():
    return [Offer("own-truncator", lambda params: Whole())]
"""
OWN = EvalProtocol(
    name="own",
    summary="",
    context=Use(name="own-context"),
    generator=Use(name="own-generator"),
    truncator=Use(name="own-truncator"),
    metrics={},
)


@pytest.mark.parametrize(
    ("module", "editable"),
    [
        ("kept_file.py", False),
        ("edited_file.py", True),
        ("kept_folder/plugin.py", False),
        ("edited_folder/plugin.py", True),
    ],
)
def test_modules_say_what_they_came_in_and_their_code_where_it_may_be_edited(
    module: str, editable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, info = tmp_path / "project", tmp_path / "site" / "own_plugin-2.5.dist-info"
    info.mkdir(parents=True)
    code = project / module
    code.parent.mkdir(parents=True)
    (code.parent / "__init__.py").touch()
    code.write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[wildcore]\nown = {module.removesuffix('.py').replace('/', '.')}\n")
    direct = {"url": project.as_uri(), "dir_info": {"editable": editable}}
    (info / "direct_url.json").write_text(json.dumps(direct))
    monkeypatch.syspath_prepend(project)
    monkeypatch.syspath_prepend(info.parent)
    registry = load_registry(only=["own"])
    before = make_protocol(registry, OWN).sources
    assert set(before) == {"context", "generator", "truncator"}
    assert all(source.startswith("own-plugin 2.5") for source in before.values())
    assert make_protocol(registry, OWN).sources == before
    code.write_text(PLUGIN.replace("Greedy(4)", "Greedy(5)"))
    after = make_protocol(registry, OWN).sources
    assert [after[part] != before[part] for part in before] == [editable] * 3
    if not editable:
        assert set(after.values()) == {"own-plugin 2.5"}


def test_another_model_has_another_store(model: LoadedModel, tmp_path: Path) -> None:
    asked(UneditedAnswers(tmp_path, model), protocol(Echo()), PROBES)
    other, echo = tiny_model("llama"), Echo()
    weight = other.mlp_output(1).weight
    weight[0, 0] = weight[0, 0].nextafter(weight[0, 0] + 1)  # one bit of one weight
    asked(UneditedAnswers(tmp_path, other), protocol(echo), PROBES)
    assert len(echo.prompts) == 2


def test_what_does_not_fit_has_no_answer_and_stays_so(model: LoadedModel, tmp_path: Path) -> None:
    too_long = probe("Paris " * MAX_LENGTH, "Rome")
    for _ in range(2):
        assert asked(UneditedAnswers(tmp_path, model), protocol(Echo()), [too_long, PROBES[1]]) == [None, "sky"]


def case(number: int, prompt: str, target: str) -> EditCase:
    return EditCase(id=str(number), request=EditRequest(prompt=prompt, target=target), probes=(probe(prompt, target),))


def sieve(model: LoadedModel, cache: Path) -> FailureFilter:
    return FailureFilter(UneditedAnswers(cache, model), protocol(Echo()))


CASES = [
    case(0, "Snow is white", "white"),
    case(1, "Snow is white", "black"),
    case(2, "It is mute", "mute"),
    case(3, "The sky is blue", "green"),
    case(4, "The sky is blue", "red"),
]


def test_the_cases_that_the_model_gets_wrong_are_kept_and_all_are_counted(model: LoadedModel, tmp_path: Path) -> None:
    found = sieve(model, tmp_path)
    count = found.take(iter(CASES), None, SilentProgress())
    assert [c.id for c in found.kept] == ["1", "3", "4"]
    assert (count.asked, count.right, count.unscored, count.kept) == (5, 1, 1, 3)
    assert str(count) == (
        "only failures: 3 of 5 cases kept; the unedited model gets 1 right under test (equal), 1 could not be scored"
    )


def test_as_many_as_wanted_are_kept_and_no_more_counted(model: LoadedModel, tmp_path: Path) -> None:
    found = sieve(model, tmp_path)
    count = found.take(iter(CASES), 2, SilentProgress())
    assert [c.id for c in found.kept] == ["1", "3"]
    assert count.asked == 4


class Steps(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int | None] = []

    @contextmanager
    def track(self, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        self.told.append(total)
        yield self.told.append


def test_progress_is_of_the_cases_wanted_or_of_those_asked(model: LoadedModel, tmp_path: Path) -> None:
    wanted, every = Steps(), Steps()
    sieve(model, tmp_path).take(iter(CASES), 2, wanted)
    sieve(model, tmp_path).take(iter(CASES), None, every)
    assert (wanted.told, every.told) == ([2, 2], [None, 5])


def test_a_protocol_without_a_metric_for_edits_cannot_sift(model: LoadedModel, tmp_path: Path) -> None:
    ready = ReadyProtocol(protocol(Echo()).definition, Bare(), Echo(), Whole(), {})
    with pytest.raises(UserError, match="`only_failures`: protocol test has no metric for reliability"):
        FailureFilter(UneditedAnswers(tmp_path, model), ready).take(iter(CASES), None, SilentProgress())


def test_a_store_that_cannot_be_used_is_named_with_the_way_out(model: LoadedModel, tmp_path: Path) -> None:
    store = UneditedAnswers(tmp_path, model)
    store.path.write_bytes(b"no database " * 100)
    with pytest.raises(
        UserError, match=r"\.sqlite: the kept answers of the unedited model cannot be used \(file is not"
    ):
        asked(store, protocol(Echo()), PROBES)
    with pytest.raises(UserError, match="remove the file"):
        UneditedAnswers(tmp_path, model)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"cannot be made \(Not a directory\); name another cache folder by WILDCORE_CACHE"
    ):
        UneditedAnswers(tmp_path / "file", model)
