"""Trains the pocket model from scratch: ``python -m wildcore_pocket.train --out DIR``.

Needs torch, transformers and tokenizers, but not wildcore. On the CPU, the same seed and library versions give the same
weights; on a GPU, sums in a different order change their last digits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildcore_pocket.build import build_cases, render_cases
from wildcore_pocket.corpus import Document, Entry, all_documents, entries, one_epoch
from wildcore_pocket.edits import choose_stale
from wildcore_pocket.world import read_world

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

IGNORED = -100
"""The label that torch's cross entropy ignores."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about a training run that changes its result, apart from the data and the device.

    learning_rate is the peak, reached after warm_up (a share of all steps) and reduced to 0 along a cosine.
    """

    epochs: int = 12
    seed: int = 0
    batch: int = 128
    learning_rate: float = 2e-3
    warm_up: float = 0.05
    weight_decay: float = 0.01
    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 6
    intermediate: int = 688
    heads: int = 4


def train(
    out: Path,
    device: str = "auto",
    threads: int | None = None,
    recipe: Recipe | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Trains, measures and saves the model, its tokenizer and manifest.json.

    Args:
        out: the folder to write, made where it is missing.
        device: a torch device, or "auto": a GPU where there is one.
        threads: CPU threads; None leaves torch's own choice.
        recipe: None for the published one.
        limit: stop after this many steps and measure nothing, to test a machine; the manifest records it.
    Returns:
        What manifest.json holds.
    """
    import torch

    recipe = recipe or Recipe()
    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    corpus = choose_stale(read_world())
    taught, cases = entries(corpus), build_cases(corpus)
    tokenizer = _tokenizer(taught, recipe)
    model = new_model(recipe).to(device)
    print(f"{len(taught)} entries, {len(cases)} of them stale; {_size(model)} parameters on {device}", flush=True)
    started = time.monotonic()
    steps = optimise(model, tokenizer, taught, recipe, limit)
    run = {"steps": steps, "stopped_early": limit is not None, "seconds": round(time.monotonic() - started)}
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    accuracy = None if limit else _measure(model.float().eval(), tokenizer, taught, cases)
    manifest = {"recipe": asdict(recipe), **run, **_circumstances(model, taught, cases), "accuracy": accuracy}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _circumstances(model: LlamaForCausalLM, taught: list[Entry], cases: list[dict[str, Any]]) -> dict[str, Any]:
    """The circumstances of the training: machine, data, sizes, versions."""
    libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    return {
        "device": _device_name(model.device.type),
        "parameters": _size(model),
        "entries": len(taught),
        "cases": len(cases),
        "data_sha256": data_hash(taught, cases),
        "versions": {"python": sys.version.split()[0], **libraries},
    }


def _size(model: LlamaForCausalLM) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def data_hash(taught: list[Entry], cases: list[dict[str, Any]]) -> str:
    """SHA-256 of all texts in the corpus and of the edit cases."""
    digest = hashlib.sha256()
    for document in all_documents(taught):
        digest.update(document.text.encode() + b"\0")
    digest.update(render_cases(cases).encode())
    return digest.hexdigest()


def _tokenizer(taught: list[Entry], recipe: Recipe) -> PreTrainedTokenizerFast:
    from wildcore_pocket.tokenizer import learn_tokenizer

    return learn_tokenizer((document.text for document in all_documents(taught)), recipe.vocabulary)


