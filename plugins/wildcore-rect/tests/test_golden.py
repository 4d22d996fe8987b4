"""RECT keeps the entries that published code keeps.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from wildcore_rect.parameters import RectParams
from wildcore_rect.transform import Rect, largest_relative_changes

from wildcore.patches import LowRank
from wildcore.testing.golden import Golden

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")


def update(identifier: str) -> tuple[LowRank, Tensor, Tensor, float]:
    """Return a run's update, the weight, the mask that published code gives, and the share that it keeps."""
    run = GOLDEN.run(identifier)
    left, right = (GOLDEN.tensor(run["model"], side) for side in ("left", "right"))
    weight = GOLDEN.model(run["model"]).mlp_output(run["layer"]).weight
    bits = np.unpackbits(GOLDEN.tensor(run["model"], run["tensor"]).numpy(), count=weight.numel())
    return LowRank(left, right), weight, torch.from_numpy(bits).bool().view(weight.shape), run["share"]


@pytest.mark.parametrize("identifier", [i for i in GOLDEN.runs("") if "/hurt/" in i])
def test_the_mask_is_that_of_published_code(identifier: str) -> None:
    change, weight, expected, share = update(identifier)
    assert 0 < int(expected.sum()) == GOLDEN.run(identifier)["kept"] < expected.numel()
    assert torch.equal(largest_relative_changes(change.dense(), weight, share), expected)
    made = Rect(RectParams(share=share)).update(change, weight).change
    assert torch.equal(made, change.dense() * expected)
    assert float(made.norm()) == pytest.approx(GOLDEN.run(identifier)["frobenius_norm"], rel=1e-5)


@pytest.mark.parametrize("identifier", [i for i in GOLDEN.runs("") if i.endswith("memit-rect")])
def test_a_second_implementation_keeps_one_entry_more(identifier: str) -> None:
    change, weight, expected, share = update(identifier)
    kept = largest_relative_changes(change.dense(), weight, share)
    assert int((kept != expected).sum()) == 1
    assert int(expected.sum()) == int(kept.sum()) + 1
