"""A judge in this process."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import torch
from wildcore_judge.local import LocalJudge, ObjectIsClosed, _prompt
from wildcore_judge.metric import Judge, make_judge
from wildcore_judge.parameters import JudgeParams

import wildcore.testing
from wildcore import Environment, UserError
from wildcore.models import LoadedModel, template_limits
from wildcore.testing.networks import tiny_model

from .judge_server import probe, probes

TINY_LLAMA = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
CHAT = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}[judge]"


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """Return a prompt short enough for a model that reads 128 tokens."""
    file = tmp_path / "short.txt"
    file.write_text("{question} {gold}? {answer}:")
    return file


def local(environment: Environment, folder: Path, prompt: Path | None, **settings: object) -> Judge:
    values = {"local": str(folder), "prompt_file": prompt, "max_tokens": 5, "device": "cpu", **settings}
    metric = make_judge(JudgeParams.model_validate(values))
    metric.prepare(environment)
    return metric


def inside(metric: Judge) -> LoadedModel:
    assert isinstance(metric.grader, LocalJudge)
    return metric.grader.model


def saved(model: LoadedModel, folder: Path) -> Path:
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def saying(said: str | Sequence[str], prompt_end: str, folder: Path, ends: bool = True, template: str = "") -> Path:
    """Save a model that says certain tokens behind a prompt that ends with ``prompt_end``, and then ends or repeats the last.

    Its layers add nothing to a token's embedding, so the head alone decides which token follows which.
    """
    model = tiny_model("llama")
    network, tokenizer = model.network, model.tokenizer
    tokenizer.chat_template = template or None
    chain = [prompt_end, *([said] if isinstance(said, str) else said)]
    known = len(tokenizer)
    tokenizer.add_tokens([text for text in chain if len(tokenizer(text, add_special_tokens=False).input_ids) > 1])
    network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for layer in network.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    ids = [tokenizer(text, add_special_tokens=False).input_ids[-1] for text in chain]
    embedding, head = network.model.embed_tokens.weight.data, network.lm_head.weight.data
    embedding[known:] = (
        torch.randn(embedding[known:].shape, generator=torch.Generator().manual_seed(0)) * embedding.std()
    )
    head.zero_()
    for one, following in zip(ids, [*ids[1:], tokenizer.eos_token_id if ends else ids[-1]], strict=True):
        head[following] += embedding[one]
    return saved(model, folder)


def test_an_untrained_judge_gives_no_verdicts_and_its_replies_are_kept(environment: Environment, prompt: Path) -> None:
    metric = local(environment, TINY_LLAMA, prompt, batch_size=2)
    scores = metric.score(probes(5))
    assert {score.value for score in scores} == {None}
    assert all((score.reason or "").startswith("unclear reply: ") for score in scores)
    texts = [metric.prompt.render(item) for item in probes(5)]
    model = inside(metric)
    for score, text in zip(scores, texts, strict=True):
        ids = torch.tensor([model.tokenizer(text).input_ids])
        plainest = model.network.generate(ids, do_sample=False, max_new_tokens=5)[0, ids.shape[1] :]
        assert score.details["reply"] == model.tokenizer.decode(plainest, skip_special_tokens=True)
        assert score.details["input_tokens"] == ids.shape[1]
        assert score.details["output_tokens"] == len(plainest)
        assert score.details["model"] == str(TINY_LLAMA)


@pytest.mark.parametrize(("letter", "value"), [("A", 1.0), ("B", 0.0)])
def test_a_judge_that_says_a_verdict_is_heard(
    letter: str, value: float, environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    folder = saying(letter, ":", tmp_path / "judge")
    scores = local(environment, folder, prompt).score([*probes(3), probe("answer 0", ("answer 0",))])
    assert [score.value for score in scores] == [value] * 4
    assert {score.details["reply"] for score in scores} == {letter}
    assert environment.progress.notes[-1] == f"judge {folder}: all are judged"  # type: ignore[attr-defined]
    again = local(environment, folder, prompt).score(probes(3))
    assert [(score.value, score.details["known_before"]) for score in again] == [(value, True)] * 3


def test_verdicts_belong_to_the_weights_and_not_to_the_folder(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    folder = saying("A", ":", tmp_path / "judge")
    assert local(environment, folder, prompt).score([probe("x")])[0].value == 1.0
    folder.rename(tmp_path / "moved")
    (moved,) = local(environment, tmp_path / "moved", prompt).score([probe("x")])
    assert (moved.value, moved.details["known_before"]) == (1.0, True)
    saying("B", ":", folder)
    assert local(environment, folder, prompt).score([probe("x")])[0].value == 0.0


def test_the_chat_template_is_used_where_there_is_one(environment: Environment, prompt: Path, tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.tokenizer.chat_template = CHAT
    folder = saved(model, tmp_path / "chat")
    metric = local(environment, folder, prompt)
    (score,) = metric.score([probe("Rome")])
    text = f"[user] {metric.prompt.render(probe('Rome'))}\n[judge]"
    ids = inside(metric).tokenizer(text, add_special_tokens=False).input_ids
    assert score.details["input_tokens"] == len(ids)
    best = inside(metric).network.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=5)[0, len(ids) :]
    assert score.details["reply"] == inside(metric).tokenizer.decode(best, skip_special_tokens=True)


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [(ENDLESS, "takes longer than 0.2 s"), ("{{ 'a' * 10000000000 }}", "takes more than 512 MiB of memory")],
)
def test_a_template_without_end_costs_the_verdicts_and_not_the_run(
    template: str,
    problem: str,
    environment: Environment,
    prompt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 0.2)
    folder = saying("A", ":", tmp_path / "judge", template=template)
    metric = local(environment, folder, prompt, batch_size=2)
    inside(metric)
    begun = time.monotonic()
    scores = metric.score(probes(40))
    assert time.monotonic() - begun < 5, "the template is given up after a few texts"
    assert [score.value for score in scores] == [None] * 40
    said = f"the text cannot be given to the judge: the chat template of {folder} {problem}"
    assert all((score.reason or "").startswith(said) for score in scores)
    assert environment.progress.notes[-1].startswith(f"judge {folder}: 40 are not judged: 40 {said}")  # type: ignore[attr-defined]


def test_a_text_that_the_template_refuses_has_no_verdict_and_the_others_do(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    refusing = (
        "{% if 'bad' in messages[0].content %}{{ raise_exception('no bad words') }}{% endif %}{{ messages[0].content }}"
    )
    folder = saying("A", ":", tmp_path / "judge", template=refusing)
    scores = local(environment, folder, prompt).score([probe("bad"), probe("good")])
    assert [score.value for score in scores] == [None, 1.0]
    assert scores[0].reason == "the judge's chat template refuses the text: 'no bad words'"


def test_a_template_that_reads_the_clock_is_given_the_start_of_the_run(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    dated = "{% for message in messages %}{{ message.content }}{% endfor %}{{ strftime_now('%Y-%m-%d') }}:"
    folder = saying("A", ":", tmp_path / "judge", template=dated)
    seen = []
    for year in (2001, 2001, 2002):
        then = replace(environment, clock=datetime(year, 2, 3, 4, 5, 6))
        metric = local(then, folder, prompt)
        (score,) = metric.score([probe("x")])
        assert isinstance(metric.grader, LocalJudge)
        assert _prompt(metric.grader.model, "x").text == f"x{year}-02-03:"
        seen.append((score.value, score.details["clock"], score.details["known_before"]))
    assert seen == [(1.0, "2001-02-03", False), (1.0, "2001-02-03", True), (1.0, "2002-02-03", False)]


def test_a_judge_that_cannot_read_so_much_says_so(environment: Environment) -> None:
    (score,) = local(environment, TINY_LLAMA, None).score([probe("Paris")])
    assert score.value is None
    assert (score.reason or "").startswith("the text has ")
    assert (score.reason or "").endswith(" tokens, and the judge reads 128")


def test_a_reply_ends_with_its_object_and_any_other_at_max_tokens(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    verdict = '{"verdict": "CORRECT"}'
    closing = saying(verdict, ":", tmp_path / "closing", ends=False)
    (closed,) = local(environment, closing, prompt).score([probe("x")])
    assert (closed.value, closed.details["reply"], closed.details["output_tokens"]) == (1.0, verdict, 1)
    (endless,) = local(environment, saying("A", ":", tmp_path / "endless", ends=False), prompt).score([probe("x")])
    assert endless.reason == "unclear reply: cut off at max_tokens: 'AAAAA'"


@pytest.mark.parametrize(
    ("said", "closed"),
    [
        ('{"verdict": "CORRECT"', False),
        ('```json\n{"verdict": "CORRECT"}', True),
        ('<think>either {"verdict": "CORRECT"} or', False),
        ('<think>{"verdict": "CORRECT"}?</think>\n', False),
        ('<think>{"verdict": "CORRECT"}?</think>\n{"verdict": "INCORRECT"}', True),
        ('It fits.\n{"verdict": "INCORRECT"}', True),
        ("It must be {x}", False),
        ("}", False),
    ],
)
def test_thoughts_do_not_end_a_reply(said: str, closed: bool) -> None:
    assert ObjectIsClosed([False])(0, said, 9) is closed


def test_a_thought_that_the_template_begins_lasts_until_its_end() -> None:
    begun = ObjectIsClosed([False, True])
    assert not begun(1, '{"verdict": "CORRECT"}', 9)
    assert begun(1, '{"verdict": "CORRECT"}?</think>{"verdict": "INCORRECT"}', 9)


THINKING = "{% for message in messages %}{{ message.content }}{% endfor %}<think>"
SPECIAL = "{% for message in messages %}{{ message.content }}{% endfor %}@"


@pytest.mark.parametrize(
    ("said", "value", "reason"),
    [
        (("It must be {x}", ", not INCORRECT", "</think>", "CORRECT"), 1.0, None),
        (("It must be {x}", "</think>", '{"verdict": "INCORRECT"}'), 0.0, None),
        (("So it fits.\n", "GRADE: C"), None, "unclear reply: thoughts without a reply: 'So it fits.\\nGRADE: C'"),
        (("CORRECT",), None, "unclear reply: thoughts without a reply: 'CORRECT'"),
    ],
)
def test_a_judge_whose_template_begins_a_thought(
    said: tuple[str, ...],
    value: float | None,
    reason: str | None,
    environment: Environment,
    prompt: Path,
    tmp_path: Path,
) -> None:
    folder = saying(said, "<think>", tmp_path / "judge", template=THINKING)
    (score,) = local(environment, folder, prompt, max_tokens=9).score([probe("x")])
    assert (score.value, score.reason, score.details["reply"]) == (value, reason, "".join(said))


def test_marks_of_thoughts_that_are_special_tokens_are_seen(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    said = ("[THINK]", "INCORRECT?", "[/THINK]", "CORRECT")
    folder = saying(said, "@", tmp_path / "judge", template=SPECIAL)
    tokens = json.loads((folder / "tokenizer.json").read_text())
    for token in tokens["added_tokens"]:
        token["special"] = token["special"] or "THINK" in token["content"]
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    (score,) = local(environment, folder, prompt, max_tokens=9).score([probe("x")])
    assert (score.value, score.details["reply"]) == (1.0, "".join(said))


def test_a_reply_that_was_cut_off_is_decoded_with_more_tokens(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    said = ("<think>", "one", "two", "three", "</think>", "INCORRECT")
    folder = saying(said, ":", tmp_path / "judge")
    scores = local(environment, folder, prompt, max_tokens=3, batch_size=2).score(probes(5))
    assert [(score.value, score.details["output_tokens"]) for score in scores] == [(0.0, 7)] * 5
    assert environment.progress.notes[-2] == (  # type: ignore[attr-defined]
        f"judge {folder}: replies cut off at 3 tokens: 5 asked for again with 4096, 5 of them clear then; "
        "metric.judge.max_tokens sets the first number"
    )


def test_more_tokens_are_decoded_once_where_they_do_not_help(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    folder = saying("A", ":", tmp_path / "endless", ends=False)
    scores = local(environment, folder, prompt).score(probes(5))
    assert {score.reason for score in scores} == {"unclear reply: cut off at max_tokens: 'AAAAA'"}
    assert (
        "replies cut off at 5 tokens: 1 asked for again with 4096, 0 of them clear then"
        in environment.progress.notes[-2]
    )  # type: ignore[attr-defined]


def test_no_such_judge(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metric\.judge\.local=.*nowhere: no such folder"):
        local(environment, tmp_path / "nowhere", None)


def test_no_such_device(environment: Environment) -> None:
    with pytest.raises(UserError, match=r"metric\.judge\.device=abacus: not a device"):
        local(environment, TINY_LLAMA, None, device="abacus")


def test_a_judge_that_cannot_be_loaded_leaves_the_answers_unscored(
    environment: Environment, prompt: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(TINY_LLAMA, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"nothing")
    scores = local(environment, folder, prompt).score(probes(2))
    assert {score.value for score in scores} == {None}
    assert (scores[0].reason or "").startswith("the local judge cannot be loaded: ")
    assert environment.progress.notes == [scores[0].reason]  # type: ignore[attr-defined]
