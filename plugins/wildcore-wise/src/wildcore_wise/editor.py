"""Editing with side memories (Wang et al., NeurIPS 2024).

A side memory starts as a copy of the projection. A random part of its weights is trained until the model says the edits'
targets and the memory is active on their prompts but not on irrelevant text. After a number of edits a new memory is
started, with another part of its weights; after more edits, several are merged into one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from wildcore_keyvalue.corpus import open_corpus, pinned_corpus
from wildcore_keyvalue.prefixes import PrefixStyle, chosen_prefixes, pinned_prefixes

from wildcore import (
    NO_PROGRESS,
    Editor,
    EditRequest,
    Environment,
    Parameter,
    Progress,
    Prompt,
    Saved,
    Trace,
    UserError,
)
from wildcore.datasets import GivenTensors, GivenTexts
from wildcore.models import LoadedModel, TokenisedPair, encode, training_pair, wide_dtype
from wildcore.patches import deactivated
from wildcore_wise.activity import activation_of, require_activation
from wildcore_wise.memories import Memories, SideMemory
from wildcore_wise.parameters import WiseParams
from wildcore_wise.patch import Choice, SideMemoryPatch
from wildcore_wise.training import Training

PREFIX_STYLE = PrefixStyle(("I", "You", "Because", "Yes", "Q: "), " ", new_tokens_only=True)
"""The style of WISE's published code, which differs from ROME's."""

DOCUMENTS = 1000
"""Irrelevant text is drawn from at most this many documents of the corpus."""


class Wise(Editor):
    """Writes requests one after another into its memories; each patch contains the memories at that time."""

    def __init__(self, params: WiseParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.seed = 0
        self.prefixes: tuple[str, ...] = ("",)
        self.irrelevant_texts = (
            None if params.irrelevant is None else GivenTexts(params.irrelevant, "editor.irrelevant")
        )
        self.masks = None if params.masks is None else GivenTensors(params.masks, "editor.masks")
        self.documents = documents(params.corpus) if self.irrelevant_texts is None else ()
        self.trace: Trace | None = None
        self.progress: Progress = NO_PROGRESS
        self.memories = Memories()

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the hashes of the files and the corpus that edits use. Every given mask and text is checked."""
        resources = pinned_prefixes(self.params.prefixes)
        if self.masks is not None:
            shape = model.mlp_output(self.layer).weight.shape
            self.masks.require(tuple(shape), lambda mask: bool(((mask == 0) | (mask == 1)).all()), "zeros and ones")
            resources["masks"] = self.masks.identity()
        if self.irrelevant_texts is None:
            return resources | pinned_corpus(self.params.corpus)
        assert self.irrelevant_texts.texts
        return resources | {"irrelevant": self.irrelevant_texts.identity()}

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Store the seed and where to show steps, and read or sample the prefixes."""
        self.seed, self.trace, self.progress = environment.seed, environment.trace, environment.progress
        params = self.params
        self.prefixes = chosen_prefixes(
            model, environment, params.prefixes, params.prefix_lengths, params.prefix_top_k, PREFIX_STYLE
        )

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, without a token before it, or without a given irrelevant text."""
        self._rows(model, request)
        if self.irrelevant_texts is not None:
            self.irrelevant_texts.of(request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> SideMemoryPatch:
        """Return the memories with all ``requests`` written into them, in order. Raises ``Refused`` before the first is
        written.
        """
        memories = self.memories.to(model.mlp_output(self.layer).weight.device)
        tasks = [self._task(model, request, memories.edits + count) for count, request in enumerate(requests)]
        with deactivated(model, SideMemoryPatch, model.mlp_output(self.layer).name):
            for task in tasks:
                memories = self._written(model, memories, task)
        self.memories = memories
        return self._patch(model)

    def reset(self) -> None:
        """Start without memories."""
        self.memories = Memories()

    @property
    def state(self) -> Saved | None:
        """The memories. None: there are none yet."""
        return self.memories.saved() if self.memories.edits else None

    def restore(self, state: Saved) -> None:
        """Set the memories."""
        self.memories = Memories.read(state)

    def load_patch(self, model: LoadedModel, saved: Saved) -> SideMemoryPatch:
        """Return the patch that ``saved`` holds. Raises ``ValueError`` if it does not fit the module of ``model``."""
        facts = saved.facts
        weight = model.projection(facts["module"]).weight
        changes = [saved.tensors[f"memory.{number}"] for number in range(len(facts["thresholds"]))]
        if not changes or any(change.shape != weight.shape or not change.is_floating_point() for change in changes):
            raise ValueError(
                f"there is no memory, or one is no matrix {list(weight.shape)} of numbers with a decimal point"
            )
        if not all(isinstance(threshold, float) for threshold in facts["thresholds"]):
            raise ValueError("a threshold is not a number")
        require_activation(facts["activation"])
        choice = Choice.read(facts.get("choice", {}))
        return SideMemoryPatch(
            facts["module"], [change.to(weight) for change in changes], facts["thresholds"], facts["activation"], choice
        )

    def _task(self, model: LoadedModel, request: EditRequest, edit: int) -> "Task":
        """Return the task of the edit with this number. Raises ``Refused`` if something that it needs is missing."""
        rows = self._rows(model, request)
        if self.masks is not None and edit % self.params.save_every == 0:
            self.masks.require_entry(request)
        return Task(request, rows, self.irrelevant(model, request, edit))

    def _rows(self, model: LoadedModel, request: EditRequest) -> list[TokenisedPair]:
        """Return the request after each prefix, as it is trained on. Raises ``Refused`` if that is not possible."""
        prompts = [prefix + request.prompt for prefix in self.prefixes]
        requests = [request.model_copy(update={"prompt": prompt}) for prompt in prompts]
        return [training_pair(model, one, self.params.close_target) for one in requests]

    def _written(self, model: LoadedModel, memories: Memories, task: "Task") -> Memories:
        params = self.params
        memory, mask = memories.current, memories.mask
        if memory is None or mask is None:
            weight = model.mlp_output(self.layer).weight
            memory = SideMemory(torch.zeros_like(weight, dtype=wide_dtype(weight.dtype)), float("inf"))
            mask = self._mask(weight, task.request, memories.edits)
        training = Training(model, task.rows, task.irrelevant, params, self._activation(model), self.progress)
        change = training.train(memory.change, mask)
        least = training.least_active(change)
        self._record(task.request, training, {"change": change, "mask": mask, "least_active": torch.tensor([least])})
        written = SideMemory(change, min(memory.least_active, least))
        return memories.written(written, mask, params.save_every, params.merge_every, params.merge_density)

    def _record(self, request: EditRequest, training: Training, values: Mapping[str, Tensor]) -> None:
        """Record the losses of each step and ``values``, if a trace is asked for."""
        if self.trace is None:
            return
        answers, activities = ([losses[part] for losses in training.losses] for part in (0, 1))
        self.trace.record(request, "losses", [sum(losses) for losses in training.losses])
        self.trace.record(request, "losses.answer", answers)
        self.trace.record(request, "losses.activity", activities)
        self.trace.record(request, "passes", [len(training.losses)])
        for name, value in values.items():
            self.trace.record(request, name, value)

    def _mask(self, weight: Tensor, request: EditRequest, edit: int) -> Tensor:
        """Return the mask [outputs, inputs] of the memory started by ``request``, the edit with this number."""
        if self.masks is not None:
            return self.masks.of(request).bool().to(weight.device)
        return drawn_mask(weight, self.params.mask_ratio, self._generator("mask", edit))

    def irrelevant(self, model: LoadedModel, request: EditRequest, edit: int) -> tuple[int, ...]:
        """Return the tokens of irrelevant text for ``request``, the edit with this number: as given, or drawn by the run's
        seed.
        """
        if self.irrelevant_texts is not None:
            return encode(model.tokenizer, Prompt(text=self.irrelevant_texts.of(request)))
        number = int(torch.randint(len(self.documents), (), generator=self._generator("irrelevant", edit)))
        return encode(model.tokenizer, Prompt(text=self.documents[number]))[: self.params.irrelevant_tokens]

    def _generator(self, what: str, edit: int) -> torch.Generator:
        """Return the random stream for one purpose in one edit, so that a restored editor draws the same numbers."""
        digest = sha256(f"{self.seed} {what} {edit}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def _activation(self, model: LoadedModel) -> str | None:
        return activation_of(model) if self.params.activity == "activated-outputs" else None

    def _patch(self, model: LoadedModel) -> SideMemoryPatch:
        projection = model.mlp_output(self.layer)
        changes = [memory.change.to(projection.weight) for memory in self.memories.all]
        params = self.params
        thresholds = [params.threshold_ratio * memory.least_active for memory in self.memories.all]
        unfinished = params.unfinished_competes and self.memories.current is not None
        choice = Choice(params.routing == "token", params.peak_beyond, unfinished)
        return SideMemoryPatch(projection.name, changes, thresholds, self._activation(model), choice)


@dataclass(frozen=True)
class Task:
    """A request with its training texts: itself after every prefix, of which the first is empty, and irrelevant tokens."""

    request: EditRequest
    rows: Sequence[TokenisedPair]
    irrelevant: Sequence[int]


def documents(corpus: str) -> tuple[str, ...]:
    """Return the documents from which irrelevant text is drawn. Raises ``UserError`` if there are none."""
    found = tuple(islice(open_corpus(corpus).documents(), DOCUMENTS))
    if not found:
        raise UserError("it holds no text", Parameter("editor.corpus", corpus))
    return found


def drawn_mask(weight: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """Return a random mask of ``weight``, true with probability ``ratio``."""
    return (torch.rand(weight.shape, generator=generator) < ratio).to(weight.device)
