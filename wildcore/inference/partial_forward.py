"""Partial forward passes: a batch is run repeatedly from one layer's MLP output projection on.

Optimising a value or the projection's weight changes only the output of that projection. Everything below and beside it stays
the same: the layers below, and in the layer itself the attention and the projection's input. One ordinary pass records these;
each further pass reuses the recorded tensors and computes only the rest. Rows of different length are padded for the attention
only: modules that work token by token are given the real tokens only.

Some networks change a module's output in place, as when they add the attention's output to that of the MLP. torch counts the
changes of a tensor, so the recording shows which modules' outputs are changed; only these are copied.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.inference.kv_cache import shallow_copy
from wildcore.models.forwards import Forward, replaced_forwards
from wildcore.models.loaded import LoadedModel

MAX_DENSITY_TO_PACK = 0.9
"""Largest share of real tokens at which gathering them costs less than computing the padding."""
MIN_TOKENS_STABLE_SUM = 16
"""Below this many tokens the summation order of a matrix product depends on the number of tokens, so a row could differ alone
and in a batch; padding is then kept."""
MIN_TOKENS_TO_PACK = 2048
"""On an accelerator, gathering the real tokens of a smaller input costs more than computing its padding."""


class PartialForward:
    """A batch whose layers from ``layer`` on can be run again. Made by one ordinary pass, without gradients."""

    inputs: Tensor
    """Input of the layer's MLP output projection: [rows, tokens, inputs]."""
    outputs: Tensor
    """Output of the projection in the unmodified model: [rows, tokens, outputs]."""
    hidden: Tensor
    """Final hidden states of the unmodified model, after the last norm: [rows, tokens, width]."""

    def __init__(
        self,
        model: LoadedModel,
        layer: int,
        ids: Tensor,
        mask: Tensor,
        positions: Tensor,
        cache: Any = None,
        computes_padding: bool = False,
    ) -> None:
        """Run the network once. The arguments are those of ``model.forward``; ``cache`` is read, never written to.

        With ``computes_padding``, padding tokens are computed like real ones, for example if the output at one of them is
        needed.
        """
        self.model = model
        self._projection = model.mlp_output(layer).module
        self._ids, self._mask, self._positions = ids, mask, positions
        self._cache = cache
        self._computes_padding = computes_padding
        self._real: Tensor | None = None
        self._layers_below: tuple[nn.Module, ...] = tuple(model.layers[:layer])
        self._tokenwise = [
            module for index in range(layer + 1, len(model.layers)) for module in _tokenwise(model, index)
        ]
        self._record(_beside(model, layer))

    @torch.no_grad()
    def _record(self, beside: tuple[nn.Module, ...]) -> None:
        last_below = self._layers_below[-1:]
        modules = (*last_below, *beside, self._projection)
        seen = self._recorded(modules, ())
        self._overwritten = frozenset(module for module, recording in seen.items() if recording.is_overwritten())
        if self._overwritten:  # what they gave is lost
            seen = self._recorded(modules, self._overwritten)
        self.inputs = seen[self._projection].inputs
        given = {module: recording.given for module, recording in seen.items()}
        self.outputs = given.pop(self._projection)
        self._below = given.pop(last_below[0]) if last_below else None
        self._beside = given

    def _recorded(self, modules: tuple[nn.Module, ...], copied: Collection[nn.Module]) -> dict[nn.Module, "_Recording"]:
        """Run the network, and return what each of ``modules`` gave: as a copy if it is one of ``copied``."""
        seen: dict[nn.Module, _Recording] = {}
        projection = self._projection
        recording = {module: _recording(module, seen, module is projection, module in copied) for module in modules}
        with replaced_forwards(recording):
            self.hidden = self._read()
        return seen

    def run(self, output: Tensor | None = None) -> Tensor:
        """Return the final hidden states [rows, tokens, width] given ``output`` [rows, tokens, outputs] as the projection's
        output.

        Gradients flow from ``output`` on. None: the projection computes its output itself, including its hooks.
        """
        given = dict.fromkeys(self._layers_below, self._below) | self._beside
        if output is not None:
            given[self._projection] = output
        replayed = {module: _giving(states, module in self._overwritten) for module, states in given.items()}
        with replaced_forwards(replayed | self._packed()):
            return self._read()

    def _packed(self) -> dict[nn.Module, Forward]:
        """Return forwards that are given only the real tokens, if few enough tokens are real."""
        if self._computes_padding:
            return {}
        if self._real is None:
            self._real = self._mask[:, -self._ids.shape[1] :].flatten().nonzero()[:, 0]
        real = self._real
        few = len(real) < MIN_TOKENS_STABLE_SUM or (
            self._ids.device.type != "cpu" and self._ids.numel() < MIN_TOKENS_TO_PACK
        )
        if few or len(real) > MAX_DENSITY_TO_PACK * self._ids.numel():
            return {}
        return {module: _on_tokens(module.forward, real) for module in self._tokenwise}

    def keep(self, rows: Tensor) -> None:
        """Continue with ``rows``, indices into the present rows; the others leave the batch."""
        self._ids, self._mask, self._positions = (t[rows] for t in (self._ids, self._mask, self._positions))
        self._real = None
        self.inputs, self.outputs, self.hidden = (_chosen(t, rows) for t in (self.inputs, self.outputs, self.hidden))
        self._below = _chosen(self._below, rows)
        self._beside = {module: _chosen(given, rows) for module, given in self._beside.items()}
        if self._cache is not None:
            self._cache = shallow_copy(self._cache)
            self._cache.batch_select_indices(rows)

    def _read(self) -> Tensor:
        inputs = {"input_ids": self._ids, "attention_mask": self._mask, "position_ids": self._positions}
        if self._cache is not None:
            inputs[self.model.cache_name] = shallow_copy(self._cache)
        states: Tensor = self.model.network.base_model(**inputs, use_cache=self._cache is not None).last_hidden_state
        return states


