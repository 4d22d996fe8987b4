"""Second moments are what they are defined to be, are kept, and go on where they were interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wildcore_keyvalue import moments
from wildcore_keyvalue.moment_source import MomentSource, moment_solvers
from wildcore_keyvalue.moments import add_products, mirror, second_moments
from wildcore_keyvalue.traces import recorded

from wildcore import Environment, Prompt, UserError
from wildcore.models import LoadedModel, encode
from wildcore.storage import read_manifest
from wildcore.testing.conformance import SilentProgress, quiet_environment
from wildcore.testing.golden import Golden, relative_error
from wildcore.testing.networks import INTERMEDIATE, tiny_model

GOLDEN = Golden(Path(__file__).parent / "golden")
TEXTS = [
    "The capital of France is Paris.",
    "A book about the old town and its river, and of those who lived there before the bridge was built.",
    "Snow is white in the winter.",
    "The keeper of the mill is called Anna.",
    "Short.",
]


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(TEXTS) + "\n")
    return str(file)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make several batches of the texts, and several blocks of the products."""
    monkeypatch.setattr(moments, "BATCH_TOKENS", 24)
    monkeypatch.setattr(moments, "WINDOWS_SORTED", 3)
    monkeypatch.setattr(moments, "BLOCK", 7)
    monkeypatch.setattr(moments, "WIDENED", 5)


def direct(model: LoadedModel, layer: int, count: int) -> torch.Tensor:
    """Return E[k k^T] over the first tokens of the corpus, one text after the other."""
    keys = []
    for text in TEXTS:
        with recorded(model.mlp_output(layer), torch.Tensor.clone) as seen, torch.no_grad():
            model.network(input_ids=torch.tensor([encode(model.tokenizer, Prompt(text=text))]))
        keys.append(seen[0][0][0])
    used = torch.cat(keys)[:count].double()
    return used.T @ used / len(used)


def count_tokens(model: LoadedModel) -> int:
    return sum(len(encode(model.tokenizer, Prompt(text=text))) for text in TEXTS)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("count", [1, 20, 1000])
def test_they_are_the_mean_outer_product_of_the_keys(
    family: str, count: int, corpus: str, tmp_path: Path, small_batches: None
) -> None:
    model = tiny_model(family)
    found = second_moments(model, [0, 1], corpus, count, quiet_environment(tmp_path))
    assert list(found) == [0, 1]
    for layer, of_layer in found.items():
        assert torch.allclose(of_layer, direct(model, layer, count), atol=1e-6)
        assert torch.equal(of_layer, of_layer.T)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 45), st.integers(0, 2**32 - 1))
def test_products_added_in_blocks_are_the_product(width: int, tokens: int, block: int, seed: int) -> None:
    batches = [torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed + n)) for n in range(3)]
    total = torch.zeros(width, width, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "BLOCK", block)
        for keys in batches:
            add_products(total, keys)
        mirror(total)
    keys = torch.cat(batches).double()
    assert torch.allclose(total, keys.T @ keys, rtol=1e-12, atol=1e-12)
    assert torch.equal(total, total.T)


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 40), st.integers(1, 9))
def test_batches_hold_each_window_once_and_no_more_tokens_than_allowed(
    lengths: list[int], most: int, sorted_at_once: int
) -> None:
    windows = [(number,) * length for number, length in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "BATCH_TOKENS", most)
        patch.setattr(moments, "WINDOWS_SORTED", sorted_at_once)
        batches = list(moments._batches(windows))
    assert sorted(window for batch in batches for window in batch) == windows
    assert all(len(batch) == 1 or len(batch) * max(map(len, batch)) <= most for batch in batches)


def test_layers_are_the_same_alone_together_and_in_groups(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_batches: None
) -> None:
    model = tiny_model("llama")
    together = second_moments(model, [0, 1], corpus, 1000, quiet_environment(tmp_path / "together"))
    alone = {n: second_moments(model, [n], corpus, 1000, quiet_environment(tmp_path / "alone"))[n] for n in (1, 0)}
    room_for_one = 8 * model.mlp_output(0).weight.shape[1] ** 2 / moments.SHARE_FOR_SUMS
    monkeypatch.setattr(moments, "free_memory", lambda device: room_for_one)
    passes = seen_in(monkeypatch, "_sum_up")
    grouped = second_moments(model, [1, 0], corpus, 1000, quiet_environment(tmp_path / "groups"))
    assert [list(sums) for *_, sums, _ in passes] == [[], []], "two passes, whose sums are used up"
    for layer in (0, 1):
        assert torch.equal(together[layer], alone[layer])
        assert torch.equal(together[layer], grouped[layer])


