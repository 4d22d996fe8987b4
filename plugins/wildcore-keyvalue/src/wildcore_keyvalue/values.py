"""The value to write: optimised so that the model says the target (Meng et al., NeurIPS 2022, equation 4)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div
from torch.nn.functional import pad as functional_pad

from wildcore import EditRequest
from wildcore.models import LoadedModel, Projection
from wildcore.tokens import IGNORED, pad, target_labels
from wildcore_keyvalue.prompts import SubjectText, without_target
from wildcore_keyvalue.traces import recorded

EssencePosition = Literal["prompt-end", "subject-end"]


@dataclass(frozen=True)
class ValueSettings:
    """How a value is optimised; see the editor's parameters of the same names."""

    steps: int
    learning_rate: float
    weight_decay: float
    clamp_factor: float
    kl_factor: float
    loss_threshold: float
    essence_position: EssencePosition


@dataclass(frozen=True)
class OptimisedValue:
    """``initial`` is the projection's output on the first text, ``delta`` what is added to it; both [outputs], float32."""

    initial: Tensor
    delta: Tensor
    losses: tuple[float, ...]

    @property
    def value(self) -> Tensor:
        """The value to write."""
        return self.initial + self.delta


def optimise_value(
    model: LoadedModel, layer: int, texts: Sequence[SubjectText], request: EditRequest, settings: ValueSettings
) -> OptimisedValue:
    """Find the vector that, added to a layer's MLP output at the subject's last token, makes the model say the target.

    Minimises the mean negative log-probability per target token over ``texts``, plus ``kl_factor`` times the divergence
    KL(edited || unedited) of the next-token distributions on "{subject} is a", plus
    ``weight_decay * |delta| / |initial|^2``. After
    each Adam step ``delta`` is projected into the ball of radius ``clamp_factor * |initial|``. The last step only measures.
    """
    essence = without_target(model, f"{request.subject} is a", request.subject)
    problem = _Problem(model, model.mlp_output(layer), [*texts, essence], settings)
    delta = torch.zeros(problem.width, dtype=torch.float32, device=problem.device, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=settings.learning_rate)
    losses: list[float] = []
    with torch.enable_grad():
        for step in range(settings.steps):
            loss = problem.loss(delta)
            losses.append(float(loss.detach()))
            if losses[-1] < settings.loss_threshold or step == settings.steps - 1:
                break
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            _project(delta, settings.clamp_factor * problem.initial.norm())
    return OptimisedValue(problem.initial, delta.detach(), tuple(losses))


class _Problem:
    """One optimisation: the texts as a batch, the last of them for the divergence, and what the first pass found.

    Tokens before the subject's last do not depend on the vector, so their keys and values are computed once and every step
    runs only the *tails*, from the subject's last token on.
    """

    def __init__(
        self, model: LoadedModel, projection: Projection, texts: Sequence[SubjectText], settings: ValueSettings
    ) -> None:
        self.model, self.projection, self.settings = model, projection, settings
        self.width = projection.weight.shape[0]
        self.device = projection.weight.device
        self._read_heads([text.joined.token_ids[: text.subject_index] for text in texts])
        self._read_tails(texts)
        essence = texts[-1]
        end = len(essence.joined.token_ids) - 1
        self.essence_place = 0 if settings.essence_position == "subject-end" else end - essence.subject_index
        self.initial, self.essence_before = self._unedited()

    @torch.no_grad()
    def _read_heads(self, heads: Sequence[Sequence[int]]) -> None:
        """Compute the keys and values of what stands before the subject's last token, padded on the left."""
        ids, self.head_mask = pad(heads, self.model.padding, "left", self.model.device)
        self.head_cache: Any = None
        if ids.shape[1]:
            positions = (self.head_mask.cumsum(-1) - 1).clamp(min=0)
            _, self.head_cache = self.model.read(ids, self.head_mask, positions, logits_to_keep=1)

    def _read_tails(self, texts: Sequence[SubjectText]) -> None:
        tails = [text.joined.token_ids[text.subject_index :] for text in texts]
        self.tail_ids, tail_mask = pad(tails, self.model.padding, "right", self.model.device)
        self.mask = torch.cat([self.head_mask, tail_mask], dim=1)
        self.positions = self.head_mask.sum(1, keepdim=True) + torch.arange(
            tail_mask.shape[1], device=self.model.device
        )
        labels = target_labels([text.joined for text in texts], self.model.device)
        filled = functional_pad(labels, (0, tail_mask.shape[1]), value=IGNORED)
        starts = torch.tensor([[text.subject_index] for text in texts], device=self.model.device)
        self.labels = filled.gather(1, starts + torch.arange(tail_mask.shape[1], device=self.model.device))

    @torch.no_grad()
    def _unedited(self) -> tuple[Tensor, Tensor]:
        with recorded(self.projection) as seen:
            logits = self._logits()
        return seen[0][1][0, 0].float().clone(), logits[-1, self.essence_place].float().log_softmax(-1)

    def _logits(self) -> Tensor:
        """Return the logits of the tails [texts, tail tokens, vocabulary]."""
        cache = deepcopy(self.head_cache)  # a pass adds its own keys and values to what it is given
        logits, _ = self.model.read(self.tail_ids, self.mask, self.positions, cache)
        return logits

    def loss(self, delta: Tensor) -> Tensor:
        """Return the objective at ``delta``."""
        with self._added(delta):
            logits = self._logits()
        labels = self.labels[:-1].to(logits.device)
        flat = cross_entropy(
            logits[:-1].float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
        )
        per_text = flat.view_as(labels).sum(1) / (labels != IGNORED).sum(1)
        essence = logits[-1, self.essence_place].float().log_softmax(-1)
        divergence = kl_div(self.essence_before, essence, log_target=True, reduction="sum")  # KL(edited || unedited)
        decay = self.settings.weight_decay * delta.norm() / self.initial.norm() ** 2
        return per_text.mean() + self.settings.kl_factor * divergence.to(per_text.device) + decay.to(per_text.device)

    @contextmanager
    def _added(self, delta: Tensor) -> Iterator[None]:
        def add(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            changed = output.clone()
            changed[:, 0] += delta.to(output.dtype)  # a tail begins with the subject's last token
            return changed

        handle = self.projection.module.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()


@torch.no_grad()
def _project(delta: Tensor, radius: Tensor) -> None:
    norm = delta.norm()
    if norm > radius:
        delta.mul_(radius / norm)
