"""Changes of what a module gives, chosen for each sequence by its prompt: codebooks, side memories.

The choice is made once, where the prompt is read, from the prompt's own tokens alone, and holds for all that follows it. So an
answer is the same with and without a key-value cache, alone and in a batch, filled up on either side or not.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wildcore.interfaces import Saved
from wildcore.models import LoadedModel, Reading

NOWHERE = -1
"""The route of a sequence that is left alone, and the place of a prompt's end that was read earlier."""


class ModulePatch(ABC):
    """A change of what one module gives. The model itself stays as it is; hooks exist only while the patch is applied.

    An editor with state makes each patch upon all that it wrote before. So of the patches of one class on one module only the one
    applied last does anything, as long as it is applied.
    """

    def __init__(self, module: str) -> None:
        """Change the linear map called ``module`` in the network."""
        self.module = module

    @abstractmethod
    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Choose a route for each sequence, ``NOWHERE`` to leave it alone: [rows], of whole numbers.

        ``inputs`` [rows, tokens, inputs] and ``output`` [rows, tokens, outputs] are the module's; ``prompt`` [rows, tokens] is
        true at the prompt's own tokens. The choice must not depend on anything else: neither on other tokens nor on other rows.
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
        routing = _Routing(self)
        with ExitStack() as hooks:
            hooks.enter_context(set_aside(model, type(self), self.module))
            network, module = model.network.base_model, model.network.get_submodule(self.module)
            hooks.callback(network.register_forward_pre_hook(routing.begin, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(routing.change).remove)
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
