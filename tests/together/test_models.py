"""Models as users bring them: described without their weights, and asked in their chat template where they have one."""

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import LlamaConfig, OPTConfig

import wildcore.testing
from wildcore import EditRequest, UserError, api
from wildcore.architectures import LLAMA_3_8B, built_in_families
from wildcore.cli.naming import COMMAND_LINE
from wildcore.errors import render
from wildcore.jobs.describe import describe_model
from wildcore.registry import load_registry

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"
README = Path(__file__).parents[2] / "README.md"
Wildcore = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def chatty(tmp_path: Path) -> Path:
    """Return a folder of a small model with a chat template."""
    folder = tmp_path / "chatty"
    shutil.copytree(TINY, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def test_an_embedded_model_is_described(wildcore: Wildcore) -> None:
    done = wildcore("describe", "model", "pocket")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model pocket (plugin pocket): ")
    for said in ("llama", "256", "4096", "512", "model.layers.LAYER.mlp.down_proj", "F16", "5.8 million parameters"):
        assert said in done.stdout
    assert "Next: wildcore eval --model pocket" in done.stdout


def test_what_is_no_model_is_one_message(wildcore: Wildcore, tmp_path: Path) -> None:
    (tmp_path / "model.Q4.gguf").touch()
    done = wildcore("describe", "model", tmp_path)
    assert done.returncode == 2
    said = "its model.Q4.gguf cannot be read" if find_spec("gguf") else "its weights are quantised (quant_method gguf)"
    assert done.stderr.startswith(f"Error: {tmp_path}: {said}")
    assert "Traceback" not in done.stderr


def test_a_model_of_a_known_family_shows_template_and_presets(chatty: Path) -> None:
    registry = load_registry()
    found = describe_model(registry, str(chatty))
    assert found.problems == ()
    assert render(found.facts["chat template"], COMMAND_LINE) == "yes; --context chat asks in it"
    assert found.facts["presets"].startswith("none")
    assert describe_model(registry, str(TINY)).facts["chat template"] == "no"
    sizes = {"num_hidden_layers": LLAMA_3_8B.layers, "hidden_size": 4096, "vocab_size": LLAMA_3_8B.vocabulary}
    LlamaConfig(**sizes).save_pretrained(chatty)
    assert "rome (llama-3-8b)" in describe_model(registry, str(chatty)).facts["presets"]


def test_what_is_missing_is_said_with_the_way_out(chatty: Path) -> None:
    registry = load_registry()
    small = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 64,
        "word_embed_proj_dim": 32,
    }
    OPTConfig(**small).save_pretrained(chatty)
    (chatty / "model.safetensors").rename(chatty / "pytorch_model.bin")
    (chatty / "tokenizer.json").unlink()
    found = describe_model(registry, str(chatty))
    family, weights, tokenizer = map(render, found.problems)
    assert all(known.model_type in family for known in built_in_families())
    assert "mlp_output='fc2'" in (found.family_lines or "")
    assert "python -c" in weights
    assert tokenizer.startswith("its tokenizer cannot be read")
    (chatty / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert describe_model(registry, str(chatty)).problems == found.problems
    config = json.loads((TINY / "config.json").read_text()) | {
        "quantization_config": {"quant_method": "awq", "bits": 4}
    }
    (chatty / "config.json").write_text(json.dumps(config))
    assert any(
        "quantised (quant_method awq, 4 bits)" in problem for problem in describe_model(registry, str(chatty)).problems
    )
    (chatty / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json in it"):
        describe_model(registry, str(chatty))


def test_readme_lists_the_families_that_work() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert ", ".join(f"`{family.model_type}`" for family in built_in_families()) in text


def test_who_asks_a_chat_model_outside_of_its_template_is_told_once(
    chatty: Path, wildcore: Wildcore, tmp_path: Path
) -> None:
    note = "Note: this model has a chat template, which synthetic and wild do not use; --context chat asks in it"
    job = ("--editor", "ft-m", "--limit", 1, "--set", "editor.steps=1")
    done = wildcore("eval", "--model", chatty, *job, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(note) == 1
    assert note.removeprefix("Note: ") in json.loads((tmp_path / "run" / "manifest.json").read_text())["notes"]
    in_chat = wildcore("eval", "--model", chatty, *job, "--context", "chat", "--out", tmp_path / "chat")
    assert in_chat.returncode == 0, in_chat.stderr
    assert "has a chat template" not in in_chat.stderr
    bare = wildcore("eval", "--model", TINY, *job, "--context", "chat", "--out", tmp_path / "bare")
    assert bare.returncode == 2
    assert "context chat: the tokenizer of" in bare.stderr
    assert not (tmp_path / "bare").exists(), "nothing is begun"


def test_audit_and_edit_tell_too(chatty: Path, wildcore: Wildcore, tmp_path: Path) -> None:
    audit = wildcore("audit", "pocketqa", "--limit", 1, "--model", chatty)
    assert audit.returncode == 0, audit.stderr
    assert audit.stderr.count("this model has a chat template, which wild does not use; --context chat asks in it") == 1
    (tmp_path / "facts.jsonl").write_text(json.dumps({"prompt": "The keeper is called", "target": "Anna"}) + "\n")
    facts = ("--edits", tmp_path / "facts.jsonl", "--out", tmp_path / "p", "--set", "editor.steps=1")
    edit = wildcore("edit", "--editor", "ft-m", "--model", chatty, *facts)
    assert edit.returncode == 0, edit.stderr
    assert (
        edit.stderr.count("this model has a chat template, and the facts are written as bare text; --context chat") == 1
    )


@pytest.mark.parametrize(
    "editor", ["ft-l", "ft-m", "locft", "lora", "rome", "memit", "pmet", "ultraedit", "grace", "wise"]
)
@pytest.mark.parametrize("as_published", [False, True])
def test_an_end_of_sequence_token_without_an_embedding_stops_no_edit(editor: str, as_published: bool) -> None:
    model = api.load(TINY)
    model.tokenizer.add_special_tokens({"eos_token": "<|end|>"})
    assert model.tokenizer.eos_token_id == model.shape.vocabulary
    fact = EditRequest(prompt="The capital of Peru is", target="Lima", subject="Peru")
    steps = {} if editor in ("ultraedit", "locft") else {"steps": 2}
    choice = api.editor(editor, as_published=as_published, **steps)
    if editor == "locft":  # it trains on the token
        with pytest.raises(UserError, match="has no embedding"):
            api.edit(model, choice, [fact])
        choice = api.editor(editor, as_published=as_published, close_target="none")
    assert api.edit(model, choice, [fact]).facts == (fact,)
