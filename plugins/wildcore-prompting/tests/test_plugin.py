"""What the plugin offers, examples drawn from a dataset, and its README."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from wildcore import ContextParams, EditCase, EditRequest, Malformed
from wildcore.datasets.selection import CaseFilter, CaseReader
from wildcore.jobs.build import make
from wildcore.registry import Registry, load_registry
from wildcore.testing.networks import tiny_model

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = load_registry(["prompting"])
    assert not registry.broken
    return registry


class Mills:
    """A dataset of ten cases."""

    def cases(self) -> Iterator[EditCase | Malformed]:
        for number in range(10):
            request = EditRequest(prompt=f"Who keeps mill {number}?", target=f"Anna {number}")
            yield EditCase(id=str(number), request=request, probes=())


def test_examples_come_from_cases_that_are_not_evaluated(registry: Registry) -> None:
    found = registry.find("context", "few-shot")
    params = found.offer.params.model_validate({"count": 3})
    assert isinstance(params, ContextParams)
    reader = CaseReader("mills", Mills(), CaseFilter(seed=7))
    complete = params.with_examples(reader.examples(params.examples_needed()))
    context, recorded = make(found, "context", complete.model_dump(mode="json", exclude_defaults=True))
    text = context.render("Who else?", tiny_model("gpt2")).text
    left = [case.request for case in reader.cases()]
    assert len(left) == 7
    assert not any(request.prompt in text or request.target in text for request in left)
    assert text.count("Who keeps mill") == 3
    assert len(json.loads(recorded.model_dump_json())["examples"]) == 3
