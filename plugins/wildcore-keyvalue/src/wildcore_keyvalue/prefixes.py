"""Prefixes: short texts put before the edit prompt so that the edit holds in context.

They are sampled from the model itself with a seed, and kept: the same model and seed always give the same prefixes. Or they
are read from a file.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wildcore import Environment, Message, Parameter, Prompt, Saved, UserError
from wildcore.models import LoadedModel, at_least_float32, encode
from wildcore.storage import artifact_file


@dataclass(frozen=True)
class PrefixStyle:
    """How sampled texts begin, the text between prefix and prompt, and whether lengths count new tokens only."""

    starts: tuple[str, ...]
    ending: str
    new_tokens_only: bool


ROME_STYLE = PrefixStyle(("The", "Therefore", "Because", "I", "You"), ". ", new_tokens_only=False)
"""The style of the published code of ROME and of the methods built on it."""


def sampled_prefixes(
    model: LoadedModel,
    environment: Environment,
    lengths: Sequence[tuple[int, int]],
    top_k: int,
    style: PrefixStyle = ROME_STYLE,
) -> tuple[str, ...]:
    """Return the prefixes to edit under: the empty one first, then the sampled ones.

    ``lengths`` holds pairs (tokens, number of prefixes); for each, the style's starts are continued in turn.
    """
    facts = {"seed": environment.seed, "lengths": [list(pair) for pair in lengths], "top_k": top_k}
    facts |= {"starts": style.starts, "new_tokens_only": style.new_tokens_only}
    file = artifact_file(environment, model, "prefixes", facts)
    saved = file.load_if_sound(environment)
    if saved is None:
        saved = Saved({}, {"texts": _sample(model, environment.seed, lengths, top_k, style)})
        file.save(saved)
    return ("", *(f"{text}{style.ending}" for text in saved.facts["texts"]))


PROMPT = "{}"
"""Placeholder for the prompt at the end of a prefix in a file, as in the templates of published code."""


def chosen_prefixes(
    model: LoadedModel,
    environment: Environment,
    file: Path | None,
    lengths: Sequence[tuple[int, int]],
    top_k: int,
    style: PrefixStyle = ROME_STYLE,
) -> tuple[str, ...]:
    """Return the prefixes of ``file``, as ``read_prefixes`` does; if it is None, sampled ones (``sampled_prefixes``)."""
    return sampled_prefixes(model, environment, lengths, top_k, style) if file is None else read_prefixes(file)


def pinned_prefixes(file: Path | None) -> dict[str, Any]:
    """Return a description of the file of prefixes for the manifest (``Editor.pin_resources``): its hash. Empty: no file."""
    if file is None:
        return {}
    return {"prefixes": hashlib.sha256(json.dumps(read_prefixes(file)).encode()).hexdigest()[:16]}


def read_prefixes(file: Path) -> tuple[str, ...]:
    """Return the prefixes in a file, after the empty one: a JSON list of texts, or any other text file with one on each line.

    A text that ends in "{}" is put before the prompt without the "{}". Any other text is followed by a space, unless it ends
    in white space. Raises ``UserError`` for a file that cannot be read, or has other content.
    """
    about = Parameter("editor.prefixes", file)
    try:
        text = file.read_text(encoding="utf-8-sig")
        listed = json.loads(text) if file.suffix == ".json" else [line for line in text.splitlines() if line]
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot be read ({error})", about, "give a JSON list of texts, or a text on each line"
        ) from error
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise UserError("not a list of texts", about, 'write ["{}", "The weather was fine. {}"]')
    found = [_prefix(one, (about, f", text {number}")) for number, one in enumerate(listed, start=1)]
    prefixes = ("", *(one for one in found if one))
    if len(set(prefixes)) < len(prefixes):
        raise UserError("a prefix is there twice", about, "leave one out")
    return prefixes


def _prefix(text: str, about: Message) -> str:
    before, placeholder, after = text.partition(PROMPT)
    if after:
        raise UserError(f"{{}} stands for the prompt, and must be the end of {text!r}", about)
    if placeholder or not text or text[-1].isspace():
        return before
    return f"{text} "


def _sample(
    model: LoadedModel, seed: int, lengths: Sequence[tuple[int, int]], top_k: int, style: PrefixStyle
) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for tokens, count in lengths:
        for index in range(count):
            start = list(encode(model.tokenizer, Prompt(text=style.starts[index % len(style.starts)])))
            length = tokens + len(start) if style.new_tokens_only else tokens
            ids = _continue(model, start, length, top_k, generator)
            texts.append(" ".join(model.tokenizer.decode(ids, skip_special_tokens=True).split()))
    return texts


@torch.inference_mode()
def _continue(model: LoadedModel, ids: list[int], length: int, top_k: int, generator: torch.Generator) -> list[int]:
    """Continue ``ids`` to ``length`` tokens in all, each drawn from the ``top_k`` most probable; end tokens are not drawn."""
    while len(ids) < length:
        logits: Tensor = model.network(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
        last = at_least_float32(logits[0, -1]).cpu()
        last[[end for end in model.end_of_sequence if end < len(last)]] = float("-inf")  # some have no embedding
        best = last.topk(min(top_k, last.numel()))
        drawn = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
        ids = [*ids, int(best.indices[drawn])]
    return ids