def _beside(model: LoadedModel, layer: int) -> tuple[nn.Module, ...]:
    """Return the parts of a layer that do not depend on its MLP output projection: its attention and its MLP's inputs."""
    family = model.family
    attention = family.attention_output.rpartition(".")[0]
    names = (*([attention] if attention else []), *family.mlp_input)
    return tuple(model.layers[layer].get_submodule(name) for name in names)


def _tokenwise(model: LoadedModel, layer: int) -> list[nn.Module]:
    """Return the parts of a layer that hold its weights and work token by token: the attention's projections and the MLP."""
    family = model.family
    names = (*family.attention_input, family.attention_output, family.mlp_output.rpartition(".")[0])
    return [model.layers[layer].get_submodule(name) for name in names]


def _on_tokens(forward: Forward, chosen: Tensor) -> Forward:
    """Return a forward that computes only the tokens ``chosen``, counted over all rows in turn; the others become zero."""

    def run(states: Tensor) -> Tensor:
        places = chosen.to(states.device)
        computed: Tensor = forward(states.flatten(0, 1).index_select(0, places)[None])[0]
        filled = computed.new_zeros(states.shape[:2].numel(), computed.shape[-1]).index_copy(0, places, computed)
        return filled.view(*states.shape[:2], -1)

    return run


@dataclass(frozen=True)
class _Recording:
    """What a module gave in a pass and, if wanted, its input, with the number of changes of each tensor so far."""

    given: Any
    inputs: Any
    versions: tuple[int | None, ...]

    def is_overwritten(self) -> bool:
        """Return whether a tensor was changed since; also if torch does not count its changes (in inference mode)."""
        return None in self.versions or _versions((self.given, self.inputs)) != self.versions


def _recording(module: nn.Module, seen: dict[nn.Module, _Recording], with_input: bool, copies: bool) -> Forward:
    """Return the module's forward, which now also records its output. Of a tuple only the first entry is recorded, as only
    that is used.
    """
    forward = module.forward

    def record(*args: Any, **kwargs: Any) -> Any:
        given = forward(*args, **kwargs)
        used = (given[0], *[None] * (len(given) - 1)) if isinstance(given, tuple) else given
        states = (used, args[0] if with_input else None)
        used, inputs = _copy(states) if copies else states
        seen[module] = _Recording(used, inputs, _versions((used, inputs)))
        return given

    return record


def _versions(states: Any) -> tuple[int | None, ...]:
    return tuple(None if tensor.is_inference() else tensor._version for tensor in _tensors(states))


def _tensors(states: Any) -> Iterator[Tensor]:
    if isinstance(states, tuple):
        for part in states:
            yield from _tensors(part)
    elif states is not None:
        yield states


def _giving(given: Any, copies: bool) -> Forward:
    return lambda *args, **kwargs: _copy(given) if copies else given


def _copy(given: Any) -> Any:
    if isinstance(given, tuple):
        return tuple(map(_copy, given))
    return None if given is None else given.clone()


def _chosen(given: Any, rows: Tensor) -> Any:
    if isinstance(given, tuple):
        return tuple(_chosen(part, rows) for part in given)
    return None if given is None else given[rows.to(given.device)]
