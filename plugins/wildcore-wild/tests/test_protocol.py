"""The protocol ``wild`` as it is recorded."""

import pytest
from wildcore_wild.autoregressive import Autoregressive
from wildcore_wild.contexts import QAInstruction
from wildcore_wild.metrics import ExactMatch, Unchanged
from wildcore_wild.truncators import StopStrings

from wildcore import Use
from wildcore.jobs.protocols import make_protocol
from wildcore.protocols import ReadyProtocol
from wildcore.registry import load_registry


@pytest.fixture(scope="module")
def wild() -> ReadyProtocol:
    registry = load_registry(["wild"])
    assert not registry.broken
    return make_protocol(registry, registry.find_protocol("wild").offer)


def test_wild_is_exactly_the_published_modules(wild: ReadyProtocol) -> None:
    definition = wild.definition
    assert definition.name == "wild"
    template = "Please answer the question:\n\nQ: {question}\nA:"
    assert definition.context == Use(name="qa-instruction", params={"template": template})
    assert definition.generator == Use(name="autoregressive", params={"max_new_tokens": 50})
    assert definition.truncator == Use(
        name="stop-strings", params={"stops": [".", "\n"], "skip_leading_white_space": False}
    )
    match, unchanged = (
        (Use(name="exact-match", params={"aliases": True, "as_published": False}),),
        (Use(name="unchanged"),),
    )
    assert definition.metrics == {
        "reliability": match,
        "generalization": match,
        "locality": unchanged,
        "portability": match,
    }
    assert definition.variant_of is None
    assert definition.differences == ()


def test_the_names_make_these_modules(wild: ReadyProtocol) -> None:
    assert isinstance(wild.context, QAInstruction)
    assert isinstance(wild.generator, Autoregressive)
    assert wild.generator.max_new_tokens == 50
    assert isinstance(wild.truncator, StopStrings)
    assert wild.truncator.stops == (".", "\n")
    made = {kind: [type(metric) for _, metric in metrics] for kind, metrics in wild.metrics.items()}
    assert made.pop("locality") == [Unchanged]
    assert made == {kind: [ExactMatch] for kind in ("reliability", "generalization", "portability")}


def test_no_module_of_wild_is_given_the_gold(wild: ReadyProtocol) -> None:
    assert not wild.generator.reads_gold
    assert not wild.truncator.reads_gold
