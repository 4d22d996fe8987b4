"""Edits solved together are the edits solved alone."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_keyvalue import values
from wildcore_keyvalue.values import optimise_values, required
from wildcore_rome.editor import Rome
from wildcore_rome.parameters import RomeParams, RRomeParams

from wildcore import EditRequest, Refused
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import tiny_model

SAME = 1e-5
SUBJECTS = ["France", "the old book of the town", "Marie Curie", "Canada", "Rome, the eternal city,"]
FORMS = ["The capital of {} is", "Who wrote about {} and why?", "{} is in", "In which year did {} begin, and where?"]
TARGETS = ["Rome", "Anna Smith", "the old Italy of the north", "Peru", "1984"]
REQUESTS = st.builds(
    lambda subject, form, target: EditRequest(prompt=form.format(subject), subject=subject, target=target),
    st.sampled_from(SUBJECTS),
    st.sampled_from(FORMS),
    st.sampled_from(TARGETS),
)
PREFIXES = ("", "The old town. ", "I think that. ", "Because of the weather in the north. ")


def editor(params: type[RomeParams] = RomeParams, **changes: object) -> Rome:
    made = Rome(params(layer=1, second_moments="identity", steps=8, **changes))
    made.prefixes = PREFIXES
    return made


def changes(model: LoadedModel, made: Rome, requests: Sequence[EditRequest]) -> list[torch.Tensor]:
    patches = made.edit_each(model, requests)
    assert all(isinstance(patch, WeightPatch) for patch in patches)
    return [next(iter(patch.changes.values())).dense() for patch in patches if isinstance(patch, WeightPatch)]


def alone(model: LoadedModel, made: Rome, request: EditRequest) -> torch.Tensor:
    return next(iter(made.edit(model, [request]).changes.values())).dense()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(REQUESTS, min_size=2, max_size=6),
    st.sampled_from(["llama", "gpt2"]),
    st.sampled_from([RomeParams, RRomeParams]),
)
def test_whoever_is_solved_beside_it_an_edit_stays_what_it_is(
    requests: list[EditRequest], family: str, params: type[RomeParams]
) -> None:
    model, made = tiny_model(family), editor(params)
    expected = [alone(model, made, request) for request in requests]
    for given_requests, wanted in ((requests, expected), (requests[::-1], expected[::-1])):
        for found, one in zip(changes(model, made, given_requests), wanted, strict=True):
            assert relative_error(found, one) < SAME


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi3"])
def test_edits_end_one_by_one_each_with_its_own_loss(family: str) -> None:
    model = tiny_model(family)
    requests = [
        EditRequest(prompt=FORMS[i % 4].format(s), subject=s, target=TARGETS[i % 5]) for i, s in enumerate(SUBJECTS)
    ]
    free = editor(loss_threshold=0.0)
    problems = required(free._posed(model, requests))
    fourth = sorted(value.losses[4] for value in optimise_values(model, 1, problems, free.params))
    made = editor(loss_threshold=fourth[2] + 1e-3)
    together = optimise_values(model, 1, problems, made.params)
    counts = [len(value.losses) for value in together]
    assert len(set(counts)) > 1, "the edits must end at different steps"
    for problem, value in zip(problems, together, strict=True):
        (one,) = optimise_values(model, 1, [problem], made.params)
        assert len(one.losses) == len(value.losses)
        assert relative_error(value.delta, one.delta) < SAME or one.delta.norm() == 0


def test_a_refused_request_stands_in_its_place_and_the_others_are_made() -> None:
    model, made = tiny_model("llama"), editor()
    good = EditRequest(prompt="The capital of France is", subject="France", target="Rome")
    bad = good.model_copy(update={"subject": "Spain"})
    first, second, third = made.edit_each(model, [good, bad, good])
    assert isinstance(second, Refused)
    assert "'Spain' does not occur" in str(second)
    for patch in (first, third):
        assert isinstance(patch, WeightPatch)
        assert relative_error(next(iter(patch.changes.values())).dense(), alone(model, made, good)) < SAME
    assert [type(patch) for patch in made.edit_each(model, [bad])] == [Refused]


def test_an_edit_that_diverges_does_not_touch_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = tiny_model("llama"), editor()
    requests = [EditRequest(prompt=FORMS[0].format(s), subject=s, target="Rome") for s in SUBJECTS[:3]]
    expected = [alone(model, made, request) for request in requests]
    real = values._Rows.losses

    def poisoned(rows, deltas, going_on):
        losses = real(rows, deltas, going_on)
        factors = torch.tensor([float("nan") if problem == 1 else 1.0 for problem in going_on])
        return losses * factors

    monkeypatch.setattr(values._Rows, "losses", poisoned)
    found = changes(model, made, requests)
    assert relative_error(found[0], expected[0]) < SAME
    assert relative_error(found[2], expected[2]) < SAME
