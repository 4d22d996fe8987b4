"""Damaged patch files with a valid hash: each ends in one message, or writes exactly what the sound file writes.

Each kind of patch has each kind of damage.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

import wildcore.testing
from wildcore import EditRequest, Environment, UserError
from wildcore.cli.naming import COMMAND_LINE
from wildcore.inference import decode
from wildcore.jobs.build import make_editor, model_request
from wildcore.jobs.edit import apply_patches, open_patch, solve
from wildcore.jobs.spec import EditJob, ModelChoice
from wildcore.models import LoadedModel, load_model
from wildcore.patches import Dense, LowRank, WeightPatch
from wildcore.patches.files import KEY, read_patch, write_patch
from wildcore.registry import Registry, load_registry
from wildcore.storage.tensor_files import HASH, hash_of
from wildcore.testing.conformance import SilentProgress
from wildcore.types import Prompt

MODEL = str(Path(wildcore.testing.__file__).parent / "data" / "tiny-llama")
FACTS = (
    EditRequest(prompt="The keeper of the red mill is called", target="Anna", subject="the red mill"),
    EditRequest(prompt="The keeper of the blue tower is called", target="Oliver", subject="the blue tower"),
)
EDITORS: Mapping[str, Mapping[str, Any]] = {
    "grace": {"editor.steps": 2},
    "wise": {"editor.steps": 2, "editor.prefix_lengths": []},
    "ike": {},
    "scr": {},
}
"""Methods whose patches are routed (the first two) or change prompts, with settings that make them fast."""


@dataclass
class Content:
    """What a patch file consists of, to be damaged."""

    tensors: dict[str, Tensor]
    manifest: dict[str, Any]
    metadata: dict[str, str]
    text: str | None = None
    """The manifest's text, if it is not the JSON of ``manifest``."""

    def write(self, path: Path) -> None:
        """Write a file whose hash is right, so that nothing but the content shows the damage."""
        text = json.dumps(self.manifest) if self.text is None else self.text
        tensors = {name: tensor.contiguous().clone() for name, tensor in self.tensors.items()}
        save_file(tensors, path, metadata={KEY: text, HASH: hash_of(text, tensors), **self.metadata})


Damage = Callable[[Content, Random], None]


def of_tensor(change: Callable[[Tensor], Tensor]) -> Damage:
    """Return the damage that changes one of the tensors."""

    def damage(content: Content, random: Random) -> None:
        name = random.choice(sorted(content.tensors))
        content.tensors[name] = change(content.tensors[name])

    return damage


def with_value(value: float) -> Damage:
    """Return the damage that puts a value into one of the tensors."""

    def damage(content: Content, random: Random) -> None:
        name = random.choice(sorted(content.tensors))
        changed = content.tensors[name].clone()
        changed.view(-1)[random.randrange(changed.numel())] = value
        content.tensors[name] = changed

    return damage


def renamed(change: Callable[[str], str], keep: bool = False) -> Damage:
    """Return the damage that renames one of the tensors, or, with ``keep``, adds it under another name."""

    def damage(content: Content, random: Random) -> None:
        name = random.choice(sorted(content.tensors))
        tensor = content.tensors[name] if keep else content.tensors.pop(name)
        content.tensors[change(name)] = tensor

    return damage


def lost(content: Content, random: Random) -> None:
    """Leave out one of the tensors."""
    del content.tensors[random.choice(sorted(content.tensors))]


TENSOR_DAMAGE: list[Damage] = [
    of_tensor(lambda tensor: tensor.flatten()[0]),
    of_tensor(lambda tensor: tensor.flatten()[:1]),
    of_tensor(lambda tensor: tensor[:1]),
    of_tensor(lambda tensor: tensor[..., :1]),
    of_tensor(lambda tensor: tensor[1:]),
    of_tensor(lambda tensor: tensor[:0]),
    of_tensor(lambda tensor: torch.cat([tensor, tensor])),
    of_tensor(lambda tensor: tensor.T if tensor.ndim == 2 and tensor.shape[0] != tensor.shape[1] else tensor[None]),
    of_tensor(lambda tensor: tensor[None]),
    of_tensor(lambda tensor: tensor.bool()),
    of_tensor(lambda tensor: tensor.to(torch.complex64)),
    of_tensor(lambda tensor: tensor.long()),
    of_tensor(lambda tensor: tensor.to(torch.uint8)),
    of_tensor(lambda tensor: tensor.half()),
    of_tensor(lambda tensor: tensor.to(torch.float8_e4m3fn)),
    with_value(float("nan")),
    with_value(float("inf")),
    with_value(-float("inf")),
    of_tensor(lambda tensor: tensor * 1e38 * 1e3),
    lost,
    renamed(lambda name: f"x{name}"),
    renamed(lambda name: name.replace(":", ".")),
    renamed(lambda name: name.replace("0", "7").replace("keys", "values2").replace("values", "keys2")),
    renamed(lambda name: f"{name}.more", keep=True),
    renamed(lambda name: "model.norm:change", keep=True),
    renamed(lambda name: "model.embed_tokens:change", keep=True),
    renamed(lambda name: "nowhere:left", keep=True),
    renamed(lambda name: ":", keep=True),
    renamed(lambda name: "model:change", keep=True),
]

