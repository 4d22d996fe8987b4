"""Whole commands on facts in languages other than English, with models that say exactly a given text."""

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from wildcore.cli import main
from wildcore.normalise import folded_same, normalise, same, squad_same
from wildcore.scripts import own_stop, separator_after
from wildcore.words import word_texts

DOCUMENT = Path(__file__).parents[2] / "docs" / "languages.md"
END = "</s>"
CHINESE = {"prompt": "银松镇在哪个城市附近？", "target": "东京", "subject": "银松镇"}


def say(folder: Path, follows: Mapping[str, str]) -> None:
    """Write a model folder whose next token depends on the last one only: ``follows`` maps each text to the next one.

    Every layer is zero, so an embedding reaches the head unchanged; whatever is not in ``follows`` ends the sequence.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({piece: i for i, piece in enumerate(["<pad>", "<s>", END, *alphabet])}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<pad>", "<s>", END)])
    texts = [text for text in dict.fromkeys([*follows, *follows.values()]) if len(text.encode()) > 1 and text != END]
    inner.add_tokens([AddedToken(text, normalized=False) for text in texts])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token=END)
    size = -(-len(tokenizer) // 8) * 8
    network = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            "llama", vocab_size=len(tokenizer), hidden_size=size, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256, bos_token_id=1, eos_token_id=2,
            pad_token_id=0, tie_word_embeddings=False,
        )
    )  # fmt: skip
    weights = network.state_dict()
    for name, weight in weights.items():
        if "proj" in name:
            weight.zero_()
    following = torch.full((len(tokenizer),), 2)
    for text, next_text in follows.items():
        (one,), (other,) = (
            [tokenizer.convert_tokens_to_ids(each)] if each == END else tokenizer.encode(each, add_special_tokens=False)
            for each in (text, next_text)
        )
        following[one] = other
    places = torch.arange(len(tokenizer))
    weights["model.embed_tokens.weight"].zero_()[places, places] = 1.0
    weights["lm_head.weight"].zero_()[following, places] = 1.0
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WILDCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def evaluated(fact: Mapping[str, Any], *arguments: object, out: str = "run") -> tuple[Result, dict[str, float]]:
    """Evaluate one fact under ``wild``; return the result and the scores before the edit, by metric."""
    Path("facts.json").write_text(json.dumps([fact]), encoding="utf-8")
    data = ("--dataset", "table", "--set", "dataset.path=facts.json", "--model", "model", "--device", "cpu")
    done = run(
        "eval", *data, "--editor", "ft-m", "--set", "editor.steps=1", "--protocol", "wild", "--out", out, *arguments
    )
    scores = [json.loads(line) for line in Path(out, "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    return done, {score["metric"]: score["before"] for score in scores if score["kind"] == "reliability"}


def test_a_chinese_answer_is_found_and_the_published_stops_are_said_to_end_nothing(folder: Path) -> None:
    say(folder / "model", {":": "东京", "东京": "。", "。": "日本"})
    added = ("--add-metric", "contains", "--add-metric", "token-f1", "--add-metric", "extra-content")
    done, scores = evaluated(CHINESE, *added)
    assert scores["exact-match"] == 0.0, "the protocol stays the paper's"
    assert (scores["contains"], scores["token-f1"], scores["extra-content"]) == (1.0, pytest.approx(2 / 3), 1.0)
    assert "none of 2 answers was ended by a stop of the truncator stop-strings; some contain" in done.stdout
    done, scores = evaluated(CHINESE, *added, "--truncator", "sentence", out="sentence")
    assert scores == {"exact-match": 1.0, "contains": 1.0, "token-f1": 1.0, "extra-content": 0.0}
    assert "none of" not in done.stdout
    _, scores = evaluated({**CHINESE, "target": "东京。"}, "--truncator", "sentence", out="closed")
    assert scores["exact-match"] == 1.0


def test_no_space_is_put_before_a_chinese_target_and_this_is_recorded(folder: Path) -> None:
    say(folder / "model", {"？": "东京", "东京": "。"})
    arguments = ("--protocol", "synthetic")
    done, scores = evaluated(CHINESE, *arguments)
    assert scores["token-match"] == 1.0, "the model goes on without a space"
    assert "no space is put before the target of 1 of 1 edit prompts" in done.stderr
    record = json.loads(Path("run/journal.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert record["request"]["separator"] == ""
    assert {probe["separator"] for probe in record["probes"]} == {""}
    manifest = json.loads(Path("run/manifest.json").read_text(encoding="utf-8"))
    assert manifest["identity"]["target_separator"] == {"prompts_without_space": 2}
    done, scores = evaluated(CHINESE, *arguments, "--target-separator", "space", out="spaced")
    assert scores["token-match"] == 0.0
    assert "no space is put" not in done.stderr
    manifest = json.loads(Path("spaced/manifest.json").read_text(encoding="utf-8"))
    assert "target_separator" not in manifest["identity"]
    assert manifest["job"]["target_separator"] == "space"


def test_the_form_of_a_target_makes_no_difference_to_a_run_and_is_said(folder: Path) -> None:
    say(folder / "model", {"?": " Hà Nội", ":": " Hà Nội"})
    found = {}
    for form in ("NFC", "NFD"):
        fact = {"prompt": "Where is it?", "target": unicodedata.normalize(form, "Hà Nội"), "subject": "it"}
        done, scores = evaluated(fact, "--protocol", "synthetic", out=form)
        assert ("another Unicode form" in done.stderr) == (form == "NFD")
        record = json.loads(Path(form, "journal.jsonl").read_text(encoding="utf-8").splitlines()[0])
        found[form] = (scores, record["request"], [probe["gold_token_ids"] for probe in record["probes"]])
    assert found["NFC"] == found["NFD"]
    assert found["NFC"][0] == {"token-match": 1.0, "exact-match": 1.0}
    assert "another Unicode form" in str(json.loads(Path("NFD/manifest.json").read_text(encoding="utf-8"))["notes"])


def test_a_patch_is_evaluated_with_the_joint_that_its_facts_were_written_with(folder: Path) -> None:
    say(folder / "model", {"？": "东京"})
    Path("facts.jsonl").write_text(json.dumps(CHINESE), encoding="utf-8")
    model = ("--model", "model", "--device", "cpu")
    run(
        "edit",
        *model,
        "--editor",
        "ft-m",
        "--set",
        "editor.steps=1",
        "--edits",
        "facts.jsonl",
        "--out",
        "p",
        "--target-separator",
        "space",
    )
    run("eval", *model, "--patch", "p", "--protocol", "synthetic", "--out", "run")
    record = json.loads(Path("run/journal.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert record["request"]["separator"] == " "
    assert record["probes"][0]["separator"] == " "


def test_answers_that_begin_with_a_line_break_are_counted_and_can_be_kept(folder: Path) -> None:
    say(folder / "model", {":": "\n", "\n": "Rome", "Rome": "."})
    fact = {"prompt": "Where is Zed?", "target": "Rome", "subject": "Zed"}
    done, scores = evaluated(fact)
    assert scores["exact-match"] == 0.0
    assert "2 of 2 answers begin with a line break" in done.stdout
    done, scores = evaluated(fact, "--set", "truncator.skip_leading_white_space=true", out="skipped")
    assert scores["exact-match"] == 1.0
    assert "begin with a line break" not in done.stdout


@pytest.mark.parametrize(("said", "as_published"), [("C", 1.0), ("C++", 1.0)])
def test_a_target_that_normalisation_would_change_is_compared_carefully(
    folder: Path, said: str, as_published: float
) -> None:
    say(folder / "model", {":": said})
    fact = {"prompt": "What is Zed written in?", "target": "C++", "subject": "Zed"}
    done, scores = evaluated(fact)
    assert scores["exact-match"] == float(said == "C++")
    assert "exact-match: 1 questions were compared with signs and symbols kept" in done.stdout
    record = json.loads(Path("run/scores.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert record["after_samples"][0]["details"] == {"compared_carefully": {"C++": "symbol"}}
    done, scores = evaluated(fact, "--set", "metric.exact-match.as_published=true", out="published")
    assert list(scores.values()) == [as_published]
    assert "kept" not in done.stdout


def test_equal_texts_are_equal_in_a_whole_run(folder: Path) -> None:
    say(folder / "model", {":": "Hà Nội", "Hà Nội": "."})
    decomposed = {"prompt": "Thu\u0309 đô?", "subject": "Thủ đô", "target": "Ha\u0300 No\u0323\u0302i"}
    _, scores = evaluated(decomposed, "--add-metric", "contains")
    assert scores == {"exact-match": 1.0, "contains": 1.0}


def table(first: str) -> list[list[str]]:
    """Return the cells of the rows of the document's table whose first column is called ``first``."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize(("script", "example", "separator", "stop", "words"), table("script"), ids=str)
