"""Guesses the module paths of an architecture without a registered family, from a network without weights."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from wildcore.architectures import Family

ATTENTION = ("attn", "attention")
NORM = ("norm", "ln")
MOST_IN_MLP = 3
"""Most linear maps in an ordinary MLP. A mixture of experts has more, and no single MLP output."""


def guess_family(config: Any) -> Family | None:
    """Return the likely family of a causal language model with this configuration. None: its parts could not be identified.

    The network is built without memory for its weights. Module names decide what is attention; shapes decide what reads the
    residual stream or writes into it.
    """
    try:
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config)
        modules = dict(network.named_modules())
        layers = next(
            name
            for name, m in modules.items()
            if isinstance(m, nn.ModuleList) and len(m) == config.num_hidden_layers and m
        )
        return _family(config, network, modules, layers)
    except Exception:  # an architecture may fail in any way; then there is no guess
        return None


def _family(config: Any, network: nn.Module, modules: dict[str, nn.Module], layers: str) -> Family | None:
    first, width = f"{layers}.0.", config.hidden_size
    maps = {
        name.removeprefix(first): _shape(m) for name, m in modules.items() if name.startswith(first) and _is_linear(m)
    }
    attention = [name for name in maps if any(word in name.lower() for word in ATTENTION)]
    mlp = [name for name in maps if name not in attention]
    outputs = [[name for name in names if maps[name][0] == width] for names in (attention, mlp)]
    base = layers.rpartition(".")[0]
    norms = [
        name
        for name in modules
        if name.rpartition(".")[0] == base and any(word in name.rpartition(".")[2].lower() for word in NORM)
    ]
    head = next(name for name, module in modules.items() if module is network.get_output_embeddings())  # type: ignore[operator]
    if not (all(outputs) and norms and 2 <= len(mlp) <= MOST_IN_MLP):
        return None
    attention_output, mlp_output = (names[-1] for names in outputs)
    return Family(
        model_type=config.model_type,
        layers=layers,
        final_norm=norms[-1],
        head=head,
        mlp_input=_others(mlp, mlp_output),
        mlp_output=mlp_output,
        attention_input=_others(attention, attention_output),
        attention_output=attention_output,
    )


def _others(names: Iterable[str], output: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != output)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def _shape(module: Any) -> tuple[int, int]:
    """Return the numbers of outputs and inputs of a linear map."""
    outputs, inputs = module.weight.T.shape if isinstance(module, Conv1D) else module.weight.shape
    return outputs, inputs
