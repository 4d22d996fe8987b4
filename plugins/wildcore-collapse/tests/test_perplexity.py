"""Perplexity: of published code, of transformers, of a model that guesses; under patches; and its signs of collapse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoTokenizer
from wildcore_collapse.parameters import PerplexityParams
from wildcore_collapse.perplexity import Perplexity, perplexity
from wildcore_collapse.texts import read_texts
from wildcore_collapse.windows import PROMPT_TOKENS, Loss, losses, windows

from wildcore import Measured, Prompt, Saved, UserError
from wildcore.models import LoadedModel, encode
from wildcore.patches import Dense, ModulePatch, PromptPatch, WeightPatch
from wildcore.testing.conformance import SilentProgress, quiet_environment
from wildcore.testing.golden import TINY_MODELS, Golden, far, near
from wildcore.testing.measurements import check_measurement
from wildcore.testing.networks import tiny_model

GOLDEN = Golden(Path(__file__).parent / "golden")
PUBLISHED = GOLDEN.content["perplexity"]
TEXT = "A bridge carries a path. " * 40
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def llama() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a text of several windows of the tiny models."""
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


def measure(model: LoadedModel, text: Path, **params: Any) -> Measured:
    (found,) = Perplexity(PerplexityParams(text=str(text), **params)).measure(model)
    return found


def without_first_token() -> Any:
    """Return a tokenizer that adds no special token."""
    bare = AutoTokenizer.from_pretrained(TINY_MODELS / "tiny-llama")
    bare.backend_tokenizer.post_processor = AutoTokenizer.from_pretrained(
        TINY_MODELS / "tiny-gpt2"
    ).backend_tokenizer.post_processor
    return bare


def relative_errors(model: LoadedModel) -> list[float]:
    cut = windows(model, PUBLISHED["texts"], 2048, 128)
    found = [exp(loss.mean) for loss in losses(model, cut)]
    return [abs(a - b) / b for a, b in zip(found, PUBLISHED["perplexities"], strict=True)]


@pytest.mark.golden
def test_the_perplexity_of_a_text_is_that_of_published_code() -> None:
    model = GOLDEN.model("tiny-llama")
    assert all(near(error, TOLERANCE) for error in relative_errors(model))
    bare = replace(model, tokenizer=without_first_token())
    assert encode(bare.tokenizer, Prompt(text="a"))[0] != model.tokenizer.bos_token_id
    assert all(far(error, TOLERANCE) for error in relative_errors(bare))


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_the_loss_is_that_of_transformers(model_type: str, short: Path) -> None:
    model = tiny_model(model_type)
    found = measure(model, short, tokens=300, window=50)
    total, count = 0.0, 0
    for window in windows(model, [TEXT], 300, 50):
        ids = torch.tensor([window.token_ids])
        labels = ids.clone()
        labels[:, : window.first] = -100
        total += float(model.network(ids, labels=labels).loss) * window.predicted
        count += window.predicted
    assert found.items == count
    assert found.value == pytest.approx(exp(total / count), rel=1e-5)
    assert not found.higher_is_better


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_a_model_that_guesses_has_the_perplexity_of_its_vocabulary(model_type: str, short: Path) -> None:
    model = tiny_model(model_type)
    model.network.get_output_embeddings().weight.data.zero_()
    found = measure(model, short)
    assert found.value == pytest.approx(model.shape.vocabulary, rel=1e-6)
    assert found.standard_error == pytest.approx(0, abs=1e-3)
    assert found.samples == pytest.approx([log(model.shape.vocabulary)] * found.details["windows"])


