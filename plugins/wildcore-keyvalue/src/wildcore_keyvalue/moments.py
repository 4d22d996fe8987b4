"""Second moments C = E[k k^T] of a projection's input, estimated on a corpus, kept, and solved with.

C weighs directions by how much ordinary text uses them (Meng et al., NeurIPS 2022, equation 2 and appendix on the statistics).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from wildcore import Environment, Prompt, UserError
from wildcore.models import LoadedModel
from wildcore.tokens import encode
from wildcore_keyvalue.cache import cache_file
from wildcore_keyvalue.corpus import Corpus, open_corpus
from wildcore_keyvalue.traces import recorded

WINDOW = 512
SECONDS_BETWEEN_SAVES = 30.0


@dataclass
class _Sum:
    total: Tensor
    tokens: int
    windows: int


def second_moments(model: LoadedModel, layer: int, corpus_name: str, tokens: int, environment: Environment) -> Tensor:
    """Return C [inputs, inputs] in float32 on the CPU, from ``tokens`` tokens of a corpus.

    Kept in the cache under model, revision, layer, corpus and count; an interrupted estimate goes on where it was saved.
    Raises ``UserError`` for a corpus that cannot be read or is too short by more than it can say (it notes a shorter one).
    """
    corpus = open_corpus(corpus_name)
    facts = {"layer": layer, "corpus": corpus.identity, "tokens": tokens, "window": WINDOW}
    file = cache_file(environment, model, "second-moments", facts, ".safetensors")
    if not file.exists():
        _estimate(model, layer, corpus, tokens, environment, file)
    found = _load(file)
    if found.tokens < tokens:
        environment.progress.note(
            f"the corpus {corpus.name!r} has only {found.tokens} tokens; second moments are of those"
        )
    return (found.total / found.tokens).float()


def _estimate(
    model: LoadedModel, layer: int, corpus: Corpus, tokens: int, environment: Environment, file: Path
) -> None:
    partial = file.with_suffix(".partial")
    width = model.mlp_output(layer).weight.shape[1]
    done = _load(partial) if partial.exists() else _Sum(torch.zeros(width, width, dtype=torch.float64), 0, 0)
    with environment.progress.track(f"second moments of layer {layer}", tokens) as advance:
        advance(done.tokens)
        saved = time.monotonic()
        for number, window in enumerate(_windows(model, corpus)):
            if number < done.windows:
                continue
            if done.tokens >= tokens:
                break
            window = window[: tokens - done.tokens]
            done.total += _products(model, layer, window)
            done.tokens, done.windows = done.tokens + len(window), number + 1
            advance(len(window))
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                _save(partial, done)
                saved = time.monotonic()
    if not done.tokens:
        raise UserError(f"editor.corpus={corpus.name}: it holds no text")
    _save(file, done)
    partial.unlink(missing_ok=True)


def _windows(model: LoadedModel, corpus: Corpus) -> Iterator[tuple[int, ...]]:
    length = min(WINDOW, model.max_length or WINDOW)
    for document in corpus.documents():
        ids = encode(model.tokenizer, Prompt(text=document))
        yield from (ids[start : start + length] for start in range(0, len(ids), length))


@torch.inference_mode()
def _products(model: LoadedModel, layer: int, window: tuple[int, ...]) -> Tensor:
    with recorded(model.mlp_output(layer)) as seen:
        model.network(input_ids=torch.tensor([window], device=model.device), use_cache=False, logits_to_keep=1)
    keys = seen[0][0][0].float()
    return (keys.T @ keys).double().cpu()


def _save(file: Path, done: _Sum) -> None:
    temporary = file.with_name(f"{file.name}.{time.monotonic_ns()}")
    facts = {"tokens": done.tokens, "windows": done.windows}
    save_file({"total": done.total}, temporary, metadata={"facts": json.dumps(facts)})
    temporary.replace(file)


def _load(file: Path) -> _Sum:
    try:
        with safe_open(file, framework="pt") as stream:
            facts = json.loads(stream.metadata()["facts"])
            return _Sum(stream.get_tensor("total"), facts["tokens"], facts["windows"])
    except Exception as error:  # safetensors raises a type of its own for a damaged file
        raise UserError(f"{file}: damaged second moments ({error}); delete the file and run again") from error


class MomentSolver:
    """Solves with second moments, factorised once: (C + damping * mean(diag C) * I)^-1 k, by Cholesky in float64.

    Raises ``UserError`` when C is singular, as it is when fewer tokens were read than it has rows and nothing is added.
    """

    def __init__(self, moments: Tensor, damping: float, device: torch.device | None = None) -> None:
        wide = moments.to(_float64_device(device), torch.float64)
        wide = wide + damping * wide.diagonal().mean() * torch.eye(len(wide), dtype=torch.float64, device=wide.device)
        self.factor, info = torch.linalg.cholesky_ex(wide)
        if int(info):
            raise UserError(
                "the second moments are singular: read more tokens (--set editor.moment_tokens=...) or add damping "
                "(--set editor.damping=0.01)"
            )

    def solve(self, keys: Tensor) -> Tensor:
        """Solve for keys [inputs, n]; the solution is of their type, on their device."""
        return torch.cholesky_solve(keys.to(self.factor), self.factor).to(keys)


def widened(keys: Tensor) -> Tensor:
    """Return keys in float64, on a device that has it."""
    return keys.to(_float64_device(keys.device), torch.float64)


def _float64_device(device: torch.device | None) -> torch.device:
    return device if device is not None and device.type == "cuda" else torch.device("cpu")  # mps has no float64
