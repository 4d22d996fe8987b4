"""Loaded models: weights, tokenizer, and where the parts of the network are."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from wildcore.architectures import Family
from wildcore.errors import Message
from wildcore.models.fingerprints import ModelIdentity, weights_in_brief
from wildcore.models.forwards import replaced_forwards
from wildcore.params import ModelShape
from wildcore.thoughts import MARKER_TOKENS
from wildcore.types import Prompt

if TYPE_CHECKING:
    from wildcore.inference.prompt_cache import PromptCache


@dataclass(frozen=True)
class ModelRequest:
    """Which model to load and how. The fields are the options of the command line.

    ``folder`` is given if the model is bundled with a plugin; otherwise ``name`` is a local folder, a GGUF file or a hub name.
    ``merge_adapter``: a folder that holds an adapter stands for its base model with the adapter merged into it.
    """

    name: str
    folder: Path | None = None
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False
    merge_adapter: bool = False


@dataclass(frozen=True)
class Projection:
    """A linear map inside a network. ``weight`` is [outputs, inputs] even if the module stores it transposed."""

    name: str
    """Name of the module in the network."""
    module: nn.Module
    transposed: bool

    @property
    def weight(self) -> Tensor:
        """The weight as a view [outputs, inputs]: writing into it writes into the model.

        Each access returns a new view that is not part of any graph, so it cannot be trained. To train it, use
        ``LoadedModel.trainable``.
        """
        stored = self.module.weight
        assert isinstance(stored, Tensor)
        return (stored.data.T if self.transposed else stored.data).as_subclass(_WeightView)

    @property
    def parameter(self) -> nn.Parameter:
        """The weight as the module stores it: [outputs, inputs], or [inputs, outputs] if ``transposed``."""
        stored = self.module.weight
        assert isinstance(stored, nn.Parameter)
        return stored


class _WeightView(Tensor):
    """A view of a weight. An attempt to train the view raises an error that says how to train the weight.

    As with a parameter, results of operations on it are ordinary tensors.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def requires_grad(self) -> bool:
        """False: a view of a weight is not part of any graph."""
        return False

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> "_WeightView":
        """Raise ``RuntimeError``, whose message says how to train the weight."""
        if requires_grad:
            raise RuntimeError(
                "projection.weight is a view, on which requires_grad has no effect; train the weight itself inside "
                "'with model.trainable(projection) as (parameter,):', which puts it back afterwards"
            )
        return self

    def detach(self) -> "_WeightView":
        """Return the view itself, which is detached."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.clone()


class _FinalStates:
    """What the network below its head returns, in any architecture: final hidden states, and None for everything else.

    No ``ModelOutput``, because the names of its fields change between versions of transformers.
    """

    def __init__(self, hidden: Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@dataclass(frozen=True)
class BatchInfo:
    """Describes the next forward pass.

    ``rows``: for each row of the batch, the index of its prompt (None: all prompts, in order). ``prompt_lengths`` [rows]: how
    many tokens of each row are prompt, when prompt and answer are read in one pass (None: only prompts, or only
    continuations).
    """

    rows: Sequence[int] | None = None
    prompt_lengths: Sequence[int] | None = None


class BatchListener(Protocol):
    """Something that must be told about each batch before the network reads it."""

    allows_cuda_graph: bool
    """Whether the listener has nothing to do in the passes after the first, as long as the rows stay the same."""

    def on_batch(self, reading: BatchInfo) -> None:
        """Receive the description of the next forward pass."""
        ...


class PromptRewriter(Protocol):
    """Something that changes the prompts given to a model."""

    def rewrite(self, model: "LoadedModel", prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Return the prompts to read instead. ``questions`` are the bare questions that the prompts ask."""
        ...


