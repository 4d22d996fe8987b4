"""Whether what a patch file holds can be applied to a model: checked completely before anything is changed.

Torch would repeat a single number over a whole matrix, read whole numbers as weights, and drop the imaginary part of a number.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from wildcore.errors import Message, Option, Place, UserError, in_one_line
from wildcore.interfaces import Patch, Saved
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
    if not tensors:
        raise _damaged(path, "it holds no change")
    changes: dict[str, LowRank | Dense] = {}
    for name in sorted({key.rpartition(":")[0] for key in tensors}):
        parts = {key.rpartition(":")[2]: tensor for key, tensor in tensors.items() if key.rpartition(":")[0] == name}
        shown = in_one_line(name)
        if set(parts) not in ({CHANGE}, set(FACTORS)):
            raise _damaged(path, f"the change of {shown} is not whole")
        for part, tensor in parts.items():
            problem = _problem_of(tensor)
            if problem:
                raise _damaged(path, f"{part} of the change of {shown} {problem}")
        if CHANGE in parts:
            changes[name] = Dense(parts[CHANGE])
            continue
        left, right = (parts[part] for part in FACTORS)
        if left.shape[1] != right.shape[1] or left.dtype != right.dtype:
            kinds = " and ".join(f"{_kind(factor)}" for factor in (left, right))
            raise _damaged(path, f"the factors of the change of {shown} do not fit each other ({kinds})")
        changes[name] = LowRank(left, right)
    return WeightPatch(changes)


def require_fitting(path: Path, patch: WeightPatch, model: LoadedModel) -> None:
    """Raise ``UserError`` unless each change in the file ``path`` is finite, and has the shape of a linear map of ``model``."""
    for name, change in patch.changes.items():
        wanted = weight_shape(model, name)
        shown = in_one_line(name)
        if wanted is None:
            raise _unfit(path, f"{model.request.name} has no linear map {shown!r}")
        found = _shape_of(change)
        if found != wanted:
            raise _unfit(path, f"the change of {shown} is {list(found)}, and its weight is {list(wanted)}")
        if not bool(change.dense().isfinite().all()):
            raise _unfit(path, f"the change of {shown} is not finite")


def require_read_back(path: Path, patch: Patch, saved: Saved, model: LoadedModel) -> None:
    """Raise ``UserError`` unless ``patch``, which its editor read from ``saved``, says again all that ``saved`` says, is finite,
    and changes a linear map of ``model`` if it changes a module.

    A value that the editor did not read, or read as another one, would otherwise be lost without a word.
    """
    if isinstance(patch, ModulePatch) and weight_shape(model, patch.module) is None:
        raise _unfit(path, f"{model.request.name} has no linear map {in_one_line(patch.module)!r}")
    if not patch.describe().get("finite", True):
        raise _unfit(path, "it is not finite")
    again = _saved_again(patch)
    if again is None:
        return
    differing = [
        name
        for name, tensor in saved.tensors.items()
        if name not in again.tensors or not _same(tensor, again.tensors[name])
    ]
    differing += [name for name, value in saved.facts.items() if not _says(again.facts.get(name), value)]
    if differing:
        raise _unfit(path, f"its editor reads {in_one_line(differing[0])!r} otherwise than the file says")


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
        return f"is {str(tensor.dtype).removeprefix('torch.')}, not float32 or float64"
    if tensor.ndim != 2 or 0 in tensor.shape:
        return f"is {list(tensor.shape)}, not a matrix"
    return None if bool(tensor.isfinite().all()) else "is not finite"


def _shape_of(change: LowRank | Dense) -> tuple[int, int]:
    if isinstance(change, Dense):
        outputs, inputs = change.change.shape
        return outputs, inputs
    return change.left.shape[0], change.right.shape[0]


def _kind(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _saved_again(patch: Patch) -> Saved | None:
    """Return what would be saved of ``patch``; None if its class cannot be saved."""
    return patch.to_saved() if isinstance(patch, ModulePatch) or hasattr(patch, "to_saved") else None


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


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(f"damaged: {problem}", Place(path), AGAIN)


def _unfit(path: Path, problem: Message) -> UserError:
    return UserError(
        (problem, ", so it cannot be applied"), Place(path), ("make it again for this model (", Option("model"), ")")
    )
