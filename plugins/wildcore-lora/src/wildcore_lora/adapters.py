"""Adapters beside some of a network's modules, added and removed by peft."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from wildcore.models import LoadedModel
from wildcore.patches import LowRank
from wildcore_lora.parameters import LoraParams

NAME = "default"
HALF = (torch.float16, torch.bfloat16)


class Adapter:
    """The adapter of one module: ``scaling * B @ A`` is added to its weight [outputs, inputs]."""

    def __init__(self, layer: Any) -> None:
        """Wrap the module that peft has substituted for the adapted one."""
        self.a: Tensor = layer.lora_A[NAME].weight
        self.b: Tensor = layer.lora_B[NAME].weight
        self.scaling: float = layer.scaling[NAME]
        layer.lora_dropout.train()
        for weight in (self.a, self.b):
            if weight.dtype in HALF:
                weight.data = weight.data.float()  # so that no step is lost to rounding

    def change(self) -> LowRank:
        """Return a copy of what the adapter adds to the weight."""
        return LowRank(self.scaling * self.b.detach(), self.a.detach().T.clone())


@contextmanager
def adapters(model: LoadedModel, names: Sequence[str], params: LoraParams) -> Iterator[dict[str, Adapter]]:
    """Add a new adapter to each module of ``names`` in this context; afterwards the network is restored.

    B is zero and A is drawn from torch's global random state. Adapters of half-precision networks are float32.
    """
    originals = {name: model.projection(name) for name in names}
    config = LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha,
        lora_dropout=params.dropout,
        target_modules="|".join(re.escape(name) for name in names),
        fan_in_fan_out=any(projection.transposed for projection in originals.values()),
    )
    try:
        inject_adapter_in_model(config, model.network, NAME)
        yield {name: Adapter(model.network.get_submodule(name)) for name in names}
    finally:
        for name, projection in originals.items():
            parent, _, last = name.rpartition(".")
            setattr(model.network.get_submodule(parent), last, projection.module)
        vars(model.network).pop("peft_config", None)
