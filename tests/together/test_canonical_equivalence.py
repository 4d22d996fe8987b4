"""Texts that are equal in Unicode get the same score by every metric that a plugin offers, whatever form the model, the dataset
or the unedited model writes them in.
"""

import csv
import importlib.util
import itertools
import re
import sys
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wildcore import Answer, AnsweredProbe, Metric, Output, Probe, Prompt
from wildcore.datasets.selection import CaseFilter, CaseReader
from wildcore.jobs.build import make
from wildcore.models import tokenise_pair
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.networks import write_tiny_encoder
from wildcore.testing.tokenizers import byte_level_tokenizer
from wildcore.types import EditCase, EditRequest

REGISTRY = load_registry()
NAMES = [found.offer.name for found in REGISTRY.offers["metric"]]
TOKEN_SHARES = {"token-match", "token-agreement"}
"""Of different texts, these count the tokens as the model wrote them."""
FORMS = ("NFC", "NFD")
TEXTS = ("Hà Nội", "São Paulo", "서울", "한글", "Việt Nam", "Ångström", "が", "Zürich und Genève", "Paris")
QUESTION = "Où est Hà Nội?"
TOKENIZER = byte_level_tokenizer()
JUDGE_SERVER = Path(__file__).parents[2] / "plugins" / "wildcore-judge" / "tests" / "judge_server.py"
MEASURES = {"target-log-probability": -0.5, "rival-log-probability": -1.0}


class OneCase:
    """A dataset of one case, in which every text is in ``form``."""

    def __init__(self, gold: str, form: str) -> None:
        self.gold = unicodedata.normalize(form, gold)
        self.question = unicodedata.normalize(form, QUESTION)

    def cases(self) -> Iterator[EditCase]:
        """Yield the case."""
        probe = Probe(kind="reliability", prompt=self.question, answers=(self.gold, self.gold.lower()))
        yield EditCase(id="1", request=EditRequest(prompt=self.question, target=self.gold), probes=(probe,))


def read(gold: str, form: str) -> Probe:
    """Return the question as a run reads it from a dataset."""
    (case,) = CaseReader("one", OneCase(gold, form), CaseFilter()).cases()
    return case.probes[0]


def written(text: str, form: str) -> Answer:
    """Return an answer in ``form`` with its tokens."""
    said = unicodedata.normalize(form, text)
    ids = token_ids(said)
    return Answer(
        text=said,
        token_ids=ids,
        output=Output(text=f" {said}", token_ids=ids, stop_reason="stop-rule", measures=MEASURES),
    )


def token_ids(answer: str) -> tuple[int, ...]:
    return tokenise_pair(TOKENIZER, Prompt(text="Where?"), answer).target_ids


def answered(texts: tuple[str, str, str], forms: tuple[str, str, str]) -> AnsweredProbe:
    """Return the edited model's answer, for a gold, with the unedited model's answer; each text in its form."""
    (answer, gold, unedited), (of_answer, of_gold, of_unedited) = texts, forms
    probe = read(gold, of_gold)
    return probe.answered(written(answer, of_answer), token_ids(probe.answers[0]), written(unedited, of_unedited))


def as_given(texts: tuple[str, str, str], forms: tuple[str, str, str]) -> AnsweredProbe:
    """Return the same as a run of an earlier version recorded it: the gold and its tokens in the dataset's own form."""
    item = answered(texts, forms)
    answers = tuple(unicodedata.normalize(forms[1], gold) for gold in item.answers)
    return item.model_copy(update={"answers": answers, "gold_token_ids": token_ids(answers[0])})


@pytest.fixture(scope="module")
def judge_server() -> Iterator[Any]:
    module = imported(JUDGE_SERVER)
    with module.JudgeServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


