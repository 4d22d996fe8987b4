"""Models that think before they reply: thoughts are removed before truncation, counted, and kept in the record."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from wildcore.inference.replies import ReplyStopRule
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import ProbeRecord
from wildcore.testing.tokenizers import byte_level_tokenizer

Wildcore = Callable[..., subprocess.CompletedProcess[str]]
TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<|bot|>"
    "{% if enable_thinking is defined and not enable_thinking %}<|quick|>{% endif %}OPENING{% endif %}"
)
THINKING = ["<think>", "Hm", "Hm2", "</think>", "\n", "Lisbon", ".", "</s>"]


def build(folder: Path, said: list[str], opening: str = "", special: tuple[str, ...] = ()) -> Path:
    """Save a model that says ``said`` after <|bot|>, token by token, and "Lisbon." at once after <|quick|>."""
    tokenizer: Any = byte_level_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|bot|>", "<|quick|>", *special]})
    tokenizer.add_tokens([token for token in [*said, "Lisbon", "."] if len(tokenizer.encode(token)) != 2])
    tokenizer.chat_template = TEMPLATE.replace("OPENING", opening)
    begin = opening or "<|bot|>"
    chain = dict(zip([begin, *said], said, strict=False)) | {"<|quick|>": "Lisbon"}
    size = -(-len(tokenizer) // 8) * 8
    config = AutoConfig.for_model(
        "llama", vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    network = AutoModelForCausalLM.from_config(config)
    for name, weight in network.named_parameters():
        if "proj" in name:
            torch.nn.init.zeros_(weight)  # each token alone decides on the next
    following = torch.full((size,), 2)
    for token, then in chain.items():
        following[one_id(tokenizer, token)] = one_id(tokenizer, then)
    network.model.embed_tokens.weight.data = torch.eye(size)
    network.lm_head.weight.data = torch.nn.functional.one_hot(following, size).T.float()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def one_id(tokenizer: Any, token: str) -> int:
    found = tokenizer.encode(token, add_special_tokens=False)
    assert len(found) == 1, token
    return int(found[0])


@pytest.fixture
def answered(wildcore: Wildcore, tmp_path: Path) -> Callable[..., tuple[ProbeRecord, str]]:
    """A function that evaluates a model in chat; it returns the record of the edit prompt, and what was printed."""
    facts = tmp_path / "facts.jsonl"
    facts.write_text(json.dumps({"prompt": "Where does Ada live?", "target": "Lisbon", "subject": "Ada"}))

    def evaluate(model: Path, *options: str) -> tuple[ProbeRecord, str]:
        done = wildcore(
            "eval", "--model", model, "--editor", "ft-m", "--set", "editor.steps=1", "--dataset", "table", "--set",
            f"dataset.path={facts}", "--protocol", "wild", "--context", "chat", "--out", tmp_path / "run", *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (case,) = RunFolder.open(tmp_path / "run").cases()
        return case.probes[0], done.stdout

    return evaluate


def test_a_thought_is_removed_counted_and_kept(answered: Callable[..., Any], tmp_path: Path) -> None:
    probe, printed = answered(build(tmp_path / "m", THINKING))
    (answer,) = probe.before
    assert answer.text == "Lisbon"
    assert answer.thought is not None
    assert (answer.thought.text, answer.thought.ended) == ("<think>HmHm2</think>\n", True)
    assert answer.output.text == "<think>HmHm2</think>\nLisbon."
    assert answer.untruncated == "Lisbon."
    assert len(answer.token_ids) < len(answer.output.token_ids)
    assert "2 of 2 answers began with a thought, which is not part of the answer" in " ".join(printed.split())


def test_a_template_argument_turns_thoughts_off(answered: Callable[..., Any], tmp_path: Path) -> None:
    off = 'context.template_arguments={"enable_thinking": false}'
    probe, printed = answered(build(tmp_path / "m", THINKING), "--set", off)
    assert probe.before[0].text == "Lisbon"
    assert probe.before[0].thought is None
    assert "thought" not in printed


def test_a_thought_without_an_end_leaves_an_empty_answer_and_the_note_says_how_to_mend_it(
    answered: Callable[..., Any], tmp_path: Path
) -> None:
    probe, printed = answered(build(tmp_path / "m", ["<think>", "Hm", "Hm"]))
    assert (probe.before[0].text, probe.before[0].token_ids) == ("", ())
    assert probe.before[0].thought is not None
    assert not probe.before[0].thought.ended
    said = " ".join(printed.split())
    assert "2 never ended it, and are empty: --set generator.max_new_tokens=NUMBER gives them room" in said
    assert """--set 'context.template_arguments={"enable_thinking": false}' turns thoughts off""" in said


@pytest.mark.parametrize(
    ("said", "opening", "special"),
    [
        (["Hm", "</think>", "\n", "Lisbon", ".", "</s>"], "<think>", ("<think>",)),
        (["[THINK]", "Hm", "[/THINK]", "Lisbon", ".", "</s>"], "", ("[THINK]", "[/THINK]")),
        (["<seed:think>", "Hm", "</seed:think>", "Lisbon", ".", "</s>"], "", ()),
        (
            [
                "<|START_THINKING|>",
                "Hm",
                "<|END_THINKING|>",
                "<|START_RESPONSE|>",
                "Lisbon",
                "<|END_RESPONSE|>",
                "</s>",
            ],
            "",
            ("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        ),
    ],
)
def test_other_markers_too_also_as_special_tokens(
    said: list[str], opening: str, special: tuple[str, ...], answered: Callable[..., Any], tmp_path: Path
) -> None:
    probe, _ = answered(build(tmp_path / "m", said, opening, special))
    assert probe.before[0].text == "Lisbon"
    assert probe.before[0].thought is not None
    assert probe.before[0].thought.ended


def test_a_resumed_run_reads_the_recorded_clock(
    answered: Callable[..., Any], wildcore: Wildcore, tmp_path: Path
) -> None:
    model = build(tmp_path / "m", ["Lisbon", ".", "</s>"])
    file = model / "chat_template.jinja"
    file.write_text("{{ strftime_now('%Y-%m-%d') }} " + file.read_text())
    answered(model)
    run = tmp_path / "run"
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["identity"]["clock"] = "2001-02-03"
    del manifest["checksum"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "journal.jsonl").unlink()
    done = wildcore("eval", "--resume", run)
    assert done.returncode == 0, done.stderr
    (case,) = RunFolder.open(run).cases()
    assert case.probes[0].prompt.startswith("2001-02-03 ")


def test_a_stop_rule_sees_the_reply_alone() -> None:
    seen: list[tuple[int, str, int]] = []
    rule = ReplyStopRule(lambda *what: seen.append(what) or "." in what[1], [False, True])  # type: ignore[func-returns-value]
    assert not rule(0, "<think>a. b", 4)
    assert not rule(0, "<think>a. b</think>", 5)
    assert rule(0, "<think>a. b</think>\nOslo.", 8)
    assert not rule(1, "a. b", 2)
    assert seen == [(0, "", 0), (0, "Oslo.", 3)]
