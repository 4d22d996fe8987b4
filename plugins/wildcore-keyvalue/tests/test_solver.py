"""Solving undoes multiplying, and the condition number is what numpy finds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from wildcore_keyvalue.solver import MomentSolver

from wildcore import UserError


def test_solving_undoes_multiplying() -> None:
    keys = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    factor = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    matrix = factor @ factor.T + torch.eye(6)
    before = matrix.clone()
    assert torch.allclose(matrix @ MomentSolver(matrix, 0.0).solve(keys), keys, atol=1e-4)
    damped = matrix + 0.5 * matrix.diagonal().mean() * torch.eye(6)
    assert torch.allclose(damped @ MomentSolver(matrix.double(), 0.5).solve(keys), keys, atol=1e-4)
    assert torch.equal(matrix, before)


def test_what_was_given_in_float64_stays_as_it_was() -> None:
    matrix = torch.eye(3, dtype=torch.float64)
    MomentSolver(matrix, 0.5)
    assert torch.equal(matrix, torch.eye(3, dtype=torch.float64))


def test_singular_moments_are_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"singular.*editor\.damping"):
        MomentSolver(torch.zeros(4, 4), 0.0)


@given(st.lists(st.floats(-8, 2), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_the_condition_number_is_the_true_one(exponents: list[float], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    turned = torch.randn(len(exponents), len(exponents), dtype=torch.float64, generator=generator)
    basis = torch.linalg.qr(turned).Q
    matrix = basis @ torch.diag(10 ** torch.tensor(exponents, dtype=torch.float64)) @ basis.T
    solver = MomentSolver(matrix, 0.0)
    assert solver.condition_number == pytest.approx(np.linalg.cond(matrix.numpy()), rel=1e-3)
    assert MomentSolver(matrix, 0.0).condition_number == solver.condition_number


def test_damping_and_the_wide_middle_of_a_spectrum_are_seen() -> None:
    values = torch.cat([torch.tensor([1e4]), torch.linspace(0.1, 2.0, 297), torch.tensor([1e-3, 1e-12])]).double()
    basis = torch.linalg.qr(torch.randn(300, 300, generator=torch.Generator().manual_seed(0)).double()).Q
    matrix = basis @ torch.diag(values) @ basis.T
    damped = matrix + 0.01 * matrix.diagonal().mean() * torch.eye(300)
    assert MomentSolver(matrix, 0.01).condition_number == pytest.approx(np.linalg.cond(damped.numpy()), rel=1e-2)
