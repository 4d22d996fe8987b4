"""Safetensors files that are replaced atomically and detect damage.

The metadata hold a manifest, and a hash of the manifest and of every byte of the tensors.
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
    """Write ``tensors``, and the ``manifest`` under ``key``. When this returns, the file survives a crash of process and
    machine.

    A concurrent reader sees the earlier file or the new one, always whole. Raises ``OSError`` or ``SafetensorError``.
    """
    from safetensors.torch import save_file  # heavy

    plain = _plain(tensors)
    with replacing(path) as unfinished:
        save_file(plain, unfinished, metadata={key: manifest, HASH: hash_of(manifest, plain)})


def read_text(path: Path, key: str) -> str | None:
    """Return the manifest under ``key``, or None if the file has none. The tensors are not read, so damage is not noticed.

    Raises ``OSError`` or ``SafetensorError`` for a file that cannot be read.
    """
    with safe_open(path, framework="np") as stream:
        text: str | None = (stream.metadata() or {}).get(key)
        return text


def foreign_metadata(path: Path, key: str) -> list[str]:
    """Return the names in a file's metadata that ``write_tensors`` did not write. Raises as ``read_text`` does."""
    with safe_open(path, framework="np") as stream:
        return sorted(set(stream.metadata() or {}) - {key, HASH})


def read_tensors(path: Path, key: str) -> "tuple[str, dict[str, Tensor]]":
    """Return the manifest under ``key`` and the tensors, on the CPU.

    Raises ``ValueError`` if the content differs from what was written, and ``OSError``, ``RuntimeError`` or
    ``SafetensorError`` if the file cannot be read.
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
    """Return a hash of the manifest and of every byte of the tensors."""
    import torch  # heavy

    digest = hashlib.sha256(manifest.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return tensors as files need them: on the CPU, contiguous, none sharing memory with another."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        plain[name] = own.clone() if own.untyped_storage().data_ptr() in seen else own
        seen.add(own.untyped_storage().data_ptr())
    return plain
