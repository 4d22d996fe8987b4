"""Checks of a loaded model: whether its weights can be edited, and whether its tokenizer and its network agree."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from wildcore.architectures import Family
from wildcore.errors import Option, UserError

EDITABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
REPLY = "wildcore-reply"
"""A reply by which it is found out how a chat template ends one."""
CLOSE = 0.05
"""Largest relative difference between what a linear map of a foreign class computes and what its weight says, in any dtype."""


def require_editable(network: Any, family: Family, name: str) -> None:
    """Raise ``UserError`` unless every weight that an editor may change is the floating matrix that the network multiplies by.

    ``name`` is the user's name for the model. A layer may lack some of the family's parts, but each part must be in one layer.
    """
    about = Option("model", name)
    try:
        layers: nn.ModuleList = network.get_submodule(family.layers)
        network.get_submodule(family.final_norm)
    except AttributeError as error:
        raise _wrong_family(family, about, str(error)) from error
    for part in (*family.attention_input, family.attention_output, *family.mlp_input, family.mlp_output):
        modules = [_part(layer, part) for layer in layers]
        if not any(modules):
            raise _wrong_family(family, about, f"no layer has {part}")
        for index, module in enumerate(modules):
            problem = None if module is None else _problem(module)
            if problem:
                raise UserError(
                    f"{family.layers}.{index}.{part} {problem}, so an edit would not change what the network computes",
                    about,
                    "take the model with ordinary weights",
                )


def _wrong_family(family: Family, about: Option, why: str) -> UserError:
    return UserError(
        f"its network does not have the modules that the family {family.model_type} names ({why.rstrip('.')})",
        about,
        "the plugin that offers the family must name them as they are",
    )


def _part(layer: nn.Module, name: str) -> nn.Module | None:
    try:
        return layer.get_submodule(name)
    except AttributeError:
        return None


def _problem(module: nn.Module) -> str | None:
    """Return why the weight of a linear map is not the matrix that the map multiplies by. None: it is."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, nn.Parameter):
        return f"({type(module).__name__}) has no weight of its own"
    if weight.dtype not in EDITABLE:
        return f"holds codes ({str(weight.dtype).removeprefix('torch.')}), not numbers"
    if weight.ndim != 2:
        return f"is not a matrix (its shape is {tuple(weight.shape)})"
    if type(module) in (nn.Linear, Conv1D) or weight.is_meta:
        return None
    return None if _multiplies_by(module, weight) else f"({type(module).__name__}) computes something else"


@torch.no_grad()
def _multiplies_by(module: nn.Module, weight: nn.Parameter) -> bool:
    """Return whether a linear map of a foreign class gives ``weight`` times its input, plus its bias."""
    transposed = isinstance(module, Conv1D)
    matrix = weight.T if transposed else weight
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, matrix.shape[1], generator=generator).to(weight)
    bias = getattr(module, "bias", None)
    expected = linear(inputs, matrix, bias if isinstance(bias, torch.Tensor) else None).float()
    try:
        given = module(inputs).float()
    except Exception:  # a foreign class may fail in any way
        return False
    return given.shape == expected.shape and bool((given - expected).norm() <= CLOSE * expected.norm())


def tokens_beyond(tokenizer: Any, rows: int) -> dict[int, str]:
    """Return the tokens of a tokenizer for which a network with ``rows`` embeddings has none, by id."""
    return {id_: token for token, id_ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1]) if id_ >= rows}


def guard_embedding(network: Any, tokenizer: Any) -> tuple[str, ...]:
    """Return a note if the tokenizer has tokens for which the network has no embedding, and make reading them one message.

    Otherwise such a token ends in an ``IndexError``, or stops the GPU.
    """
    embedding = network.get_input_embeddings()
    rows = embedding.weight.shape[0]
    beyond = tokens_beyond(tokenizer, rows)
    if not beyond:
        return ()

    def refuse(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        largest = int(inputs[0].max()) if inputs and inputs[0].numel() else 0
        if largest >= rows:
            raise UserError(without_embedding(tokenizer, largest, rows))

    embedding.register_forward_pre_hook(refuse)
    first, *others = beyond.items()
    named = ", ".join(f"{token!r} ({id_})" for id_, token in [first, *others[:2]])
    more = f" and {len(others) - 2} more" if len(others) > 2 else ""
    return (
        f"the tokenizer knows tokens for which the network has no embedding (it has {rows}): {named}{more}; a text with one of "
        "them cannot be read",
    )


def without_embedding(tokenizer: Any, token_id: int, rows: int) -> str:
    """Return why a text with this token cannot be read."""
    token = tokenizer.convert_ids_to_tokens(token_id)
    return (
        f"its token {token!r} ({token_id}) has no embedding: the network has {rows}, and its tokenizer does not fit it"
    )


def special_token_notes(tokenizer: Any, network: Any) -> Iterator[str]:
    """Yield where the tokenizer's end and beginning of a sequence differ from those of the network's configurations."""
    declared = {
        "config.json": ids(getattr(network.config, "eos_token_id", None)),
        "generation_config.json": ids(getattr(network.generation_config, "eos_token_id", None)),
    }
    own = tokenizer.eos_token_id
    if own is None and not any(declared.values()):
        yield "neither the tokenizer nor the configuration names an end-of-sequence token, so only the stop rule ends answers"
        return
    differing = [
        f"{file} {_in_words(tokenizer, found)}" for file, found in declared.items() if found and own not in found
    ]
    if differing:
        yield (
            f"the end-of-sequence token is {_in_words(tokenizer, {own} if own is not None else set())} by the tokenizer, but "
            f"by {' and by '.join(differing)}"
        )
    begin = ids(getattr(network.config, "bos_token_id", None))
    if begin and tokenizer.bos_token_id is not None and tokenizer.bos_token_id not in begin:
        yield (
            f"the beginning-of-sequence token is {_in_words(tokenizer, {tokenizer.bos_token_id})} by the tokenizer, but by "
            f"config.json {_in_words(tokenizer, begin)}; the tokenizer's is used"
        )


def reply_end_note(tokenizer: Any, ends: frozenset[int]) -> Iterator[str]:
    """Yield a note if the chat template ends a reply with a special token that is not among ``ends``, which end an answer."""
    messages = [{"role": "user", "content": "1"}, {"role": "assistant", "content": REPLY}]
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception:  # a template may refuse messages in any way; asking in it says so
        return
    behind = tokenizer(text.rpartition(REPLY)[2].lstrip(), add_special_tokens=False)["input_ids"]
    special = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
    if REPLY in text and behind and behind[0] in special - ends:
        yield (
            f"the chat template ends a reply with {_in_words(tokenizer, {behind[0]})}, which is not an end-of-sequence token "
            "of this model, so an answer in the chat template may go on after it"
        )


def ids(declared: Any) -> set[int]:
    """Return token ids as a configuration declares them (one, several or none)."""
    return set(declared) if isinstance(declared, list | tuple) else set() if declared is None else {int(declared)}


def _in_words(tokenizer: Any, tokens: set[int]) -> str:
    words = [f"{tokenizer.convert_ids_to_tokens(token)!r} ({token})" for token in sorted(tokens)]
    return " or ".join(words) or "not named"
