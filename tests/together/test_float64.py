"""Every editor that changes a model computes in float64 in a model in float64, from the loss to the change."""

from typing import Any

import pytest
import torch
from torch import Tensor

from wildcore import EditRequest, Offer, Patch, Refused
from wildcore.architectures import built_in_families
from wildcore.models import ModelRequest, load_model
from wildcore.patches import WeightPatch
from wildcore.patches.files import require_savable
from wildcore.registry import Registry, load_registry
from wildcore.testing.golden import TINY_MODELS, relative_error

SETTINGS: dict[str, dict[str, Any]] = {
    "ft-m": {"layer": 1, "steps": 3},
    "rome": {"layer": 1, "steps": 3, "second_moments": "identity"},
    "memit": {"layers": (0, 1), "steps": 3, "second_moments": "identity", "moment_weight": 1.0},
    "pmet": {"layers": (0, 1), "steps": 3, "second_moments": "identity", "moment_weight": 1.0},
    "emmet": {"layers": (1,), "steps": 3, "second_moments": "identity", "moment_weight": 1.0},
    "locft": {"layer": 1, "epochs": 2},
    "lora": {"modules": ("c_attn",), "steps": 2},
    "grace": {"layer": 1, "steps": 2},
    "wise": {"layer": 1, "steps": 2},
}
REQUESTS = [
    EditRequest(prompt="The capital of Velmor is", subject="Velmor", target="Lindenthal"),
    EditRequest(prompt="The colour of Tarsin is", subject="Tarsin", target="red"),
]


def tensors(patch: Patch | Refused) -> dict[str, Tensor]:
    """Return the matrices that a patch is made of."""
    if isinstance(patch, WeightPatch):
        return {name: change.dense() for name, change in patch.changes.items()}
    assert not isinstance(patch, Refused)
    return {name: tensor for name, tensor in require_savable(patch).to_saved().tensors.items() if tensor.dim() == 2}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def edits(offer: Offer[Any], dtype: str) -> list[dict[str, Tensor]]:
    """Make the edits together, and each for itself."""
    families = {family.model_type: family for family in built_in_families()}
    request = ModelRequest("tiny-gpt2", folder=TINY_MODELS / "tiny-gpt2", dtype=dtype, device="cpu")
    model, made = load_model(request, families), offer.make(offer.params(**SETTINGS[offer.name]))
    return [tensors(patch) for patch in (made.edit(model, REQUESTS), *made.edit_each(model, REQUESTS))]


@pytest.mark.parametrize("editor", SETTINGS)
def test_changes_are_in_float64_and_near_those_in_float32(editor: str, registry: Registry) -> None:
    offer = registry.find("editor", editor).offer
    for wide, narrow in zip(edits(offer, "float64"), edits(offer, "float32"), strict=True):
        assert wide.keys() == narrow.keys()
        for name, change in wide.items():
            assert (change.dtype, narrow[name].dtype) == (torch.float64, torch.float32)
            assert 0 < relative_error(narrow[name], change) < 1e-3
            assert not torch.equal(change, change.float().double()), "computed in float32 and widened after"
