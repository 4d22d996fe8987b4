"""What is prepared once is found again, whole or not at all, and can be listed, verified and removed."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from wildcore import Environment, Saved, UserError
from wildcore.models import LoadedModel
from wildcore.storage import Artifact, artifact_file, artifacts_for, content_digest, load_or_make, read_manifest
from wildcore.storage.artifact_entries import chosen, damage, entries, remove, store_folder
from wildcore.storage.artifacts import MANIFEST, RecordingEnvironment
from wildcore.testing.conformance import SilentProgress, quiet_environment
from wildcore.testing.networks import tiny_model

FACTS = {"layer": 3, "corpus": 'a "quoted", "sha256":"name"', "pair": (1, 2)}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return quiet_environment(tmp_path)


@pytest.fixture
def file(environment: Environment, model: LoadedModel) -> Artifact:
    return artifact_file(environment, model, "second-moments", FACTS)


def content(seed: int = 0) -> Saved:
    """Return tensors of several types and shapes, some sharing memory with others."""
    drawn = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))
    return Saved(
        {
            "whole": drawn,
            "again": drawn,
            "turned": drawn.T,
            "row": drawn[1],
            "half": drawn.bfloat16(),
            "wide": drawn.double(),
            "number": torch.tensor(2.5),
            "none": torch.zeros(0, 3),
        },
        {"tokens": 7, "names": ["a", "ü"]},
    )


def require_same(found: Saved, expected: Saved) -> None:
    assert found.facts == expected.facts
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_what_is_saved_is_found_again(environment: Environment, model: LoadedModel, file: Artifact) -> None:
    assert not file.exists()
    file.save(content())
    again = artifact_file(environment, model, "second-moments", FACTS | {"pair": [1, 2]})
    assert again.exists()
    require_same(again.load(), content())
    again.save(content(seed=1))
    require_same(file.load(), content(seed=1))
    file.remove()
    file.remove()
    assert not again.exists()


def test_facts_alone_can_be_kept(file: Artifact) -> None:
    file.save(Saved({}, {"texts": ["a"]}))
    assert file.load() == Saved({}, {"texts": ["a"]})


@pytest.mark.parametrize(
    "other",
    [
        {"facts": {**FACTS, "layer": 4}},
        {"facts": {}},
        {"kind": "null-space"},
        {"fingerprint": "another"},
        {"revision": "main"},
        {"dtype": "bfloat16"},
    ],
)
def test_the_address_depends_on_all_that_the_content_does(other: Mapping[str, Any], file: Artifact) -> None:
    assert file.manifest.model_copy(update=other).address != file.manifest.address
    assert file.manifest.model_copy(update={"model": "renamed"}).address == file.manifest.address
    assert file.path.name == f"{file.manifest.address}.safetensors"


def test_a_prepared_file_says_what_it_is_and_plain_safetensors_reads_it(file: Artifact, model: LoadedModel) -> None:
    file.save(content())
    manifest = read_manifest(file.path)
    assert (manifest.kind, manifest.model) == ("second-moments", model.request.name)
    assert (manifest.fingerprint, manifest.dtype) == (model.fingerprint, "float32")
    assert (manifest.facts["layer"], manifest.facts["pair"]) == (3, [1, 2])
    assert manifest.content == content().facts
    assert manifest.created is not None
    assert datetime.now(UTC) - manifest.created < timedelta(minutes=1)
    assert manifest.wildcore
    assert safetensors.torch.load_file(file.path)["number"] == 2.5


def test_unfinished_work_has_a_place_of_its_own_until_the_whole_is_saved(file: Artifact) -> None:
    file.partial.save(content(seed=1))
    assert not file.exists()
    require_same(file.partial.load(), content(seed=1))
    file.save(content())
    assert not file.partial.exists()
    require_same(file.load(), content())


def test_a_change_of_any_byte_is_noticed(file: Artifact) -> None:
    file.save(content())
    sound = file.path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1
        file.path.write_bytes(damaged)
        with pytest.raises(UserError, match="delete the file and run again") as caught:
            file.load()
        assert str(file.path) in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_file_that_was_cut_off_is_noticed(length: int, file: Artifact) -> None:
    file.save(content())
    file.path.write_bytes(file.path.read_bytes()[:length])
    with pytest.raises(UserError, match="delete the file and run again"):
        file.load()


@pytest.mark.parametrize("damage", ["cut", "empty", "byte", "another"])
def test_what_is_damaged_is_said_and_made_anew(
    damage: str, environment: Environment, model: LoadedModel, file: Artifact
) -> None:
    files = {"one": file, "other": artifact_file(environment, model, "second-moments", {"layer": 4})}
    made: list[list[str]] = []

    def make(keys: list[str]) -> None:
        made.append(keys)
        for key in keys:
            files[key].save(content())

    load_or_make(environment, files, make)
    whole = file.path.read_bytes()
    damaged = {
        "cut": whole[:-1],
        "empty": b"",
        "byte": whole[:-1] + bytes([whole[-1] ^ 1]),
        "another": files["other"].path.read_bytes(),
    }
    file.path.write_bytes(damaged[damage])
    found = load_or_make(environment, files, make)
    assert made == [["one", "other"], ["one"]]
    require_same(found["one"], content())
    (said,) = environment.progress.notes  # type: ignore[attr-defined]
    assert re.fullmatch(rf"{re.escape(str(file.path))}: (damaged|it holds something else).*; it is made anew", said)


def test_what_cannot_be_read_or_has_another_schema_is_not_made_anew(environment: Environment, file: Artifact) -> None:
    replace(file, manifest=file.manifest.model_copy(update={"schema_number": 2})).save(content())
    with pytest.raises(UserError, match="schema 2"):
        file.load_if_sound(environment)
    file.path.unlink()
    file.path.symlink_to(file.path.with_name("other"))
    file.path.with_name("other").write_bytes(b"")
    with pytest.raises(UserError, match="link"):
        file.load_if_sound(environment)


def test_a_damaged_file_counts_as_unknown_to_a_preparation(environment: Environment, model: LoadedModel) -> None:
    recording = RecordingEnvironment(environment.cache, 0, environment.progress)
    artifact_file(recording, model, "second-moments", {}).save(content())
    again = RecordingEnvironment(environment.cache, 0, environment.progress)
    file = artifact_file(again, model, "second-moments", {})
    assert again.asked == {file.path: True}
    file.path.write_bytes(b"?")
    assert file.load_if_sound(again) is None
    assert again.asked == {file.path: False}


def test_what_belongs_elsewhere_is_noticed(environment: Environment, model: LoadedModel, file: Artifact) -> None:
    file.save(content())
    other = artifact_file(environment, model, "second-moments", {})
    file.path.rename(other.path)
    with pytest.raises(UserError, match="holds something else than its name says"):
        other.load()
    with pytest.raises(UserError, match="No such file"):
        file.load()
    safetensors.torch.save_file({"a": torch.ones(1)}, other.path)
    with pytest.raises(UserError, match="not a prepared file"):
        other.load()


def test_another_schema_is_named(file: Artifact) -> None:
    newer = replace(file, manifest=file.manifest.model_copy(update={"schema_number": 2}))
    newer.save(content())
    with pytest.raises(UserError, match="schema 2, and this wildcore reads schema 1; delete the file"):
        file.load()


def test_another_schema_is_named_whatever_its_hash_is_made_of(file: Artifact) -> None:
    newer = file.manifest.model_copy(update={"schema_number": 2})
    file.path.parent.mkdir(parents=True)
    safetensors.torch.save_file({"a": torch.ones(1)}, file.path, metadata={MANIFEST: newer.model_dump_json()})
    with pytest.raises(UserError, match="schema 2, and this wildcore reads schema 1; delete the file"):
        file.load()


def test_what_cannot_be_written_is_said_and_leaves_nothing(
    environment: Environment, file: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.save(content())

    def full(*arguments: object, **options: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room") as caught:
        file.save(content(seed=1))
    assert str(file.path) in str(caught.value)
    require_same(file.load(), content())
    assert list(store_folder(environment.cache).rglob("*.*")) == [file.path]


def test_all_that_is_kept_for_a_model_is_found_the_newest_last(environment: Environment, model: LoadedModel) -> None:
    made = [artifact_file(environment, model, "sample", {"number": number}) for number in (2, 0, 1)]
    for file in made:
        file.save(content())
    artifact_file(environment, model, "other-kind", {}).save(content())
    artifact_file(environment, model, "sample", {"number": 3}).partial.save(content())
    of_another = made[0].manifest.model_copy(update={"fingerprint": "another"})
    Artifact(made[0].path.with_name(f"{of_another.address}.safetensors"), of_another).save(content())
    found = artifacts_for(environment, model, "sample")
    assert [file.path for file in found] == [file.path for file in made]
    require_same(found[0].load(), content())
    made[1].path.write_bytes(b"damaged")
    assert [file.path for file in artifacts_for(environment, model, "sample")] == [made[0].path, made[2].path]
    assert isinstance(environment.progress, SilentProgress)
    assert environment.progress.notes[-1].startswith(f"passed over: {made[1].path}: damaged")


def test_the_digest_of_a_content_is_that_of_its_bits_alone(file: Artifact) -> None:
    file.save(content())
    digest = content_digest(file.load())
    assert digest == content_digest(Saved(content().tensors, {"other": "facts"}))
    changed = {name: tensor.clone() for name, tensor in content().tensors.items()}
    next(iter(changed.values())).view(-1)[-1] += 1
    assert content_digest(Saved(changed, {})) != digest


def test_a_kind_names_a_folder(environment: Environment, model: LoadedModel) -> None:
    for kind in ("../up", "a/b", "", "Moments"):
        with pytest.raises(ValueError, match="small letters"):
            artifact_file(environment, model, kind, {})


WRITER = """
import sys
from pathlib import Path
import torch
from wildcore import Saved
from wildcore.storage import Artifact
from wildcore.storage.artifacts import ArtifactManifest
path, value = Path(sys.argv[1]), float(sys.argv[2])
file = Artifact(path, ArtifactManifest.model_validate_json(sys.argv[3]))
print("ready", flush=True)
for turn in range(int(sys.argv[4])):
    file.partial.save(Saved({"a": torch.full((64, 64), value)}, {"value": value, "turn": turn}))
    file.save(Saved({"a": torch.full((64, 64), value)}, {"value": value, "turn": turn}))
