"""The identity of a model: hashes of its weights, which depend on every bit and are the same on every device."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from wildcore.types import FrozenData

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
CHECKED_AT_ONCE = 2**22


class ModelIdentity(FrozenData):
    """What identifies a model as loaded. Everything kept for a model or made from it takes its dependencies from here.

    ``name`` is the user's name for it, ``model_type`` its family, and ``dtype`` that of its weights, such as "float32".
    ``fingerprint`` is a hash of the configuration, the tokenizer and every bit of every weight in that dtype. ``tokenizer`` is
    the class of the tokenizer, ``device`` the type of its weights' device.
    """

    name: str
    revision: str | None
    model_type: str
    fingerprint: str
    tokenizer: str
    tokenizer_fingerprint: str
    dtype: str
    device: str
    device_map: str | None


def hash_of_weights(network: nn.Module) -> str:
    """Return a hash of every bit of every weight of ``network``."""
    digest = hashlib.sha256()
    for weight in weights_in_brief(network):
        digest.update(weight.encode())
    return digest.hexdigest()[:16]


def weights_in_brief(network: nn.Module) -> Iterator[str]:
    """Yield the name, the shape and the checksum of each weight of ``network``."""
    for name, parameter in network.named_parameters():
        yield f"{name}{tuple(parameter.shape)}{checksum(parameter.detach())}"


def checksum(weight: Tensor) -> int:
    """Return a number that depends on every bit of a weight and on its place. It sums integers, so it is equal on every
    device.
    """
    bits = weight.contiguous().view(BITS[weight.dtype.itemsize]).reshape(-1)
    places = torch.arange(min(bits.numel(), CHECKED_AT_ONCE), device=bits.device)
    factors = (
        2 * places * places + 1
    )  # odd, so that every change of one entry shows; unequal, so that exchanged entries show
    total = 0
    for part in torch.split(bits, CHECKED_AT_ONCE):
        total = (total * 1_000_003 + int((part.long() * factors[: part.numel()]).sum())) % 2**64
    return total
