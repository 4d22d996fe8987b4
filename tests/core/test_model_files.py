"""What belongs to a model folder is copied byte for byte, and nothing else."""

from pathlib import Path

import pytest

from wildcore.model_files import belongs_to_model, copy_companions


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "special_tokens_map.json", "added_tokens.json", "vocab.json",
        "merges.txt", "chat_template.jinja", "additional_chat_templates/tool_use.jinja", "generation_config.json", "LICENSE",
        "LICENSE.txt", "license.md", "NOTICE", "README.md", "USE_POLICY.md", "qwen.tiktoken",
    ],
)  # fmt: skip
def test_what_belongs_to_the_model(name: str) -> None:
    assert belongs_to_model(name, with_code=False)


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "consolidated.00.pth",
        "optimizer.pt", "trainer_state.json", "training_args.bin", "LICENSE.bin", "README.pkl", "model.gguf", "w2v.model",
        "adapter_config.json", ".env", "modeling_own.py", "original/tokenizer.model",
    ],
)  # fmt: skip
def test_what_does_not(name: str) -> None:
    assert not belongs_to_model(name, with_code=False)


def test_code_belongs_to_a_model_whose_code_is_trusted() -> None:
    assert belongs_to_model("modeling_own.py", with_code=True)


def test_links_are_followed_within_the_folder_and_never_out_of_it(tmp_path: Path) -> None:
    source, target = tmp_path / "model", tmp_path / "copy"
    source.mkdir()
    target.mkdir()
    (source / "LICENSE").write_text("terms")
    (source / "NOTICE").symlink_to("LICENSE")
    (tmp_path / "secret").write_text("key")
    (source / "README.md").symlink_to("../secret")
    (source / "tokenizer.model").symlink_to(tmp_path / "nothing")
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates" / "rag.jinja").write_text("{{ x }}")
    (target / "LICENSE").write_text("older")
    copied = copy_companions(source, target, with_code=False)
    assert copied.names == ("LICENSE", "NOTICE", "additional_chat_templates/rag.jinja")
    assert copied.left_out == ("README.md",)
    assert (target / "LICENSE").read_text() == (target / "NOTICE").read_text() == "terms"
    assert not (target / "NOTICE").is_symlink()


def test_files_of_the_hubs_cache_are_copied(tmp_path: Path) -> None:
    home = tmp_path / "models--a--b"
    snapshot, target = home / "snapshots" / "abc", tmp_path / "copy"
    for folder in (snapshot, home / "blobs", target):
        folder.mkdir(parents=True)
    (home / "blobs" / "1").write_text("terms")
    (snapshot / "LICENSE").symlink_to("../../blobs/1")
    (snapshot / "README.md").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch()
    copied = copy_companions(snapshot, target, with_code=False)
    assert (copied.names, copied.left_out) == (("LICENSE",), ("README.md",))
    assert (target / "LICENSE").read_text() == "terms"