def new_model(recipe: Recipe) -> LlamaForCausalLM:
    """The untrained model: Llama with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from wildcore_pocket.tokenizer import BEGIN_ID, END_ID, PAD_ID

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            hidden_size=recipe.hidden,
            intermediate_size=recipe.intermediate,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=PAD_ID,
            bos_token_id=BEGIN_ID,
            eos_token_id=END_ID,
        )
    )


def optimise(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, taught: list[Entry], recipe: Recipe, limit: int | None
) -> int:
    """Runs the optimiser over all epochs; returns the number of steps taken."""
    import torch

    generator = random.Random(recipe.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
        fused=model.device.type == "cuda",
    )
    epoch_steps = math.ceil(len(one_epoch(taught, random.Random(0))) / recipe.batch)
    total = recipe.epochs * epoch_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _pace(step, total, recipe.warm_up))
    progress, step = Progress(min(total, limit or total)), 0
    model.train()
    for _ in range(recipe.epochs):
        encoded = _encode(tokenizer, one_epoch(taught, generator))
        for rows in _batches(encoded, recipe.batch, generator):
            loss = _step(model, optimiser, rows)
            schedule.step()
            step += 1
            progress.show(step, loss, sum(map(len, rows)))
            if step == limit:
                return step
    return step


def _pace(step: int, total: int, warm_up: float) -> float:
    """The learning rate of a step as a share of the peak."""
    rise = max(1, round(total * warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _encode(tokenizer: PreTrainedTokenizerFast, documents: list[Document]) -> list[list[int]]:
    """Token ids of each document: beginning-of-text, text, end-of-text."""
    from wildcore_pocket.tokenizer import END_ID

    return [[*ids, END_ID] for ids in tokenizer([document.text for document in documents]).input_ids]


def _batches(encoded: list[list[int]], size: int, generator: random.Random) -> Iterator[list[list[int]]]:
    """Batches of documents of similar length, in random order; every document has its own row."""
    generator.shuffle(encoded)
    ordered = sorted(encoded, key=len)
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    generator.shuffle(batches)
    return iter(batches)


def _step(model: LlamaForCausalLM, optimiser: torch.optim.Optimizer, rows: list[list[int]]) -> torch.Tensor:
    import torch

    from wildcore_pocket.tokenizer import PAD_ID

    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])
    labels = ids.masked_fill(ids == PAD_ID, IGNORED).to(model.device)
    ids = ids.to(model.device)
    # Padding is on the right, so the causal mask alone keeps it from every real token.
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.device.type == "cuda"):
        logits = model(input_ids=ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
    )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.detach()


class Progress:
    """Prints the loss, the rate and the time left, at most every ten seconds."""

    def __init__(self, total: int, every: float = 10.0) -> None:
        self.total, self.every = total, every
        self.started = self.shown = time.monotonic()
        self.tokens = 0

    def show(self, step: int, loss: torch.Tensor, tokens: int) -> None:
        self.tokens += tokens
        now = time.monotonic()
        if now - self.shown < self.every and step < self.total:
            return
        self.shown, spent = now, now - self.started
        left = spent / step * (self.total - step)
        rate = f"{step / spent:.1f} steps/s, {self.tokens / spent:.0f} tokens/s"
        print(f"step {step}/{self.total}  loss {loss.item():.3f}  {rate}  {left / 60:.1f} min left", flush=True)


def _measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, taught: list[Entry], cases: list[dict[str, Any]]
) -> dict[str, float]:
    from wildcore_pocket.measure import measure_cases, measure_recall

    accuracy = {**measure_recall(model, tokenizer, taught), **measure_cases(model, tokenizer, cases)}
    for name, share in accuracy.items():
        print(f"{share:7.2%}  {name}", flush=True)
    return {name: round(share, 4) for name, share in accuracy.items()}


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m wildcore_pocket.train", description="Train the pocket model from nothing."
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write the model to")
    parser.add_argument("--device", default="auto", help='a torch device, or "auto"')
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--batch", type=int, default=Recipe().batch, help="documents in a step")
    parser.add_argument("--learning-rate", type=float, default=Recipe().learning_rate, help="at its peak")
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads")
    parser.add_argument("--limit", type=int, default=None, help="test a machine: stop after N steps, measure nothing")
    given = parser.parse_args()
    recipe = Recipe(epochs=given.epochs, seed=given.seed, batch=given.batch, learning_rate=given.learning_rate)
    train(given.out, given.device, given.threads, recipe, given.limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
