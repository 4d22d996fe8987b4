"""Whether what a patch file holds can be applied to a model: checked completely before anything is changed.

Torch would repeat a single number over a whole matrix, read whole numbers as weights, and drop the imaginary part of a number.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from wildcore.errors import Place, UserError, in_one_line
from wildcore.interfaces import Patch, SavablePatch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.patches.modules import ModulePatch
from wildcore.patches.weights import Dense, LowRank, WeightPatch

CHANGE = "change"
"""Tensors are named MODULE:PART. This part is a change of the whole weight [outputs, inputs]."""
FACTORS = ("left", "right")
AGAIN = "make the patch again"


def changes_in(path: Path, tensors: Mapping[str, Tensor]) -> WeightPatch:
    """Return the changes of weights that the ``tensors`` of the file ``path`` are.

    Raises ``UserError`` unless each is a whole matrix, or a pair of factors of one rank, of finite numbers in float32 or float64.
    """
    problem = next(_damage(tensors), None)
    if problem:
        raise UserError(f"damaged: {problem}", Place(path), AGAIN)
    return WeightPatch(
        {
            name: Dense(parts[CHANGE]) if CHANGE in parts else LowRank(*(parts[part] for part in FACTORS))
            for name, parts in _by_module(tensors).items()
        }
    )


def require_fitting(path: Path, patch: WeightPatch, model: LoadedModel) -> None:
    """Raise ``UserError`` unless each change in the file ``path`` is finite, and has the shape of a linear map of ``model``."""
    problem = next(_misfits(patch, model), None)
    if problem:
        raise UserError(f"{problem}, so it cannot be applied", Place(path), AGAIN)


def require_read_back(path: Path, patch: Patch, saved: Saved, model: LoadedModel) -> None:
    """Raise ``UserError`` unless ``patch``, which its editor read from ``saved``, says again all that ``saved`` says, is finite,
    and changes a linear map of ``model`` if it changes a module.

    A value that the editor did not read, or read as another one, would otherwise be lost without a word.
    """
    problem = next(_misread(patch, saved, model), None)
    if problem:
        raise UserError(f"{problem}, so it cannot be applied", Place(path), AGAIN)


def _by_module(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors by module and part."""
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in sorted(tensors.items()):
        module, _, part = name.rpartition(":")
        modules.setdefault(module, {})[part] = tensor
    return modules


def _damage(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield what is wrong with the tensors of a change of weights, whatever the model is."""
    if not tensors:
        yield "it holds no change"
    for name, parts in _by_module(tensors).items():
        shown = in_one_line(name)
        if set(parts) not in ({CHANGE}, set(FACTORS)):
            yield f"the change of {shown} is not whole"
        for part, tensor in parts.items():
            problem = _problem_of(tensor)
            if problem:
                yield f"{part} of the change of {shown} {problem}"
        if len({(tensor.shape[1], tensor.dtype) for tensor in parts.values()}) > 1:
            kinds = " and ".join(f"{list(tensor.shape)} {_dtype(tensor)}" for tensor in parts.values())
            yield f"the factors of the change of {shown} do not fit each other ({kinds})"


def _misfits(patch: WeightPatch, model: LoadedModel) -> Iterator[str]:
    """Yield what does not fit the weights of ``model``."""
    for name, change in patch.changes.items():
        wanted, shown = weight_shape(model, name), in_one_line(name)
        if wanted is None:
            yield _no_linear_map(model, name)
        elif _shape_of(change) != wanted:
            yield f"the change of {shown} is {list(_shape_of(change))}, and its weight is {list(wanted)}"
        elif not bool(change.dense().isfinite().all()):
            yield f"the change of {shown} is not finite"


def _misread(patch: Patch, saved: Saved, model: LoadedModel) -> Iterator[str]:
    """Yield what an editor's ``patch`` does not say as the file does, and what of it cannot be applied."""
    if isinstance(patch, ModulePatch) and weight_shape(model, patch.module) is None:
        yield _no_linear_map(model, patch.module)
    if not patch.describe().get("finite", True):
        yield "it is not finite"
    again = cast(SavablePatch, patch).to_saved()
    for name, tensor in saved.tensors.items():
        if name not in again.tensors or not _same(tensor, again.tensors[name]):
            yield f"its editor reads the tensor {in_one_line(name)!r} otherwise than the file says"
    for name, value in saved.facts.items():
        if not _says(again.facts.get(name), value):
            yield f"its editor reads {in_one_line(name)!r} otherwise than the file says"


def _no_linear_map(model: LoadedModel, name: str) -> str:
    return f"{model.request.name} has no linear map {in_one_line(name)!r}"


def weight_shape(model: LoadedModel, name: str) -> tuple[int, int] | None:
    """Return the shape [outputs, inputs] of the linear map called ``name``; None if the model has no such linear map."""
    try:
        module = model.network.get_submodule(name)
    except AttributeError:
        return None
    if not isinstance(module, nn.Linear | Conv1D):
        return None
    outputs, inputs = model.projection(name).weight.shape
    return outputs, inputs


def _problem_of(tensor: Tensor) -> str | None:
    if tensor.dtype not in (torch.float32, torch.float64):
        return f"is {_dtype(tensor)}, not float32 or float64"
    if tensor.ndim != 2 or 0 in tensor.shape:
        return f"is {list(tensor.shape)}, not a matrix"
    return None if bool(tensor.isfinite().all()) else "is not finite"


def _shape_of(change: LowRank | Dense) -> tuple[int, int]:
    if isinstance(change, Dense):
        outputs, inputs = change.change.shape
        return outputs, inputs
    return change.left.shape[0], change.right.shape[0]


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _same(said: Tensor, found: Tensor) -> bool:
    return said.dtype == found.dtype and said.shape == found.shape and torch.equal(said, found.to(said.device))


def _says(found: Any, said: Any) -> bool:
    """Return whether JSON values say all that ``said`` says; a later version of an editor may say more."""
    if isinstance(said, Mapping):
        return isinstance(found, Mapping) and all(_says(found.get(key), value) for key, value in said.items())
    if isinstance(said, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(said)
            and all(_says(*pair) for pair in zip(found, said, strict=True))
        )
    return type(found) is type(said) and bool(found == said)