def seen_in(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[object, ...]]:
    """Return a list that gets the arguments of each call of a function of the module."""
    calls: list[tuple[object, ...]] = []
    function = getattr(moments, name)
    monkeypatch.setattr(moments, name, lambda *arguments: calls.append(arguments) or function(*arguments))
    return calls


def test_what_does_not_fit_into_memory_is_said(corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "free_memory", lambda device: 0)
    with pytest.raises(UserError, match=r"second moments of layer 1: they need .* GiB of memory"):
        second_moments(tiny_model("llama"), [1], corpus, 20, quiet_environment(tmp_path))


def test_a_pass_ends_at_the_topmost_layer_and_leaves_no_hook(corpus: str, tmp_path: Path) -> None:
    model, seen = tiny_model("llama"), []
    for name in (model.mlp_output(0).name, model.mlp_output(1).name, model.family.final_norm, model.family.head):
        model.network.get_submodule(name).register_forward_hook(lambda *a, name=name: seen.append(name))
    second_moments(model, [0], corpus, 20, quiet_environment(tmp_path))
    assert not seen
    assert not model.mlp_output(0).module._forward_pre_hooks
    model.network(input_ids=torch.tensor([[1, 2]]))
    assert len(seen) == 4


@pytest.mark.parametrize("index", [0, 1])
def test_they_agree_with_published_code(index: int, tmp_path: Path) -> None:
    entry = GOLDEN.content["moments"][index]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(GOLDEN.content["moment_texts"]))
    model = GOLDEN.model(entry["model"])
    windows = [tuple(ids) for ids in entry["text_ids"]]
    assert [encode(model.tokenizer, Prompt(text=text))[: len(ids)] for text, ids in zip(
        GOLDEN.content["moment_texts"], windows, strict=True)] == windows  # fmt: skip
    expected = GOLDEN.tensor(entry["model"], entry["tensors"]["second_moment"])
    if entry["count"] != sum(len(encode(model.tokenizer, Prompt(text=t))) for t in GOLDEN.content["moment_texts"]):
        file.write_text("\n".join(model.tokenizer.decode(ids, skip_special_tokens=True) for ids in windows))
    layers = [entry["layer"]]
    found = second_moments(model, layers, str(file), entry["count"], quiet_environment(tmp_path))[entry["layer"]]
    assert relative_error(found, expected) < 1e-3


def test_only_layers_that_are_not_there_yet_are_estimated(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    first = second_moments(model, [1], corpus, 20, environment)
    added = seen_in(monkeypatch, "add_products")
    both = second_moments(model, [0, 1], corpus, 20, environment)
    assert len(added) == 1
    assert torch.equal(both[1], first[1])
    assert torch.equal(second_moments(model, [1, 0], corpus, 20, environment)[0], both[0])
    assert len(added) == 1
    second_moments(model, [1], corpus, 21, environment)
    assert len(added) == 2


class Stopping(SilentProgress):
    """Ends the work after a number of steps."""

    def __init__(self, steps: int, error: type[BaseException]) -> None:
        super().__init__()
        self.steps, self.error = steps, error

    @contextmanager
    def track(self, label: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        advances = []

        def advance(steps: int) -> None:
            advances.append(steps)
            if len(advances) == self.steps:
                raise self.error

        yield advance


class Killed(Exception):
    """Stands for the death of the process: nothing can be done any more."""


@pytest.fixture
def whole(corpus: str, tmp_path: Path, small_batches: None) -> dict[int, torch.Tensor]:
    return second_moments(tiny_model("llama"), [0, 1], corpus, 1000, quiet_environment(tmp_path / "whole"))


@pytest.mark.parametrize(("error", "saves"), [(KeyboardInterrupt, 1e9), (Killed, -1.0)])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_interrupted_estimate_goes_on_and_ends_with_the_same_bits(
    error: type[BaseException],
    saves: float,
    steps: int,
    corpus: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[int, torch.Tensor],
) -> None:
    model, cache = tiny_model("llama"), tmp_path / "cut"
    monkeypatch.setattr(moments, "SECONDS_BETWEEN_SAVES", saves)
    monkeypatch.setattr(moments, "SAVES_TAKE_AT_MOST", float("inf"))
    with pytest.raises(error):
        second_moments(model, [0, 1], corpus, 1000, Environment(cache, 0, Stopping(steps, error)))
    saved = steps if error is KeyboardInterrupt else steps - 1
    assert len(list(cache.rglob("*.partial"))) == (2 if saved else 0)
    batches = len(list(moments._batches(moments._windows(model, moments.open_corpus(corpus), 1000))))
    added = seen_in(monkeypatch, "add_products")
    found = second_moments(model, [0, 1], corpus, 1000, quiet_environment(cache))
    assert len(added) == 2 * (batches - saved)
    assert all(torch.equal(found[layer], whole[layer]) for layer in whole)
    assert not list(cache.rglob("*.partial"))


def test_a_sum_that_is_half_added_is_not_saved(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[int, torch.Tensor]
) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path / "cut")
    calls = []

    def interrupted(total: torch.Tensor, keys: torch.Tensor) -> None:
        calls.append(1)
        add_products(total, keys)
        if len(calls) == 4:  # the second batch's second layer
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moments, "add_products", interrupted)
        with pytest.raises(KeyboardInterrupt):
            second_moments(model, [0, 1], corpus, 1000, environment)
    assert len(list((tmp_path / "cut").rglob("*.partial"))) == 1
    found = second_moments(model, [0, 1], corpus, 1000, environment)
    assert all(torch.equal(found[layer], whole[layer]) for layer in whole)


