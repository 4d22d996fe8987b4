"""The source of an editor's second moments: a corpus to estimate them on, or files that the user gives.

A file is safetensors with the tensors "moments" [inputs, inputs], the mean of k k^T, and "count", the number of keys; or the
``.npz`` of published code (statistics of the ROME and MEMIT repositories), where "mom2.mom2" is the sum and "mom2.count" the
number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wildcore import Environment, Message, Parameter, Place, Setting, UserError
from wildcore.datasets import GivenFile
from wildcore.models import LoadedModel
from wildcore_keyvalue.corpus import open_corpus, pinned_corpus
from wildcore_keyvalue.moments import moment_facts, second_moments
from wildcore_keyvalue.parameters import ValueParams
from wildcore_keyvalue.solver import MomentSolver

LAYER = "{layer}"
SUM, COUNT = "mom2.mom2", "mom2.count"
ASYMMETRY = 1e-4
"""Largest accepted |C - C^T| / |C| of given second moments; published ones were summed in float32."""


@dataclass(frozen=True)
class Moments:
    """Second moments, ``matrix`` [inputs, inputs] in float64 on the CPU, and the number of keys they average."""

    matrix: Tensor
    count: int


@dataclass(frozen=True)
class MomentSource:
    """``tokens`` tokens of a ``corpus``, or ``files``: the name of a file, containing {layer} if there is one for each layer."""

    corpus: str
    tokens: int
    files: str | None = None

    @classmethod
    def of(cls, params: ValueParams) -> "MomentSource":
        """Return the source that an editor's parameters name."""
        return cls(params.corpus, params.moment_tokens, params.moments)

    def pinned_resources(self, layers: Sequence[int]) -> dict[str, Any]:
        """Return the description for the manifest (``Editor.pin_resources``): a hash of the corpus, or of each layer's file.

        Raises ``UserError`` for a file that cannot be read.
        """
        if self.files is None:
            return pinned_corpus(self.corpus)
        return {"moments": {str(layer): self._digest(layer) for layer in layers}}

    def facts(self, layer: int) -> dict[str, Any]:
        """Return what the second moments of a layer, and everything computed from them, depend on besides the model."""
        return (
            moment_facts(open_corpus(self.corpus), self.tokens)
            if self.files is None
            else {"given": self._digest(layer)}
        )

    def moments(self, model: LoadedModel, layers: Sequence[int], environment: Environment) -> dict[int, Moments]:
        """Return the second moments of each layer. Raises ``UserError`` for a corpus or a file that cannot be used."""
        if self.files is None:
            found = second_moments(model, layers, self.corpus, self.tokens, environment)
            return {layer: Moments(matrix, self.tokens) for layer, matrix in found.items()}
        given = {layer: self._read(model, layer) for layer in layers}
        counts = ", ".join(f"{count:,}" for count in dict.fromkeys(one.count for one in given.values()))
        environment.progress.note(f"second moments are those of {self.files}, of {counts} tokens")
        return given

    def _path(self, layer: int) -> Path:
        assert self.files is not None
        return Path(self.files.replace(LAYER, str(layer)))

    def _digest(self, layer: int) -> str:
        return GivenFile(self._path(layer), "editor.moments").identity()

    def _read(self, model: LoadedModel, layer: int) -> Moments:
        path, width = self._path(layer), model.mlp_output(layer).weight.shape[1]
        given = read_moments(path, self.files)
        if given.matrix.shape != (width, width):
            shape = " x ".join(map(str, given.matrix.shape))
            raise UserError(
                f"it holds {shape} numbers, and the keys of layer {layer} are {width} wide",
                _about(path, self.files),
                "give the moments of this model and layer",
            )
        return given


def read_moments(path: Path, named: str | None = None) -> Moments:
    """Return the second moments in a file, in float64. ``named`` is the name that the user gave.

    Raises ``UserError`` for a file that cannot be read, or does not contain the mean of finite k k^T over a number of keys.
    """
    about = _about(path, named)
    try:
        matrix, count = _published(path) if path.suffix == ".npz" else _own(path)
    except (OSError, ValueError, KeyError, BadZipFile, SafetensorError) as error:
        raise _unreadable(about, error) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(f"it holds no square matrix but one of {list(matrix.shape)}", about)
    if not matrix.isfinite().all():
        raise UserError(
            "it holds numbers that are not finite", about, "estimate the moments again, in float32 or float64"
        )
    if float((matrix - matrix.T).norm()) > ASYMMETRY * float(matrix.norm()):
        raise UserError("its matrix is not symmetric, so it is not the mean of k k^T", about)
    if count < 1 or count != int(count):
        raise UserError(f"its count of keys is {count}", about, "it must be a whole number from 1")
    return Moments((matrix + matrix.T) / 2, int(count))


def _own(path: Path) -> tuple[Tensor, float]:
    tensors = load_file(path)
    return tensors["moments"].double(), float(tensors["count"].reshape(()))


def _published(path: Path) -> tuple[Tensor, float]:
    with numpy.load(path, allow_pickle=False) as stored:
        total, count = stored[SUM], float(stored[COUNT])
    return torch.from_numpy(total).double() / count, count


def _about(path: Path, named: str | None) -> Message:
    if named in (None, str(path)):
        return Parameter("editor.moments", path)
    return (Parameter("editor.moments", named), ": ", Place(path))


def _unreadable(about: Message, error: Exception) -> UserError:
    lacking = f"it holds no {error}" if isinstance(error, KeyError) else str(error)
    return UserError(
        f"cannot be read ({lacking})",
        about,
        f"give a safetensors file with the tensors moments and count, or the .npz of published code, with {LAYER} "
        "in its name where several layers are edited",
    )


def moment_solvers(
    model: LoadedModel, layers: Sequence[int], source: MomentSource, damping: float, environment: Environment
) -> dict[int, MomentSolver]:
    """Return a solver for each layer's second moments.

    Notes their condition numbers, and whether there are fewer tokens than a layer's keys are wide.
    """
    moments = source.moments(model, layers, environment)
    tokens, width = min(one.count for one in moments.values()), max(len(one.matrix) for one in moments.values())
    if tokens < width:
        environment.progress.note(
            (
                f"second moments are those of {tokens} tokens, and keys are up to {width} wide: in the directions that no "
                "key has, only the damping counts; read more of a larger corpus (",
                Setting("editor.corpus", "FILE"),
                " ",
                Setting("editor.moment_tokens", "NUMBER"),
                ")",
            )
        )
    solvers = {}
    for layer in layers:
        solvers[layer] = MomentSolver(moments.pop(layer).matrix, damping, model.device)
        condition = solvers[layer].condition_number
        environment.progress.note(f"second moments of layer {layer}: condition number {condition:.2g}")
    return solvers
