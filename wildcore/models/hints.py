"""Recognises names and folders that no model can be loaded from, and says what the user can do."""

import json
import re
from pathlib import Path
from shlex import quote

from wildcore.errors import Message, Option, UserError
from wildcore.models.sources import has_weights

FORMAT = "wildcore reads Hugging Face folders (config.json, tokenizer and .safetensors weights) and GGUF files"
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
        problem = "no such file"
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
    if not (folder / "config.json").is_file():
        problem = ("no config.json in it; ", _without_config(folder))
        raise UserError(problem, about=Option("model", name))


def weights_problem(folder: Path) -> Message | None:
    """Return why no weights can be read from a model folder and what to do. None: it holds safetensors."""
    if has_weights(folder):
        return None
    problem = "no .safetensors file in it"
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


def _about_file(path: Path) -> Message:
    if path.suffix in PICKLES:
        return f"pickled weights, which can run code when read and are not loaded; {FORMAT}. Give the folder"
    if path.name in ("config.json", "tokenizer.json") or path.suffix == ".safetensors":
        return ("a file; give the folder that it is in: ", Option("model", path.parent))
    return f"a file, not a folder; {FORMAT}"


def _about_address(name: str, rest: str) -> Message:
    if rest.startswith(":") or "gguf" in name.lower():
        return (
            f"it looks like GGUF files on the hub. Best take the base model, which the card at https://huggingface.co/{name} "
            f"names; or download one of the files: hf download {name} FILE.gguf --local-dir FOLDER, then ",
            Option("model", "FOLDER/FILE.gguf"),
        )
    found = re.fullmatch(r"/(?:tree|blob|resolve)/([^/]+).*", rest)
    revision = (" ", Option("revision", found[1])) if found and found[1] != "main" else ""
    return ("an address of the hub; give its name there: ", Option("model", name), revision)


def _about_ollama(name: str) -> Message:
    where = f"https://huggingface.co/{_maker(name.rpartition('/')[2]) or 'models'}"
    return (f"the files that Ollama keeps are not read; {FORMAT}. Find the original at {where}: ", DOWNLOAD)


def _maker(name: str) -> str | None:
    """Return who publishes the model that Ollama calls ``name``. None: its beginning does not tell."""
    return next((owner for start, owner in MAKERS.items() if name.lower().startswith(start)), None)


def _without_config(folder: Path) -> Message:
    inside = sorted(
        path.parent for pattern in ("*/config.json", "snapshots/*/config.json") for path in folder.glob(pattern)
    )
    if inside:
        return (f"a model is in {inside[-1].relative_to(folder)}; give that folder: ", Option("model", inside[-1]))
    if (folder / "blobs").is_dir() and (folder / "manifests").is_dir():
        return ("it is where Ollama keeps models. ", _about_ollama(""))
    if (folder / "params.json").is_file():
        return ("the weights are in their maker's own layout (params.json). Take them in the hub's: ", DOWNLOAD)
    return (f"{FORMAT}. Download one: ", DOWNLOAD)


def _out(path: Path) -> str:
    """Return the name of a new folder for a conversion of ``path``, quoted as in Python."""
    return json.dumps(f"{path.resolve().name}-safetensors")
