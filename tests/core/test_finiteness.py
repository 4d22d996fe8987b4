"""A model whose own logits are not finite is refused before the first edit, as such."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import wildcore.testing
from wildcore import UserError
from wildcore.models.finiteness import require_finite_logits
from wildcore.testing.networks import tiny_model

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"


def test_a_sound_model_passes() -> None:
    require_finite_logits(tiny_model("llama"))
    require_finite_logits(tiny_model("gpt2"), ["Rome is in"] * 500)


def test_a_model_that_overflows_in_half_precision_is_told_of_a_wider_dtype() -> None:
    model = tiny_model("llama", dtype=torch.float16)
    model.mlp_output(1).weight.fill_(6e4)
    with pytest.raises(
        UserError, match=r"logits are not finite, at dtype float16; choose a dtype .*float32"
    ) as refused:
        require_finite_logits(model)
    assert "its weight" not in str(refused.value)


@pytest.mark.plugins("ft", "synthetic", "wild", "table")
def test_eval_and_edit_name_the_model_and_write_nothing(wildcore, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in TINY.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"][0, 0] = float("inf")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    facts = tmp_path / "facts.jsonl"
    facts.write_text(json.dumps({"prompt": "Rome is in", "target": "Peru", "subject": "Rome"}) + "\n")
    out = tmp_path / "out"
    said = (
        "the unedited model's logits are not finite, at dtype float32 (its weight model.layers.0.mlp.down_proj.weight"
    )
    edit = ("edit", "--editor", "ft-m", "--edits", facts)
    evaluate = ("eval", "--editor", "ft-m", "--dataset", "table", "--set", f"dataset.path={facts}")
    for command in (edit, evaluate):
        done = wildcore(*command, "--model", folder, "--out", out)
        assert done.returncode == 2
        assert said in done.stderr
        assert not out.exists()
