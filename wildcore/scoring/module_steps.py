"""The four modules of an evaluation, and the steps by which they change from the synthetic protocol to the wild one.

Each module is measured alone, in the paper's order, and last (Yang et al., The Mirage of Model Editing, ACL 2025, section 6).
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

Module = Literal["input", "generation", "truncation", "metric"]
MODULES: tuple[Module, ...] = ("input", "generation", "truncation", "metric")
"""The modules in the paper's order."""
NONE: frozenset[Module] = frozenset()
ALL: frozenset[Module] = frozenset(MODULES)


class ModuleStep(NamedTuple):
    """A change of one module, or of all: the modules that are as in the wild protocol before it and after it. The others are as
    in the synthetic protocol.
    """

    label: str
    before: frozenset[Module]
    after: frozenset[Module]


def module_steps() -> Iterator[ModuleStep]:
    """Yield each step, with its label."""
    for module in MODULES:
        yield ModuleStep(f"{module}, alone", NONE, frozenset({module}))
    for number, module in enumerate(MODULES):
        yield ModuleStep(f"{module}, in order", frozenset(MODULES[:number]), frozenset(MODULES[: number + 1]))
    for module in MODULES:
        yield ModuleStep(f"{module}, last", ALL - {module}, ALL)
    yield ModuleStep("all four", NONE, ALL)
