"""Quantised weights: how a model folder says that it holds them, and whether they can be turned back into ordinary ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wildcore.errors import Message
from wildcore.models.memory import stored_dtypes, tensor_names
from wildcore.models.sources import has_weights

PACKAGES: Mapping[str, str | None] = {
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "fp8": None,
    "mxfp8": None,
    "mxfp4": None,
    "gguf": "gguf",
}
"""The methods whose weights transformers de-quantises, and the package that this needs besides (None: no other)."""
ORDINARY = {"F64", "F32", "F16", "BF16"}
"""Dtypes of weights that are not quantised, as safetensors names them."""
OF_CODES = (".qweight", ".qzeros", ".weight_packed", ".SCB", ".weight_scale_inv", ".weight_scale")
"""Endings of the names of tensors that only quantised weights have."""


@dataclass(frozen=True)
class Quantisation:
    """How weights are quantised: the ``quant_method`` of config.json, and the bits of a weight if they are known."""

    method: str
    bits: int | None = None

    def __str__(self) -> str:
        return f"{self.method}, {self.bits} bits" if self.bits else self.method

    @property
    def is_known(self) -> bool:
        """Whether transformers can turn weights that are quantised in this way back into ordinary ones."""
        return self.method in PACKAGES

    def problem(self) -> Message | None:
        """Return why these weights cannot be turned back into ordinary ones, and the way out. None: they can."""
        take_original = "take the model that was quantised, which its card names"
        if not self.is_known:
            return (
                f"its weights are quantised (quant_method {self}), and transformers cannot turn them back into the ordinary "
                f"weights that an edit changes; {take_original}"
            )
        package = PACKAGES[self.method]
        if package is None or find_spec(package.replace("-", "_")) is not None:
            return None
        return (
            f"its weights are quantised (quant_method {self}), and turning them back into the ordinary weights that an edit "
            f"changes needs the package {package}: pip install {package}; or {take_original}"
        )


def quantisation(config: Any, folder: Path) -> Quantisation | None:
    """Return how the weights of a model folder are quantised. None: its configuration and the tensors' names do not say so."""
    found = getattr(config, "quantization_config", None) or getattr(config, "compression_config", None)
    if found is not None:
        said: Mapping[str, Any] = found if isinstance(found, Mapping) else found.to_dict()
        loaded_in = 4 if said.get("load_in_4bit") else 8 if said.get("load_in_8bit") else None
        method = said.get("quant_method") or ("bitsandbytes" if loaded_in else "unnamed")
        bits = said.get("bits") or loaded_in
        return Quantisation(str(getattr(method, "value", method)), bits if isinstance(bits, int) else None)
    if not has_weights(folder):
        return None
    codes = next((name for name in tensor_names(folder) if name.endswith(OF_CODES)), None)
    return Quantisation(f"unnamed; the files hold {codes}") if codes else None


def holds_ordinary_weights(folder: Path) -> bool:
    """Return whether a folder's weights are all stored as floating numbers, whatever its configuration says."""
    return (
        has_weights(folder)
        and set(stored_dtypes(folder)) <= ORDINARY
        and not any(name.endswith(OF_CODES) for name in tensor_names(folder))
    )