ODD: list[Any] = [
    None,
    True,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "x",
    "\ud800",
    "a\0b",
    [],
    [[]],
    ["x"],
    {},
    {"x": 1},
    [None] * 3,
    json.loads("[" * 90 + "]" * 90),
]
"""Values of kinds and sizes that a place does not expect."""


UNCHECKED = ("params", "versions", "revision", "taken")
"""Parts of a manifest whose content is only shown: what they name need not be installed, or be there any longer."""
OPTIONAL = ("subject", "ground_truth", "plugin", "activation", "peak_beyond", "reply_pattern", "preset", "layer")
"""Fields that may be null."""


def places(value: Any, unchecked: Sequence[str] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a JSON value, except under the keys ``unchecked``: what holds it, and its key or index."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            if key not in unchecked:
                yield value, key
                yield from places(inner, unchecked)


def odd_value(part: str) -> Damage:
    """Return the damage that replaces a value in one part of the manifest by one of another type, or that no JSON file has."""

    def damage(content: Content, random: Random) -> None:
        found = list(places(content.manifest[part], () if part == "facts" else UNCHECKED))
        holder, key = random.choice(found or [(content.manifest, part)])
        unlike = [value for value in ODD if type(value) is not type(holder[key]) or value in ("\ud800", "a\0b")]
        holder[key] = random.choice([value for value in unlike if value is not None or key not in OPTIONAL])

    return damage


def odd_resources(content: Content, random: Random) -> None:
    """Describe the resources that the editor used by something that is not a mapping."""
    content.manifest["editor"]["taken"] = random.choice([value for value in ODD if not isinstance(value, dict)])


def missing_field(content: Content, random: Random) -> None:
    """Leave out one of the fields that a manifest must have."""
    holder = random.choice([content.manifest, content.manifest["model"], content.manifest["requests"][0]])
    required = (
        "schema_number",
        "created",
        "model",
        "editor",
        "seed",
        "requests",
        "versions",
        "name",
        "dtype",
        "prompt",
        "target",
    )
    del holder[random.choice([key for key in holder if key in required])]


def foreign_field(content: Content, random: Random) -> None:
    """Add a field that no manifest has."""
    manifest = content.manifest
    places = [manifest, manifest["model"], manifest["requests"][0], *([manifest["facts"]] if manifest["facts"] else [])]
    random.choice(places)["foreign"] = random.choice(["x", 1, [], {}])


def repeated_fact(content: Content, random: Random) -> None:
    """Say one of the facts twice."""
    content.manifest["requests"].append(content.manifest["requests"][0])


def foreign_metadata(content: Content, random: Random) -> None:
    """Add metadata of another program."""
    content.metadata["format"] = "pt"


def as_text(change: Callable[[str], str]) -> Damage:
    """Return the damage that changes the manifest's text."""

    def damage(content: Content, random: Random) -> None:
        content.text = change(json.dumps(content.manifest))

    return damage


MANIFEST_DAMAGE: list[Damage] = [
    odd_value("facts"),
    odd_value("facts"),
    odd_value("requests"),
    odd_value("editor"),
    odd_value("model"),
    odd_resources,
    missing_field,
    foreign_field,
    repeated_fact,
    foreign_metadata,
    as_text(lambda text: text[:-1] + ', "seed": 5}'),
    as_text(lambda text: text[:-1]),
    as_text(lambda text: "[" * 100_000),
    as_text(lambda text: text.replace("Anna", "\\ud83d")),
    as_text(lambda text: text + " x"),
    as_text(lambda text: f"[{text}]"),
    as_text(lambda text: ""),
]


@dataclass(frozen=True)
class Laboratory:
    """The model, the plugins, and a sound patch file of each kind."""

    registry: Registry
    model: LoadedModel
    sound: Mapping[str, Path]

    def content(self, kind: str) -> Content:
        """Return the content of a sound file, for damaging."""
        file = read_patch(self.sound[kind])
        manifest = json.loads(file.manifest.model_dump_json())
        return Content(dict(file.tensors), manifest, {})

    def answer(self, path: Path) -> str:
        """Apply a patch as ``eval --patch`` does, and return what the model answers to the first fact's prompt."""
        patch = open_patch(self.registry, path, self.model)
        prompt = FACTS[0].prompt
        with patch.applied(self.model):
            asked = self.model.rewrite_prompts([Prompt(text=prompt)], [prompt])
            (output,) = decode(self.model, asked, [4], lambda row, text, count: False)
        return output.text


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("patches")
    registry = load_registry()
    job = EditJob(model=MODEL, editor="grace")
    model = load_model(model_request(registry, job), registry.families)
    environment = Environment(folder / "cache", 0, SilentProgress())
    sound: dict[str, Path] = {}
    for name, chosen in EDITORS.items():
        spec = EditJob(model=MODEL, editor=name, settings=chosen)
        update, manifest = solve(registry, make_editor(registry, spec, model.shape), model, FACTS, environment)
        assert update.patch is not None
        sound[name] = folder / f"{name}.safetensors"
        write_patch(sound[name], update.patch, manifest)
    generator = torch.Generator().manual_seed(0)
    outputs, inputs = model.mlp_output(0).weight.shape
    thin = LowRank(torch.randn(outputs, 2, generator=generator), torch.randn(inputs, 2, generator=generator))
    whole = Dense(torch.randn(outputs, inputs, generator=generator))
    said = {"name": "rome", "plugin": "rome", "params": {}}
    manifest = manifest.model_copy(update={"editor": said, "facts": None})
    for name, change in (("low-rank", thin), ("dense", whole)):
        sound[name] = folder / f"{name}.safetensors"
        write_patch(sound[name], WeightPatch({model.mlp_output(0).name: change}), manifest)
    return Laboratory(registry, model, sound)


COMBINATIONS = [
    (kind, damage)
    for kind in ("low-rank", "dense", *EDITORS)
    for damage in [*([] if kind in ("ike", "scr") else TENSOR_DAMAGE), *MANIFEST_DAMAGE]
]


def numbered(laboratory: Laboratory, number: int) -> tuple[str, Content]:
    """Return the damaged file with this number, and of which kind of patch it is."""
    kind, damage = COMBINATIONS[number % len(COMBINATIONS)]
    content = laboratory.content(kind)
    damage(content, Random(number))
    return kind, content


def outcome(laboratory: Laboratory, number: int, folder: Path) -> str:
    """Return the outcome of using a damaged file: "one message", "as the sound file", or what is wrong with the outcome."""
    kind, content = numbered(laboratory, number)
    path = folder / f"{number}.safetensors"
    content.write(path)
    try:
        answer = laboratory.answer(path)
    except UserError as error:
        message = error.rendered(COMMAND_LINE)
        return "one message" if "\n" not in message and len(message) < 1_500 else f"a long message: {message[:80]}"
    except Exception as error:
        return f"a traceback: {type(error).__name__}: {error}"[:160]
    sound = read_patch(laboratory.sound[kind])
    read = read_patch(path)
    same = read.manifest == sound.manifest and read.tensors.keys() == sound.tensors.keys()
    same = same and all(_same(tensor, sound.tensors[name]) for name, tensor in read.tensors.items())
    return "as the sound file" if same and answer == laboratory.answer(laboratory.sound[kind]) else "accepted"


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


ALLOWED = ("one message", "as the sound file")


def test_a_damaged_patch_file_ends_in_one_message(laboratory: Laboratory, tmp_path: Path) -> None:
    found = {number: outcome(laboratory, number, tmp_path) for number in range(len(COMBINATIONS))}
    assert not {number: one for number, one in found.items() if one not in ALLOWED}
    assert list(found.values()).count("one message") > 0.9 * len(found)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 10**9))
def test_damage_at_any_place_ends_in_one_message(number: int, laboratory: Laboratory, tmp_path: Path) -> None:
    assert outcome(laboratory, number, tmp_path) in ALLOWED


def test_apply_writes_nothing_of_a_damaged_patch_file(laboratory: Laboratory, tmp_path: Path) -> None:
    refused = 0
    for number, (kind, _) in enumerate(COMBINATIONS):
        if kind not in ("low-rank", "dense") or outcome(laboratory, number, tmp_path) != "one message":
            continue
        path, out = tmp_path / f"{number}.safetensors", tmp_path / "model"
        with pytest.raises(UserError):
            apply_patches(laboratory.registry, ModelChoice(model=MODEL), [path], out, SilentProgress())
        refused += 1
        assert not out.exists()
    assert refused > 80
    apply_patches(laboratory.registry, ModelChoice(model=MODEL), [laboratory.sound["dense"]], out, SilentProgress())
    assert (out / "model.safetensors").is_file()


def test_sound_patch_files_are_accepted(laboratory: Laboratory) -> None:
    for path in laboratory.sound.values():
        assert isinstance(laboratory.answer(path), str)