@dataclass(eq=False)
class LoadedModel:
    """A causal language model in evaluation mode with frozen weights, and its tokenizer."""

    network: Any
    tokenizer: Any
    family: Family
    request: ModelRequest
    revision: str | None = None
    notes: tuple[Message, ...] = field(default=())
    max_batch_size: int | None = None
    """Most prompts to run in one batch. None: all that are given."""
    use_cuda_graphs: bool | None = None
    """Whether decoding uses buffers of fixed length, captured as a CUDA graph on CUDA. None: where it is faster."""
    warnings: list[str] = field(default_factory=list)
    """Notes from running the model, such as that a slower way was taken."""
    listeners: list[BatchListener] = field(default_factory=list)
    """Told of each batch. Not empty while patches are applied that treat rows or tokens differently."""
    prompt_patches: list["PromptRewriter"] = field(default_factory=list)
    """Applied patches that change prompts, in the order in which they were applied."""
    weight_patches: list[object] = field(default_factory=list)
    """Applied patches that change weights, in the order in which they were applied."""
    prompt_cache: "PromptCache | None" = None
    """The prefill of prompts that are asked more than once. None: no prompts are shared at the moment."""
    clock: datetime = field(default_factory=datetime.now)
    """The time that a chat template which reads the clock is given: that of loading, or that of a run's start."""

    def __post_init__(self) -> None:
        self.network.eval()
        self.network.requires_grad_(False)

    @cached_property
    def shape(self) -> ModelShape:
        """The model's size, as far as presets and layer defaults need it."""
        return shape_of(self.network.config)

    @property
    def device(self) -> torch.device:
        """The device that input ids must be on."""
        device: torch.device = self.network.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        dtype: torch.dtype = self.network.dtype
        return dtype

    @property
    def carries_patches(self) -> bool:
        """Whether any patch is applied at the moment."""
        return bool(self.weight_patches or self.prompt_patches or self.listeners)

    @property
    def max_length(self) -> int | None:
        """The most tokens that a sequence may have. None: the architecture sets no limit."""
        bound = getattr(self.network.config, "max_position_embeddings", None)
        return int(bound) if bound else None

    @cached_property
    def embeddings(self) -> int:
        """The number of tokens for which the network has an embedding."""
        return int(self.network.get_input_embeddings().weight.shape[0])

    @cached_property
    def embeds_every_token(self) -> bool:
        """Whether the network has an embedding for every token of the tokenizer."""
        largest: int = max(self.tokenizer.get_vocab().values())
        return largest < self.embeddings

    @property
    def end_of_sequence(self) -> frozenset[int]:
        """Ids that end an answer: the tokenizer's, and those of the model's generation config."""
        declared = getattr(self.network.generation_config, "eos_token_id", None)
        ids = declared if isinstance(declared, list) else [declared]
        return frozenset(int(i) for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    @property
    def padding(self) -> int:
        """The id used for padding. It is masked everywhere, so any id for which the network has an embedding will do."""
        padding = self.tokenizer.pad_token_id
        return int(padding) if padding is not None and padding < self.shape.vocabulary else 0

    @cached_property
    def layers(self) -> nn.ModuleList:
        """The transformer's layers."""
        layers: nn.ModuleList = self.network.get_submodule(self.family.layers)
        return layers

    def mlp_output(self, layer: int) -> Projection:
        """Return the projection that writes the output of ``layer``'s MLP into the residual stream."""
        return self.projection(f"{self.family.layers}.{layer}.{self.family.mlp_output}")

    def projection(self, module_name: str) -> Projection:
        """Return the linear map named ``module_name``."""
        module = self.network.get_submodule(module_name)
        return Projection(module_name, module, transposed=isinstance(module, Conv1D))

    @contextmanager
    def trainable(self, *projections: Projection) -> Iterator[tuple[nn.Parameter, ...]]:
        """Make the weights of ``projections`` trainable: yield their parameters, which require gradients, for an optimiser.

        In this context gradients are recorded, and ``projection.weight`` shows the trained weight as [outputs, inputs]; the
        layout of a parameter is that of ``Projection.parameter``. On leaving, even after an exception, values, gradients and
        flags are restored bit for bit, so compute the change before leaving. The parameters have the model's dtype. In half
        precision small steps are lost to rounding: train a float32 copy instead.
        """
        parameters = tuple(projection.parameter for projection in projections)
        kept = [(p, p.data, p.data.clone(), p.grad, p.requires_grad) for p in parameters]
        try:
            for parameter in parameters:
                parameter.grad = None
                parameter.requires_grad_(True)
            with torch.enable_grad():
                yield parameters
        finally:
            for parameter, storage, values, gradient, flag in kept:
                parameter.data = storage
                parameter.data.copy_(values)
                parameter.grad = gradient
                parameter.requires_grad_(flag)

    @cached_property
    def cache_name(self) -> str:
        """The name under which transformers passes the key-value cache; it was renamed within version 5."""
        return "cache" if "cache" in signature(self.network.forward).parameters else "past_key_values"

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        positions: Tensor,
        cache: Any = None,
        logits_to_keep: int = 0,
        rows: Sequence[int] | None = None,
        prompt_lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, Any]:
        """Run the network on ``ids`` [rows, tokens] after the tokens in ``cache``; return logits and the extended cache.

        ``mask`` [rows, cached + tokens] marks real tokens, ``positions`` [rows, tokens] counts them. The logits are those of
        the last ``logits_to_keep`` tokens (0: of all): [rows, tokens kept, vocabulary]. ``rows`` and ``prompt_lengths`` are
        those of ``BatchInfo``: each row may be under its own patch, and a pass that reads more than prompts without a cache must
        give ``prompt_lengths``.
        """
        self.notify(BatchInfo(rows, prompt_lengths))
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, self.cache_name: cache}
        step = self.network(**inputs, use_cache=True, logits_to_keep=logits_to_keep)
        return step.logits, getattr(step, self.cache_name)

    def text_of(self, token_ids: Sequence[int]) -> str:
        """Return the text of generated tokens, without special tokens except those that mark a thought."""
        if not self._never_shown:
            text: str = self.tokenizer.decode(token_ids, skip_special_tokens=True)
            return text
        shown = [token for token in token_ids if token not in self._never_shown]
        with_markers: str = self.tokenizer.decode(shown, skip_special_tokens=False)
        return with_markers

    @cached_property
    def _never_shown(self) -> frozenset[int]:
        """Ids of special tokens that are not part of a text, if others are because they mark a thought; else empty."""
        special = {i: str(token) for i, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        markers = {i for i, token in special.items() if token in MARKER_TOKENS}
        return frozenset(special) - markers if markers else frozenset()

    def notify(self, reading: BatchInfo) -> None:
        """Tell the listeners what is about to be read."""
        for listener in self.listeners:
            listener.on_batch(reading)

    def warn(self, message: str) -> None:
        """Store a note for the user; a note that is already stored is not repeated."""
        if message not in self.warnings:
            self.warnings.append(message)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., vocabulary] of final hidden states [..., width], which are those after the last norm.

        The network itself computes them, so that scaling, soft-capping and biases are its own.
        """
        flat = hidden.reshape(1, -1, hidden.shape[-1])
        given = _FinalStates(flat)
        base = self.network.get_decoder()  # some call the decoder in their base model directly
        with replaced_forwards({base: lambda *args, **kwargs: given}):
            step = self.network(input_ids=torch.zeros(flat.shape[:2], dtype=torch.long, device=hidden.device))
        logits: Tensor = step.logits
        return logits.reshape(*hidden.shape[:-1], -1)

    def rewrite_prompts(self, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Return the prompts that the model reads instead of ``prompts``, as changed by the applied patches."""
        for patch in list(self.prompt_patches):
            prompts = patch.rewrite(self, prompts, questions)
        return list(prompts)

    @property
    def identity(self) -> ModelIdentity:
        """What identifies this model as loaded."""
        return ModelIdentity(
            name=self.request.name,
            revision=self.revision,
            model_type=self.family.model_type,
            fingerprint=self.fingerprint,
            tokenizer=type(self.tokenizer).__name__,
            tokenizer_fingerprint=self.tokenizer_fingerprint,
            dtype=str(self.dtype).removeprefix("torch."),
            device=self.device.type,
            device_map=self.request.device_map,
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the configuration, the tokenizer and every bit of every weight."""
        digest = hashlib.sha256()
        config = {
            k: v for k, v in self.network.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")
        }
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(self.tokenizer_fingerprint.encode())
        for weight in weights_in_brief(self.network):
            digest.update(weight.encode())
        return digest.hexdigest()[:16]

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """A hash of everything that defines the fast tokenizer."""
        return hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:16]


def shape_of(config: Any) -> ModelShape:
    """Return a model's size as given by its configuration."""
    return ModelShape(config.model_type, config.num_hidden_layers, config.hidden_size, config.vocab_size)
