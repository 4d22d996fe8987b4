"""Checks whether a model fits into memory, before its weights are read."""

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM

from wildcore.errors import Option, Place, UserError

GIB = 2**30
ADAPTER = "adapter_"
"""Beginning of the names of an adapter's files. They may be in the folder of a whole model, and are not its weights."""


def require_memory(name: str, parameters: int, dtype: torch.dtype, device: torch.device) -> None:
    """Raise ``UserError`` if the weights alone, of which there are ``parameters``, exceed the free memory of ``device``.
    ``name`` is the user's name for the model.
    """
    needed = parameters * dtype.itemsize
    free = free_memory(device)
    if free is not None and needed > free:
        half = {torch.float32: "bfloat16", torch.float64: "float32"}.get(dtype)
        smaller = (Option("dtype", half), " halves it; ") if half else ""
        raise UserError(
            f"its weights need {needed / GIB:.1f} GiB as {str(dtype).removeprefix('torch.')}, and "
            f"{free / GIB:.1f} GiB are free on {device}",
            about=Option("model", name),
            way_out=(smaller, Option("device_map", "auto"), " spreads it over all devices"),
        )


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes on a device. None: they cannot be determined."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        return int(psutil.virtual_memory().available)
    return None


def parameter_count(folder: Path) -> int:
    """Count the parameters in a folder's safetensors files from their headers."""
    return sum(_parameters(file).total() for file in weight_files(folder))


def parameter_count_of(config: Any) -> int:
    """Count the parameters of the network that a configuration describes, without memory for its weights."""
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in network.parameters())


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files from which a model folder's weights are read.

    Some folders hold the weights twice: as shards, and as one file in another layout. The index says which files are read.
    """
    index = folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"
    if whole.is_file():
        return [whole]
    return sorted(_shards(index) if index.is_file() else _not_of_adapters(folder))


def _not_of_adapters(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.safetensors") if not file.name.startswith(ADAPTER)]


def _shards(index: Path) -> set[Path]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = {index.parent / name for name in names}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"not an index of safetensors files ({error})", Place(index), "fetch the model again"
        ) from error
    missing = sorted(file.name for file in files if not file.is_file())
    if missing:
        raise UserError(f"it names {', '.join(missing)}, which the folder lacks", Place(index), "fetch the model again")
    return files


def stored_dtypes(folder: Path) -> list[str]:
    """Return the dtypes of a folder's stored weights, as safetensors names them. The dtype of most weights comes first."""
    return [dtype for dtype, _ in sum(map(_parameters, weight_files(folder)), Counter[str]()).most_common()]


def tensor_names(folder: Path) -> list[str]:
    """Return the names of the tensors in a folder's weight files."""
    return [name for file in weight_files(folder) for name in read_header(file)]


def _parameters(file: Path) -> Counter[str]:
    """Count the parameters in a file by their stored dtype."""
    counts: Counter[str] = Counter()
    for dtype, shape in read_header(file).values():
        counts[dtype] += prod(shape)
    return counts


def read_header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype and the shape of each tensor in a safetensors file. Raises ``UserError`` for any other file."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        return {
            name: (str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"not a safetensors file ({error})", Place(file), "fetch the model again") from error
