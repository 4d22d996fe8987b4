"""What an editor remembers, and which patch speaks for those applied."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_retrieval.memory import in_force, latest, statement

from wildcore import EditRequest, Prompt, Saved
from wildcore.models import LoadedModel
from wildcore.patches import PromptPatch
from wildcore.testing.networks import tiny_model


class Said(PromptPatch):
    """Puts nothing before a prompt."""

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        return list(prompts)

    def to_saved(self) -> Saved:
        return Saved({}, {})

    def describe(self) -> dict[str, Any]:
        return {"finite": True}


class Other(Said):
    """Another kind, not applied here as its base."""


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9))))
def test_of_facts_with_one_prompt_the_last_stays(facts: list[tuple[str, int]]) -> None:
    found = latest(facts, lambda fact: fact[0])
    assert dict(found) == dict(facts)
    assert len(found) == len(dict(facts))
    last = {prompt: place for place, (prompt, _) in enumerate(facts)}
    assert [fact[0] for fact in found] == sorted(last, key=lambda prompt: last[prompt])


def test_the_last_patch_of_a_kind_speaks_for_all() -> None:
    model, one, two, other = tiny_model("llama"), Said(), Said(), Other()
    assert in_force(model, one) == []
    with one.applied(model):
        assert in_force(model, one) == [one]
        with two.applied(model):
            assert (in_force(model, one), in_force(model, two)) == ([], [one, two])
            with other.applied(model):
                assert in_force(model, other) == [other]
        assert in_force(model, one) == [one]


@pytest.mark.parametrize(
    ("prompt", "target"), [("Rome is in", " Peru"), ("Rome is in ", "Peru"), ("Rome is in", "Peru\n")]
)
def test_one_space_stands_between_a_prompt_and_its_answer(prompt: str, target: str) -> None:
    assert statement(EditRequest(prompt=prompt, target=target)) == "Rome is in Peru"
