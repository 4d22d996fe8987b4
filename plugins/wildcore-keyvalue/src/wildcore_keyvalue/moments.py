"""Second moments C = E[k k^T] of projections' inputs, estimated on a corpus and kept.

C weighs directions by how much ordinary text uses them (Meng et al., NeurIPS 2022, equation 2 and appendix on the statistics).
One pass over the corpus serves several layers and ends below the topmost one's projection. Products and sums are in float64:
with second moments as badly conditioned as GPT-2's, products in float32 change an update of MEMIT by more than 1e-3.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from wildcore import Environment, Option, Parameter, Prompt, Saved, Setting, UserError
from wildcore.models import GIB, LoadedModel, encode, free_memory, pad
from wildcore.storage import Artifact, artifact_file, load_or_make
from wildcore_keyvalue.corpus import Corpus, open_corpus
from wildcore_keyvalue.solver import widened

KIND = "second-moments"
WINDOW = 512
BATCH_TOKENS = 4096
"""Most tokens in one batch, including padding."""
WINDOWS_SORTED = 256
"""Number of windows sorted by length at a time, so that those in a batch have similar lengths."""
BLOCK = 1024
"""Rows of products computed at a time; this bounds the memory needed besides the sums."""
WIDENED = 1024
"""Number of tokens whose keys are in float64 at a time, for the same reason."""
SHARE_FOR_SUMS = 0.5
"""Share of the free memory that the sums of a pass may use."""
SECONDS_BETWEEN_SAVES = 30.0
SAVES_TAKE_AT_MOST = 0.05
"""Share of the time that may be spent on saving unfinished sums."""

Window = tuple[int, ...]
Files = Mapping[int, Artifact]


def second_moments(
    model: LoadedModel, layers: Sequence[int], corpus_name: str, tokens: int, environment: Environment
) -> dict[int, Tensor]:
    """Return C [inputs, inputs] of each layer in float64 on the CPU, from ``tokens`` tokens of a corpus.

    The result is kept in the store of artifacts, with one file for each layer. Only missing and damaged layers are estimated, and
    an interrupted estimate is resumed. Raises ``UserError`` for a corpus that cannot be read or contains no text; if the corpus
    is shorter than ``tokens``, this is noted.
    """
    corpus = open_corpus(corpus_name)
    facts = moment_facts(corpus, tokens)
    files = {layer: artifact_file(environment, model, KIND, {"layer": layer, **facts}) for layer in layers}

    def estimate(missing: list[int]) -> None:
        for places in _groups(model, missing):
            sums = {
                layer: _begun(model, layer, files[layer].partial, place, environment) for layer, place in places.items()
            }
            _estimate(model, corpus, tokens, environment, sums, files)

    kept = load_or_make(environment, files, estimate)
    found = min((saved.facts["tokens"] for saved in kept.values()), default=tokens)
    if found < tokens:
        environment.progress.note(f"the corpus {corpus.name!r} has only {found} tokens; second moments are of those")
    return {layer: saved.tensors["moments"] for layer, saved in kept.items()}


def moment_facts(corpus: Corpus, tokens: int) -> dict[str, Any]:
    """Return what second moments, and everything computed from them, depend on besides the model and the layer."""
    batch = [BATCH_TOKENS, WINDOWS_SORTED]
    return {"corpus": corpus.identity, "tokens": tokens, "window": WINDOW, "batch": batch, "summed": "float64"}


@dataclass
class _Sum:
    """The sum so far for a layer: the upper triangle of ``total`` [inputs, inputs], float64."""

    total: Tensor
    tokens: int = 0
    batches: int = 0
    half_added: bool = False

    def add(self, keys: Tensor, batch: int) -> None:
        """Add the keys [tokens, inputs] of a batch, unless it was added before."""
        if batch < self.batches:
            return
        self.half_added = True
        add_products(self.total, keys)
        self.tokens, self.batches = self.tokens + len(keys), batch + 1
        self.half_added = False

    def mean(self) -> Tensor:
        """Return C in float64 on the CPU; this overwrites the sum."""
        mirror(self.total)
        return self.total.div_(self.tokens).cpu()


def add_products(total: Tensor, keys: Tensor) -> None:
    """Add K^T K of keys K [n, inputs] to the upper triangle of ``total`` [inputs, inputs], in float64, part by part.

    The products are computed on the keys' device, if it supports float64.
    """
    for some in torch.split(keys, WIDENED):
        wide = widened(some)
        for start in range(0, len(total), BLOCK):
            rows = slice(start, start + BLOCK)
            total[rows, start:] += (wide[:, rows].T @ wide[:, start:]).to(total.device)


def mirror(total: Tensor) -> None:
    """Copy the upper triangle of ``total`` [n, n] to the lower one."""
    for start in range(0, len(total), BLOCK):
        rows, below = slice(start, start + BLOCK), slice(start + BLOCK, None)
        corner = total[rows, rows]
        corner.copy_(corner.triu() + corner.triu(1).T)
        total[below, rows] = total[rows, below].T


def _groups(model: LoadedModel, layers: Sequence[int]) -> list[dict[int, torch.device]]:
    """Divide layers into groups whose sums fit into memory together, with the device of each sum."""
    rooms: dict[torch.device, float] = {}
    groups: list[dict[int, torch.device]] = []
    left: dict[torch.device, float] = {}
    for layer in sorted(layers):
        place, needed = _place(model, layer, rooms), _bytes(model, layer)
        if not groups or left.get(place, rooms[place]) < needed:
            groups.append({})
            left = {}
        groups[-1][layer] = place
        left[place] = left.get(place, rooms[place]) - needed
    return groups


def _place(model: LoadedModel, layer: int, rooms: dict[torch.device, float]) -> torch.device:
    """Return the layer's own device if it can hold the sum in float64, else the CPU; ``rooms`` collects the bytes available."""
    own, cpu = model.mlp_output(layer).weight.device, torch.device("cpu")
    needed = _bytes(model, layer)
    for place in (own, cpu) if own.type == "cuda" else (cpu,):  # mps has no float64
        if place not in rooms:
            rooms[place] = SHARE_FOR_SUMS * (free_memory(place) or 0)
        if needed <= rooms[place]:
            return place
    raise UserError(
        f"they need {needed / GIB:.1f} GiB of memory, and {rooms[cpu] / GIB:.1f} GiB can be used",
        f"second moments of layer {layer}",
        ("free some, or edit without them (", Setting("editor.second_moments", "identity"), ")"),
    )


