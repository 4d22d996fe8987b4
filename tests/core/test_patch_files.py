"""Patches on disk: what is read is what was written, and what cannot be used is said."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from wildcore import Editor, EditRequest, Prompt, Refused, Saved, UserError
from wildcore.jobs.eval import FixedPatchEditor
from wildcore.models import LoadedModel
from wildcore.patches import Dense, LowRank, PromptPatch, WeightPatch
from wildcore.patches.files import KEY, PatchManifest, patched_model, read_patch, require_same_model, write_patch
from wildcore.storage.tensor_files import write_tensors
from wildcore.testing.networks import tiny_model


def manifest(model: LoadedModel) -> PatchManifest:
    request = EditRequest(prompt="Rome is in", target="Peru — Ω", subject="Rome")
    made = {"created": "2026-01-01T00:00:00+00:00", "editor": {"name": "x"}, "seed": 3, "versions": {"python": "3"}}
    return PatchManifest(model=patched_model(model), requests=(request,), **made)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 99)), min_size=1, max_size=4))
def test_a_patch_is_read_as_it_was_written(kinds: list[tuple[bool, int, int]]) -> None:
    changes: dict[str, LowRank | Dense] = {}
    for number, (dense, rank, seed) in enumerate(kinds):
        generator = torch.Generator().manual_seed(seed)
        left, right = torch.randn(6, rank, generator=generator), torch.randn(4, rank, generator=generator)
        # a view, and not contiguous, as editors may give it
        changes[f"layers.{number}.down_proj"] = (
            Dense((left @ right.T).T.T) if dense else LowRank(left[:, :1], right[:, :1])
        )
    wanted = manifest(tiny_model("llama"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.safetensors"
        write_patch(path, WeightPatch(changes), wanted)
        assert [file.name for file in Path(folder).iterdir()] == ["p.safetensors"]
        read = read_patch(path)
    patch = read.weights()
    assert read.manifest == wanted
    assert patch.changes.keys() == changes.keys()
    for name, change in changes.items():
        assert type(patch.changes[name]) is type(change)
        assert torch.equal(patch.changes[name].dense(), change.dense())


class Hint(PromptPatch):
    """Puts a text before every prompt."""

    def __init__(self, text: str) -> None:
        self.text = text

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        return [prompt.model_copy(update={"text": f"{self.text} {prompt.text}"}) for prompt in prompts]

    def to_saved(self) -> Saved:
        return Saved({"length": torch.tensor(len(self.text))}, {"text": self.text})

    def describe(self) -> dict[str, bool]:
        return {"finite": True}


class Hinter(Editor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Hint:
        return Hint(" ".join(request.prompt for request in requests))

    def load_patch(self, model: LoadedModel, saved: Saved) -> Hint:
        assert int(saved.tensors["length"]) == len(saved.facts["text"])
        return Hint(saved.facts["text"])


def test_a_patch_that_is_no_change_of_weights_is_read_by_its_editor(tmp_path: Path) -> None:
    model, path = tiny_model("llama"), tmp_path / "p.safetensors"
    write_patch(path, Hint("Rome is in Peru."), manifest(model))
    read = read_patch(path)
    patch = read.patch(model, Hinter())
    assert isinstance(patch, Hint)
    assert patch.text == "Rome is in Peru."
    with pytest.raises(UserError, match="cannot become weights; wildcore eval --patch evaluates it"):
        read.weights()


def test_a_patch_of_another_version_of_its_editor_is_refused(tmp_path: Path) -> None:
    class Older(Hint):
        def to_saved(self) -> Saved:
            return Saved({"length": torch.tensor(len(self.text))}, {"hint": self.text})

    model, path = tiny_model("llama"), tmp_path / "p.safetensors"
    write_patch(path, Older("Rome is in Peru."), manifest(model))
    with pytest.raises(UserError, match=r"p.safetensors: its editor cannot read it back \(KeyError: 'text'\); another"):
        read_patch(path).patch(model, Hinter())


def test_a_patch_that_is_there_refuses_what_it_does_not_write() -> None:
    fact = EditRequest(prompt="Rome is in", target="Peru")
    given = FixedPatchEditor(PATCH, [fact])
    other = given.edit_each(tiny_model("llama"), [fact, fact.model_copy(update={"target": "Italy"})])
    assert other[0] is PATCH
    assert isinstance(other[1], Refused)


PATCH = WeightPatch({"layers.0": LowRank(torch.ones(3, 1), torch.ones(2, 1))})
MANIFEST = manifest(tiny_model("llama"))


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("mine")
    with pytest.raises(UserError, match="already exists; choose another name"):
        write_patch(tmp_path / "p", PATCH, manifest(tiny_model("llama")))
    assert (tmp_path / "p").read_text() == "mine"
    with pytest.raises(UserError, match="there is no folder"):
        write_patch(tmp_path / "nowhere" / "p", PATCH, manifest(tiny_model("llama")))


def test_only_the_very_model_is_the_model(tmp_path: Path) -> None:
    model, wanted = tiny_model("llama"), manifest(tiny_model("llama"))
    require_same_model(tmp_path, wanted, model)
    model.mlp_output(1).weight[0, 0] += 1
    with pytest.raises(
        UserError, match=r"made for tiny-llama \(fingerprint \w+, not \w+\) and cannot be applied to tiny-llama"
    ):
        require_same_model(tmp_path, wanted, tiny_model("llama", seed=1))
    with pytest.raises(UserError, match="model_type llama, not gpt2"):
        require_same_model(tmp_path, wanted, tiny_model("gpt2"))


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({"a": torch.ones(1)}, None, "a safetensors file, but no patch"),
        ({"a:left": torch.ones(1)}, "whole", "damaged: the change of a is not whole"),
        ({"a:change": torch.ones(1)}, "{}", "its manifest is damaged at created"),
        ({"a:change": torch.ones(1)}, "[]", "its manifest is damaged"),
        ({"a:change": torch.ones(1)}, "no JSON", r"p.safetensors: damaged, .*make the patch again"),
        ({"a:change": torch.ones(1)}, "other schema", "schema 99, and this wildcore reads schema 2"),
    ],
)
def test_a_file_that_is_no_patch(tensors, metadata: str | None, said: str, tmp_path: Path) -> None:
    whole = manifest(tiny_model("llama"))
    texts = {
        "whole": whole.model_dump_json(),
        "other schema": whole.model_copy(update={"schema_number": 99}).model_dump_json(),
    }
    path = tmp_path / "p.safetensors"
    if metadata is None:
        save_file(tensors, path)
    else:
        write_tensors(path, tensors, KEY, texts.get(metadata, metadata))
    with pytest.raises(UserError, match=said):
        read_patch(path)


def test_a_file_of_the_former_schema_which_had_no_hash_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    former = manifest(tiny_model("llama")).model_copy(update={"schema_number": 1})
    save_file({"a:change": torch.ones(1)}, path, metadata={KEY: former.model_dump_json()})
    with pytest.raises(UserError, match="schema 1, and this wildcore reads schema 2; make the patch again"):
        read_patch(path)


def test_a_change_of_any_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    write_patch(path, PATCH, manifest(tiny_model("llama")))
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"make the patch again|wildcore edit writes those") as caught:
            read_patch(path)
        assert str(path) in str(caught.value)


def test_modules_may_be_given_the_same_tensor(tmp_path: Path) -> None:
    same = torch.ones(3, 2)
    change = Dense(same)
    write_patch(tmp_path / "p", WeightPatch({"a": change, "b": change, "c": Dense(same[:2])}), MANIFEST)
    read = read_patch(tmp_path / "p").weights()
    assert [read.changes[name].dense().shape for name in "abc"] == [(3, 2), (3, 2), (2, 2)]
    assert all(bool((one.dense() == 1).all()) for one in read.changes.values())


@pytest.mark.parametrize(
    ("failure", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError("No space left on device"), UserError)]
)
def test_a_patch_that_is_not_written_to_its_end_leaves_nothing(
    failure: BaseException, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(descriptor: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(raised):
        write_patch(tmp_path / "p", PATCH, MANIFEST)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_or_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_patch(tmp_path / "p")
    (tmp_path / "p").write_bytes(b"not a patch")
    with pytest.raises(UserError, match="not a patch file"):
        read_patch(tmp_path / "p")
