"""Encoders that cannot be used are refused in one sentence, before anything is scored."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import T5Config
from wildcore_bertscore.encoder import find_encoder, load_encoder
from wildcore_bertscore.metric import BertScore
from wildcore_bertscore.parameters import BertScoreParams

import wildcore.testing
from wildcore import UserError
from wildcore.testing.conformance import quiet_environment

TINY_LLAMA = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refusal(encoder: object, layer: int | None = 1, device: str = "cpu") -> str:
    with pytest.raises(UserError) as refused:
        load_encoder(find_encoder(str(encoder), layer, device))
    return str(refused.value)


def test_a_layer_must_be_given_unless_the_package_has_one(roberta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "give one of 1 to 4 with metric.bert-score.layer=4" in refusal(roberta, None)
    assert "metric.bert-score.layer=5: the encoder" in refusal(roberta, 5)
    change_config(roberta, num_hidden_layers=12)
    roberta.rename(roberta.parent / "roberta-base")
    monkeypatch.chdir(roberta.parent)
    assert find_encoder("roberta-base", None, "cpu").layer == 10
    assert find_encoder("roberta-base", 3, "cpu").layer == 3


def test_only_the_layers_needed_are_loaded(roberta: Path) -> None:
    encoder = load_encoder(find_encoder(str(roberta), 2, "cpu"))
    assert len(encoder.network.encoder.layer) == 2
    assert encoder.network.dtype is torch.float32
    assert not encoder.network.training


def test_what_is_no_safetensors_encoder_is_refused(roberta: Path, tmp_path: Path) -> None:
    assert "metric.bert-score.encoder=./nowhere: no such folder" in refusal("./nowhere")
    assert "its tokenizer puts no marks around a text" in refusal(TINY_LLAMA)
    pickled = tmp_path / "pickled"
    shutil.copytree(roberta, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    assert f"metric.bert-score.encoder={pickled}: no .safetensors file in it" in refusal(pickled)
    T5Config().save_pretrained(roberta)
    assert "a t5 is no encoder of BERT's kind" in refusal(roberta)


def test_weights_that_are_missing_or_broken_are_refused(roberta: Path) -> None:
    change_config(roberta, num_hidden_layers=6)
    assert "its files lack weights that config.json asks for, such as encoder.layer.4." in refusal(roberta, 6)
    (roberta / "model.safetensors").write_bytes(b"12345678 not weights")
    assert "cannot be loaded" in refusal(roberta)


def test_a_device_that_is_not_there_is_named_as_the_metrics_parameter(roberta: Path) -> None:
    assert "metric.bert-score.device=cuda:77" in refusal(roberta, 1, "cuda:77")


def test_a_wrong_encoder_is_known_before_the_run(tmp_path: Path) -> None:
    scorer = BertScore(BertScoreParams(encoder="./nowhere"))
    with pytest.raises(UserError, match="no such folder"):
        scorer.prepare(quiet_environment(tmp_path))


def test_rescaling_without_a_baseline_is_refused(roberta: Path, tmp_path: Path) -> None:
    scorer = BertScore(BertScoreParams(encoder=str(roberta), layer=2, rescale=True, device="cpu"))
    with pytest.raises(UserError, match="has no baseline for the encoder"):
        scorer.prepare(quiet_environment(tmp_path))
