"""The reference norm: the mean norm of the values that an editor finds on the unedited model, without the largest ones."""

from math import floor

import torch
from torch import Tensor

from wildcore import EditRequest, Environment, Parameter, Refused, Saved, Setting, UserError, ValueSolver
from wildcore.models import LoadedModel
from wildcore.storage import artifact_file
from wildcore_norm_anchor.facts import hash_of, read_facts
from wildcore_norm_anchor.parameters import NormAnchorParams

KIND = "value-norms"
TOGETHER = 32
"""Facts solved in one batch."""


def measured_norm(model: LoadedModel, environment: Environment, solver: ValueSolver, params: NormAnchorParams) -> float:
    """Return the reference norm, and note it. The norms are kept in the store of artifacts.

    Raises ``UserError`` if no prompt contains its fact's subject, or values are not finite.
    """
    facts = read_facts(params.facts, params.facts_measured)
    file = artifact_file(environment, model, KIND, {"facts": hash_of(facts), **solver.settings})
    saved = file.load_if_sound(environment)
    if saved is None:
        saved = Saved({"norms": _norms(environment, solver, facts)}, {})
        file.save(saved)
    norms = saved.tensors["norms"]
    about = Parameter("transform.norm-anchor.facts", params.facts)
    if not len(norms):
        raise UserError("no subject stands in its prompt", about, "name facts of which it does")
    norm, used = trimmed_mean(norms, params.left_out)
    if not 0 < norm < float("inf"):
        raise UserError(
            f"the mean norm of the values found is {norm}",
            about,
            ("give a reference norm with ", Setting("transform.norm-anchor.norm", "NUMBER")),
        )
    environment.progress.note(
        f"norm-anchor: the reference norm is {norm:.4g}, the mean of {used} of {len(facts)} facts' values; "
        f"{len(norms) - used} left out as the longest, {len(facts) - len(norms)} without their subject in the prompt"
    )
    return norm


def trimmed_mean(norms: Tensor, left_out: float) -> tuple[float, int]:
    """Return the mean of ``norms`` [values] without the largest ones, a share ``left_out`` of them, and the number of norms in
    the mean.
    """
    used = len(norms) - floor(left_out * len(norms) + 1e-9)
    return float(norms.double().sort().values[:used].mean()), used


def _norms(environment: Environment, solver: ValueSolver, facts: list[EditRequest]) -> Tensor:
    """Return the norms of the values found [values], without refused facts."""
    norms: list[Tensor] = []
    with environment.progress.track("reference norm", len(facts)) as advance:
        for start in range(0, len(facts), TOGETHER):
            some = facts[start : start + TOGETHER]
            norms += [value.norm().cpu() for value in solver.solve(some) if not isinstance(value, Refused)]
            advance(len(some))
    return torch.stack(norms) if norms else torch.empty(0)
