"""Recognises names and folders that no model can be loaded from, and says what the user can do."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from wildcore.errors import Message, Option, UserError

FORMAT = "wildcore reads Hugging Face folders: config.json, tokenizer and .safetensors weights"
DOWNLOAD = ("hf download OWNER/NAME --local-dir FOLDER, then ", Option("model", "FOLDER"))
HUB = re.compile(r"(?:https?://|hf://)?(?:www\.)?(?:huggingface\.co/|hf\.co/|(?<=hf://))([\w.-]+/[\w.-]+)(.*)")
MAKERS = {
    "codellama": "meta-llama",
    "deepseek": "deepseek-ai",
    "falcon": "tiiuae",
    "gemma": "google",
    "granite": "ibm-granite",
    "llama": "meta-llama",
    "ministral": "mistralai",
    "mistral": "mistralai",
    "mixtral": "mistralai",
    "olmo": "allenai",
    "phi": "microsoft",
    "qwen": "Qwen",
    "smollm": "HuggingFaceTB",
}
"""How names in Ollama begin, and who publishes the original on the hub. No hub name without an owner begins like this."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def require_fetchable(name: str) -> None:
    """Raise ``UserError`` for a name that is not a folder and cannot be a hub name, saying what it looks like."""
    path, ending = Path(name), Path(name).suffix.lower()
    problem: Message | None = None
    if ending == ".gguf":
        problem = (f"a GGUF file, which is not read; {FORMAT}. ", _convert_gguf(path))
    elif path.is_file():
        problem = _about_file(path)
    elif (found := HUB.fullmatch(name)) is not None:
        problem = _about_address(found[1], found[2])
    elif "://" in name and "ollama" not in name:
        problem = f"an address; {FORMAT}. Download the model and give its folder, or OWNER/NAME of the hub"
    elif "ollama.com/" in name or ("/" not in name and _maker(name)):
        problem = ("it looks like an Ollama name. ", _about_ollama(name))
    elif path.is_absolute() or name.startswith((".", "~")) or "\\" in name or name.count("/") > 1:
        problem = "no such folder"
    elif ":" in name:
        problem = ("it looks like an Ollama name. ", _about_ollama(name))
    if problem:
        raise UserError(problem, about=Option("model", name))


def after_failed_fetch(name: str, error: Exception) -> Message:
    """Return what to do after downloading the model ``name`` from the hub failed with ``error``."""
    kind, page = type(error).__name__, f"https://huggingface.co/{name}"
    way: Message
    if kind in ("LocalEntryNotFoundError", "OfflineModeIsEnabled"):
        wanted = quote(name) if "/" in name else "OWNER/NAME"
        way = (
            "it was not downloaded before, and the hub is switched off (HF_HUB_OFFLINE) or out of reach; where there is a "
            f"network: hf download {wanted} --local-dir FOLDER, then ",
            Option("model", "FOLDER"),
        )
    elif kind == "GatedRepoError":
        way = f"accept its terms at {page}, then: hf auth login"
    elif kind == "RevisionNotFoundError":
        way = f"{page} lists its revisions"
    else:
        way = f"see whether {page} is there; for a private model: hf auth login"
    return way if "/" in name else (way, ". If it is an Ollama name: ", _about_ollama(name))


def require_model_folder(name: str, folder: Path) -> None:
    """Raise ``UserError`` for a folder that is not an ordinary model folder, saying what it looks like."""
    problem: Message | None = None
    if (folder / "adapter_config.json").is_file():
        problem = _about_adapter(folder)
    elif not (folder / "config.json").is_file():
        problem = ("no config.json in it; ", _without_config(folder))
    if problem:
        raise UserError(problem, about=Option("model", name))


def weights_problem(folder: Path) -> Message | None:
    """Return why no weights can be read from a model folder and what to do. None: it holds safetensors."""
    if any(folder.glob("*.safetensors")):
        return None
    problem = "no .safetensors file in it"
    if any(folder.glob("*.gguf")):
        return (f"{problem}; ", _convert_gguf(next(folder.glob("*.gguf"))))
    pickled = sorted(
        path.name for path in folder.iterdir() if path.suffix in PICKLES and "training_args" not in path.name
    )
    if pickled:
        code = (
            "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
            f'M.from_pretrained({json.dumps(str(folder))}, dtype="auto").save_pretrained({_out(folder)}); '
            f"T.from_pretrained({json.dumps(str(folder))}).save_pretrained({_out(folder)})"
        )
        return (
            f"{problem}; {pickled[0]} can run code when read and is not loaded. Convert it where you trust its source: "
            f"python -c {quote(code)}"
        )
    return (f"{problem}, nor other weights; download the model again, whole: ", DOWNLOAD)


