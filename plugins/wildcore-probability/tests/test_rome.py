"""The protocol ``rome``: its definition, and the whole chain on a small model beside the published formulas."""

import pytest
import torch

from wildcore import AnsweredProbe, Probe, Use
from wildcore.evaluation.questions import generate_answers, render_questions
from wildcore.jobs.protocols import make_protocol
from wildcore.models import LoadedModel
from wildcore.protocols import ReadyProtocol
from wildcore.registry import load_registry
from wildcore.testing.networks import tiny_model

NEW, OLD = "English", "French"
PROBES = (
    Probe(kind="reliability", prompt="The mother tongue of Danielle Darrieux is", answers=(NEW,), rival=OLD),
    Probe(kind="generalization", prompt="Where Danielle Darrieux is from, people speak", answers=(NEW,), rival=OLD),
    Probe(kind="locality", prompt="The mother tongue of Leo Tolstoy is", answers=("French",), rival=NEW),
    Probe(kind="locality", prompt="The mother tongue of Marie Curie is", answers=(OLD,), rival=None),
)


@pytest.fixture(scope="module")
def rome() -> ReadyProtocol:
    registry = load_registry(["probability", "synthetic"])
    assert not registry.broken
    return make_protocol(registry, registry.find_protocol("rome").offer)


def test_rome_is_exactly_these_modules(rome: ReadyProtocol) -> None:
    definition = rome.definition
    assert definition.context == Use(name="question-only")
    assert definition.generator == Use(name="likelihood")
    assert definition.truncator == Use(name="gold-length")
    compared = (Use(name="probability-success"), Use(name="probability-magnitude"))
    assert definition.metrics == dict.fromkeys(("reliability", "generalization", "locality"), compared)
    assert "kmeng01/rome at 0874014" in definition.cites


@torch.inference_mode()
def mean_negative_log_likelihood(model: LoadedModel, prompt: str, target: str) -> float:
    """As the published code has it: the target tokenised alone behind a space, its tokens' mean."""
    suffix = model.tokenizer(f" {target}", add_special_tokens=False)["input_ids"]
    length = len(model.tokenizer(prompt)["input_ids"])
    ids = model.tokenizer(f"{prompt} {target}", return_tensors="pt")["input_ids"]
    logs = model.network(ids).logits[0].log_softmax(-1)
    return -sum(float(logs[length + place - 1, token]) for place, token in enumerate(suffix)) / len(suffix)


@pytest.mark.parametrize("model_type", ["gpt2", "gptj", "llama"])
def test_scores_are_those_of_the_published_formulas(rome: ReadyProtocol, model_type: str) -> None:
    model = tiny_model(model_type)
    answers = generate_answers(model, rome, render_questions(model, rome, PROBES))
    values = {}
    for number, (probe, (answer,)) in enumerate(zip(PROBES, answers, strict=True)):
        item = AnsweredProbe(
            kind=probe.kind,
            question=probe.prompt,
            answers=probe.answers,
            gold_token_ids=(),
            answer=answer,
            unedited=answer,
        )
        for label, metric in rome.metrics[probe.kind]:
            (values[number, label],) = metric.score([item])
    for number, probe in enumerate(PROBES[:3]):
        new = mean_negative_log_likelihood(model, probe.prompt, NEW)
        true = mean_negative_log_likelihood(model, probe.prompt, OLD)
        better, worse = (true, new) if probe.kind == "locality" else (new, true)
        assert values[number, "probability-success"].value == float(worse > better)
        difference = torch.exp(-torch.tensor(better)) - torch.exp(-torch.tensor(worse))
        assert values[number, "probability-magnitude"].value == pytest.approx(float(difference), abs=1e-6)
    assert {values[number, "probability-success"].value for number in range(3)} == {0.0, 1.0}
    assert values[3, "probability-success"].value is None


def test_the_gold_is_measured_under_synthetic_too() -> None:
    registry = load_registry(["probability", "synthetic"])
    synthetic = make_protocol(registry, registry.find_protocol("synthetic").offer)
    likelihood = make_protocol(registry, registry.find_protocol("rome").offer)
    model = tiny_model("llama")
    measured = [
        [
            answer.output.measures["target-log-probability"]
            for (answer,) in generate_answers(model, protocol, render_questions(model, protocol, PROBES))
        ]
        for protocol in (synthetic, likelihood)
    ]
    assert measured[0] == pytest.approx(measured[1], abs=1e-5)
