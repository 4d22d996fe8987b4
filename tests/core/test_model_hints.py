"""A name or folder that no model can be loaded from is recognised, and its user told what to do."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file

import wildcore.testing
from wildcore import UserError
from wildcore.architectures import built_in_families
from wildcore.cli.naming import COMMAND_LINE
from wildcore.errors import render
from wildcore.models import ModelRequest, load_model
from wildcore.models.hints import MAKERS, after_failed_fetch, require_fetchable, require_model_folder, weights_problem

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
FAMILIES = {family.model_type: family for family in built_in_families()}


def refused(check: Callable[..., None], *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        check(*arguments)
    return caught.value.rendered(COMMAND_LINE)


@pytest.mark.parametrize(
    "name", ["gpt2", "EleutherAI/gpt-j-6b", "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B", "distilgpt2"]
)
def test_what_may_be_a_name_of_the_hub_is_looked_up_there(name: str) -> None:
    require_fetchable(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("llama3:8b", "looks like an Ollama name.*https://huggingface.co/meta-llama: hf download OWNER/NAME"),
        ("llama3.2", "looks like an Ollama name.*https://huggingface.co/meta-llama"),
        ("qwen2.5:0.5b-instruct", "Ollama name.*https://huggingface.co/Qwen"),
        ("somebody/own-model:latest", "Ollama name.*https://huggingface.co/models"),
        ("https://ollama.com/library/mistral", "Ollama name.*https://huggingface.co/mistralai"),
        (
            "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
            "GGUF files.*/bartowski/Llama-3.2-1B-Instruct-GGUF names; .*--model FOLDER/FILE.gguf",
        ),
        ("https://huggingface.co/gpt2-owner/gpt2", r"--model gpt2-owner/gpt2$"),
        ("https://huggingface.co/a/b/tree/main", r"--model a/b$"),
        ("huggingface.co/a/b/tree/v1.0", r"--model a/b --revision v1\.0$"),
        ("hf://a/b", r"--model a/b$"),
        ("https://example.org/model.zip", "an address.*give its folder"),
        ("model.Q4_K_M.gguf", "no such file"),
        ("models/llama/7b", "no such folder"),
        ("./llama", "no such folder"),
        ("C:\\models\\llama", "no such folder"),
    ],
)
def test_a_name_is_recognised(name: str, said: str) -> None:
    message = refused(require_fetchable, name)
    assert message.startswith(f"--model {shlex.quote(name)}: ")
    assert "\n" not in message
    assert re.search(said, message), message


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("model.safetensors", "give the folder"),
        ("pytorch_model.bin", "can run code"),
        ("notes.txt", "a file, not a folder"),
    ],
)
def test_a_file_is_recognised(file: str, said: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    assert said in refused(require_fetchable, str(tmp_path / file))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LocalEntryNotFoundError("x"), "HF_HUB_OFFLINE.*hf download a/b --local-dir FOLDER"),
        (GatedRepoError.__new__(GatedRepoError), "accept its terms at https://huggingface.co/a/b"),
        (RepositoryNotFoundError.__new__(RepositoryNotFoundError), "see whether https://huggingface.co/a/b is there"),
    ],
)
def test_what_the_hub_does_not_give_has_a_way_out(error: Exception, said: str) -> None:
    assert re.search(said, render(after_failed_fetch("a/b", error)))


def test_a_bare_name_that_the_hub_lacks_may_be_one_of_ollama() -> None:
    assert "If it is an Ollama name: " in render(after_failed_fetch("orca-mini", LocalEntryNotFoundError("x")))
    assert not any(
        name.startswith(start) for name in ("gpt2", "distilgpt2", "openai-gpt", "bert-base-cased") for start in MAKERS
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "no config.json in it; wildcore reads Hugging Face folders"),
        (("checkpoint-500/config.json",), "a model is in checkpoint-500; give that folder"),
        (("snapshots/abc/config.json", "refs/main"), "a model is in snapshots/abc; give that folder"),
        (("blobs/sha256-1", "manifests/x"), "where Ollama keeps models"),
        (("params.json", "consolidated.00.pth"), "their maker's own layout"),
    ],
)
def test_a_folder_is_recognised(files: tuple[str, ...], said: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert re.search(said, refused(require_model_folder, "m", tmp_path))


def test_the_command_that_converts_pickled_weights_works(tmp_path: Path) -> None:
    folder = tmp_path / "it's pickled"
    shutil.copytree(TINY, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    said = weights_problem(folder)
    assert said is not None
    shown = render(said)
    _, *arguments = shlex.split(shown[shown.index("python -c ") :])
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    converted = load_model(ModelRequest(str(tmp_path / "it's pickled-safetensors")), FAMILIES)
    assert converted.fingerprint == load_model(ModelRequest(str(TINY)), FAMILIES).fingerprint