def _bytes(model: LoadedModel, layer: int) -> int:
    return 8 * model.mlp_output(layer).weight.shape[1] ** 2


def _begun(model: LoadedModel, layer: int, partial: Artifact, place: torch.device, environment: Environment) -> _Sum:
    """Return the sum to continue with."""
    saved = partial.load_if_sound(environment)
    if saved is None:
        width = model.mlp_output(layer).weight.shape[1]
        return _Sum(torch.zeros(width, width, dtype=torch.float64, device=place))
    return _Sum(saved.tensors["total"].to(place, copy=True), saved.facts["tokens"], saved.facts["batches"])


def _estimate(
    model: LoadedModel, corpus: Corpus, tokens: int, environment: Environment, sums: dict[int, _Sum], files: Files
) -> None:
    """Read the corpus once and save the moments of the layers in ``sums``, which are overwritten."""
    label = f"second moments of layer{'s' if len(sums) > 1 else ''} {', '.join(map(str, sums))}"
    keeper = _Keeper(sums, files)
    known = min(sums.values(), key=lambda done: done.batches)
    with environment.progress.track(label, tokens, known.tokens) as advance:
        try:
            for length in _sum_up(model, corpus, tokens, sums, known.batches):
                advance(length)
                keeper.save_if_due()
        except KeyboardInterrupt:
            keeper.save()
            raise
    for layer in sorted(sums):
        done = sums.pop(layer)
        _require_usable(corpus, layer, done)
        tensors = {"moments": done.mean(), "count": torch.tensor(done.tokens)}
        files[layer].save(Saved(tensors, {"tokens": done.tokens}))


