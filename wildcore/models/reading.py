"""Reads the network and the tokenizer of a model from its files; quantised weights become ordinary ones, adapters are merged."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from wildcore.errors import Message, Option, UserError
from wildcore.models.adapters import merge
from wildcore.models.hints import weights_problem
from wildcore.models.loaded import ModelRequest
from wildcore.models.memory import ADAPTER
from wildcore.models.quantised import Quantisation, holds_ordinary_weights, quantisation
from wildcore.models.sources import ADAPTER_CONFIG, TOKENIZER, ModelFiles, read_adapter


@dataclass(frozen=True)
class StoredWeights:
    """How the files of a model store its weights: ``how`` they are quantised (None: they are not), and notes about that."""

    how: Quantisation | None = None
    notes: tuple[Message, ...] = ()


def plan_weights(files: ModelFiles, config: Any, name: str) -> StoredWeights:
    """Return how a model's weights are stored; ``name`` is the user's name for it.

    Raises ``UserError`` if there are none, or if they are quantised in a way that cannot be reversed.
    """
    if files.gguf:
        said = f"the weights were read from {files.gguf}, and keep the losses of its quantisation, if it has one"
        return StoredWeights(Quantisation("gguf"), (said, *_tokenizer_note(files)))
    problem = weights_problem(files.folder)
    if problem:
        raise UserError(problem, Option("model", name))
    how = quantisation(config, files.folder)
    if how is None:
        return StoredWeights()
    if holds_ordinary_weights(files.folder) and how.is_known:
        said = f"config.json says that the weights are quantised ({how}), but the files hold ordinary weights; these are used"
        return StoredWeights(None, (said,))
    require_dequantising(how, name)
    return StoredWeights(how, (_reversed(how),))


def require_dequantising(how: Quantisation, name: str) -> None:
    """Raise ``UserError`` unless weights quantised in this way can be turned back into ordinary ones here."""
    problem = how.problem()
    if problem:
        raise UserError(problem, Option("model", name))


def _reversed(how: Quantisation) -> str:
    return (
        f"the weights are stored quantised ({how}); they were turned back into ordinary weights while loading, and keep the "
        "losses of the quantisation"
    )


def _tokenizer_note(files: ModelFiles) -> Iterator[str]:
    if not any((files.folder / name).is_file() for name in TOKENIZER):
        yield (
            f"the tokenizer was made from {files.gguf}, and may split texts differently from the original's; the original's "
            "tokenizer.json and tokenizer_config.json beside the file are used instead if they are there"
        )


def read_network(
    files: ModelFiles, weights: StoredWeights, request: ModelRequest, config: Any, dtype: torch.dtype
) -> tuple[Any, tuple[str, ...]]:
    """Read the weights; return the network, and a note on weights in the files that it does not use.

    A weight that is missing from the files, or has another shape there, would be initialised at random, so it is refused.
    """
    how = weights.how
    _set_quantisation(config, how)
    choices: dict[str, Any] = {"device_map": request.device_map} if request.device_map else {}
    if files.gguf:
        choices |= {"gguf_file": files.gguf, **_gguf_choices()}
    with no_progress_bar(), _without_adapter(files.folder) as folder, _silent_if(how is not None):
        network, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=request.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below instead of raised
            **choices,
        )
        if how is not None and how.method == "bitsandbytes":
            network = network.dequantize(dtype)
    if how is not None:  # else some versions of transformers save the weights under the names of their codes
        network._weight_conversions = None
    _require_all_read(info)
    if files.adapter:
        network = merge(network, files.adapter, request.name)
    if how is not None or files.adapter:
        network.to(dtype)
    unused = info["unexpected_keys"]
    return network, (f"weights that the network has no place for were left out: {_some(unused)}",) if unused else ()


def read_tokenizer(files: ModelFiles) -> Any:
    """Read the tokenizer: an adapter's own if it has one, and one made from a GGUF file if there is no other."""
    folder = files.tokenizer_folder
    has_own = any((folder / name).is_file() for name in TOKENIZER)
    where = {"gguf_file": files.gguf} if files.gguf and not has_own else {}
    with no_progress_bar():
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=files.request.trust_remote_code, **where)


def notes_on(files: ModelFiles) -> tuple[Message, ...]:
    """Return notes on an adapter that was merged, or that lies beside the weights of a whole model and is not used."""
    if files.adapter:
        return (f"the adapter ({files.adapter.kind}) in {files.adapter.folder} was merged into {files.adapter.base}",)
    if not (files.folder / ADAPTER_CONFIG).is_file():
        return ()
    try:
        adapter = read_adapter(files.request.name, files.folder)
        what = f"an adapter ({adapter.kind} for {adapter.base})"
    except UserError:
        what = f"an adapter ({ADAPTER_CONFIG})"
    return (f"the model's folder also holds {what}, which is not used: the weights beside it are a whole model",)


def _require_all_read(info: dict[str, Any]) -> None:
    if info["missing_keys"]:
        raise ValueError(f"its files lack {_some(info['missing_keys'])}, which config.json asks for")
    if info["mismatched_keys"]:
        name, stored, wanted = sorted(info["mismatched_keys"])[0]
        raise ValueError(f"{name} is {list(stored)} in its files and {list(wanted)} by config.json")


def _set_quantisation(config: Any, how: Quantisation | None) -> None:
    """Make the configuration say that quantised weights are to be turned back, or nothing if there are none."""
    for name in ("quantization_config", "compression_config"):
        found = getattr(config, name, None)
        if found is None:
            continue
        if how is None:
            delattr(config, name)
        elif how.method != "bitsandbytes":
            said = dict(found) if isinstance(found, dict) else found.to_dict()
            config.quantization_config = said | {"dequantize": True}


def _gguf_choices() -> dict[str, Any]:
    """Return what makes a version of transformers that can also keep a GGUF file's codes turn them into ordinary weights."""
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


@contextmanager
def _without_adapter(folder: Path) -> Iterator[Path]:
    """Yield a folder that shows the files of ``folder`` except an adapter's.

    With peft installed, transformers adds an adapter that lies in a model's folder to the network, unasked.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        yield folder
        return
    with TemporaryDirectory() as shown:
        for path in folder.iterdir():
            if not path.name.startswith(ADAPTER):
                os.symlink(path.resolve(), Path(shown, path.name))
        yield Path(shown)


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing its own progress bar across ours."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _silent_if(wanted: bool) -> Iterator[None]:
    """Keep transformers from saying in the log what a note of ours says."""
    level = logging.get_verbosity()
    if wanted:
        logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f"{first} and {len(others)} more" if others else first
