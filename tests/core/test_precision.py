"""In a model in float64 nothing is computed, applied or kept in less; half precision is widened to float32."""

from pathlib import Path

import pytest
import torch

from wildcore import Prompt
from wildcore.inference import map_target_logits
from wildcore.models import at_least_float32, tokenise_pair, wide_dtype
from wildcore.patches import Dense, LowRank, RowPatches, WeightPatch
from wildcore.patches.accumulated import CombinedPatch
from wildcore.patches.files import PatchManifest, patched_model, read_patch, write_patch
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, tiny_model

SMALL = 2.0**-40
"""Beside 1 a change that float32 rounds away."""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_what_is_less_than_float64_becomes_float32(dtype: torch.dtype) -> None:
    tensor = torch.tensor([1.5, -2.25]).to(dtype)
    assert wide_dtype(dtype) is torch.float32
    assert at_least_float32(tensor).dtype is torch.float32
    assert at_least_float32(tensor).tolist() == [1.5, -2.25]


def test_a_tensor_that_is_wide_enough_is_not_copied() -> None:
    for dtype in (torch.float32, torch.float64):
        tensor = torch.ones(2, dtype=dtype)
        assert at_least_float32(tensor) is tensor


def changes() -> dict[str, LowRank | Dense]:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in (HIDDEN, INTERMEDIATE))
    return {"thin": LowRank(left, right * SMALL), "dense": Dense(left @ right.T * SMALL)}


@pytest.mark.parametrize("kind", ["thin", "dense"])
def test_a_change_that_float32_rounds_away_counts_in_a_model_in_float64(kind: str, tmp_path: Path) -> None:
    model = tiny_model("gpt2", dtype=torch.float64)
    projection = model.mlp_output(1)
    change = changes()[kind]
    patch = WeightPatch({projection.name: change})
    manifest = PatchManifest(
        created="", model=patched_model(model), editor={"name": "x"}, seed=0, requests=(), versions={}
    )
    write_patch(tmp_path / "patch", patch, manifest)
    summed = CombinedPatch()
    summed.add(patch)
    before = projection.weight.clone()
    for applied in (patch, read_patch(tmp_path / "patch").weights(), summed.weights()):
        with applied.applied(model):
            assert torch.equal(projection.weight, before + change.dense())
    assert torch.equal(projection.weight, before)
    assert torch.equal(before.float() + change.dense().float(), before.float()), "float32 is to lose the change"


@pytest.mark.parametrize("kind", ["thin", "dense"])
def test_a_row_under_a_patch_in_float64_comes_out_as_under_the_changed_weight(kind: str) -> None:
    model = tiny_model("gpt2", dtype=torch.float64)
    patch = WeightPatch({model.mlp_output(1).name: changes()[kind]})
    row = tokenise_pair(model.tokenizer, Prompt(text="The capital of Canada is"), "Rome")

    def logits() -> torch.Tensor:
        return map_target_logits(model, [row], lambda _, found: found.clone())[0]

    unedited = logits()
    with patch.applied(model):
        expected = logits()
    with RowPatches(model, [[patch]]).applied([0]):
        found = logits()
    assert float((found - expected).norm()) < 1e-2 * float((expected - unedited).norm())
