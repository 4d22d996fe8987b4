"""Second moments are what they are defined to be, are kept, and go on where they were interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from wildcore_keyvalue import moments
from wildcore_keyvalue.moments import MomentSolver, second_moments
from wildcore_keyvalue.traces import recorded

from wildcore import Environment, Prompt, UserError
from wildcore.testing.conformance import SilentProgress, quiet_environment
from wildcore.testing.golden import Golden, relative_error
from wildcore.testing.networks import tiny_model
from wildcore.tokens import encode

GOLDEN = Golden(Path(__file__).parents[3] / "tests" / "golden")
TEXTS = ["The capital of France is Paris.", "A book about the old town and its river.", "Snow is white in the winter."]


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(TEXTS) + "\n")
    return str(file)


def direct(model: object, layer: int, count: int) -> torch.Tensor:
    """Return E[k k^T] over the first tokens of the corpus, one text after the other."""
    keys = []
    for text in TEXTS:
        with recorded(model.mlp_output(layer)) as seen, torch.no_grad():
            model.network(input_ids=torch.tensor([encode(model.tokenizer, Prompt(text=text))]))
        keys.append(seen[0][0][0])
    used = torch.cat(keys)[:count].double()
    return (used.T @ used / len(used)).float()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_they_are_the_mean_outer_product_of_the_keys(family: str, corpus: str, tmp_path: Path) -> None:
    model = tiny_model(family)
    found = second_moments(model, 1, corpus, 20, quiet_environment(tmp_path))
    assert torch.allclose(found, direct(model, 1, 20), atol=1e-6)


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
    found = second_moments(model, entry["layer"], str(file), entry["count"], quiet_environment(tmp_path))
    assert relative_error(found, expected) < 1e-3


def test_they_are_read_from_the_cache(corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    first = second_moments(model, 1, corpus, 20, environment)
    monkeypatch.setattr(moments, "_products", lambda *arguments: pytest.fail("computed again"))
    assert torch.equal(second_moments(model, 1, corpus, 20, environment), first)
    with pytest.raises(pytest.fail.Exception):
        second_moments(model, 1, corpus, 21, environment)


class Interrupting(SilentProgress):
    """Stops the work after the second window, as a user would."""

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        done = []

        def advance(steps: int) -> None:
            done.append(steps)
            if len(done) == 4:
                raise KeyboardInterrupt

        yield advance


def test_an_interrupted_estimate_goes_on(corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "SECONDS_BETWEEN_SAVES", -1.0)
    model, whole = tiny_model("llama"), quiet_environment(tmp_path / "whole")
    expected = second_moments(model, 1, corpus, 1000, whole)
    with pytest.raises(KeyboardInterrupt):
        second_moments(model, 1, corpus, 1000, Environment(tmp_path / "cut", 0, Interrupting()))
    assert len(list((tmp_path / "cut").rglob("*.partial"))) == 1
    seen = []
    products = moments._products
    monkeypatch.setattr(moments, "_products", lambda *a: seen.append(1) or products(*a))
    assert torch.equal(second_moments(model, 1, corpus, 1000, quiet_environment(tmp_path / "cut")), expected)
    assert len(seen) < len(TEXTS)
    assert not list((tmp_path / "cut").rglob("*.partial"))


def test_a_corpus_that_is_too_short_is_said(corpus: str, tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    second_moments(tiny_model("llama"), 1, corpus, 10**6, environment)
    assert any("has only" in note for note in environment.progress.notes)


def test_a_missing_or_damaged_file_is_one_message(corpus: str, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    with pytest.raises(UserError, match=r"editor\.corpus=nowhere\.txt: cannot be read"):
        second_moments(model, 1, "nowhere.txt", 20, environment)
    second_moments(model, 1, corpus, 20, environment)
    next(tmp_path.rglob("*.safetensors")).write_bytes(b"not this")
    with pytest.raises(UserError, match="damaged second moments"):
        second_moments(model, 1, corpus, 20, environment)


def test_the_sample_that_comes_along_is_enough_by_default(tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    second_moments(tiny_model("llama"), 0, "sample", 4096, environment)
    assert not environment.progress.notes


def test_solving_undoes_multiplying() -> None:
    keys = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    factor = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    matrix = factor @ factor.T + torch.eye(6)
    assert torch.allclose(matrix @ MomentSolver(matrix, 0.0).solve(keys), keys, atol=1e-4)
    damped = matrix + 0.5 * matrix.diagonal().mean() * torch.eye(6)
    assert torch.allclose(damped @ MomentSolver(matrix, 0.5).solve(keys), keys, atol=1e-4)


def test_singular_moments_are_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"singular.*editor\.damping"):
        MomentSolver(torch.zeros(4, 4), 0.0)