@given(tokens=st.integers(2, 400), length=st.integers(2, 300), texts=st.lists(st.text("ab ", min_size=1), max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_hold_the_first_tokens_in_order(tokens: int, length: int, texts: list[str], llama: LoadedModel) -> None:
    beginning = encode(llama.tokenizer, Prompt(text=""))
    known = [encode(llama.tokenizer, Prompt(text=text, special_tokens=False)) for text in texts]
    cut = windows(llama, texts, tokens, length)
    assert beginning == (llama.tokenizer.bos_token_id,)
    assert all(window.token_ids[:1] == beginning and window.first == 1 for window in cut)
    assert all(2 <= len(window.token_ids) <= min(length, llama.max_length or length) for window in cut)
    assert all(1 <= window.prompt_length <= max(1, len(window.token_ids) // 2) for window in cut)
    read = [token for window in cut for token in window.token_ids[1:]]
    assert read == [token for ids in known for token in ids][:tokens]


def test_without_a_special_token_the_first_of_each_window_is_only_read(llama: LoadedModel) -> None:
    model = tiny_model("llama", tokenizer=without_first_token())
    cut = windows(model, [TEXT, "A"], 100, 33)
    assert [len(window.token_ids) for window in cut] == [33, 33, 33]  # the hundredth token has a window of its own
    assert [window.predicted for window in cut] == [32, 32, 32]


@pytest.mark.parametrize("most", [1, 3, None])
def test_batches_and_padding_do_not_matter(most: int | None, llama: LoadedModel) -> None:
    model = replace(llama, max_batch_size=most)
    cut = windows(model, ["A bridge.", TEXT, "The arch does not bend."], 260, 50)
    alone = [loss for window in cut for loss in losses(model, [window])]
    assert [loss.total for loss in losses(model, cut)] == pytest.approx([loss.total for loss in alone], rel=1e-5)


def test_the_standard_error_is_that_of_windows() -> None:
    found = [Loss(30.0, 10), Loss(28.0, 10), Loss(35.0, 10)]
    measured = perplexity(found, {})
    assert measured.value == pytest.approx(exp(3.1))
    assert measured.standard_error == pytest.approx(exp(3.1) * stdev([3.0, 2.8, 3.5]) / 3**0.5)
    assert measured.samples == (3.0, 2.8, 3.5)
    assert perplexity(found[:1], {}).standard_error is None


def not_finite(model: LoadedModel) -> WeightPatch:
    projection = model.mlp_output(1)
    return WeightPatch({projection.name: Dense(torch.full_like(projection.weight, torch.nan))})


def test_logits_that_are_not_finite_are_a_sign(llama: LoadedModel, short: Path) -> None:
    measurement = Perplexity(PerplexityParams(text=str(short)))
    unedited = measurement.measure(llama)
    with not_finite(llama).applied(llama):
        edited = measurement.measure(llama)
    assert edited[0].value is None
    assert edited[0].reason == "the mean negative log-likelihood of the text is nan"
    assert edited[0].samples == ()
    (sign,) = measurement.signs_of_collapse(unedited, edited)
    assert sign.startswith(
        "perplexity cannot be measured (the mean negative log-likelihood of the text is nan); of the une"
    )


def test_a_perplexity_beyond_all_numbers_is_a_sign() -> None:
    (sign,) = Perplexity(PerplexityParams()).signs_of_collapse(
        [perplexity([Loss(30.0, 10)], {})], [perplexity([Loss(8000.0, 10)], {})]
    )
    reason = "it is too large for a number: the mean negative log-likelihood is 800"
    assert sign == f"perplexity cannot be measured ({reason}); of the unedited model it is 20.1"


@pytest.mark.parametrize(("value", "collapsed"), [(19.9, False), (200.0, True), (199.0, False), (8123.4, True)])
def test_ten_times_the_perplexity_is_a_sign(value: float, collapsed: bool) -> None:
    before, after = (Measured(name="perplexity", value=number) for number in (20.0, value))
    signs = Perplexity(PerplexityParams()).signs_of_collapse([before], [after])
    assert signs == ([f"perplexity is {value:,.0f}, of the unedited model 20"] if collapsed else [])
    assert not Perplexity(PerplexityParams(collapse_ratio=1000)).signs_of_collapse([before], [after])


class Listening:
    """Keeps the lengths of prompts that are announced."""

    allows_cuda_graph = True

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def on_batch(self, reading: Any) -> None:
        self.lengths += reading.prompt_lengths


def test_the_beginning_of_a_window_is_its_prompt(short: Path) -> None:
    model, listening = tiny_model("llama"), Listening()
    model.listeners.append(listening)
    measure(model, short, tokens=135, window=101)
    assert listening.lengths == [PROMPT_TOKENS, 36 // 2]  # 100 tokens and 35, each after a special token


class Shifts(ModulePatch):
    """Adds to the output after the prompt of rows whose prompt has a token; like all patches, it cannot see beyond."""

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        return prompt.any(-1).long()

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        after = torch.arange(output.shape[1])[None] >= prompt_end[:, None]
        return output + 5 * after[..., None]

    def to_saved(self) -> Saved:
        return Saved({}, {})

    def describe(self) -> Mapping[str, Any]:
        return {"finite": True}


class Longer(PromptPatch):
    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        return [prompt.model_copy(update={"text": f"Well. {prompt.text}"}) for prompt in prompts]

    def to_saved(self) -> Saved:
        return Saved({}, {})

    def describe(self) -> Mapping[str, Any]:
        return {"finite": True}


def test_a_patch_of_a_module_acts_and_one_of_prompts_does_not(llama: LoadedModel, short: Path) -> None:
    unedited = measure(llama, short)
    with Shifts(llama.mlp_output(0).name).applied(llama):
        assert measure(llama, short) != unedited
    with Longer().applied(llama):
        assert measure(llama, short) == unedited


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_it_keeps_what_measurements_promise(model_type: str, short: Path, tmp_path: Path) -> None:
    def make() -> Perplexity:
        return Perplexity(PerplexityParams(text=str(short)))

    check_measurement(make, tiny_model(model_type), quiet_environment(tmp_path))


def test_it_is_noted_if_the_model_cannot_read_the_text(short: Path, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    measurement = Perplexity(PerplexityParams(text=str(short)))
    measurement.prepare(environment)
    assert isinstance(environment.progress, SilentProgress)
    assert measurement.measure(model)[0].value > model.shape.vocabulary
    (note,) = environment.progress.notes
    assert f"more than by guessing among the {model.shape.vocabulary} tokens of its vocabulary" in note
    assert note.endswith("with measurement.perplexity.text=FILE")
    with Shifts(model.mlp_output(0).name).applied(model):
        measurement.measure(model)
    model.network.get_output_embeddings().weight.data.mul_(0.01)
    measurement.measure(model)
    assert len(environment.progress.notes) == 1


def test_a_text_that_the_model_cannot_read_has_a_reason(llama: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("e")
    bare = tiny_model("llama", tokenizer=without_first_token())
    assert measure(bare, tmp_path / "one.txt").reason == "the text has no token that could be predicted"
    bare.network.resize_token_embeddings(10)
    found = measure(bare, tmp_path / "one.txt", tokens=2)
    assert found.value is None
    (tmp_path / "two.txt").write_text("e e")
    assert "the network has no embedding for token" in str(measure(bare, tmp_path / "two.txt").reason)


def test_texts_are_read_from_files_and_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffZwei Zeilen.\nEin Text.".encode())
    assert read_texts(str(tmp_path / "a.txt"), 1000) == ("Zwei Zeilen.\nEin Text.",)
    (tmp_path / "a.jsonl").write_text('{"text": "One."}\n\n{"text": "1971.0", "id": 3}\n{"text": "Three."}\n')
    assert read_texts(str(tmp_path / "a.jsonl"), 1000) == ("One.", "1971.0", "Three.")
    assert read_texts(str(tmp_path / "a.jsonl"), 6) == ("One.", "19")
    asked: list[Any] = []

    def load(hub: str, **options: Any) -> list[dict[str, str]]:
        asked.append((hub, options["name"], options["split"]))
        return [{"text": "From afar."}]

    monkeypatch.setattr("datasets.load_dataset", load)
    for name in ("hub:owner/name", "hub:owner/name:raw", "hub:owner/name:raw:test", "hub:owner/name::test"):
        assert read_texts(name, 1000) == ("From afar.",)
    assert asked == [
        ("owner/name", None, "train"),
        ("owner/name", "raw", "train"),
        ("owner/name", "raw", "test"),
        ("owner/name", None, "test"),
    ]


def test_the_text_is_read_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        Perplexity(PerplexityParams(text=str(tmp_path / "missing.txt"))).prepare(quiet_environment(tmp_path))


def test_the_bundled_text_is_long_enough_for_most_of_the_tokens() -> None:
    (text,) = read_texts("sample", 10**6)
    assert 600 <= len(text.split()) <= 1000
    assert text.isascii()


def test_details_say_what_was_read(llama: LoadedModel, short: Path) -> None:
    found = measure(llama, short, tokens=90, window=60)
    assert found.details["text"] == str(short)
    assert len(found.details["sha256"]) == 16
    assert {name: found.details[name] for name in ("tokens", "window", "windows")} == {
        "tokens": 90,
        "window": 60,
        "windows": len(found.samples),
    }
    assert measure(llama, short, window=500).details["window"] == llama.max_length
    other: Callable[[str], str] = lambda text: measure(llama, _written(short.parent, text)).details["sha256"]  # noqa: E731
    assert other("A bridge. ") != found.details["sha256"] == other(TEXT)


def _written(folder: Path, text: str) -> Path:
    (folder / "other.txt").write_text(text)
    return folder / "other.txt"


def test_another_text_is_another_resource(short: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.txt", tmp_path / "other.txt"
    copy.write_text(short.read_text(encoding="utf-8"), encoding="utf-8")
    other.write_text(short.read_text(encoding="utf-8") + "More.", encoding="utf-8")
    pinned = [Perplexity(PerplexityParams(text=str(file))).pin_resources() for file in (short, copy, other)]
    assert pinned[0] == pinned[1] != pinned[2]