def quantisation(config: Any) -> str | None:
    """Return how the weights are quantised according to a configuration. None: they are not quantised."""
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    said: Mapping[str, Any] = found if isinstance(found, Mapping) else found.to_dict()
    bits = said.get("bits") or (4 if said.get("load_in_4bit") else 8 if said.get("load_in_8bit") else None)
    return f"{said.get('quant_method', 'in an unnamed way')}{f', {bits} bits' if bits else ''}"


def quantised_problem(how: str) -> str:
    """Return why quantised weights cannot be edited, and what to do."""
    return (
        f"its weights are quantised ({how}), and an edit changes ordinary ones; take the model that was quantised, which its "
        "card names"
    )


def _about_file(path: Path) -> Message:
    if path.suffix in PICKLES:
        return f"pickled weights, which can run code when read and are not loaded; {FORMAT}. Give the folder"
    if path.name in ("config.json", "tokenizer.json") or path.suffix == ".safetensors":
        return ("a file; give the folder that it is in: ", Option("model", path.parent))
    return f"a file, not a folder; {FORMAT}"


def _about_address(name: str, rest: str) -> Message:
    if rest.startswith(":") or "gguf" in name.lower():
        return (
            f"it looks like GGUF files on the hub, which are not read; {FORMAT}. The card at https://huggingface.co/{name} names "
            "the base model: ",
            DOWNLOAD,
        )
    found = re.fullmatch(r"/(?:tree|blob|resolve)/([^/]+).*", rest)
    revision = (" ", Option("revision", found[1])) if found and found[1] != "main" else ""
    return ("an address of the hub; give its name there: ", Option("model", name), revision)


def _about_ollama(name: str) -> Message:
    where = f"https://huggingface.co/{_maker(name.rpartition('/')[2]) or 'models'}"
    return (f"Ollama keeps GGUF files, which are not read; {FORMAT}. Find the original at {where}: ", DOWNLOAD)


def _maker(name: str) -> str | None:
    """Return who publishes the model that Ollama calls ``name``. None: its beginning does not tell."""
    return next((owner for start, owner in MAKERS.items() if name.lower().startswith(start)), None)


def _about_adapter(folder: Path) -> str:
    code = (
        "from peft import AutoPeftModelForCausalLM as M; from transformers import AutoTokenizer as T; "
        f'm = M.from_pretrained({json.dumps(str(folder))}, dtype="auto"); b = m.peft_config["default"].base_model_name_or_path; '
        f"m.merge_and_unload().save_pretrained({_out(folder)}); T.from_pretrained(b).save_pretrained({_out(folder)})"
    )
    return (
        "it holds an adapter (adapter_config.json), not a whole model. Merge it into its base model, which needs the package "
        f"peft: python -c {quote(code)}"
    )


def _without_config(folder: Path) -> Message:
    inside = sorted(
        path.parent for pattern in ("*/config.json", "snapshots/*/config.json") for path in folder.glob(pattern)
    )
    if inside:
        return (f"a model is in {inside[-1].relative_to(folder)}; give that folder: ", Option("model", inside[-1]))
    if any(folder.glob("*.gguf")):
        return ("it holds a GGUF file, which is not read. ", _convert_gguf(sorted(folder.glob("*.gguf"))[0]))
    if (folder / "blobs").is_dir() and (folder / "manifests").is_dir():
        return ("it is where Ollama keeps models. ", _about_ollama(""))
    if (folder / "params.json").is_file():
        return ("the weights are in their maker's own layout (params.json). Take them in the hub's: ", DOWNLOAD)
    return (f"{FORMAT}. Download one: ", DOWNLOAD)


def _convert_gguf(path: Path) -> Message:
    """Return how to get the original of a GGUF file, or how to convert the file."""
    out = _out(path.with_suffix(""))
    code = (
        "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T, GgufConfig as G; "
        f"d, f = {json.dumps(str(path.parent))}, {json.dumps(path.name)}; "
        f'M.from_pretrained(d, gguf_file=f, dtype="float16", quantization_config=G(dequantize=True)).save_pretrained({out}); '
        f"T.from_pretrained(d, gguf_file=f).save_pretrained({out})"
    )
    return (
        "Best take the model that it was made from: ",
        DOWNLOAD,
        ". Or convert it, which keeps the losses of its quantisation and needs the package gguf: "
        f"python -c {quote(code)}",
    )


def _out(path: Path) -> str:
    """Return the name of a new folder for a conversion of ``path``, quoted as in Python."""
    return json.dumps(f"{path.resolve().name}-safetensors")
