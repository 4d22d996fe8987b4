"""How active a side memory is on a text: how far it moves the projection's output."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers.activations import ACT2FN

from wildcore import Option, Setting, UserError
from wildcore.models import LoadedModel, at_least_float32

ACTIVATION_NAMES = ("hidden_act", "hidden_activation", "activation_function")


def activation_of(model: LoadedModel) -> str:
    """Return the name of the activation function in the model's MLPs. Raises ``UserError`` if it is not known."""
    config = model.network.config
    name = next((found for key in ACTIVATION_NAMES if (found := getattr(config, key, None))), None)
    if name is None or name not in ACT2FN:
        raise UserError(
            "its activation function is not known",
            Option("model", model.request.name),
            ("choose ", Setting("editor.activity", "outputs")),
        )
    return str(name)


def require_activation(name: str | None) -> None:
    """Raise ``ValueError`` unless ``name`` is an activation function that transformers has, or None."""
    if name is not None and name not in ACT2FN:
        raise ValueError(f"there is no activation function {name!r:.60}")


def activity(
    output: Tensor, moved: Tensor, counted: Tensor, activation: str | None, peak_beyond: int | None = None
) -> Tensor:
    """Return the mean over the ``counted`` [rows, tokens] tokens of |f(output + moved) - f(output)|: [rows].

    ``moved`` [rows, tokens, outputs] is what the side memory adds to the projection's ``output``; f is the activation function
    (None: the identity): the paper's equation 4. If more than ``peak_beyond`` tokens are counted, the largest value replaces
    the mean. At least float32.
    """
    apart = at_least_float32(moved)
    if activation is not None:
        function: Callable[[Tensor], Tensor] = ACT2FN[activation]
        apart = function(at_least_float32(output) + apart) - function(at_least_float32(output))
    distances: Tensor = torch.linalg.vector_norm(apart, dim=-1)
    distances, counts = distances * counted, counted.sum(-1)
    mean = distances.sum(-1) / counts.clamp(min=1)
    return mean if peak_beyond is None else torch.where(counts > peak_beyond, distances.amax(-1), mean)