def test_a_corpus_that_is_too_short_or_empty_is_said(corpus: str, tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    model = tiny_model("llama")
    second_moments(model, [0, 1], corpus, 10**6, environment)
    assert [f"has only {count_tokens(model)} tokens" in note for note in environment.progress.notes] == [True]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match=r"editor\.corpus=.*empty\.txt: it holds no text"):
        second_moments(model, [1], str(tmp_path / "empty.txt"), 20, environment)


def test_a_missing_file_is_one_message(corpus: str, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    with pytest.raises(UserError, match=r"editor\.corpus=nowhere\.txt: cannot be read"):
        second_moments(model, [1], "nowhere.txt", 20, environment)


def test_a_damaged_file_of_the_cache_is_said_and_made_anew(corpus: str, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    first = second_moments(model, [0, 1], corpus, 20, environment)
    damaged, sound = sorted(tmp_path.rglob("*.safetensors"))
    kept = sound.stat().st_mtime_ns
    cut = damaged.read_bytes()[:-1]
    damaged.unlink()  # its tensors are still mapped into memory
    damaged.write_bytes(cut)
    again = second_moments(model, [0, 1], corpus, 20, environment)
    assert all(torch.equal(again[layer], first[layer]) for layer in (0, 1))
    (said,) = [note for note in environment.progress.notes if "made anew" in note]
    assert said.startswith(f"{damaged}: damaged, or not a prepared file (")
    assert sound.stat().st_mtime_ns == kept, "only the damaged layer is estimated"
    read_manifest(damaged)
    second_moments(model, [0, 1], corpus, 20, environment)
    assert sum("made anew" in note for note in environment.progress.notes) == 1


def test_an_unfinished_estimate_that_is_damaged_is_begun_anew(corpus: str, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    first = second_moments(model, [1], corpus, 20, environment)
    (whole,) = tmp_path.rglob("*.safetensors")
    whole.unlink()
    whole.with_suffix(".partial").write_bytes(b"not this")
    assert torch.equal(second_moments(model, [1], corpus, 20, environment)[1], first[1])
    assert ["it is made anew" in note for note in environment.progress.notes] == [True]
    assert not whole.with_suffix(".partial").exists()


def test_keys_that_are_not_finite_are_refused(corpus: str, tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.network.get_submodule(f"{model.family.layers}.1.{model.family.mlp_input[0]}").weight.data *= 1e38
    with pytest.raises(UserError, match=r"layer 1: its keys are not finite"):
        second_moments(model, [1], corpus, 20, quiet_environment(tmp_path))


def test_the_sample_that_comes_along_is_enough_by_default(tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    second_moments(tiny_model("llama"), [0], "sample", 4096, environment)
    assert not environment.progress.notes


def test_solvers_come_with_a_note_of_their_condition(corpus: str, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    solvers = moment_solvers(model, [1, 0], MomentSource(corpus, 1000), 0.01, environment)
    assert list(solvers) == [1, 0]
    said = [f"second moments of layer {n}: condition number {solvers[n].condition_number:.2g}" for n in (1, 0)]
    assert [note for note in environment.progress.notes if "condition" in note] == said
    keys = torch.randn(solvers[1].factor.shape[0], 2, generator=torch.Generator().manual_seed(0))
    expected = direct(model, 1, 1000)
    expected += 0.01 * expected.diagonal().mean() * torch.eye(len(expected))
    assert torch.allclose(expected @ solvers[1].solve(keys.double()), keys.double(), atol=1e-3)


@pytest.mark.parametrize(("tokens", "noted"), [(INTERMEDIATE - 1, True), (INTERMEDIATE, False)])
def test_fewer_tokens_than_keys_are_wide_are_noted(tokens: int, noted: bool, corpus: str, tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    moment_solvers(tiny_model("llama"), [0, 1], MomentSource(corpus, tokens), 0.01, environment)
    said = [note for note in environment.progress.notes if "only the damping counts" in note]
    assert len(said) == noted
    assert all(f"those of {tokens} tokens, and keys are up to {INTERMEDIATE} wide" in note for note in said)
