"""Replaces what modules of a network compute, for a while, or ends a pass early."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

Forward = Callable[..., Any]


@contextmanager
def replaced_forwards(replaced: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Replace the forwards of modules in this context; their hooks and attributes stay.

    A module may already have a forward of its own, for example if ``accelerate`` places layers. It is restored afterwards.
    """
    own = {module: vars(module)["forward"] for module in replaced if "forward" in vars(module)}
    try:
        for module, forward in replaced.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module in replaced:
            vars(module).pop("forward", None)
        for module, forward in own.items():
            vars(module)["forward"] = forward


class _ReadFarEnough(Exception):
    """Ends a forward pass after a module."""


@contextmanager
def ending_after(module: nn.Module) -> Iterator[None]:
    """End the forward pass in this context after ``module`` and the hooks that it has now; what lies above is not computed."""

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        raise _ReadFarEnough

    handle = module.register_forward_hook(end)
    try:
        yield
    except _ReadFarEnough:
        pass
    finally:
        handle.remove()