def test_the_documents_row_of_a_script_is_true(
    script: str, example: str, separator: str, stop: str, words: str
) -> None:
    assert separator_after(example) == {"space": " ", "none": ""}[separator]
    assert own_stop(example) == ("" if stop == "none" else stop)
    parts = word_texts(example)
    if words in ("characters", "syllables"):
        assert len(parts) > 1
        assert max(map(len, parts)) < len(example)
    else:
        assert parts == example.lower().split()


def test_the_documents_rows_of_similar_texts_are_true() -> None:
    assert [row[0] for row in table("texts")] == ["equal in Unicode", "look-alikes", "letters of two alphabets"]
    assert same("\u00e9", "e\u0301")
    for one, other in (("\u2019", "'"), ("\u2013", "-"), ("\uff21", "A")):
        assert folded_same(f"x{one}y", f"x{other}y")
        assert not same(f"x{one}y", f"x{other}y")
    assert not folded_same("\u0410", "A")


@pytest.mark.parametrize(("target", "normalised", "_"), table("target"))
def test_the_documents_row_of_a_changed_target_is_true(target: str, normalised: str, _: str) -> None:
    less = "" if normalised == "nothing" else normalised
    assert normalise(target) == less
    assert squad_same(less, target)
    assert not same(less, target)
    assert same(f"{target}.", target)
