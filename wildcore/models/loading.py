"""Loading a model, or only its size, from a folder or the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig

from wildcore.architectures import Family
from wildcore.errors import Message, Option, UserError
from wildcore.model_files import TO_FETCH
from wildcore.models.adapters import require_peft
from wildcore.models.checks import guard_embedding, reply_end_note, require_editable, special_token_notes
from wildcore.models.hints import after_failed_fetch, require_fetchable, require_model_folder
from wildcore.models.loaded import LoadedModel, ModelRequest, shape_of
from wildcore.models.memory import parameter_count, parameter_count_of, require_memory
from wildcore.models.quantised import Quantisation
from wildcore.models.reading import (
    notes_on,
    plan_weights,
    read_network,
    read_tokenizer,
    require_dequantising,
)
from wildcore.models.sources import (
    ADAPTER_CONFIG,
    ModelFiles,
    base_request,
    gguf_name,
    is_adapter,
    read_adapter,
    require_merging,
)
from wildcore.params import ModelShape

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
"""Dtypes that a model can run in. float64 is for comparing with other implementations, and is used only on request."""
DEVICES = "use auto, cpu, cuda, cuda:N or mps"
UNUSED = ["consolidated*", "original/*"]
"""Files of a hub model that hold the weights a second time in another layout."""


def load_model(request: ModelRequest, families: Mapping[str, Family]) -> LoadedModel:
    """Load a model folder, GGUF file, adapter or hub model. Raises ``UserError`` for every problem that a user can fix."""
    device = pick_device(request.device)
    files = find_files(request)
    config = load_config(files.request, files.folder)
    family = family_of(config, families)
    weights = plan_weights(files, config, request.name)
    dtype, notes = pick_dtype(request.dtype, config, device)
    if request.device_map is None:
        count = parameter_count_of(config) if weights.how else parameter_count(files.folder)
        require_memory(request.name, count, dtype, device)
    try:
        network, left_over = read_network(files, weights, request, config, dtype)
        tokenizer = read_tokenizer(files)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot be loaded: {error}", _named(request)) from error
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            "its tokenizer reports no character offsets", _named(request), way_out="a fast tokenizer is needed"
        )
    if not request.device_map:
        network.to(device)
    require_editable(network, family, request.name)
    revision = getattr(config, "_commit_hash", None) or files.request.revision
    said = (*weights.notes, *(() if weights.how else notes), *left_over, *notes_on(files))
    said += (*guard_embedding(network, tokenizer), *special_token_notes(tokenizer, network))
    model = LoadedModel(network, tokenizer, family, request, revision, said)
    if tokenizer.chat_template:
        model.notes += tuple(reply_end_note(tokenizer, model.end_of_sequence))
    if not model.embeds_every_token:
        model.use_cuda_graphs = False  # the check of the ids cannot be recorded
    return model


def read_shape(request: ModelRequest, families: Mapping[str, Family]) -> ModelShape:
    """Read a model's size without its weights. Raises ``UserError`` if the model does not exist or its family is unknown."""
    files = find_files(request)
    config = load_config(files.request, files.folder)
    family_of(config, families)
    return shape_of(config)


def find_files(request: ModelRequest, weights: bool = True) -> ModelFiles:
    """Find the parts of a model. Without ``weights`` only small files are downloaded.

    Raises ``UserError`` for a model that does not exist, and for an adapter that is not to be merged or whose base model does
    not exist.
    """
    folder = fetch_folder(request, weights)
    if not is_adapter(folder):
        if request.merge_adapter:
            raise _nothing_to_merge(request, folder)
        return ModelFiles(request, folder)
    adapter = read_adapter(request.name, folder)
    require_merging(adapter, request)
    require_peft(request.name)
    base = base_request(adapter, request)
    try:
        base_folder = fetch_folder(base, weights)
    except UserError as error:
        raise UserError(
            (f"its base model {adapter.base}: ", error.problem),
            _named(request),
            f"download the base model, and write its folder into {folder / ADAPTER_CONFIG} as base_model_name_or_path",
        ) from error
    if is_adapter(base_folder):
        raise UserError(f"its base model {adapter.base} is an adapter too", _named(request), "merge that one first")
    return ModelFiles(base, base_folder, adapter)


