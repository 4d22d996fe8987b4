"""Editing with side memories (Wang et al., NeurIPS 2024).

A side memory begins as a copy of the projection and is trained, on a random part of its weights, until it says the edits'
targets and is active on their prompts but not on irrelevant text. After enough edits a new one is begun, with another part of
its weights; in time several are merged into one.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from wildcore_keyvalue.corpus import corpus_taken, open_corpus
from wildcore_keyvalue.prefixes import PrefixStyle, sampled_prefixes

from wildcore import Editor, EditRequest, Environment, Prompt, Saved, UserError
from wildcore.models import LoadedModel
from wildcore.module_patches import set_aside
from wildcore.precision import wide_dtype
from wildcore.tokens import Joined, encode, to_train_on
from wildcore_wise.activity import activation_of
from wildcore_wise.memories import Memories, SideMemory
from wildcore_wise.parameters import WiseParams
from wildcore_wise.patch import SideMemoryPatch
from wildcore_wise.training import Training

PREFIX_STYLE = PrefixStyle(("I", "You", "Because", "Yes", "Q: "), " ", new_tokens_only=True)
"""As published code has it, which is not as ROME's has it."""

DOCUMENTS = 1000
"""Most documents of the corpus among which irrelevant text is drawn."""


class Wise(Editor):
    """Writes requests one after another into its memories; each patch holds the memories as they are by then."""

    def __init__(self, params: WiseParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.seed = 0
        self.prefixes: tuple[str, ...] = ("",)
        self.documents = documents(params.corpus)
        self.memories = Memories()

    def take(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Say what the corpus holds that irrelevant text is drawn from."""
        return corpus_taken(self.params.corpus)

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Take the seed and sample the prefixes."""
        self.seed = environment.seed
        params = self.params
        self.prefixes = sampled_prefixes(model, environment, params.prefix_lengths, params.prefix_top_k, PREFIX_STYLE)

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or with no token before it."""
        self._texts(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> SideMemoryPatch:
        """Return the memories with all ``requests`` written into them, in order. Raises ``Refused`` before the first is."""
        texts = [self._texts(model, request) for request in requests]
        weight = model.mlp_output(self.layer).weight
        memories = self.memories.to(weight.device)
        with set_aside(model, SideMemoryPatch, model.mlp_output(self.layer).name):
            for rows in texts:
                memories = self._written(model, memories, rows)
        self.memories = memories
        return self._patch(model)

    def reset(self) -> None:
        """Begin without memories."""
        self.memories = Memories()

    @property
    def state(self) -> Saved | None:
        """The memories, if there are any."""
        return self.memories.saved() if self.memories.edits else None

    def restore(self, state: Saved) -> None:
        """Go on with memories."""
        self.memories = Memories.read(state)

    def load_patch(self, model: LoadedModel, saved: Saved) -> SideMemoryPatch:
        """Return the patch that ``saved`` holds."""
        facts = saved.facts
        weight = model.projection(facts["module"]).weight
        changes = [saved.tensors[f"memory.{number}"].to(weight) for number in range(len(facts["thresholds"]))]
        return SideMemoryPatch(facts["module"], changes, facts["thresholds"], facts["activation"])

    def _texts(self, model: LoadedModel, request: EditRequest) -> list[Joined]:
        """Return the request behind every prefix; the first is none."""
        prompts = [prefix + request.prompt for prefix in self.prefixes]
        requests = [request.model_copy(update={"prompt": prompt}) for prompt in prompts]
        return [to_train_on(model.tokenizer, one, self.params.close_target) for one in requests]

    def _written(self, model: LoadedModel, memories: Memories, rows: Sequence[Joined]) -> Memories:
        params = self.params
        memory, mask = memories.current, memories.mask
        if memory is None or mask is None:
            weight = model.mlp_output(self.layer).weight
            memory = SideMemory(torch.zeros_like(weight, dtype=wide_dtype(weight.dtype)), float("inf"))
            mask = drawn_mask(weight, params.mask_ratio, self._generator("mask", memories.edits))
        irrelevant = self.irrelevant(model, memories.edits)
        training = Training(model, rows, irrelevant, params, self._activation(model))
        change = training.train(memory.change, mask)
        least = min(memory.least_active, training.activity_on_prompts(change))
        written = SideMemory(change, least)
        return memories.written(written, mask, params.save_every, params.merge_every, params.merge_density)

    def irrelevant(self, model: LoadedModel, edit: int) -> tuple[int, ...]:
        """Return the tokens of irrelevant text for the edit of this number, drawn from the corpus by the run's seed."""
        number = int(torch.randint(len(self.documents), (), generator=self._generator("irrelevant", edit)))
        return encode(model.tokenizer, Prompt(text=self.documents[number]))[: self.params.irrelevant_tokens]

    def _generator(self, what: str, edit: int) -> torch.Generator:
        """Return the random stream of one thing in one edit, so that a state taken up again draws what it would have drawn."""
        digest = sha256(f"{self.seed} {what} {edit}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def _activation(self, model: LoadedModel) -> str | None:
        return activation_of(model) if self.params.activity == "activated-outputs" else None

    def _patch(self, model: LoadedModel) -> SideMemoryPatch:
        projection = model.mlp_output(self.layer)
        changes = [memory.change.to(projection.weight) for memory in self.memories.all]
        thresholds = [self.params.threshold_ratio * memory.least_active for memory in self.memories.all]
        return SideMemoryPatch(projection.name, changes, thresholds, self._activation(model))


def documents(corpus: str) -> tuple[str, ...]:
    """Return the documents that irrelevant text is drawn from. Raises ``UserError`` where there are none."""
    found = tuple(islice(open_corpus(corpus).documents(), DOCUMENTS))
    if not found:
        raise UserError(f"editor.corpus={corpus}: it holds no text")
    return found


def drawn_mask(weight: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """Return a random mask of ``weight``, true with probability ``ratio``."""
    return (torch.rand(weight.shape, generator=generator) < ratio).to(weight.device)
