"""Patches that change a module's output, routed for each sequence by its prompt: codebooks, side memories.

The route is chosen once, when the prompt is read, from the prompt's own tokens alone, and is kept for everything after it. So
an answer is the same with and without a key-value cache, alone and in a batch, and with padding on either side or none.

A patch with ``rereads`` chooses a new route at every token, from all tokens up to it. Its output at earlier tokens then
changes too, so their cached keys and values are no longer valid: with a cache, it has each row's whole text read again.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from wildcore.interfaces import Saved
from wildcore.models.loaded import BatchInfo, LoadedModel

NOWHERE = -1
"""The route of a sequence that is left unchanged, and the position of a prompt's end that was read in an earlier pass."""


class ModulePatch(ABC):
    """A change of one module's output. The model itself is not modified; hooks exist only while the patch is applied.

    A stateful editor's newer patch contains its earlier ones. While several patches of one class are applied to a module, only
    the one applied last is active.
    """

    rereads: bool = False
    """Whether the route is chosen anew at every token, from everything that the row has read; in teacher forcing this includes
    the target."""

    def __init__(self, module: str) -> None:
        """Change the linear map called ``module`` in the network."""
        self.module = module

    @abstractmethod
    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return a route for each sequence, ``NOWHERE`` to leave it unchanged: [rows], integers.

        ``inputs`` [rows, tokens, inputs] and ``output`` [rows, tokens, outputs] are the module's. ``prompt`` [rows, tokens] is
        true at the prompt's own tokens; for a patch with ``rereads``, it is true at all tokens that the row has read. The
        choice must not depend on other tokens or on other rows.
        """

    @abstractmethod
    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Return the module's new output instead of ``output`` [rows, tokens, outputs], each row by its route.

        Rows with the route ``NOWHERE`` keep ``output`` whatever is returned for them.
        ``prompt_end`` [rows] is the index of the prompt's last token; ``NOWHERE`` if it was read in an earlier pass.
        """

    @abstractmethod
    def to_saved(self) -> Saved:
        """Return everything that the patch consists of."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change for the record of the case, as JSON values; ``finite`` among them."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        """Apply the change to ``model`` in this context."""
        routing = _Rereading(self, model) if self.rereads else Routing(self)
        with ExitStack() as hooks:
            hooks.enter_context(deactivated(model, type(self), self.module))
            network, module = model.network.base_model, model.network.get_submodule(self.module)
            hooks.callback(network.register_forward_pre_hook(routing.begin, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(routing.change).remove)
            if isinstance(routing, _Rereading):
                hooks.callback(network.register_forward_hook(routing.finish, with_kwargs=True).remove)
            model.listeners.append(routing)
            hooks.callback(model.listeners.remove, routing)
            yield


@contextmanager
def deactivated(model: LoadedModel, kind: type[ModulePatch], module: str) -> Iterator[None]:
    """Deactivate the patches of the class ``kind`` applied to ``module``, for example while the next one is made."""
    resting = [
        listener
        for listener in model.listeners
        if isinstance(listener, Routing) and type(listener.patch) is kind and listener.patch.module == module
    ]
    for routing in resting:
        routing.deactivations += 1
    try:
        yield
    finally:
        for routing in resting:
            routing.deactivations -= 1


class Routing:
    """Follows the passes of one applied patch: which rows they contain, where the prompts are, and which routes were chosen."""

    allows_cuda_graph = False

    def __init__(self, patch: ModulePatch) -> None:
        self.patch = patch
        self.deactivations = 0
        self.announced = BatchInfo()
        self.rows: Sequence[int] = ()
        self.prompt: Tensor | None = None
        self.routes: dict[int, int] = {}

    def on_batch(self, reading: BatchInfo) -> None:
        """Receive the description of the next forward pass."""
        self.announced = reading

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Prepare for a pass. A pass that was not announced reads the prompts of all its rows, in order."""
        reading, self.announced = self.announced, BatchInfo()
        ids: Tensor = args[0] if args else kwargs["input_ids"]
        mask = kwargs.get("attention_mask")
        self.rows = range(len(ids)) if reading.rows is None else reading.rows
        self.prompt = None
        if _cached(kwargs, mask, ids) == 0:
            real = torch.ones_like(ids) if mask is None else mask
            self.prompt = real.bool() if reading.prompt_lengths is None else _first(real, reading.prompt_lengths)

    def change(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Choose routes if prompts are read, and return the patch's output; rows routed nowhere keep the module's own."""
        if self.deactivations:
            return output
        read = inputs[0]
        if self.prompt is None:
            prompt_end = torch.full((len(read),), NOWHERE, device=read.device)
        else:
            prompt = self.prompt.to(read.device)
            chosen = self.route(read, output, prompt)
            self.routes.update(zip(self.rows, chosen.tolist(), strict=True))
            prompt_end = _last(prompt)
        routes = [self.routes[row] for row in self.rows]
        if all(route == NOWHERE for route in routes):
            return output
        chosen = torch.tensor(routes, device=read.device)
        changed = self.changed(read, output, chosen, prompt_end)
        if NOWHERE in routes:
            changed = torch.where((chosen == NOWHERE)[:, None, None], output, changed)
        return changed

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Return the route of each row, see ``ModulePatch.route``."""
        return self.patch.route(inputs, output, prompt)

    def changed(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Return the new output, see ``ModulePatch.change``."""
        return self.patch.change(inputs, output, routes, prompt_end)


class _Rereading(Routing):
    """Follows the passes of a patch that chooses a new route at every token.

    A pass with a cache runs without the patch, so that the cache grows. Its result is then replaced by that of a pass over
    each row's whole text.
    """

    def __init__(self, patch: ModulePatch, model: LoadedModel) -> None:
        super().__init__(patch)
        self.model = model
        self.texts: dict[int, Tensor] = {}
        self.prompt_lengths: dict[int, int] = {}
        self.again = False

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Prepare for a pass, and add its tokens to what the rows have read."""
        super().begin(module, args, kwargs)
        ids: Tensor = args[0] if args else kwargs["input_ids"]
        mask = kwargs.get("attention_mask")
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, -ids.shape[1] :].bool()
        if self.again:
            self.prompt = real
            return
        for place, row in enumerate(self.rows):
            read = ids[place, real[place]]
            if self.prompt is None:
                self.texts[row] = torch.cat([self.texts[row], read])
            else:
                self.texts[row] = read
                self.prompt_lengths[row] = int(self.prompt[place].sum())
        if self.prompt is not None:
            self.prompt = real

    def change(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Return the patch's output in passes over whole texts."""
        return output if self.prompt is None else super().change(module, inputs, output)

    def finish(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        """Replace the hidden states of a pass with a cache."""
        if self.prompt is not None or self.deactivations:
            return output
        ids: Tensor = args[0] if args else kwargs["input_ids"]
        mask = kwargs.get("attention_mask")
        real = torch.ones_like(ids) if mask is None else mask[:, -ids.shape[1] :]
        whole = self._read_whole(module)
        states = output.last_hidden_state.clone()
        for place, count in enumerate(real.sum(-1).tolist()):
            states[place, real[place].bool()] = whole[place, whole.shape[1] - count :]
        output.last_hidden_state = states
        return output

    def _read_whole(self, network: nn.Module) -> Tensor:
        """Return the hidden states [rows, tokens, width] of each row's whole text, padded on the left."""
        texts = [self.texts[row] for row in self.rows]
        ids = pad_sequence(texts, batch_first=True, padding_value=self.model.padding, padding_side="left")
        mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True, padding_side="left")
        self.model.notify(BatchInfo(self.rows, [self.prompt_lengths[row] for row in self.rows]))
        self.again = True
        try:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            read = network(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        finally:
            self.again = False
        states: Tensor = read.last_hidden_state
        return states


def _cached(kwargs: Mapping[str, Any], mask: Tensor | None, ids: Tensor) -> int:
    """Return how many tokens of each row were read in earlier passes."""
    if mask is not None:
        return mask.shape[1] - ids.shape[1]
    cache = kwargs.get("past_key_values", kwargs.get("cache"))
    return 0 if cache is None else int(cache.get_seq_length())


def _first(real: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the positions of the first ``lengths`` [rows] real tokens of each row: [rows, tokens]."""
    count = real.cumsum(-1)
    return (real > 0) & (count <= torch.tensor(lengths, device=real.device)[:, None])


def _last(prompt: Tensor) -> Tensor:
    """Return the position of each row's last true token; ``NOWHERE`` if it has none."""
    places = torch.arange(prompt.shape[1], device=prompt.device)
    return torch.where(prompt, places, NOWHERE).amax(-1)
