"""RECT makes the largest relative changes and no others."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from wildcore_rect import wildcore_transforms
from wildcore_rect.parameters import RectParams
from wildcore_rect.transform import Rect, largest_relative_changes

from wildcore import UserError
from wildcore.params import build
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.testing.networks import tiny_model

(OFFER,) = wildcore_transforms()


def matrices(seed: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    change, weight = torch.randn(2, rows, columns, generator=generator)
    return change, weight


@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 1.0))
def test_as_many_as_asked_for_and_each_larger_than_any_left_out(
    seed: int, rows: int, columns: int, share: float
) -> None:
    change, weight = matrices(seed, rows, columns)
    kept = largest_relative_changes(change, weight, share)
    relative = (change / weight).abs()
    assert int(kept.sum()) == kept.numel() - int(kept.numel() * (1 - share)) > 0
    if not kept.all():
        assert relative[kept].min() > relative[~kept].max()
    made = Rect(RectParams(share=share)).update(Dense(change), weight).change
    assert torch.equal(made[kept], change[kept])
    assert not made[~kept].any()


@given(st.integers(0, 999), st.floats(0.01, 1.0))
def test_the_scale_of_an_update_does_not_matter(seed: int, share: float) -> None:
    change, weight = matrices(seed, 6, 7)
    kept = largest_relative_changes(change, weight, share)
    assert torch.equal(kept, largest_relative_changes(change * 8, weight / 4, share))


def test_equal_changes_are_all_kept() -> None:
    weight = matrices(0, 4, 5)[1]
    assert largest_relative_changes(weight * 0.5, weight, 0.1).all()


def test_a_weight_of_zero_changes_most_and_no_change_least() -> None:
    weight = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    change = torch.tensor([[1e-9, 0.0, 5.0, 4.0]])
    assert largest_relative_changes(change, weight, 0.25).tolist() == [[True, False, False, False]]
    assert largest_relative_changes(change, weight, 0.5).tolist() == [[True, False, True, False]]


def test_an_update_that_diverged_still_shows() -> None:
    change, weight = matrices(0, 4, 5)
    change[1, 2] = float("nan")
    made = Rect(RectParams(share=0.1)).update(Dense(change), weight)
    assert not WeightPatch({"w": made}).describe()["finite"]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_low_rank_update_of_a_real_weight(family: str) -> None:
    model = tiny_model(family)
    weight = model.mlp_output(1).weight
    before = weight.clone()
    change = LowRank(torch.randn(weight.shape[0], 2), torch.randn(weight.shape[1], 2))
    made = OFFER.make(OFFER.params()).update(change, weight)
    assert torch.equal(weight, before)
    assert float((made.change != 0).float().mean()) == pytest.approx(0.4, abs=1e-3)
    assert torch.equal(made.change, change.dense() * (made.change != 0))


def test_a_narrow_weight_does_not_narrow_the_change() -> None:
    change, weight = matrices(0, 8, 8)
    made = Rect(RectParams(share=1.0)).update(Dense(change), weight.to(torch.bfloat16))
    assert torch.equal(made.change, change)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, "much"])
def test_shares_that_make_no_sense_are_refused(share: object) -> None:
    with pytest.raises(UserError, match="transform rect: parameter 'share'"):
        build(OFFER.params, {"share": share}, "transform rect")