def family_of(config: Any, families: Mapping[str, Family]) -> Family:
    """Return the family of a configuration. Raises ``UserError`` if it is unknown; the message says how to add it."""
    family = families.get(config.model_type)
    if family is None:
        raise UserError(
            f"model_type {config.model_type!r} is not a known family (known: {', '.join(sorted(families))}). A plugin adds "
            "one by the hook wildcore_families",
            way_out="wildcore describe model NAME prints its lines",
        )
    return family


def pick_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``. Raises ``UserError`` if it is not available."""
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    about = Option("device", name)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError("not a device", about, DEVICES) from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError("not supported", about, DEVICES)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"{torch.cuda.device_count()} CUDA devices are visible here", about)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("not available here", about)
    return device


def pick_dtype(name: str, config: Any, device: torch.device) -> tuple[torch.dtype, tuple[Message, ...]]:
    """Return the dtype to load in, and a note if ``auto`` differs from the checkpoint's own dtype.

    Raises ``UserError`` for a dtype that no model runs in, or that does not run on this device.
    """
    if name != "auto":
        if name not in DTYPES:
            raise UserError(f"models run in {', '.join(DTYPES)} only", f"dtype {name}", way_out="choose one of these")
        if name == "float64" and device.type == "mps":
            raise UserError("mps has no float64", Option("dtype", name), way_out=("use ", Option("device", "cpu")))
        return DTYPES[name], ()
    own = getattr(config, "dtype", None) or torch.float32
    if own not in DTYPES.values():
        note = f"weights are stored as {dtype_name(own)} and run as float32: models run in {', '.join(DTYPES)} only"
        return torch.float32, (note,)
    keep = (Option("dtype", dtype_name(own)), " keeps them")
    if own is torch.float64:
        return torch.float32, (("weights are stored as float64 and run as float32; ", *keep),)
    if device.type == "cpu" and own is not torch.float32:
        why = f"weights are stored as {dtype_name(own)} and run as float32, which a CPU needs; "
        return torch.float32, ((why, *keep),)
    return own, ()


def fetch_folder(request: ModelRequest, weights: bool = True) -> Path:
    """Return a local folder for a folder name or a hub name. Only safetensors and a model's small files are downloaded.

    Without ``weights`` only the small files are downloaded.
    """
    folder = request.folder or Path(request.name)
    if request.folder and not request.folder.is_dir():
        raise UserError(
            f"its plugin brings no folder {request.folder}", _named(request), way_out="install the plugin again"
        )
    if request.folder is None and folder.suffix.lower() == ".gguf" and folder.is_file():
        folder = folder.parent
    if folder.is_dir():
        if request.revision:
            raise UserError(
                f"{request.name} is a local folder, which has no revisions", Option("revision", request.revision)
            )
        return folder
    require_fetchable(request.name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    patterns = ["*.json", "*.model", "*.txt", "*.jinja", *TO_FETCH, *(["*.safetensors"] if weights else [])]
    if request.trust_remote_code:
        patterns.append("*.py")
    try:
        return Path(
            snapshot_download(request.name, revision=request.revision, allow_patterns=patterns, ignore_patterns=UNUSED)
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise UserError(
            f"neither a local folder nor reachable on the hub ({reason})",
            _named(request),
            after_failed_fetch(request.name, error),
        ) from error


def load_config(request: ModelRequest, folder: Path) -> Any:
    """Read the configuration of a model folder, without its weights. Raises ``UserError`` if it is not a model folder."""
    gguf = gguf_name(request, folder)
    if gguf is None:
        require_model_folder(request.name, folder)
    else:
        require_dequantising(Quantisation("gguf"), request.name)
    where = {"gguf_file": gguf} if gguf else {}
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=request.trust_remote_code, **where)
    except Exception as error:  # a damaged file may fail in any way
        raise UserError(f"its {gguf or 'config.json'} cannot be read: {error}", _named(request)) from error


def _nothing_to_merge(request: ModelRequest, folder: Path) -> UserError:
    flag = Option("merge_adapter", True)
    if (folder / ADAPTER_CONFIG).is_file():
        return UserError(
            "the folder holds a whole model beside the adapter, so it is not clear which weights are meant",
            _named(request),
            ("leave ", flag, " out to use the whole model, or move the adapter_* files into a folder of their own"),
        )
    return UserError("it holds no adapter (adapter_config.json)", _named(request), ("leave ", flag, " out"))


def _named(request: ModelRequest) -> Option:
    return Option("model", request.name)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of ``dtype`` on the command line and in records."""
    return str(dtype).removeprefix("torch.")
