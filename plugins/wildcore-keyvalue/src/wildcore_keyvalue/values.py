"""The values to write: optimised so that the model says the target (Meng et al., NeurIPS 2022, equation 4, and ICLR 2023).

Many edits are optimised together. Each has its own texts, vector, loss, early stop and bound, and the numbers of one edit do
not affect another's. A step computes only what depends on the vectors: the layers above the edited one, for the tokens from
the subject's last one on, and logits at the positions that predict a token of interest.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from wildcore import EditRequest, Refused, TargetEnding, map_or_refuse
from wildcore.inference import PartialForward
from wildcore.models import LoadedModel, at_least_float32, pad, wide_dtype
from wildcore_keyvalue.parameters import ValueParams
from wildcore_keyvalue.prompts import SubjectText, with_target, without_target
from wildcore_keyvalue.traces import adding_to_first_token, recorded_layer

Place = Literal["mlp-output", "layer-output", "attention-and-mlp"]
FEWEST_TOGETHER = 32
"""On an accelerator, at least this many problems run together regardless of their lengths: with fewer, launching kernels takes
longer than computing."""


@dataclass(frozen=True)
class ValueProblem:
    """One edit to find a value for, and its texts: the bare prompt with the target first, then prefixed ones."""

    request: EditRequest
    texts: tuple[SubjectText, ...]


def pose(
    model: LoadedModel, requests: Sequence[EditRequest], prefixes: Sequence[str], ending: TargetEnding
) -> list[ValueProblem | Refused]:
    """Return the problem of each request, or the refusal if its subject is not in its prompt."""

    def posed(request: EditRequest) -> ValueProblem:
        return ValueProblem(request, tuple(with_target(model, request, prefixes, ending)))

    return map_or_refuse(posed, requests)


def required(problems: Sequence[ValueProblem | Refused]) -> list[ValueProblem]:
    """Return all problems. Raises the first ``Refused`` among them."""
    for problem in problems:
        if isinstance(problem, Refused):
            raise problem
    return [problem for problem in problems if not isinstance(problem, Refused)]


@dataclass(frozen=True)
class AfterFirstSuccess:
    """Changes to a problem once each token of its target is the most probable one in all of its texts.

    In the next step the log-probability of the target is weighed by ``target_factor``. If the divergence times its factor is
    at most ``divergence_threshold``, the problem ends.
    """

    target_factor: float
    divergence_threshold: float


@dataclass(frozen=True)
class OptimisedValue:
    """``initial`` is the model's own vector at the place on the first text, ``delta`` the vector added; both [outputs].

    Both are at least float32. ``mlp`` is the MLP's output there, as it enters ``initial``. If two vectors were optimised,
    ``delta`` is the MLP's.
    """

    initial: Tensor
    delta: Tensor
    mlp: Tensor
    losses: tuple[float, ...]

    @property
    def value(self) -> Tensor:
        """The value to write."""
        return self.initial + self.delta


def written_module(model: LoadedModel, layer: int, place: Place) -> nn.Module:
    """Return the module whose output the value replaces: a layer, or the output projection of its MLP."""
    return model.layers[layer] if place == "layer-output" else model.mlp_output(layer).module


def contributing_module(model: LoadedModel, layer: int, place: Place) -> nn.Module:
    """Return the module that adds the MLP's part to the vector at ``place``.

    At a layer's output it is the norm after the MLP, if the architecture has one, because the residual stream receives its
    output.
    """
    norm = getattr(model.layers[layer], "post_feedforward_layernorm", None)
    return norm if norm is not None and place == "layer-output" else model.mlp_output(layer).module


def optimise_values(
    model: LoadedModel,
    layer: int,
    problems: Sequence[ValueProblem],
    settings: ValueParams,
    place: Place = "mlp-output",
    once_said: AfterFirstSuccess | None = None,
) -> list[OptimisedValue]:
    """Find for each problem the vector that makes the model say the target when it is added at the subject's last token.

    It is added to the output of the layer's MLP projection, as in ROME, or to that of the whole layer, as in MEMIT. Or there
    are two vectors, one for the output of the layer's attention and one for its MLP's, as in PMET. For each problem the loss
    is the mean negative log-probability per target token over its texts, plus ``kl_factor`` times the divergence KL(edited ||
    unedited) of the next-token distributions on "{subject} is a", plus ``weight_decay * |delta| / |initial|^2`` of each
    vector. After each Adam step each ``delta`` is projected into the ball of radius ``clamp_factor * |initial|``. The last
    step only measures the loss. A problem ends when its loss is below ``loss_threshold``, or as ``once_said`` specifies.
    """
    found: dict[int, OptimisedValue] = {}
    for bucket in _buckets(problems, 1 if model.device.type == "cpu" else FEWEST_TOGETHER):
        values = _optimise(model, layer, [problems[index] for index in bucket], settings, place, once_said)
        found |= dict(zip(bucket, values, strict=True))
    return [found[index] for index in range(len(problems))]


def _buckets(problems: Sequence[ValueProblem], fewest: int) -> list[list[int]]:
    """Group problems of similar length: each row is padded to the longest in its group, and padding is computed too.

    Every bucket except the last has at least ``fewest`` problems.
    """
    tails = [len(problem.texts[0].joined.token_ids) - problem.texts[0].subject_index for problem in problems]
    buckets: list[list[int]] = []
    for index in sorted(range(len(problems)), key=lambda index: tails[index]):
        last = buckets[-1] if buckets else []
        if last and (len(last) < fewest or tails[index] <= tails[last[0]]):
            last.append(index)
        else:
            buckets.append([index])
    return buckets


def _optimise(
    model: LoadedModel,
    layer: int,
    problems: Sequence[ValueProblem],
    settings: ValueParams,
    place: Place,
    once_said: AfterFirstSuccess | None,
) -> list[OptimisedValue]:
    rows = _Rows(model, layer, problems, settings, place, once_said)
    deltas = torch.zeros_like(rows.initial).requires_grad_(True)
    optimiser = torch.optim.Adam([deltas], lr=settings.learning_rate)
    losses: list[list[float]] = [[] for _ in problems]
    found: dict[int, Tensor] = {}
    going_on = list(range(len(problems)))
    with torch.enable_grad():
        for step in range(settings.steps):
            loss = rows.losses(deltas, going_on)
            for problem, value in zip(going_on, loss.tolist(), strict=True):
                losses[problem].append(value)
            done = rows.satisfied.tolist() if once_said else [False] * len(problems)
            keep = [
                place
                for place, problem in enumerate(going_on)
                if losses[problem][-1] >= settings.loss_threshold and not done[problem]
            ]
            found |= {problem: deltas.detach()[problem].clone() for problem in going_on}
            going_on = [going_on[place] for place in keep]
            if not keep or step == settings.steps - 1:
                break
            optimiser.zero_grad()
            loss[keep].sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            _project(deltas, settings.clamp_factor * rows.initial.norm(dim=-1, keepdim=True))
    return [
        OptimisedValue(rows.initial[i, 0], found[i][0], rows.mlp[i], tuple(losses[i])) for i in range(len(problems))
    ]


@dataclass(frozen=True)
class _Predicted:
    """The positions that predict a token of interest, in the rows of the unfinished problems.

    ``owner`` [rows] is the index of each row's problem among them. ``row`` and ``place`` [predicted] are the positions: target
    tokens first, with their ids ``label``, their weights ``weight`` and their owners ``of``, then the essences.
    """

    owner: Tensor
    row: Tensor
    place: Tensor
    label: Tensor
    weight: Tensor
    of: Tensor


class _Rows:
    """All problems' texts as rows: heads, which end before the subject's last token, and tails, which begin with it.

    A head does not depend on the vector, so its keys and values are computed once. So are the outputs of the layers below the
    edited one for the tails.

    ``initial`` [problems, vectors, outputs] is the model's own output where vectors are added, ``mlp`` [problems, outputs] the
    MLP's output. Each pass sets the weight of a problem's target in the next pass, ``target_weight`` [problems], and whether
    the problem has finished, ``satisfied`` [problems].
    """

    def __init__(
        self,
        model: LoadedModel,
        layer: int,
        problems: Sequence[ValueProblem],
        settings: ValueParams,
        place: Place,
        once_said: AfterFirstSuccess | None,
    ) -> None:
        self.model, self.settings, self.place, self.once_said = model, settings, place, once_said
        self.modules = [written_module(model, layer, place)]
        if place == "attention-and-mlp":
            self.modules.append(model.layers[layer].get_submodule(model.family.attention_output.rpartition(".")[0]))
        self.texts: list[SubjectText] = []
        self.owners: list[int] = []
        self.essences: list[int] = []
        for number, problem in enumerate(problems):
            essence = without_target(model, f"{problem.request.subject} is a", problem.request.subject)
            self.essences.append(len(self.texts) + len(problem.texts))
            self.texts += [*problem.texts, essence]
            self.owners += [number] * (len(problem.texts) + 1)
        self.going_on = list(range(len(problems)))
        self.upper, outputs, contributions = self._read(layer)
        self.predicted = self._find()
        firsts = [self.owners.index(number) for number in self.going_on]
        self.initial, self.mlp = (at_least_float32(found[firsts]) for found in (outputs, contributions))
        self.target_weight = torch.ones(len(problems), dtype=self.initial.dtype, device=model.device)
        self.satisfied = torch.zeros(len(problems), dtype=torch.bool, device=model.device)
        with torch.no_grad():
            self.essence_before = self._log_probabilities(self.upper.hidden)[-len(problems) :].clone()

    @torch.no_grad()
    def _read(self, layer: int) -> tuple[PartialForward, Tensor, Tensor]:
        """Read heads, padded on the left, and tails, padded on the right.

        Also return, for each tail's first token, the model's own output where vectors are added, [rows, vectors, outputs], and
        the output of its MLP, [rows, outputs].
        """
        heads = [text.joined.token_ids[: text.subject_index] for text in self.texts]
        tails = [text.joined.token_ids[text.subject_index :] for text in self.texts]
        head_ids, head_mask = pad(heads, self.model.padding, "left", self.model.device)
        cache: Any = None
        if head_ids.shape[1]:
            positions = (head_mask.cumsum(-1) - 1).clamp(min=0)
            _, cache = self.model.forward(head_ids, head_mask, positions, logits_to_keep=1)
        tail_ids, tail_mask = pad(tails, self.model.padding, "right", self.model.device)
        mask = torch.cat([head_mask, tail_mask], dim=1)
        positions = head_mask.sum(1, keepdim=True) + torch.arange(tail_mask.shape[1], device=self.model.device)
        with ExitStack() as stack:
            recorded = (*self.modules, contributing_module(self.model, layer, self.place))
            seen = [stack.enter_context(recorded_layer(module, _first_token)) for module in recorded]
            upper = PartialForward(self._replayed(), layer, tail_ids, mask, positions, cache)
        *outputs, contributions = (states[0] for states in seen)
        return upper, torch.stack(outputs, dim=1), contributions

    def _replayed(self) -> LoadedModel:
        """Return the model to be replayed. The MLP's input is not reused if it depends on the attention's vector."""
        if self.place != "attention-and-mlp":
            return self.model
        return replace(self.model, family=replace(self.model.family, mlp_input=()))

    def _find(self) -> _Predicted:
        here = {number: place for place, number in enumerate(self.going_on)}
        rows = [index for index, owner in enumerate(self.owners) if owner in here]
        targets = [found for row, index in enumerate(rows) for found in self._targets(row, index, here)]
        essences = [(rows.index(self.essences[number]), self._essence_place(number)) for number in self.going_on]
        device = self.model.device
        return _Predicted(
            owner=torch.tensor([here[self.owners[index]] for index in rows], device=device),
            row=torch.tensor([found[0] for found in (*targets, *essences)], device=device),
            place=torch.tensor([found[1] for found in (*targets, *essences)], device=device),
            label=torch.tensor([found[2] for found in targets], device=device),
            weight=torch.tensor([found[3] for found in targets], dtype=wide_dtype(self.model.dtype), device=device),
            of=torch.tensor([found[4] for found in targets], device=device),
        )

    def _targets(self, row: int, index: int, here: Mapping[int, int]) -> list[tuple[int, int, int, float, int]]:
        """Return (row, place, token, weight, owner) of a text's target tokens; an essence has none."""
        joined, owner = self.texts[index].joined, self.owners[index]
        if index in self.essences:
            return []
        weight = 1 / len(joined.target_ids) / (self.owners.count(owner) - 1)
        first = joined.prompt_length - 1 - self.texts[index].subject_index
        return [(row, first + offset, token, weight, here[owner]) for offset, token in enumerate(joined.target_ids)]

    def _essence_place(self, number: int) -> int:
        essence = self.texts[self.essences[number]]
        end = len(essence.joined.token_ids) - 1 - essence.subject_index
        return 0 if self.settings.essence_position == "subject-end" else end

    def _log_probabilities(self, hidden: Tensor) -> Tensor:
        """Return log-probabilities [predicted, vocabulary] at the predicting positions, at least float32."""
        logits: Tensor = self.model.head(hidden[self.predicted.row, self.predicted.place])
        return at_least_float32(logits).log_softmax(-1)

    def losses(self, deltas: Tensor, going_on: Sequence[int]) -> Tensor:
        """Return the loss of each problem in ``going_on``, from its row of ``deltas`` [problems, vectors, outputs]."""
        if self.going_on != list(going_on):
            self._let_go(going_on)
        predicted, mine = self.predicted, deltas[self.going_on]
        log_probabilities = self._log_probabilities(self._run_with(mine[predicted.owner]))
        targets, essences = log_probabilities[: len(predicted.label)], log_probabilities[len(predicted.label) :]
        each = -targets.gather(1, predicted.label[:, None])[:, 0] * predicted.weight
        fit = self._by_owner(each)
        before = self.essence_before[self.going_on]
        divergence = kl_div(before, essences, log_target=True, reduction="none").sum(1)  # KL(edited || unedited)
        divergence = self.settings.kl_factor * divergence
        decay = self.settings.weight_decay * mine.norm(dim=-1) / self.initial[self.going_on].norm(dim=-1) ** 2
        if self.once_said is not None:
            fit = fit * self.target_weight[self.going_on]
            self._note_said(self.once_said, targets.detach(), divergence.detach())
        loss: Tensor = fit + divergence + decay.sum(1).to(fit.device)
        return loss

    def _by_owner(self, each: Tensor) -> Tensor:
        """Return sums [unfinished problems] of the values of ``each`` target token."""
        sums: Tensor = each.new_zeros(len(self.going_on)).index_add(0, self.predicted.of, each)
        return sums

    def _note_said(self, once_said: AfterFirstSuccess, targets: Tensor, divergence: Tensor) -> None:
        """Update weights and ends from log-probabilities ``targets`` [predicted, vocabulary] and ``divergence`` [unfinished
        problems].
        """
        missed = targets.amax(1) > targets.gather(1, self.predicted.label[:, None])[:, 0]
        said = self._by_owner(missed.float()) == 0
        whole = targets.new_ones(())
        self.target_weight[self.going_on] = torch.where(said, whole * once_said.target_factor, whole)
        self.satisfied[self.going_on] = said & (divergence <= once_said.divergence_threshold)

    def _run_with(self, added: Tensor) -> Tensor:
        """Return the final hidden states with ``added`` [rows, vectors, outputs] added at each row's first token.

        A tail begins with the subject's last token. At a layer's output a hook adds the vector, not the projection, because
        some architectures apply a norm to the projection's output before it enters the residual stream.
        """
        if self.place == "mlp-output":
            output = self.upper.outputs.clone()
            output[:, 0] += added[:, 0].to(output.dtype)
            return self.upper.run(output)
        with ExitStack() as stack:
            for module, vectors in zip(self.modules, added.unbind(1), strict=True):
                stack.enter_context(adding_to_first_token(module, vectors))
            return self.upper.run(self.upper.outputs if self.place == "layer-output" else None)

    def _let_go(self, going_on: Sequence[int]) -> None:
        """Remove the rows of finished problems."""
        owners = [self.going_on[place] for place in self.predicted.owner.tolist()]
        rows = [row for row, owner in enumerate(owners) if owner in going_on]
        self.upper.keep(torch.tensor(rows, device=self.model.device))
        self.going_on = list(going_on)
        self.predicted = self._find()


def _first_token(states: Tensor) -> Tensor:
    """Return a copy of the states of each row's first token, [rows, width]."""
    return states[:, 0].clone()


@torch.no_grad()
def _project(deltas: Tensor, radius: Tensor) -> None:
    norms = deltas.norm(dim=-1, keepdim=True)
    deltas.copy_(torch.where(norms > radius, deltas * (radius / norms), deltas))