"""


@contextmanager
def writing(file: Artifact, values: tuple[float, ...], turns: int) -> Iterator[list[subprocess.Popen[str]]]:
    manifest = file.manifest.model_dump_json()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
    commands = [[sys.executable, "-c", WRITER, str(file.path), str(v), manifest, str(turns)] for v in values]
    running = [subprocess.Popen(command, **pipes) for command in commands]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def test_whatever_two_processes_do_a_reader_sees_one_whole_file(environment: Environment, file: Artifact) -> None:
    file.save(Saved({"a": torch.full((64, 64), 1.0)}, {"value": 1.0}))
    seen = set()
    with writing(file, (1.0, 2.0), 150) as running:
        while any(process.poll() is None for process in running):
            found = file.load()
            assert (found.tensors["a"] == found.facts["value"]).all()
            seen.add((found.facts["value"], found.facts.get("turn")))
        assert [process.wait() for process in running] == [0, 0]
    assert len(seen) > 2, "the reader must have read while the writers wrote"
    assert [path for path in file.path.parent.iterdir() if path.suffix == ".writing"] == []


def test_a_killed_process_leaves_the_earlier_file_or_the_next(environment: Environment, file: Artifact) -> None:
    file.save(Saved({"a": torch.full((64, 64), 1.0)}, {"value": 1.0, "turn": -1}))
    for kill in range(5):
        with writing(file, (1.0,), 10**6) as (process,):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05 + 0.013 * kill)
            process.kill()
        found = file.load()
        assert (found.tensors["a"] == 1.0).all()
    assert all(damage(entry) is None for entry in entries(environment.cache))


def test_what_was_asked_for_is_noted(environment: Environment, model: LoadedModel, file: Artifact) -> None:
    watched = RecordingEnvironment(environment.cache, 0, environment.progress)
    file.save(content())
    known = artifact_file(watched, model, "second-moments", FACTS)
    made = artifact_file(watched, model, "prefixes", {})
    made.save(content())
    assert artifact_file(watched, model, "prefixes", {}).exists()
    assert watched.asked == {known.path: True, made.path: False}


@pytest.fixture
def filled(environment: Environment, model: LoadedModel, file: Artifact) -> Environment:
    """Return an environment whose store holds two whole files, unfinished work, a damaged file and two half-written ones."""
    file.save(content())
    file.partial.save(content())
    artifact_file(environment, model, "prefixes", {"seed": 1}).save(content())
    other = artifact_file(environment, tiny_model("gpt2"), "null-space", {"rank": 1})
    other.save(content())
    damaged = bytearray(other.path.read_bytes())
    damaged[-1] ^= 1
    other.path.write_bytes(damaged)
    for name in ("new", "old"):
        file.path.with_name(f"{name}.writing").write_bytes(b"12345")
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    os.utime(file.path.with_name("old.writing"), (long_ago, long_ago))
    (store_folder(environment.cache) / "notes.txt").write_text("not a prepared thing")
    return environment


def test_entries_say_what_is_there(filled: Environment, model: LoadedModel) -> None:
    found = entries(filled.cache)
    assert [entry.kind for entry in found] == ["null-space", "prefixes", *["second-moments"] * 4]
    assert [entry.whole for entry in found].count(True) == 3
    first = found[1]
    assert first.manifest is not None
    assert (first.manifest.model, dict(first.manifest.facts)) == (model.request.name, {"seed": 1})
    assert first.size == first.path.stat().st_size
    assert entries(filled.cache / "nowhere") == []


def test_damage_is_found_only_where_it_is(filled: Environment) -> None:
    problems = {entry.kind: problem for entry in entries(filled.cache) if (problem := damage(entry))}
    assert list(problems) == ["null-space"]
    assert "its content is not what was saved" in problems["null-space"]
    broken = next(entry for entry in entries(filled.cache) if entry.kind == "prefixes")
    broken.path.write_bytes(b"no header")
    (entry,) = (entry for entry in entries(filled.cache) if entry.kind == "prefixes")
    assert entry.manifest is None
    assert "not a prepared file" in (damage(entry) or "")


def test_a_file_that_vanished_in_the_meantime_is_not_damaged(filled: Environment) -> None:
    next(entry for entry in entries(filled.cache) if entry.kind == "prefixes").path.write_bytes(b"no header")
    found = entries(filled.cache)
    for entry in found:
        entry.path.unlink()
    assert [damage(entry) for entry in found] == [None] * len(found)


def test_entries_are_chosen_by_all_that_is_given(filled: Environment, model: LoadedModel) -> None:
    found = entries(filled.cache)
    everything = chosen(found)
    assert [entry.path.name for entry in found if entry not in everything] == ["new.writing"]
    assert {entry.kind for entry in chosen(found, kinds=["prefixes", "null-space"])} == {"prefixes", "null-space"}
    assert len(chosen(found, models=[model.request.name])) == 3
    assert len(chosen(found, models=[model.fingerprint], kinds=["second-moments"])) == 2
    assert [entry.path.name for entry in chosen(found, older_than=timedelta(hours=1))] == ["old.writing"]
    assert len(chosen(found, older_than=timedelta(0))) >= 1
    assert [entry.path.suffix for entry in chosen(found, only_unfinished=True)] == [".partial", ".writing"]
    assert chosen(found, models=["another"]) == []


def test_removing_says_what_it_frees(filled: Environment) -> None:
    doomed = chosen(entries(filled.cache))
    doomed[0].path.unlink()
    assert remove(doomed) == sum(entry.size for entry in doomed[1:])
    assert [entry.path.name for entry in entries(filled.cache)] == ["new.writing"]
    assert (store_folder(filled.cache) / "notes.txt").exists()


@pytest.mark.parametrize(
    "arguments", [("prepare", "--help"), ("cache", "--help"), ("cache", "prune", "--help"), ("cache", "list")]
)
def test_help_and_an_empty_cache_load_nothing_heavy(
    arguments: tuple[str, ...], python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    code = (
        "import sys; from wildcore.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "assert not {'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)"
    )
    done = python("-c", code, *arguments, WILDCORE_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout
