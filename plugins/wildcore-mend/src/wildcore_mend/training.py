"""Training of the hyper-network: Adam on the losses of edited models, validated on cases held out, resumable."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from wildcore import Environment, Parameter, Saved, UserError
from wildcore.models import LoadedModel
from wildcore.storage import Artifact
from wildcore_mend.examples import Examples, Trial, generator_for, trial_at
from wildcore_mend.gradients import edited_modules
from wildcore_mend.losses import Losses, losses_after, losses_under
from wildcore_mend.network import HyperNetwork
from wildcore_mend.parameters import MendParams

ADAM = ("step", "exp_avg", "exp_avg_sq")
"""The state of torch's Adam for a parameter; the first entry is kept on the CPU."""


@dataclass(frozen=True)
class Validation:
    """The validation after ``step`` steps: means over the held-out cases; step 0 is the unedited model."""

    step: int
    edit: float
    accuracy: float
    locality: float
    weighted: float

    @classmethod
    def of(cls, step: int, losses: Losses, params: MendParams) -> "Validation":
        """Return the means of ``losses``."""
        parts = (losses.edit, losses.accuracy, losses.locality, losses.weighted(params))
        return cls(step, *(float(part.mean()) for part in parts))

    def __str__(self) -> str:
        return (
            f"held-out loss {self.weighted:.4g} (negative log-probability {self.edit:.4g}, divergence {self.locality:.4g}, "
            f"{self.accuracy:.1%} of the target tokens)"
        )


class Training:
    """A hyper-network in training: the network, Adam's state, the best network so far, and the validations."""

    def __init__(self, model: LoadedModel, examples: Examples, params: MendParams, environment: Environment) -> None:
        assert params.layers is not None, "parameters are completed for a model first"
        self.model, self.examples, self.params, self.environment = model, examples, params, environment
        names = edited_modules(model, params.layers)
        self.network = HyperNetwork(model, names, params, generator_for(environment.seed, "network"))
        self.optimiser = torch.optim.Adam(self._parameter_groups())
        self.step = 0
        self.curve: list[Validation] = []
        self.best: dict[str, Tensor] = {}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        return [
            {"params": list(self.network.transforms.parameters()), "lr": self.params.learning_rate},
            {"params": [self.network.rates], "lr": self.params.edit_rate_learning_rate},
        ]

    def run(self, file: Artifact) -> Saved:
        """Train to the end and return the best network and the validations.

        Checkpoints are saved in ``file``. If it contains one, training resumes from it and ends with the same bits. Raises
        ``UserError`` if a validation has no finite loss.
        """
        saved = file.load_if_sound(self.environment)
        if saved is not None:
            self._restore(saved)
            self.environment.progress.note(f"mend: going on with the training from step {self.step}")
        else:
            self._validate_unedited()
        with self.environment.progress.track("training mend", self.params.steps, self.step) as advance:
            kept = time.monotonic()
            while self._goes_on():
                before = self.step
                self._update()
                if self.step // self.params.validate_every > before // self.params.validate_every or not self._left():
                    self._validate()
                if time.monotonic() - kept >= self.params.checkpoint_seconds:
                    file.save(self._state())
                    kept = time.monotonic()
                advance(self.step - before)
        curve = [asdict(validation) for validation in self.curve]
        return Saved(self.best, {"curve": curve, "best": asdict(self._best())})

    def _left(self) -> int:
        return self.params.steps - self.step

    def _goes_on(self) -> bool:
        return self._left() > 0 and self.curve[-1].step - self._best().step < self.params.patience

    def _best(self) -> Validation:
        """Return the best validation of a network; before the first, that of the unedited model."""
        return min(self.curve[1:] or self.curve, key=lambda validation: validation.weighted)

    def _update(self) -> None:
        """Make the steps of one update."""
        count = min(self.params.accumulate, self._left())
        trials = [trial_at(self.examples.learned, self.step + i, self.environment.seed) for i in range(count)]
        self.optimiser.zero_grad()
        for some in self._batches(trials):
            losses = losses_after(self.model, self.network, some, self.params, observe=True)
            torch.autograd.backward(losses.weighted(self.params).sum() / count)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_bound)
        if norm.isfinite():
            self.optimiser.step()
        else:
            self.environment.progress.note(f"mend: the gradient at step {self.step} is not finite; it was left out")
        self.step += count

    def _batches(self, trials: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        size = self.model.max_batch_size or self.params.accumulate
        return (trials[start : start + size] for start in range(0, len(trials), size))

    @torch.no_grad()
    def _validate_unedited(self) -> None:
        self._record([losses_under(self.model, [{}] * len(some), some, self.params) for some in self._held_out()])

    @torch.no_grad()
    def _validate(self) -> None:
        self._record([losses_after(self.model, self.network, some, self.params) for some in self._held_out()])
        if self._best() == self.curve[-1]:
            self.best = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def _held_out(self) -> Iterator[Sequence[Trial]]:
        return self._batches([example.trial() for example in self.examples.held_out])

    def _record(self, parts: Sequence[Losses]) -> None:
        joined = Losses(
            *(torch.cat([getattr(part, name) for part in parts]) for name in ("edit", "accuracy", "locality"))
        )
        validation = Validation.of(self.step, joined, self.params)
        if not isfinite(validation.weighted):
            raise UserError(
                f"the training diverged by step {self.step}",
                "mend",
                ("lower ", Parameter("editor.learning_rate"), " or ", Parameter("editor.edit_rate_learning_rate")),
            )
        self.curve.append(validation)
        self.environment.progress.note(f"mend, step {self.step}: {validation}")

    def _state(self) -> Saved:
        """Return everything needed to resume."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for name, parameter in self.network.named_parameters():
            own = self.optimiser.state[parameter]
            tensors |= {f"adam.{entry}.{name}": tensor for entry, tensor in own.items()}
        return Saved(tensors, {"step": self.step, "curve": [asdict(validation) for validation in self.curve]})

    def _restore(self, saved: Saved) -> None:
        self.step = saved.facts["step"]
        self.curve = [Validation(**validation) for validation in saved.facts["curve"]]
        self.network.load_state_dict(_under("network.", saved))
        self.best = _under("best.", saved)
        for name, parameter in self.network.named_parameters():
            own = {entry: saved.tensors.get(f"adam.{entry}.{name}") for entry in ADAM}
            self.optimiser.state[parameter] = {
                entry: tensor if entry == "step" else tensor.to(parameter.device)
                for entry, tensor in own.items()
                if tensor is not None  # empty before the first update
            }


def _under(prefix: str, saved: Saved) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in saved.tensors.items() if name.startswith(prefix)}
