"""What the measurements of collapse say of the bundled model, unedited and spoiled."""

import json
from pathlib import Path

import pytest
import torch
from wildcore_collapse.entropy import NGramEntropy
from wildcore_collapse.parameters import EntropyParams, PerplexityParams
from wildcore_collapse.perplexity import Perplexity

from wildcore.jobs.build import make_reader, model_request
from wildcore.jobs.spec import JobSpec
from wildcore.models import LoadedModel, load_model
from wildcore.patches import Dense, WeightPatch
from wildcore.registry import load_registry
from wildcore.testing.conformance import SilentProgress, quiet_environment

SPEC = JobSpec(model="pocket", dataset="pocketqa", editor="rome", protocols=("wild",))
TEXTS = 150


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    registry = load_registry()
    return load_model(model_request(registry, SPEC), registry.families)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of questions and answers that the model knows: locality probes."""
    cases = list(make_reader(load_registry(), SPEC)[0].cases())
    probes = [next(probe for probe in case.probes if probe.kind == "locality") for case in cases[-TEXTS:]]
    file = tmp_path_factory.mktemp("known") / "known.jsonl"
    lines = [json.dumps({"text": f"{probe.prompt} {probe.answers[0]}."}) for probe in probes]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def spoiled(model: LoadedModel) -> WeightPatch:
    """Return a change that drowns a layer's weights in noise of ten times their norm."""
    projection = model.mlp_output(1)
    weight = projection.weight.float()
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return WeightPatch({projection.name: Dense(10 * noise * weight.norm() / noise.norm())})


def test_a_spoiled_model_is_seen_on_text_that_it_can_read(model: LoadedModel, known: Path) -> None:
    measurement = Perplexity(PerplexityParams(text=str(known)))
    unedited = measurement.measure(model)
    assert unedited[0].value == pytest.approx(2.38, abs=0.01)
    with spoiled(model).applied(model):
        edited = measurement.measure(model)
    assert edited[0].value == pytest.approx(78.0, rel=0.02)
    assert measurement.signs_of_collapse(unedited, edited) == ["perplexity is 78, of the unedited model 2.38"]


def test_ordinary_prose_is_no_such_text_which_is_noted(model: LoadedModel, tmp_path: Path) -> None:
    measurement, environment = Perplexity(PerplexityParams()), quiet_environment(tmp_path)
    measurement.prepare(environment)
    (found,) = measurement.measure(model)
    assert found.value == pytest.approx(198_352, rel=1e-3)
    assert isinstance(environment.progress, SilentProgress)
    assert len(environment.progress.notes) == 1


def test_the_entropy_of_its_texts(model: LoadedModel) -> None:
    (found,) = NGramEntropy(EntropyParams()).measure(model)
    assert found.value == pytest.approx(1.39, abs=0.01)
    assert found.details["repeating"] == 0
