"""Safetensors files that are replaced in one step and notice damage.

The metadata hold a manifest, and a hash of it and of every byte of the tensors.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from wildcore.storage.durable import replacing

if TYPE_CHECKING:
    from torch import Tensor

HASH = "sha256"


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", key: str, manifest: str) -> None:
    """Write ``tensors`` and the ``manifest`` under ``key``; on return it survives the death of the process and of the machine.

    Whoever reads at the same time sees the earlier file or the new one, whole. Raises ``OSError`` or ``SafetensorError``.
    """
    from safetensors.torch import save_file  # heavy

    plain = _plain(tensors)
    with replacing(path) as unfinished:
        save_file(plain, unfinished, metadata={key: manifest, HASH: hash_of(manifest, plain)})


def read_text(path: Path, key: str) -> str | None:
    """Return the manifest under ``key``, None where the file has none; its tensors are not read, and damage is not noticed.

    Raises ``OSError`` or ``SafetensorError`` for a file that cannot be read.
    """
    with safe_open(path, framework="np") as stream:
        text: str | None = (stream.metadata() or {}).get(key)
        return text


def read_tensors(path: Path, key: str) -> "tuple[str, dict[str, Tensor]]":
    """Return the manifest under ``key`` and the tensors, on the CPU.

    Raises ``ValueError`` for a file that is not what was written, ``OSError``, ``RuntimeError`` or ``SafetensorError`` for one
    that cannot be read.
    """
    with safe_open(path, framework="pt") as stream:
        metadata = stream.metadata() or {}
        tensors = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
    if key not in metadata:
        raise ValueError(f"its metadata have no {key}")
    if metadata.get(HASH) != hash_of(metadata[key], tensors):
        raise ValueError("its content is not what was saved")
    return metadata[key], tensors


def hash_of(manifest: str, tensors: "Mapping[str, Tensor]") -> str:
    """Return a hash of all that a file says and of every byte of its tensors."""
    import torch  # heavy

    digest = hashlib.sha256(manifest.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return tensors as files hold them: on the CPU, contiguous, none sharing memory with another."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        plain[name] = own.clone() if own.untyped_storage().data_ptr() in seen else own
        seen.add(own.untyped_storage().data_ptr())
    return plain
