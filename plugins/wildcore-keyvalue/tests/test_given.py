"""Prefixes and second moments that the user gives: what is accepted, what is refused, and how it is said."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from wildcore_keyvalue.layer_parameters import LeastSquaresParams
from wildcore_keyvalue.moment_source import MomentSource, moment_solvers, read_moments
from wildcore_keyvalue.parameters import KeyValueParams
from wildcore_keyvalue.prefixes import pinned_prefixes, read_prefixes

from wildcore import ModelShape, UserError
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.networks import INTERMEDIATE, tiny_model

SYMMETRIC = torch.tensor([[2.0, 0.5], [0.5, 1.0]])


def as_json(folder: Path, content: Any) -> Path:
    file = folder / "prefixes.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("content", "prefixes"),
    [
        (["{}", "The weather was fine. {}"], ("", "The weather was fine. ")),
        (["I know. {}", "{}"], ("", "I know. ")),
        (["I know.", "You say:\n", "Well,{}"], ("", "I know. ", "You say:\n", "Well,")),
        ([], ("",)),
    ],
)
def test_prefixes_are_texts_or_published_templates(
    content: list[str], prefixes: tuple[str, ...], tmp_path: Path
) -> None:
    assert read_prefixes(as_json(tmp_path, content)) == prefixes


def test_a_text_file_has_one_prefix_to_a_line(tmp_path: Path) -> None:
    file = tmp_path / "prefixes.txt"
    file.write_text("I know.\n\nThe weather was fine. {}\n")
    assert read_prefixes(file) == ("", "I know. ", "The weather was fine. ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "not a list of texts"),
        (["a", 1], "not a list of texts"),
        (["{} and more"], r"text 1: \{\} stands for the prompt, and must be the end"),
        (["I know.", "I know. {}"], "a prefix is there twice"),
    ],
)
def test_other_content_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"editor\.prefixes=.*{said}"):
        read_prefixes(as_json(tmp_path, content))


def test_a_missing_file_of_prefixes_and_one_that_is_no_json_are_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"editor\.prefixes=.*nowhere\.json: cannot be read"):
        read_prefixes(tmp_path / "nowhere.json")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(UserError, match=r"bad\.json: cannot be read .*give a JSON list"):
        read_prefixes(tmp_path / "bad.json")


def test_the_record_changes_with_the_prefixes_and_not_with_how_they_are_written(tmp_path: Path) -> None:
    first = pinned_prefixes(as_json(tmp_path, ["I know."]))
    assert pinned_prefixes(as_json(tmp_path, ["{}", "I know. {}"])) == first
    assert pinned_prefixes(as_json(tmp_path, ["I knew."])) != first
    assert pinned_prefixes(None) == {}


@given(st.integers(1, 12), st.integers(1, 10**6), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_both_formats_give_the_same_moments(width: int, count: int, seed: int) -> None:
    keys = torch.randn(7, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mean = keys.T @ keys / 7
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_file({"moments": mean, "count": torch.tensor(count)}, folder / "own.safetensors")
        numpy.savez(folder / "published.npz", **{"mom2.mom2": (mean * count).numpy(), "mom2.count": count})
        own, published = (read_moments(folder / file) for file in ("own.safetensors", "published.npz"))
    assert own.count == published.count == count
    assert torch.allclose(own.matrix, published.matrix, rtol=1e-12, atol=1e-12)
    assert torch.equal(own.matrix, mean)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"moments": SYMMETRIC}, "it holds no 'count'"),
        ({"count": torch.tensor(5)}, "it holds no 'moments'"),
        ({"moments": SYMMETRIC[:1], "count": torch.tensor(5)}, "no square matrix"),
        ({"moments": SYMMETRIC.triu(), "count": torch.tensor(5)}, "not symmetric"),
        ({"moments": SYMMETRIC / 0, "count": torch.tensor(5)}, "not finite"),
        ({"moments": SYMMETRIC, "count": torch.tensor(0)}, "count of keys is 0"),
        ({"moments": SYMMETRIC, "count": torch.tensor(2.5)}, "count of keys is 2.5"),
    ],
)
def test_what_are_no_second_moments_is_refused(tensors: dict[str, torch.Tensor], said: str, tmp_path: Path) -> None:
    file = tmp_path / "moments.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    with pytest.raises(UserError, match=rf"editor\.moments=.*{said}"):
        read_moments(file)


def test_an_npz_that_needs_pickle_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "moments.npz"
    numpy.savez(file, **{"mom2.mom2": numpy.array([{"a": 1}], dtype=object), "mom2.count": 3})
    with pytest.raises(UserError, match=r"moments\.npz: cannot be read"):
        read_moments(file)
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"moments\.npz: cannot be read"):
        read_moments(file)


def test_given_moments_are_solved_with_and_noted(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    for layer in (0, 1):
        mean = (layer + 1) * torch.eye(INTERMEDIATE)
        save_file({"moments": mean, "count": torch.tensor(70 + layer)}, tmp_path / f"{layer}.safetensors")
    source = MomentSource("sample", 4096, str(tmp_path / "{layer}.safetensors"))
    solvers = moment_solvers(model, (0, 1), source, 0.0, environment)
    keys = torch.ones(INTERMEDIATE, 1)
    assert torch.allclose(solvers[1].solve(keys), keys / 2)
    assert any("of 70, 71 tokens" in note for note in environment.progress.notes)
    assert list(source.pinned_resources((0, 1))["moments"]) == ["0", "1"]
    assert source.facts(0) != source.facts(1)
    save_file({"moments": torch.eye(3), "count": torch.tensor(9)}, tmp_path / "1.safetensors")
    with pytest.raises(UserError, match=rf"holds 3 x 3 numbers, and the keys of layer 1 are {INTERMEDIATE} wide"):
        source.moments(model, (0, 1), environment)


def test_moments_that_would_not_be_used_are_refused() -> None:
    params = KeyValueParams(moments="m.npz", second_moments="identity")
    with pytest.raises(UserError, match=r"not used with editor\.second_moments=identity"):
        params.for_model(ModelShape("llama", 4, 8, 8))


@pytest.mark.parametrize(
    ("settings", "named"),
    [({}, True), ({"moments": "m.npz"}, False), ({"second_moments": "identity"}, False)],
)
def test_a_corpus_that_is_read_is_named_as_not_the_published_one(settings: dict[str, Any], named: bool) -> None:
    assert LeastSquaresParams(**settings).as_published().not_as_published() == (["corpus"] if named else [])
