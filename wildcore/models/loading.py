"""Loading a model, or only its size, from a folder or the hub."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from wildcore.architectures import Family
from wildcore.errors import Message, Option, UserError
from wildcore.model_files import TO_FETCH
from wildcore.models.hints import (
    after_failed_fetch,
    quantisation,
    quantised_problem,
    require_fetchable,
    require_model_folder,
    weights_problem,
)
from wildcore.models.loaded import LoadedModel, ModelRequest, shape_of
from wildcore.models.memory import require_memory
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
    """Load a model folder or hub model. Raises ``UserError`` for every problem that a user can fix."""
    device = pick_device(request.device)
    folder = fetch_folder(request)
    config = load_config(request, folder)
    family = family_of(config, families)
    _require_plain_weights(folder, config, request)
    dtype, notes = pick_dtype(request.dtype, config, device)
    if request.device_map is None:
        require_memory(request.name, folder, dtype, device)
    try:
        network, left_over = _read_network(request, folder, config, dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=request.trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot be loaded: {error}", _named(request)) from error
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            "its tokenizer reports no character offsets", _named(request), way_out="a fast tokenizer is needed"
        )
    if not request.device_map:
        network.to(device)
    revision = getattr(config, "_commit_hash", None) or request.revision
    return LoadedModel(network, tokenizer, family, request, revision, notes + left_over)


def read_shape(request: ModelRequest, families: Mapping[str, Family]) -> ModelShape:
    """Read a model's size without its weights. Raises ``UserError`` if the model does not exist or its family is unknown."""
    config = load_config(request, fetch_folder(request))
    family_of(config, families)
    return shape_of(config)


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
    require_model_folder(request.name, folder)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=request.trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        raise UserError(f"its config.json cannot be read: {error}", _named(request)) from error


def _read_network(request: ModelRequest, folder: Path, config: Any, dtype: torch.dtype) -> tuple[Any, tuple[str, ...]]:
    """Read the weights; return the network, and a note on weights in the files that it does not use.

    A weight that is missing from the files, or has another shape there, would be initialised at random, so it is refused.
    """
    placement = {"device_map": request.device_map} if request.device_map else {}
    trust = request.trust_remote_code
    with no_progress_bar():
        network, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below instead of raised
            **placement,
        )
    if info["missing_keys"]:
        raise ValueError(f"its files lack {_some(info['missing_keys'])}, which config.json asks for")
    if info["mismatched_keys"]:
        name, stored, wanted = sorted(info["mismatched_keys"])[0]
        raise ValueError(f"{name} is {list(stored)} in its files and {list(wanted)} by config.json")
    unused = info["unexpected_keys"]
    return network, (f"weights that the network has no place for were left out: {_some(unused)}",) if unused else ()


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f"{first} and {len(others)} more" if others else first


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing its own progress bar across ours."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _require_plain_weights(folder: Path, config: Any, request: ModelRequest) -> None:
    how = quantisation(config)
    problem = weights_problem(folder) or (quantised_problem(how) if how else None)
    if problem:
        raise UserError(problem, _named(request))


def _named(request: ModelRequest) -> Option:
    return Option("model", request.name)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of ``dtype`` on the command line and in records."""
    return str(dtype).removeprefix("torch.")
