"""The protocol ``synthetic`` as it is recorded."""

import pytest
from wildcore_synthetic.metrics import TokenAgreement, TokenMatch
from wildcore_synthetic.modules import GoldLength, QuestionOnly, TeacherForcing

from wildcore import Use
from wildcore.jobs.protocols import make_protocol
from wildcore.protocols import ReadyProtocol
from wildcore.registry import load_registry


@pytest.fixture(scope="module")
def synthetic() -> ReadyProtocol:
    registry = load_registry(["synthetic"])
    assert not registry.broken
    return make_protocol(registry, registry.find_protocol("synthetic").offer)


def test_synthetic_is_exactly_the_published_modules(synthetic: ReadyProtocol) -> None:
    definition = synthetic.definition
    assert definition.name == "synthetic"
    assert definition.context == Use(name="question-only")
    assert definition.generator == Use(name="teacher-forcing")
    assert definition.truncator == Use(name="gold-length")
    match, agreement = (Use(name="token-match"),), (Use(name="token-agreement"),)
    assert definition.metrics == {
        "reliability": match,
        "generalization": match,
        "locality": agreement,
        "portability": match,
    }
    assert definition.variant_of is None
    assert definition.differences == ()


def test_the_names_make_these_modules(synthetic: ReadyProtocol) -> None:
    assert isinstance(synthetic.context, QuestionOnly)
    assert isinstance(synthetic.generator, TeacherForcing)
    assert isinstance(synthetic.truncator, GoldLength)
    made = {kind: [type(metric) for _, metric in metrics] for kind, metrics in synthetic.metrics.items()}
    assert made.pop("locality") == [TokenAgreement]
    assert made == {kind: [TokenMatch] for kind in ("reliability", "generalization", "portability")}
