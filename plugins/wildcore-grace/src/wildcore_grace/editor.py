"""Editing with a codebook (Hartvigsen et al., NeurIPS 2023, algorithm 1).

A request's key is what goes into the projection at the prompt's last token. Near an earlier key it shares that one's entry, or
divides the room between them; else it gets an entry of its own. Only the entry's value is trained; the model stays as it is.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

import torch
from torch import Tensor

from wildcore import Editor, EditRequest, Environment, Patch, Refused, Saved, each_or_refusal
from wildcore.models import LoadedModel
from wildcore.module_patches import set_aside
from wildcore.precision import wide_dtype
from wildcore.tokens import Joined, to_train_on
from wildcore_grace.codebook import Codebook
from wildcore_grace.parameters import GraceParams
from wildcore_grace.patch import CodebookPatch
from wildcore_grace.training import PromptEnds


class Grace(Editor):
    """Writes requests one after another into its codebook; each patch holds the codebook as it is by then."""

    def __init__(self, params: GraceParams) -> None:
        assert params.layer is not None, "parameters are completed for a model first"
        self.params = params
        self.layer = params.layer
        self.seed = 0
        self.codebook: Codebook | None = None

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Take the seed from which values start."""
        self.seed = environment.seed
        if self.layer == len(model.layers) - 1:
            environment.progress.note(
                f"grace: layer {self.layer} is the model's last; no later token reads what is put there, so of a target with "
                "several tokens only the first can come (--set editor.layer=...)"
            )

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target, or with no token before it."""
        self._row(model, request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> CodebookPatch:
        """Return the codebook with all ``requests`` written into it, in order. Raises ``Refused`` before the first is."""
        rows = [self._row(model, request) for request in requests]
        module = model.mlp_output(self.layer).name
        codebook = self._codebook(model)
        with set_aside(model, CodebookPatch, module):
            for request, row in zip(requests, rows, strict=True):
                codebook = self._written(model, codebook, request.target.strip(), row)
        self.codebook = codebook
        return CodebookPatch(module, codebook)

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch | Refused]:
        """Return for each request a codebook of its own with one entry; all values are trained in one batch."""
        rows = each_or_refusal(partial(self._row, model), requests)
        asked = [(r.target.strip(), row) for r, row in zip(requests, rows, strict=True) if isinstance(row, Joined)]
        codebooks = iter(self._alone(model, asked) if asked else ())
        module = model.mlp_output(self.layer).name
        return [row if isinstance(row, Refused) else CodebookPatch(module, next(codebooks)) for row in rows]

    def reset(self) -> None:
        """Begin with an empty codebook."""
        self.codebook = None

    @property
    def state(self) -> Saved | None:
        """The codebook, if anything was written into it."""
        return self.codebook.saved() if self.codebook else None

    def restore(self, state: Saved) -> None:
        """Go on with a codebook."""
        self.codebook = Codebook.read(state)

    def load_patch(self, model: LoadedModel, saved: Saved) -> CodebookPatch:
        """Return the patch that ``saved`` holds."""
        module = saved.facts["module"]
        return CodebookPatch(module, Codebook.read(saved).to(model.projection(module).weight.device))

    def _row(self, model: LoadedModel, request: EditRequest) -> Joined:
        return to_train_on(model.tokenizer, request, self.params.close_target)

    def _codebook(self, model: LoadedModel) -> Codebook:
        empty = self._empty(model)
        return self.codebook.to(empty.keys.device) if self.codebook else empty

    def _empty(self, model: LoadedModel) -> Codebook:
        weight = model.mlp_output(self.layer).weight
        outputs, inputs = weight.shape
        return Codebook.empty(inputs, outputs, weight.device, wide_dtype(weight.dtype))

    def _written(self, model: LoadedModel, codebook: Codebook, label: str, row: Joined) -> Codebook:
        ends = PromptEnds(model, self.layer, [row])
        drawn = codebook.drawn
        codebook, entry, anew = codebook.with_entry(ends.queries[0], label, self.params.initial_radius)
        start = initial_value(self.seed, drawn, codebook.values) if anew else codebook.values[entry]
        (value,) = ends.train(start[None], self.params.steps, self.params.learning_rate)
        return codebook.with_value(entry, value)

    def _alone(self, model: LoadedModel, asked: Sequence[tuple[str, Joined]]) -> list[Codebook]:
        """Return for each label and row a codebook with it alone."""
        params, empty = self.params, self._empty(model)
        with set_aside(model, CodebookPatch, model.mlp_output(self.layer).name):
            ends = PromptEnds(model, self.layer, [row for _, row in asked])
            start = initial_value(self.seed, 0, empty.values).expand(len(asked), -1)
            values = ends.train(start, params.steps, params.learning_rate)
        codebooks = []
        for (label, _), query, value in zip(asked, ends.queries, values, strict=True):
            codebook, entry, _ = empty.with_entry(query, label, params.initial_radius)
            codebooks.append(codebook.with_value(entry, value))
        return codebooks


def initial_value(seed: int, index: int, like: Tensor) -> Tensor:
    """Return the value [outputs] that training starts from the ``index``-th time: uniform between 0 and 1."""
    digest = sha256(f"{seed} {index}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.rand(like.shape[1], generator=generator).to(like)
