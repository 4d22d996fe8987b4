"""The values are those of the package bert-score, whatever the order and the company of an item."""

import json
import random
from pathlib import Path
from typing import Any

import bert_score
import pytest
from wildcore_bertscore.metric import UNREADABLE, BertScore
from wildcore_bertscore.parameters import BertScoreParams, Measure

from wildcore import Answer, AnsweredProbe, Output, Score
from wildcore.testing.conformance import SilentProgress, quiet_environment

ANSWERS = ["Paris", "the city of Paris, in France", "London", "a", "Marie Curie was born in Warsaw", "It is 3.5 °C"]
GOLDS = ["Paris", "Lyon", "The capital of the United Kingdom", "b", "Warsaw, Poland", "3.5 degrees"]


def probe(text: str, *golds: str) -> AnsweredProbe:
    output = Output(text="", token_ids=(), stop_reason="stop-rule")
    answer = Answer(text=text, token_ids=(), output=output)
    return AnsweredProbe(
        kind="reliability", question="?", answers=golds, gold_token_ids=(), answer=answer, unedited=answer
    )


def metric(encoder: object, layer: int, **settings: Any) -> BertScore:
    return BertScore(BertScoreParams(encoder=str(encoder), layer=layer, device="cpu", **settings))


def values(scores: list[Score]) -> list[float]:
    return [score.value for score in scores if score.value is not None]


@pytest.mark.parametrize("layer", [3, 6])
def test_values_are_the_packages(minilm: str, layer: int) -> None:
    expected = bert_score.score(ANSWERS, GOLDS, model_type=minilm, num_layers=layer, device="cpu")
    items = [probe(answer, gold) for answer, gold in zip(ANSWERS, GOLDS, strict=True)]
    measures: list[Measure] = ["precision", "recall", "f1"]
    for measure, wanted in zip(measures, expected, strict=True):
        found = values(metric(minilm, layer, measure=measure).score(items))
        assert found == pytest.approx(wanted.tolist(), abs=1e-5)
        assert len({round(value, 3) for value in found}) > 3


def test_the_best_accepted_answer_counts_as_in_the_package(minilm: str) -> None:
    several = [GOLDS, GOLDS[1:], ["Rome", "Warsaw"]]
    _, _, expected = bert_score.score(ANSWERS[:3], several, model_type=minilm, num_layers=6, device="cpu")
    found = metric(minilm, 6).score([probe(text, *golds) for text, golds in zip(ANSWERS, several, strict=False)])
    assert values(found) == pytest.approx(expected.tolist(), abs=1e-5)


def test_equal_texts_come_to_1_and_not_above(minilm: str) -> None:
    found = values(metric(minilm, 6).score([probe(text, "Rome", text) for text in ANSWERS]))
    assert found == pytest.approx([1.0] * len(ANSWERS), abs=1e-5)
    assert max(found) <= 1.0


def test_neither_order_nor_company_changes_a_score(minilm: str) -> None:
    items = [probe(answer, *GOLDS[:count]) for count in (1, 3) for answer in ANSWERS]
    scorer = metric(minilm, 6, batch_size=2)
    together = values(scorer.score(items))
    order = random.Random(5).sample(range(len(items)), len(items))
    shuffled = values(scorer.score([items[index] for index in order]))
    assert [together[index] for index in order] == pytest.approx(shuffled, abs=1e-5)
    assert [values(scorer.score([item]))[0] for item in items] == pytest.approx(together, abs=1e-5)


def test_an_empty_answer_scores_0_and_an_empty_gold_is_left_out(minilm: str, capsys: pytest.CaptureFixture) -> None:
    found = metric(minilm, 6).score(
        [probe("", "Paris"), probe(" \n", "Paris"), probe("Paris", "", "Paris"), probe("x", "")]
    )
    assert [score.value for score in found] == [0.0, 0.0, pytest.approx(1.0, abs=1e-5), None]
    assert found[3].reason == UNREADABLE
    assert "Warning" not in capsys.readouterr().err


def test_details_say_what_the_parameters_leave_open(minilm: str, roberta: Path) -> None:
    (of_bert,) = metric(minilm, 6).score([probe("Paris", "Rome")])
    (of_roberta,) = metric(roberta, 2).score([probe("Paris", "Rome")])
    assert of_bert.details.keys() == {"encoder", "layer", "bert-score"}
    assert (of_bert.details["layer"], of_roberta.details["layer"]) == (6, 2)
    assert of_bert.details["encoder"] != of_roberta.details["encoder"]


def test_progress_is_shown_and_cut_texts_are_counted(roberta: Path, tmp_path: Path) -> None:
    scorer = metric(roberta, 2)
    environment = quiet_environment(tmp_path)
    scorer.prepare(environment)
    scorer.score([probe("Paris " * 80, "Rome"), probe("Rome " * 37, "Rome")])
    assert isinstance(environment.progress, SilentProgress)
    assert environment.progress.notes == ["bert-score: the encoder reads 37 tokens; longer texts, which were cut: 1"]
    assert scorer.score([]) == []


def test_roberta_reads_the_first_word_like_any_other(roberta: Path) -> None:
    """The package asks for it in a way that transformers 5 ignores; set in the tokenizer's own files, it heeds it."""
    found = values(metric(roberta, 2).score([probe("Paris is", "Rome is")]))
    plain = {"model_max_length": 39, "tokenizer_class": "RobertaTokenizer"}
    (roberta / "tokenizer_config.json").write_text(json.dumps({**plain, "add_prefix_space": True}))
    _, _, with_space = bert_score.score(["Paris is"], ["Rome is"], model_type=str(roberta), num_layers=2, device="cpu")
    (roberta / "tokenizer_config.json").write_text(json.dumps(plain))
    _, _, without = bert_score.score(["Paris is"], ["Rome is"], model_type=str(roberta), num_layers=2, device="cpu")
    assert found == pytest.approx(with_space.tolist(), abs=1e-5)
    assert found != pytest.approx(without.tolist(), abs=1e-3)


def test_rescaling_puts_the_baseline_at_0(minilm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is named as a hub encoder is, so that the package's own baseline for that name is taken."""
    (tmp_path / "roberta-base").symlink_to(minilm)
    monkeypatch.chdir(tmp_path)
    items = [probe("Paris", "Rome"), probe("Paris", "Paris"), probe("", "Paris")]
    raw = values(metric("roberta-base", 6).score(items))
    _, _, expected = bert_score.score(
        ["Paris"],
        ["Rome"],
        model_type="roberta-base",
        num_layers=6,
        lang="en",
        rescale_with_baseline=True,
        device="cpu",
    )
    rescaled = values(metric("roberta-base", 6, rescale=True).score(items))
    assert rescaled[:2] == pytest.approx([expected.item(), 1.0], abs=1e-5)
    assert rescaled[0] < raw[0] - 0.1
    assert rescaled[2] < 0
