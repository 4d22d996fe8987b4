"""The running statistics and the least-squares solve are what they are defined to be."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from wildcore_ultraedit.features import Features
from wildcore_ultraedit.solve import update, values
from wildcore_ultraedit.statistics import Running, including, restored, saved

from wildcore.patches import LowRank
from wildcore.testing.golden import relative_error

SEEDS = st.integers(0, 2**31)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def counted(parts: list[Tensor], sample_variance: bool = False) -> Running:
    nothing = torch.zeros(parts[0].shape[1], dtype=torch.float64)
    running = Running(0, nothing, nothing)
    for part in parts:
        running = running.including(part, sample_variance)
    return running


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.floats(-100, 100), SEEDS)
def test_taken_in_part_by_part_the_statistics_are_those_of_all_tokens(
    sizes: list[int], shift: float, seed: int
) -> None:
    tokens = drawn(seed, sum(sizes), 5) + shift
    running = counted(list(torch.split(tokens, sizes)))
    assert running.count == len(tokens)
    assert torch.allclose(running.mean, tokens.mean(0))
    assert torch.allclose(running.squares, (tokens - tokens.mean(0)).square().sum(0), atol=1e-8)
    if len(tokens) > 1:
        expected = (tokens - tokens.mean(0)) / tokens.std(0)
        assert torch.allclose(running.normalised(tokens), expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(2, 6), SEEDS)
def test_the_published_statistics_sum_up_sample_variances(first: int, second: int, seed: int) -> None:
    a, b = drawn(seed, first, 4), drawn(seed + 1, second, 4) + 1
    apart = a.mean(0) - b.mean(0)
    expected = first * a.var(0) + second * b.var(0) + apart.square() * first * second / (first + second)
    assert torch.allclose(counted([a, b], sample_variance=True).squares, expected)


def test_maps_of_one_shape_share_their_statistics_and_others_do_not() -> None:
    features = {
        name: Features(drawn(seed, 3, inputs).float(), drawn(seed + 9, 3, 2).float())
        for seed, (name, inputs) in enumerate({"a": 4, "b": 4, "c": 5}.items())
    }
    statistics = including({}, features, sample_variance=False)
    assert {shape: running.count for shape, running in statistics.items()} == {(4, 2): 6, (5, 2): 3}
    both = torch.cat([features[name].joined.double() for name in ("a", "b")])
    assert torch.allclose(statistics[4, 2].mean, both.mean(0))
    again = restored(saved(statistics))
    assert again.keys() == statistics.keys()
    assert all(torch.equal(again[shape].squares, statistics[shape].squares) for shape in again)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5), SEEDS)
def test_the_update_is_the_formula(tokens: int, inputs: int, outputs: int, seed: int) -> None:
    features = Features(drawn(seed, tokens, inputs).float(), drawn(seed + 1, tokens, outputs).float())
    running = counted([features.joined.double(), drawn(seed + 2, 3, inputs + outputs)])
    normalised = (features.joined.double() - running.mean) / (running.squares / (running.count - 1)).sqrt()
    hidden, gradients = normalised[:, :inputs], normalised[:, inputs:]
    wanted = torch.stack([-0.1 * (h @ h) * g for h, g in zip(hidden, gradients, strict=True)])
    assert relative_error(values(features, running, 0.1), wanted) < 1e-5
    keys = features.hidden.double()
    solved = torch.linalg.solve(keys.T @ keys + torch.eye(inputs), keys.T @ wanted).T
    change = update(features, running, 0.1)
    assert relative_error(change.dense(), solved) < 1e-4
    assert isinstance(change, LowRank) is (tokens <= inputs)
