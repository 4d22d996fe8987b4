"""What lies in a model's folder: weights, a GGUF file, or an adapter with the base model that it belongs to."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildcore.errors import Message, Option, UserError
from wildcore.models.memory import ADAPTER

if TYPE_CHECKING:
    from wildcore.models.loaded import ModelRequest

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
SHARD = re.compile(r"-\d{5}-of-(\d{5})$")
"""Ending of the name of a GGUF file that is one of several parts."""


@dataclass(frozen=True)
class Adapter:
    """An adapter of the library peft: its folder, what kind it is, such as "LORA", and the base model that it names.

    ``revision`` is that of the base model.
    """

    folder: Path
    kind: str
    base: str
    revision: str | None = None


@dataclass(frozen=True)
class ModelFiles:
    """The parts of a model. ``request`` and ``folder`` are those of the weights; ``adapter`` is to be merged into them."""

    request: "ModelRequest"
    folder: Path
    adapter: Adapter | None = None

    @property
    def gguf(self) -> str | None:
        """Name of the GGUF file in the folder that holds the weights. None: they are in safetensors."""
        return gguf_name(self.request, self.folder)

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer: an adapter's own, if it has one."""
        own = self.adapter and any((self.adapter.folder / name).is_file() for name in TOKENIZER)
        return self.adapter.folder if self.adapter and own else self.folder


TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def gguf_name(request: "ModelRequest", folder: Path) -> str | None:
    """Return the name of the GGUF file from which a model is read. None: it is read from safetensors.

    Raises ``UserError`` if several files could be meant, or if the file is a part of a model.
    """
    named = Path(request.name)
    if request.folder is None and named.suffix.lower() == ".gguf":
        name = named.name
    else:
        found = sorted(file.name for file in folder.glob("*.gguf") if not file.name.lower().startswith("mmproj"))
        if not found or has_weights(folder):
            return None
        name = found[0]
        if len(found) > 1 and not SHARD.search(Path(name).stem):
            files = ", ".join(found)
            raise UserError(
                f"it holds several GGUF files ({files})",
                _named(request),
                ("name one: ", Option("model", folder / name)),
            )
    if SHARD.search(Path(name).stem):
        raise UserError(
            f"{name} is one part of a model, and parts are not read",
            _named(request),
            "join them with the program llama-gguf-split of llama.cpp",
        )
    return name


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds the weights of a whole model in safetensors."""
    return any(not file.name.startswith(ADAPTER) for file in folder.glob("*.safetensors"))


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file() and not has_whole_model(folder)


def has_whole_model(folder: Path) -> bool:
    """Return whether a folder holds a configuration and weights, beside which an adapter may lie."""
    return (folder / "config.json").is_file() and has_weights(folder)


def read_adapter(name: str, folder: Path) -> Adapter:
    """Read which base model an adapter belongs to. Raises ``UserError`` if that is not said, or its weights are not
    safetensors.
    """
    about, place = Option("model", name), folder / ADAPTER_CONFIG
    try:
        said: Any = json.loads(place.read_text(encoding="utf-8"))
        base, kind = said["base_model_name_or_path"], said["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"its {ADAPTER_CONFIG} cannot be read: {type(error).__name__} {error}", about) from error
    if not isinstance(base, str) or not base:
        raise UserError(
            f"its {ADAPTER_CONFIG} names no base model",
            about,
            "write the base model's folder or hub name into it as base_model_name_or_path",
        )
    revision = said.get("revision")
    return Adapter(folder, str(kind), base, revision if isinstance(revision, str) else None)


def require_merging(adapter: Adapter, request: "ModelRequest") -> None:
    """Raise ``UserError`` unless the user asked for ``adapter`` to be merged, and it can be."""
    what = f"it holds an adapter ({adapter.kind}) for the base model {adapter.base}, not a whole model"
    if not request.merge_adapter:
        way: Message = (Option("merge_adapter", True), " merges it into the base model while loading")
        raise UserError(what, _named(request), way)
    if request.revision and Path(request.name).is_dir():
        raise UserError(
            f"{request.name} is a local folder, which has no revisions", Option("revision", request.revision)
        )
    if not (adapter.folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(
            f"{what}, and has no {ADAPTER_WEIGHTS}",
            _named(request),
            "save it by save_pretrained of a newer peft; a pickled adapter_model.bin can run code and is not loaded",
        )


def base_request(adapter: Adapter, request: "ModelRequest") -> "ModelRequest":
    """Return the request for an adapter's base model: a folder, also one relative to the adapter's, or a hub name."""
    beside = adapter.folder / adapter.base
    name = str(beside) if not Path(adapter.base).is_dir() and beside.is_dir() else adapter.base
    return replace(request, name=name, folder=None, revision=adapter.revision, merge_adapter=False)


def _named(request: "ModelRequest") -> Option:
    return Option("model", request.name)
