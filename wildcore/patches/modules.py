"""Changes of what a module gives, chosen for each sequence by its prompt: codebooks, side memories.

The choice is made once, where the prompt is read, from the prompt's own tokens alone, and holds for all that follows it. So an
answer is the same with and without a key-value cache, alone and in a batch, filled up on either side or not.

A patch that ``rereads`` chooses anew at every token, by all tokens up to it. What it gave at earlier tokens changes with that, so
keys and values kept of them do not serve: behind a cache, it has each row's whole text read again.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from wildcore.interfaces import Saved
from wildcore.models.loaded import LoadedModel, Reading

NOWHERE = -1
"""The route of a sequence that is left alone, and the place of a prompt's end that was read earlier."""


class ModulePatch(ABC):
    """A change of what one module gives. The model itself stays as it is; hooks exist only while the patch is applied.

    An editor with state makes each patch upon all that it wrote before. So of the patches of one class on one module only the one
    applied last does anything, as long as it is applied.
    """

    rereads: bool = False
    """Whether the choice is made anew at every token, by all that the row has read, in teacher forcing the target too."""

    def __init__(self, module: str) -> None:
        """Change the linear map called ``module`` in the network."""
        self.module = module

    @abstractmethod
    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Choose a route for each sequence, ``NOWHERE`` to leave it alone: [rows], of whole numbers.

        ``inputs`` [rows, tokens, inputs] and ``output`` [rows, tokens, outputs] are the module's; ``prompt`` [rows, tokens] is
        true at the prompt's own tokens, or, for a patch that ``rereads``, at all that the row has read. The choice must depend on
        nothing else: neither on other tokens nor on other rows.
        """

    @abstractmethod
    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Return what the module is to give instead of ``output`` [rows, tokens, outputs], each row by its route.

        ``prompt_end`` [rows] is the place among the tokens of the prompt's last one, ``NOWHERE`` where that was read earlier.
        """

    @abstractmethod
    def saved(self) -> Saved:
        """Return everything that the patch is made of."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change for the record, as JSON values; ``finite`` among them."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        """Let ``model`` carry the change."""
        routing = _Rereading(self, model) if self.rereads else _Routing(self)
        with ExitStack() as hooks:
            hooks.enter_context(set_aside(model, type(self), self.module))
            network, module = model.network.base_model, model.network.get_submodule(self.module)
            hooks.callback(network.register_forward_pre_hook(routing.begin, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(routing.change).remove)
            if isinstance(routing, _Rereading):
                hooks.callback(network.register_forward_hook(routing.finish, with_kwargs=True).remove)
            model.listeners.append(routing)
            hooks.callback(model.listeners.remove, routing)
            yield


@contextmanager
def set_aside(model: LoadedModel, kind: type[ModulePatch], module: str) -> Iterator[None]:
    """Let the patches of the class ``kind`` applied to ``module`` do nothing, as while the next one is made."""
    resting = [
        listener
        for listener in model.listeners
        if isinstance(listener, _Routing) and type(listener.patch) is kind and listener.patch.module == module
    ]
    for routing in resting:
        routing.set_aside += 1
    try:
        yield
    finally:
        for routing in resting:
            routing.set_aside -= 1


class _Routing:
    """Follows the passes of one applied patch: which rows they are, where their prompts are, and which routes were chosen."""

    bears_recording = False

    def __init__(self, patch: ModulePatch) -> None:
        self.patch = patch
        self.set_aside = 0
        self.announced = Reading()
        self.rows: Sequence[int] = ()
        self.prompt: Tensor | None = None
        self.routes: dict[int, int] = {}

    def listen(self, reading: Reading) -> None:
        """Take notice of the next batch."""
        self.announced = reading

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """See what a pass is about to read; one that nobody announced reads all its rows' prompts in order."""
        reading, self.announced = self.announced, Reading()
        ids: Tensor = args[0] if args else kwargs["input_ids"]
        mask = kwargs.get("attention_mask")
        self.rows = range(len(ids)) if reading.rows is None else reading.rows
        self.prompt = None
        if _cached(kwargs, mask, ids) == 0:
            real = torch.ones_like(ids) if mask is None else mask
            self.prompt = real.bool() if reading.prompt_lengths is None else _first(real, reading.prompt_lengths)

    def change(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Choose routes where prompts are read, and give what the patch gives."""
        if self.set_aside:
            return output
        read = inputs[0]
        if self.prompt is None:
            prompt_end = torch.full((len(read),), NOWHERE, device=read.device)
        else:
            prompt = self.prompt.to(read.device)
            chosen = self.patch.route(read, output, prompt)
            self.routes.update(zip(self.rows, chosen.tolist(), strict=True))
            prompt_end = _last(prompt)
        routes = torch.tensor([self.routes[row] for row in self.rows], device=read.device)
        return self.patch.change(read, output, routes, prompt_end)


class _Rereading(_Routing):
    """Follows the passes of a patch that chooses anew at every token.

    A pass behind a cache runs without the patch, so that the cache grows; what it gives is then replaced by what a pass over each
    row's whole text gives.
    """

    def __init__(self, patch: ModulePatch, model: LoadedModel) -> None:
        super().__init__(patch)
        self.model = model
        self.texts: dict[int, Tensor] = {}
        self.prompt_lengths: dict[int, int] = {}
        self.again = False

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """See what a pass is about to read, and add it to what the rows have read."""
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
        """Give what the patch gives, in passes over whole texts."""
        return output if self.prompt is None else super().change(module, inputs, output)

    def finish(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        """Replace the hidden states of a pass behind a cache."""
        if self.prompt is not None or self.set_aside:
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
        self.model.announce(Reading(self.rows, [self.prompt_lengths[row] for row in self.rows]))
        self.again = True
        try:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            read = network(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        finally:
            self.again = False
        states: Tensor = read.last_hidden_state
        return states


def _cached(kwargs: Mapping[str, Any], mask: Tensor | None, ids: Tensor) -> int:
    """Return how many tokens of each row were read before."""
    if mask is not None:
        return mask.shape[1] - ids.shape[1]
    cache = kwargs.get("past_key_values", kwargs.get("cache"))
    return 0 if cache is None else int(cache.get_seq_length())


def _first(real: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return where the first ``lengths`` [rows] real tokens of each row are: [rows, tokens]."""
    count = real.cumsum(-1)
    return (real > 0) & (count <= torch.tensor(lengths, device=real.device)[:, None])


def _last(prompt: Tensor) -> Tensor:
    """Return the place of each row's last true token; ``NOWHERE`` if it has none."""
    places = torch.arange(prompt.shape[1], device=prompt.device)
    return torch.where(prompt, places, NOWHERE).amax(-1)
