"""The embedded model is a fair testbed under the real protocol: wrong on what is to be edited, right beside it."""

from collections.abc import Sequence

import pytest

from wildcore.evaluation.questions import generate_answers, render_questions
from wildcore.jobs.build import make_reader, model_request
from wildcore.jobs.protocols import ready_protocols
from wildcore.jobs.spec import JobSpec, names_used
from wildcore.models import LoadedModel, load_model
from wildcore.protocols import ReadyProtocol
from wildcore.registry import Registry, load_registry
from wildcore.types import EditCase, Probe, ProbeKind

SPEC = JobSpec(model="pocket", dataset="pocketqa", editor="rome", protocols=("wild",))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def cases(registry: Registry) -> list[EditCase]:
    return make_reader(registry, SPEC)[0].cases()


@pytest.fixture(scope="module")
def model(registry: Registry) -> LoadedModel:
    loaded = load_model(model_request(registry, SPEC), registry.families)
    loaded.max_batch_size = 128
    return loaded


@pytest.fixture(scope="module")
def wild(registry: Registry) -> ReadyProtocol:
    beside = names_used(registry, ["rome"], SPEC.dataset)
    return ready_protocols(registry, SPEC, beside, make_reader(registry, SPEC)[0])[0]


def said(model: LoadedModel, protocol: ReadyProtocol, probes: Sequence[Probe]) -> list[str]:
    """Return the unedited model's answers."""
    answers = generate_answers(model, protocol, render_questions(model, protocol, probes))
    return [answer.text for (answer,) in answers]


def share_right(model: LoadedModel, protocol: ReadyProtocol, cases: Sequence[EditCase], kind: ProbeKind) -> float:
    probes = [probe for case in cases for probe in case.probes if probe.kind == kind]
    right = [
        text.lower() in {answer.lower() for answer in probe.answers}
        for text, probe in zip(said(model, protocol, probes), probes, strict=True)
    ]
    return sum(right) / len(right)


def test_there_are_at_least_five_hundred_cases_with_all_their_probes(cases: list[EditCase]) -> None:
    assert len(cases) >= 500
    for case in cases:
        kinds = [probe.kind for probe in case.probes]
        assert kinds[:6] == ["reliability", *["generalization"] * 2, *["locality"] * 3]
        assert case.request.subject in case.request.prompt


def test_the_unedited_model_is_wrong_on_the_edits(
    model: LoadedModel, wild: ReadyProtocol, cases: list[EditCase]
) -> None:
    assert share_right(model, wild, cases, "reliability") <= 0.05


def test_the_unedited_model_is_right_on_the_locality_probes(
    model: LoadedModel, wild: ReadyProtocol, cases: list[EditCase]
) -> None:
    assert share_right(model, wild, cases, "locality") >= 0.95


def test_no_code_knows_that_the_embedded_model_is_there() -> None:
    """Only the defaults name it, and the example in the façade's docstring."""
    from pathlib import Path

    import wildcore

    core = Path(wildcore.__file__).parent
    naming = {str(f.relative_to(core)) for f in core.rglob("*.py") if "pocket" in f.read_text(encoding="utf-8")}
    assert naming <= {"defaults.py", "api/__init__.py"}