def imported(file: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location("judge_server_of_the_plugin", file)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # its dataclasses look it up
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def metrics(judge_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Metric]:
    """Every metric of the registry, ready to score."""
    folder = tmp_path_factory.mktemp("metrics")
    own: dict[str, dict[str, Any]] = {
        "judge": {"model": "m", "base_url": judge_server.url},
        "human-labels": {"file": labels(folder / "labels.csv")},
        "bert-score": {"encoder": str(write_tiny_encoder(folder / "roberta")), "layer": 2, "device": "cpu"},
    }
    made = {name: make(REGISTRY.find("metric", name), "metric", own.get(name, {}))[0] for name in NAMES}
    made["exact-match, as published"] = make(REGISTRY.find("metric", "exact-match"), "metric", {"as_published": True})[
        0
    ]
    for metric in made.values():
        getattr(metric, "prepare", lambda _: None)(quiet_environment(folder / "cache"))
    return made


def labels(file: Path) -> Path:
    """Write a label for every pair of texts, in a form that changes from row to row."""
    forms = itertools.cycle(FORMS)
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["question", "gold", "answer", "label"])
        for gold, answer in itertools.product(TEXTS, TEXTS):
            shaped = [unicodedata.normalize(next(forms), text) for text in (QUESTION, gold, answer)]
            table.writerow([*shaped, "1" if gold == answer else "0"])
    return file


def scores(metric: Metric, items: Sequence[AnsweredProbe]) -> list[tuple[float | None, str | None]]:
    return [(score.value, score.reason) for score in metric.score(items)]


def mixed(
    names: Sequence[str], texts: Sequence[tuple[str, str, str]], metrics: Mapping[str, Metric], make: Any
) -> None:
    """Require that every mixture of forms gets the score that the texts get all in NFC."""
    for name in names:
        wanted = scores(metrics[name], [make(triple, ("NFC", "NFC", "NFC")) for triple in texts])
        for forms in itertools.product(FORMS, repeat=3):
            assert scores(metrics[name], [make(triple, forms) for triple in texts]) == wanted, (name, forms)


@pytest.mark.parametrize("make", [answered, as_given])
def test_equal_texts_score_as_equal_in_all_forms(metrics: Mapping[str, Metric], make: Any) -> None:
    mixed(list(metrics), [(text, text, text) for text in TEXTS], metrics, make)


def test_different_texts_score_alike_in_all_forms(metrics: Mapping[str, Metric]) -> None:
    texts = [(one, other, one) for one, other in itertools.pairwise(TEXTS)] + [("Hà Nội", "Hà Nội", "São Paulo")]
    mixed([name for name in metrics if name not in TOKEN_SHARES], texts, metrics, answered)


@pytest.mark.parametrize("name", sorted(TOKEN_SHARES))
def test_the_form_of_a_dataset_makes_no_difference_to_shares_of_tokens(
    metrics: Mapping[str, Metric], name: str
) -> None:
    texts = [(one, other, one) for one, other in itertools.product(TEXTS, TEXTS)]
    found = [[answered(triple, ("NFC", form, "NFC")) for triple in texts] for form in FORMS]
    assert scores(metrics[name], found[0]) == scores(metrics[name], found[1])


@given(st.text("abé ếệ한글ガ각\u0301\u0323\u212b", min_size=1, max_size=8).filter(lambda text: re.search(r"\w", text)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_text_scores_as_equal_in_all_forms(metrics: Mapping[str, Metric], text: str) -> None:
    cheap = [name for name, metric in metrics.items() if not metric.expensive]
    composed = unicodedata.normalize("NFC", text).strip()
    mixed(cheap, [(composed, composed, composed)], metrics, answered)


def test_the_scores_tell_equal_and_different_texts_apart(metrics: Mapping[str, Metric]) -> None:
    """Without this, a metric that gives one value for everything would pass."""
    same = answered(("Hà Nội", "Hà Nội", "Hà Nội"), ("NFD", "NFC", "NFC"))
    other = answered(("서울", "Hà Nội", "Hà Nội"), ("NFD", "NFC", "NFC"))
    alike = {name for name, metric in metrics.items() if scores(metric, [same]) == scores(metric, [other])}
    assert alike == {"n-gram-entropy", "target-probability", "probability-success", "probability-magnitude"}


def test_the_judge_is_sent_one_form(metrics: Mapping[str, Metric], judge_server: Any) -> None:
    metrics["judge"].score(
        [answered(("Hà Nội", "서울", "서울"), forms) for forms in itertools.product(FORMS, repeat=3)]
    )
    sent = [request["messages"][0]["content"] for request in judge_server.requests]
    assert sent
    assert all(unicodedata.is_normalized("NFC", text) for text in sent)
    assert len(sent) == len(set(sent))
