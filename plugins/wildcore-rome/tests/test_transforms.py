"""Transforms change the value that ROME writes, and its update."""

import pytest
import torch
from wildcore_rome.editor import Rome
from wildcore_rome.parameters import RomeParams

from wildcore import EditRequest, Transform
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
)


class Halved(Transform):
    """Writes half of what is missing, and half of each update, as a matrix where asked."""

    def __init__(self, as_matrix: bool) -> None:
        self.as_matrix = as_matrix

    def value(self, solved: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        return (solved + original) / 2

    def update(self, change: LowRank | Dense, weight: torch.Tensor) -> LowRank | Dense:
        half = change.dense() / 2
        assert weight.shape == half.shape
        return Dense(half) if self.as_matrix else LowRank(half, torch.eye(half.shape[1]))


def editor(*transforms: Transform) -> Rome:
    made = Rome(RomeParams(layer=1, second_moments="identity", steps=4))
    made.transforms = transforms
    return made


def dense(patch: object) -> torch.Tensor:
    assert isinstance(patch, WeightPatch)
    (change,) = patch.changes.values()
    return change.dense()


@pytest.mark.parametrize("as_matrix", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_value_and_update_are_transformed(as_matrix: bool, family: str) -> None:
    model = tiny_model(family)
    plain, halving = editor().edit_each(model, REQUESTS), editor(Halved(as_matrix))
    for one, halved in zip(plain, halving.edit_each(model, REQUESTS), strict=True):
        assert relative_error(dense(halved), dense(one) / 4) < 1e-4


def test_requests_one_after_the_other_are_one_change_of_either_form() -> None:
    model = tiny_model("llama")
    thin, whole = (editor(Halved(as_matrix)).edit(model, REQUESTS) for as_matrix in (False, True))
    assert relative_error(dense(whole), dense(thin)) < 1e-5
