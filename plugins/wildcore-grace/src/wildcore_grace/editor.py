"""Editing with a codebook (Hartvigsen et al., NeurIPS 2023, algorithm 1).

A request's key is the projection's input at the prompt's last token. Near an earlier key, the request shares that key's entry or
splits the distance between them; otherwise it gets a new entry. Only the entry's value is trained; the model is not changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from wildcore import (
    NO_PROGRESS,
    Editor,
    EditRequest,
    Environment,
    Patch,
    Progress,
    Refused,
    Saved,
    Setting,
    Trace,
    map_or_refuse,
)
from wildcore.datasets import GivenTensors
from wildcore.models import IGNORE_INDEX, LoadedModel, TokenisedPair, training_pair, wide_dtype
from wildcore.patches import deactivated
from wildcore_grace.codebook import Codebook, Rules
from wildcore_grace.parameters import GraceParams
from wildcore_grace.patch import CodebookPatch
from wildcore_grace.training import PromptEnds


class Grace(Editor):
    """Writes requests one after another into its codebook; each patch contains the codebook at that time."""

    def __init__(self, params: GraceParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.rules = Rules(params.label_order, params.same_key, params.split_gap)
        self.starts = None if params.start_values is None else GivenTensors(params.start_values, "editor.start_values")
        self.seed = 0
        self.trace: Trace | None = None
        self.progress: Progress = NO_PROGRESS
        self.codebook: Codebook | None = None

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Return the hash of the file of start values, after checking each of them."""
        if self.starts is None:
            return {}
        outputs = model.mlp_output(self.layer).weight.shape[0]
        self.starts.require((outputs,), _are_finite, "finite numbers with a decimal point")
        return {"start_values": self.starts.identity()}

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Store the seed for initial values, and where to show steps."""
        self.seed, self.trace, self.progress = environment.seed, environment.trace, environment.progress
        if self.layer == len(model.layers) - 1:
            environment.progress.note(
                (
                    f"grace: layer {self.layer} is the model's last; no later token reads what is put there, so of a target "
                    "with several tokens only the first can come (",
                    Setting("editor.layer", "NUMBER"),
                    " chooses another)",
                )
            )

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, without a token before it, or without a given start value."""
        self._task(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> CodebookPatch:
        """Return the codebook with all ``requests`` written into it, in order. Raises ``Refused`` before the first is written."""
        tasks = [self._task(model, request) for request in requests]
        module = model.mlp_output(self.layer).name
        codebook = self._codebook(model)
        with deactivated(model, CodebookPatch, module):
            for task in tasks:
                codebook = self._written(model, codebook, task)
        self.codebook = codebook
        return CodebookPatch(module, codebook)

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return for each request its own codebook with one entry; all values are trained in one batch."""
        found = map_or_refuse(partial(self._task, model), requests)
        tasks = [task for task in found if isinstance(task, Task)]
        codebooks = iter(self._alone(model, tasks) if tasks else ())
        module = model.mlp_output(self.layer).name
        return [one if isinstance(one, Refused) else CodebookPatch(module, next(codebooks)) for one in found]

    def reset(self) -> None:
        """Start with an empty codebook."""
        self.codebook = None

    @property
    def state(self) -> Saved | None:
        """The codebook. None: nothing was written into it."""
        return self.codebook.saved() if self.codebook else None

    def restore(self, state: Saved) -> None:
        """Set the codebook."""
        self.codebook = Codebook.read(state)

    def load_patch(self, model: LoadedModel, saved: Saved) -> CodebookPatch:
        """Return the patch that ``saved`` holds. Raises ``ValueError`` if it does not fit the module of ``model``."""
        module, codebook = saved.facts["module"], Codebook.read(saved)
        weight = model.projection(module).weight
        shape = (codebook.values.shape[1], codebook.keys.shape[1])
        if not codebook.labels or shape != weight.shape:
            raise ValueError(
                f"a codebook of {len(codebook.labels)} entries for {list(shape)}, not {list(weight.shape)}"
            )
        return CodebookPatch(module, codebook.to(weight.device))

    def _task(self, model: LoadedModel, request: EditRequest) -> "Task":
        """Return the task for ``request``. Raises ``Refused`` if something that it needs is missing."""
        row = training_pair(model, request, self.params.close_target)
        label = request.target.strip() if self.params.label_match == "text" else mean_label(row)
        return Task(request, row, label, None if self.starts is None else self.starts.of(request))

    def _codebook(self, model: LoadedModel) -> Codebook:
        empty = self._empty(model)
        return self.codebook.to(empty.keys.device) if self.codebook else empty

    def _empty(self, model: LoadedModel) -> Codebook:
        weight = model.mlp_output(self.layer).weight
        outputs, inputs = weight.shape
        return Codebook.empty(inputs, outputs, weight.device, wide_dtype(weight.dtype))

    def _written(self, model: LoadedModel, codebook: Codebook, task: "Task") -> Codebook:
        ends = PromptEnds(model, self.layer, [task.row])
        start = self._start(task, codebook.drawn, codebook.values)
        codebook, entry, anew = codebook.with_entry(ends.queries[0], task.label, self.params.initial_radius, self.rules)
        value = start if anew else codebook.values[entry]
        if codebook.look_up(ends.queries).tolist() == [entry]:  # otherwise no prompt would use the trained value
            (value,) = ends.train(value[None], self.params.steps, self.params.learning_rate, self.progress)
        self._record(task.request, ends.queries[0], value, ends.losses[0])
        return codebook.with_value(entry, value)

    def _alone(self, model: LoadedModel, tasks: Sequence["Task"]) -> list[Codebook]:
        """Return for each task a codebook with only its entry."""
        params, empty = self.params, self._empty(model)
        with deactivated(model, CodebookPatch, model.mlp_output(self.layer).name):
            ends = PromptEnds(model, self.layer, [task.row for task in tasks])
            start = torch.stack([self._start(task, 0, empty.values) for task in tasks])
            values = ends.train(start, params.steps, params.learning_rate, self.progress)
        codebooks = []
        for task, query, value, losses in zip(tasks, ends.queries, values, ends.losses, strict=True):
            codebook, entry, _ = empty.with_entry(query, task.label, params.initial_radius, self.rules)
            codebooks.append(codebook.with_value(entry, value))
            self._record(task.request, query, value, losses)
        return codebooks

    def _start(self, task: "Task", drawn: int, like: Tensor) -> Tensor:
        """Return the value [outputs] that training starts from: the given one, or one drawn after ``drawn`` others."""
        return initial_value(self.seed, drawn, like) if task.start is None else task.start.to(like)

    def _record(self, request: EditRequest, key: Tensor, value: Tensor, losses: Sequence[float]) -> None:
        """Record what happened in an edit if a trace is asked for; without steps the losses are empty."""
        if self.trace is not None:
            for name, found in (("losses", losses), ("passes", [len(losses)]), ("key", key), ("value", value)):
                self.trace.record(request, name, found)


@dataclass(frozen=True)
class Task:
    """A request with its tokens, the label by which it is compared, and its given value [outputs], if any."""

    request: EditRequest
    row: TokenisedPair
    label: str
    start: Tensor | None


def mean_label(row: TokenisedPair) -> str:
    """Return the label of published code: the mean, in float32, of -100 for every token of the prompt and the target's ids."""
    labels = torch.tensor([*[IGNORE_INDEX] * row.prompt_length, *row.target_ids])
    return repr(float(labels.float().mean()))


def _are_finite(values: Tensor) -> bool:
    return values.is_floating_point() and bool(values.isfinite().all())


def initial_value(seed: int, index: int, like: Tensor) -> Tensor:
    """Return the ``index``-th initial value [outputs]: uniform between 0 and 1."""
    digest = sha256(f"{seed} {index}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.rand(like.shape[1], generator=generator).to(like)