def _sum_up(model: LoadedModel, corpus: Corpus, tokens: int, sums: Mapping[int, _Sum], known: int) -> Iterator[int]:
    """Add the batches after the first ``known``, which every sum already contains, and yield the number of tokens of each."""
    for number, batch in enumerate(_batches(_windows(model, corpus, tokens))):
        if number >= known:
            _add(model, batch, number, sums)
            yield sum(map(len, batch))


class _Keeper:
    """Saves unfinished sums from time to time, rarely enough that it costs little."""

    def __init__(self, sums: Mapping[int, _Sum], files: Files) -> None:
        self.sums, self.files = sums, files
        self.due = time.monotonic() + SECONDS_BETWEEN_SAVES

    def save_if_due(self) -> None:
        """Save if enough time has passed."""
        if time.monotonic() >= self.due:
            self.save()

    def save(self) -> None:
        """Save all sums except one that an interruption left half added: its previous save remains valid."""
        begun = time.monotonic()
        for layer, done in self.sums.items():
            if not done.half_added:
                facts = {"tokens": done.tokens, "batches": done.batches}
                self.files[layer].partial.save(Saved({"total": done.total}, facts))
        now = time.monotonic()
        self.due = now + max(SECONDS_BETWEEN_SAVES, (now - begun) / SAVES_TAKE_AT_MOST)


def _require_usable(corpus: Corpus, layer: int, done: _Sum) -> None:
    if not done.tokens:
        raise UserError("it holds no text", Parameter("editor.corpus", corpus.name))
    if not done.total.diagonal().isfinite().all():
        raise UserError(
            "its keys are not finite",
            f"second moments of layer {layer}",
            ("load the model with ", Option("dtype", "float32")),
        )


def _windows(model: LoadedModel, corpus: Corpus, tokens: int) -> Iterator[Window]:
    """Yield the corpus cut into windows of ``tokens`` tokens in total."""
    length = min(WINDOW, model.max_length or WINDOW)
    left = tokens
    for document in corpus.documents():
        ids = encode(model.tokenizer, Prompt(text=document))
        for start in range(0, len(ids), length):
            if not left:
                return
            window = ids[start : start + min(length, left)]
            left -= len(window)
            yield window


def _batches(windows: Iterable[Window]) -> Iterator[list[Window]]:
    """Yield the windows in batches of similar length. The batches depend only on the windows."""
    source = iter(windows)
    while some := sorted(islice(source, WINDOWS_SORTED), key=len):
        batch: list[Window] = []
        for window in some:
            if batch and (len(batch) + 1) * len(window) > BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(window)
        yield batch


class _NothingMoreNeeded(Exception):
    """Ends a forward pass at the topmost layer."""


@torch.inference_mode()
def _add(model: LoadedModel, batch: Sequence[Window], number: int, sums: Mapping[int, _Sum]) -> None:
    """Run a batch up to the topmost layer, and add each layer's keys as they are computed."""
    ids, mask = pad(batch, model.padding, "right", model.device)
    top = max(sums)
    with ExitStack() as hooks:
        for layer, done in sums.items():
            hook = _adding(done, number, mask.bool(), last=layer == top)
            hooks.callback(model.mlp_output(layer).module.register_forward_pre_hook(hook).remove)
        try:
            model.network.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        except _NothingMoreNeeded:
            return


def _adding(done: _Sum, number: int, mask: Tensor, last: bool) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
    def add(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        keys = inputs[0]
        done.add(keys[mask.to(keys.device)], number)
        if last:
            raise _NothingMoreNeeded

    return add
