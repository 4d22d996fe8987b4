"""Golden values: the results of published code for fixed requests on fixed models, read from a folder.

The folder contains ``golden.json`` (requests, hyper-parameters, provenance, one entry for each run) and the tensors of each
model as ``MODEL.safetensors``.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

import wildcore.testing
from wildcore.architectures import built_in_families
from wildcore.interfaces import Patch
from wildcore.models.loaded import LoadedModel, ModelRequest
from wildcore.models.loading import load_model
from wildcore.patches.weights import WeightPatch
from wildcore.types import EditRequest

TINY_MODELS = Path(wildcore.testing.__file__).parent / "data"

APART = 10
"""A wrong method must be at least this many times as far from golden values as the tolerance."""


def near(error: float, tolerance: float) -> bool:
    """Return whether a relative ``error`` is within rounding."""
    return error < tolerance


def far(error: float, tolerance: float) -> bool:
    """Return whether a relative ``error`` shows a different method: it exceeds the tolerance so far that rounding cannot
    explain it.
    """
    return error >= APART * tolerance


class Golden:
    """A folder of golden values. ``models`` maps the names of models that are not bundled to their folders."""

    def __init__(self, folder: Path, models: dict[str, Path] | None = None) -> None:
        self.folder = folder
        self.models = models or {}
        self._loaded: dict[str, LoadedModel] = {}

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content of ``golden.json``."""
        loaded: dict[str, Any] = json.loads((self.folder / "golden.json").read_text(encoding="utf-8"))
        return loaded

    def run(self, identifier: str) -> dict[str, Any]:
        """Return one run by its id."""
        found: dict[str, Any] = next(run for run in self.content["runs"] if run["id"] == identifier)
        return found

    def runs(self, prefix: str) -> list[str]:
        """Return the ids that begin with ``prefix``."""
        return [run["id"] for run in self.content["runs"] if run["id"].startswith(prefix)]

    def request(self, run: dict[str, Any]) -> EditRequest:
        """Return the request of a run."""
        return EditRequest(**self.content["requests"][run["request"]])

    def requests(self, names: Sequence[str]) -> list[EditRequest]:
        """Return the requests with these names."""
        return [EditRequest(**self.content["requests"][name]) for name in names]

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The texts that published code put before the prompt while it searched for values."""
        return tuple(template.removesuffix("{}") for template in self.content["prefixes"])

    def hyper_parameters(self, editor: str, run: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyper-parameters of a run of ``editor``, by their names in published code."""
        found: dict[str, Any] = self.content[f"{editor}_hyperparameters"] | run["overrides"]
        return found

    def settings(self, editor: str, run: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        """Return these hyper-parameters by our names; ``names`` maps the published names to ours."""
        published = self.hyper_parameters(editor, run)
        return {ours: published[name] for name, ours in names.items()}

    def published(self, run: Mapping[str, Any], tensors: Mapping[str, str], layer: int) -> Tensor:
        """Return the weight change [outputs, inputs] that published code made to a layer.

        ``tensors`` names its factors, as "left.LAYER" and "right.LAYER".
        """
        left, right = (self.tensor(run["model"], tensors[f"{side}.{layer}"]) for side in ("left", "right"))
        return left @ right.T

    def layer_errors(self, run: Mapping[str, Any], tensors: Mapping[str, str], patch: Patch) -> list[float]:
        """Return the relative error of each layer's change in a patch. The patch must change exactly the run's layers."""
        assert isinstance(patch, WeightPatch)
        model = self.model(run["model"])
        assert list(patch.changes) == [model.mlp_output(layer).name for layer in run["layers"]]
        found = [change.dense() for change in patch.changes.values()]
        pairs = zip(found, run["layers"], strict=True)
        return [relative_error(own, self.published(run, tensors, layer)) for own, layer in pairs]

    def tensor(self, model: str, name: str) -> Tensor:
        """Return a stored tensor."""
        with safe_open(self.folder / f"{model}.safetensors", framework="pt") as stream:
            tensor: Tensor = stream.get_tensor(name)
        return tensor

    def model_folder(self, name: str) -> Path | None:
        """Return the folder of a model. None: the model is not bundled and not present."""
        folder = self.models.get(name, TINY_MODELS / name)
        return folder if folder.is_dir() else None

    def model(self, name: str) -> LoadedModel:
        """Return a model as published code loaded it. It is loaded once, after checking that its weights are those of the
        golden values.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> LoadedModel:
        folder = self.model_folder(name)
        assert folder is not None, f"{name} is not here"
        facts = self.content["models"][name]
        digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        assert digest == facts["model_safetensors_sha256"], f"{folder} holds other weights"
        families = {family.model_type: family for family in built_in_families()}
        dtype = facts.get("loaded_as", "float32")
        return load_model(ModelRequest(name, folder=folder, dtype=dtype, device="cpu"), families)


def sketch(change: Tensor) -> Tensor:
    """Return the two-sided 64 by 64 sketch L D R of a change D [outputs, inputs].

    L[a, i] = cos(0.11 (a+1) (i+1)) and R[j, b] = cos(0.13 (j+1) (b+1)).
    """
    sides = torch.arange(1, 65, dtype=torch.float64)
    rows = torch.arange(1, change.shape[0] + 1, dtype=torch.float64)
    columns = torch.arange(1, change.shape[1] + 1, dtype=torch.float64)
    left, right = torch.cos(0.11 * torch.outer(sides, rows)), torch.cos(0.13 * torch.outer(columns, sides))
    return (left @ change.double() @ right).float()


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return |found - expected| / |expected| in the Frobenius norm."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())
