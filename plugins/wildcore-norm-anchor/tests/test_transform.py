"""Norm-anchor scaling brings values to their reference norm and keeps their direction."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity
from wildcore_norm_anchor import wildcore_transforms

from wildcore import Transform, UserError
from wildcore.params import build
from wildcore.patches import Dense
from wildcore.testing.packages import check_import, check_readme

(OFFER,) = wildcore_transforms()


def make(**parameters: object) -> Transform:
    transform: Transform = OFFER.make(OFFER.params(**parameters))
    return transform


def values(seed: int, requests: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    solved, original = torch.randn(2, requests, width, generator=generator)
    return solved * 3, original


def test_the_package() -> None:
    check_import("wildcore_norm_anchor", ["torch", "transformers"])
    check_readme("norm-anchor", Path(__file__).parents[1] / "README.md")


@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 16), st.none() | st.floats(0.1, 100))
def test_the_norm_is_the_reference_and_the_direction_stays(
    seed: int, requests: int, width: int, norm: float | None
) -> None:
    solved, original = values(seed, requests, width)
    written = make(norm=norm).value(solved, original)
    expected = original.norm(dim=1) if norm is None else torch.full((requests,), norm)
    torch.testing.assert_close(written.norm(dim=1), expected)
    torch.testing.assert_close(cosine_similarity(written, solved), torch.ones(requests))


@given(st.integers(0, 999), st.floats(0.1, 10))
def test_the_length_found_does_not_matter(seed: int, factor: float) -> None:
    solved, original = values(seed, 3, 8)
    torch.testing.assert_close(make().value(solved * factor, original), make().value(solved, original))


def test_requests_do_not_touch_each_other() -> None:
    solved, original = values(0, 4, 8)
    together = make(longest=3.0).value(solved, original)
    alone = [make(longest=3.0).value(solved[[i]], original[[i]]) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_value_that_is_too_long_is_not_written() -> None:
    original = torch.eye(2)
    solved = torch.tensor([[0.0, 2.0], [2.1, 0.0]])
    written = make(longest=2.0).value(solved, original)
    assert written.tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert make(longest=2.0, norm=3.0).value(solved, original).tolist() == [[0.0, 3.0], [3.0, 0.0]]


def test_a_value_of_zero_stays_one() -> None:
    assert make().value(torch.zeros(1, 4), torch.ones(1, 4)).tolist() == [[0.0] * 4]


def test_updates_are_left_alone() -> None:
    change = Dense(torch.ones(2, 2))
    assert make().update(change, torch.ones(2, 2)) is change


@pytest.mark.parametrize("settings", [{"norm": 0}, {"norm": -1.0}, {"longest": 0}, {"norms": 1}])
def test_parameters_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="transform norm-anchor: "):
        build(OFFER.params, settings, "transform norm-anchor")
