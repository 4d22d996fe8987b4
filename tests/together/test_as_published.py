"""Published updates by command line alone: ``--as-published``, with prefixes and second moments from files.

Where the published values come from is said in the folders tests/golden of the plugins.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from torch import Tensor
from wildcore_keyvalue.testing import VALUE_NAMES, closed_formula_moments

from wildcore import DepartingParams
from wildcore.cli import main
from wildcore.jobs.build import name_in_words
from wildcore.patches.files import read_patch
from wildcore.registry import load_registry
from wildcore.testing.golden import TINY_MODELS, Golden, relative_error

ROOT = Path(__file__).parents[1] / "golden"
AGREEMENT = 1e-3
TRAINING_NAMES = {"num_steps": "steps", "lr": "learning_rate"}
LEAST_SQUARES_NAMES = VALUE_NAMES | {"mom2_update_weight": "moment_weight"}
ALPHAEDIT_NAMES = VALUE_NAMES | {"nullspace_threshold": "nullspace_threshold", "L2": "update_penalty"}
GRACE_NAMES = {"layer": "layer", "n_iter": "steps", "edit_lr": "learning_rate", "eps": "initial_radius"}
WISE_NAMES = {
    "edit_lr": "learning_rate",
    "n_iter": "steps",
    "alpha": "outside_margin",
    "beta": "inside_margin",
    "gamma": "gap_margin",
    "norm_constraint": "norm_constraint",
    "save_freq": "save_every",
    "merge_freq": "merge_every",
    "densities": "merge_density",
    "act_ratio": "threshold_ratio",
    "mask_ratio": "mask_ratio",
}

Run = Mapping[str, Any]
Settings = Callable[[Golden, Run, Path], dict[str, Any]]
Check = Callable[[Golden, Run, Path], None]


def moments_npz(golden: Golden, run: Run, layer: int, file: Path) -> None:
    """Write second moments as the repositories of ROME and MEMIT do: the sum over the tokens, and how many there were."""
    count = 5000
    total = count * closed_formula_moments(golden.model(run["model"]).mlp_output(layer).weight.shape[1]).double()
    facts = {"mom2.constructor": "SecondMoment", "mom2.count": count, "mom2.mom2": total.numpy(), "sample_size": 100}
    numpy.savez(file, **facts)


def prefixes_file(golden: Golden, folder: Path) -> Path:
    """Write the templates of the published run as they are there: "{}" stands for the prompt."""
    file = folder / "prefixes.json"
    file.write_text(json.dumps(golden.content["prefixes"]))
    return file


def overrides(run: Run, names: Mapping[str, str]) -> dict[str, Any]:
    return {names[name]: value for name, value in run["overrides"].items()}


def of_rome(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    given = {"layer": run["layer"], "prefixes": prefixes_file(golden, folder), **overrides(run, VALUE_NAMES)}
    if not run["mom2_adjustment"]:
        return {**given, "second_moments": "identity"}
    moments_npz(golden, run, run["layer"], folder / "moments.npz")
    return {**given, "moments": folder / "moments.npz"}


def of_training(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    return {"layer": run["layer"], "norm_constraint": run["norm_constraint"] or None, **overrides(run, TRAINING_NAMES)}


def of_several_layers(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    for layer in run["layers"]:
        moments_npz(golden, run, layer, folder / f"layer-{layer}.npz")
    moments = folder / "layer-{layer}.npz"
    return {"layers": run["layers"], "prefixes": prefixes_file(golden, folder), "moments": moments}


def of_memit(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    return of_several_layers(golden, run, folder) | golden.settings("memit", run, LEAST_SQUARES_NAMES)


def of_alphaedit(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    return of_several_layers(golden, run, folder) | golden.settings("alphaedit", run, ALPHAEDIT_NAMES)


def changes_in(patch: Path) -> dict[str, Tensor]:
    return {name: change.dense() for name, change in read_patch(patch).weights().changes.items()}


def check_changes(golden: Golden, run: Run, patch: Path, expected: Mapping[int, Tensor]) -> None:
    """Assert that a patch changes just the layers ``expected``, each as expected [outputs, inputs]."""
    model, found = golden.model(run["model"]), changes_in(patch)
    wanted = {model.mlp_output(layer).name: change for layer, change in expected.items()}
    assert found.keys() == wanted.keys()
    assert max(relative_error(found[name], wanted[name]) for name in wanted) < AGREEMENT


def check_two_vectors(golden: Golden, run: Run, patch: Path) -> None:
    left, right = (golden.tensor(run["model"], run["tensors"][name]) for name in ("left_vector", "right_vector"))
    check_changes(golden, run, patch, {run["layer"]: torch.outer(right.flatten(), left.flatten())})


def check_whole_change(golden: Golden, run: Run, patch: Path) -> None:
    change = golden.tensor(run["model"], run["tensors"]["weight_change"])
    transposed = golden.model(run["model"]).mlp_output(run["layer"]).transposed
    check_changes(golden, run, patch, {run["layer"]: change.T if transposed else change})


def check_factors(golden: Golden, run: Run, patch: Path) -> None:
    tensors = run["tensors"][0] if isinstance(run["tensors"], list) else run["tensors"]
    check_changes(golden, run, patch, {layer: golden.published(run, tensors, layer) for layer in run["layers"]})


def by_request(golden: Golden, run: Run, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values``, given by the requests' names, under the names that files for editors have."""
    requests = {name: golden.content["requests"][name] for name in run["requests"] if name in values}
    return {f"{request['prompt']} {request['target']}": values[name] for name, request in requests.items()}


def of_grace(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    starts = {name: golden.tensor(run["model"], f"start.{name}") for name in run["requests"]}
    save_file(by_request(golden, run, starts), folder / "starts.safetensors")
    settings = {ours: run[name] for name, ours in GRACE_NAMES.items()}
    return {"start_values": folder / "starts.safetensors", **settings}


def check_codebook(golden: Golden, run: Run, patch: Path) -> None:
    found = load_file(patch)
    for name in ("keys", "values"):
        expected = golden.tensor(run["model"], run["tensors"][name])
        assert found[name].shape == expected.shape
        assert relative_error(found[name], expected) < AGREEMENT
    assert found["radii"].tolist() == pytest.approx(run["epsilons"], rel=2e-6, abs=1e-7)


def of_wise(golden: Golden, run: Run, folder: Path) -> dict[str, Any]:
    """Take the prefixes from the model, as published code does."""
    masks = {
        name: golden.tensor(run["model"], run["tensors"][f"mask.{number}"]).contiguous()
        for number, name in enumerate(run["requests"])
        if f"mask.{number}" in run["tensors"]
    }
    save_file(by_request(golden, run, masks), folder / "masks.safetensors")
    texts = {edit["request"]: edit["irrelevant"] for edit in run["edits"]}
    (folder / "irrelevant.json").write_text(json.dumps(by_request(golden, run, texts)))
    given = {"layer": run["layer"], "masks": folder / "masks.safetensors", "irrelevant": folder / "irrelevant.json"}
    return given | {ours: run["hyperparameters"][name] for name, ours in WISE_NAMES.items()}


def check_memories(golden: Golden, run: Run, patch: Path) -> None:
    """Compare the memories that are left after the last edit: those of the second and the third one."""
    found, facts = load_file(patch), read_patch(patch).manifest.facts
    assert facts is not None
    assert sorted(found) == ["memory.0", "memory.1"]
    for number, edit in enumerate((1, 2)):
        expected = golden.tensor(run["model"], run["tensors"][f"change.{edit}"])
        assert relative_error(found[f"memory.{number}"], expected) < AGREEMENT
    assert facts["thresholds"] == pytest.approx(run["thresholds"], rel=1e-4)


@dataclass(frozen=True)
class Case:
    """A golden run of ``folder`` and how a user asks for it.

    ``settings`` returns the editor's parameters, and writes the files that they name; ``check`` looks into the patch. The
    record says that the edit is as published ``but_for`` what the switch cannot set.
    """

    editor: str
    folder: str
    run: str
    settings: Settings
    check: Check
    but_for: str = ""

    def __str__(self) -> str:
        return f"{self.editor} {self.run}"


CASES = [
    Case("rome", "", "tiny-llama/fork/rome/second-moment/tiny-one-token", of_rome, check_two_vectors),
    Case("rome", "", "tiny-gpt2/fork/rome/plain/tiny-several-tokens", of_rome, check_two_vectors),
    Case("r-rome", "", "tiny-llama/fork/r-rome/prefix-keys/tiny-one-token", of_rome, check_two_vectors),
    Case("r-rome", "", "tiny-gpt2/fork/r-rome/prefix-keys-second-moment/tiny-one-token", of_rome, check_two_vectors),
    Case("ft-l", "", "tiny-llama/fork/ft/ft-l/tiny-several-tokens", of_training, check_whole_change),
    Case("ft-m", "", "tiny-gpt2/fork/ft/ft-m/tiny-several-tokens", of_training, check_whole_change),
    Case("memit", "memit", "tiny-llama/fork/memit/plain/tiny-one-token", of_memit, check_factors),
    Case("memit", "memit", "tiny-gpt2/kmeng/memit/plain/tiny-one-token", of_memit, check_factors),
    Case(
        "memit",
        "memit",
        "tiny-llama/fork/memit/together/tiny-one-token+tiny-several-tokens+tiny-subject-first",
        of_memit,
        check_factors,
    ),
    Case(
        "alphaedit",
        "alphaedit",
        "tiny-llama/easyedit/alphaedit/plain/tiny-one-token",
        of_alphaedit,
        check_factors,
    ),
    Case(
        "alphaedit",
        "alphaedit",
        "tiny-gpt2/authors/alphaedit/plain/tiny-several-tokens",
        of_alphaedit,
        check_factors,
    ),
    Case(
        "grace",
        "grace",
        "tiny-llama/easyedit/grace/published-labels-misaligned",
        of_grace,
        check_codebook,
        ", except rounding, place of the value",
    ),
    Case(
        "wise",
        "wise",
        "tiny-llama/easyedit/wise/unequal-routing",
        of_wise,
        check_memories,
        ", except rows of a batch",
    ),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDCORE_CACHE", str(tmp_path / "cache"))


def edits_of(golden: Golden, run: Run, folder: Path) -> Path:
    names = run.get("requests") or (run["steps"][0] if "steps" in run else [run["request"]])
    file = folder / "edits.jsonl"
    file.write_text("".join(json.dumps(golden.content["requests"][name]) + "\n" for name in names))
    return file


def edit(editor: str, model: str, edits: Path, out: Path, settings: Mapping[str, Any], *options: str) -> Result:
    given = [f"--set=editor.{name}={json.dumps(value, default=str)}" for name, value in settings.items()]
    arguments = [
        "edit",
        "--editor",
        editor,
        "--model",
        str(TINY_MODELS / model),
        "--edits",
        str(edits),
        "--out",
        str(out),
    ]
    return CliRunner().invoke(main, [*arguments, "--quiet", *given, *options], catch_exceptions=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_published_update_by_command_line_alone(case: Case, tmp_path: Path) -> None:
    golden = Golden(ROOT / case.folder)
    run, out = golden.run(case.run), tmp_path / "patch.safetensors"
    settings, edits = case.settings(golden, run, tmp_path), edits_of(golden, run, tmp_path)
    done = edit(case.editor, run["model"], edits, out, settings, "--as-published", "--dtype=float32")
    assert done.exit_code == 0, done.output
    assert name_in_words(read_patch(out).manifest.editor) == f"{case.editor} (as published{case.but_for})"
    case.check(golden, run, out)


@pytest.mark.parametrize(
    ("number", "departs"),
    [
        (0, "essence_position"),
        (4, "train_beginning_of_sequence"),
        (6, "key_mean"),
        (-2, "label_match"),
        (-1, "count_padding"),
    ],
)
def test_without_the_switch_the_update_is_another(number: int, departs: str, tmp_path: Path) -> None:
    case = CASES[number]
    golden = Golden(ROOT / case.folder)
    run, out = golden.run(case.run), tmp_path / "patch.safetensors"
    settings, edits = case.settings(golden, run, tmp_path), edits_of(golden, run, tmp_path)
    assert edit(case.editor, run["model"], edits, out, settings, "--dtype=float32").exit_code == 0
    assert read_patch(out).manifest.editor.get("as_published") is None
    with pytest.raises(AssertionError):
        case.check(golden, run, out)


def test_what_the_user_sets_is_over_the_published_way_and_the_record_says_so(tmp_path: Path) -> None:
    case = CASES[1]
    golden = Golden(ROOT)
    run, out = golden.run(case.run), tmp_path / "patch.safetensors"
    edits = edits_of(golden, run, tmp_path)
    settings = {"layer": 1, "steps": 2, "essence_position": "prompt-end", "moment_tokens": 2000}
    done = edit("rome", run["model"], edits, out, settings, "--as-published")
    assert done.exit_code == 0, done.output
    said = read_patch(out).manifest.editor
    assert (said["params"]["essence_position"], said["params"]["damping"]) == ("prompt-end", 0.0)
    assert said["as_published"] == {"except": ["essence_position", "corpus"]}
    assert name_in_words(said) == "rome (as published, except essence_position, corpus)"


def test_a_trace_beside_the_patch_holds_what_happened(tmp_path: Path) -> None:
    golden = Golden(ROOT)
    run = golden.run("tiny-gpt2/fork/rome/plain/tiny-several-tokens")
    out, edits = tmp_path / "patch.safetensors", edits_of(golden, run, tmp_path)
    settings = of_rome(golden, run, tmp_path)
    done = edit("rome", run["model"], edits, out, settings, "--as-published", "--dtype=float32", "--trace")
    assert done.exit_code == 0, done.output
    found = load_file(tmp_path / "patch.trace.safetensors")
    losses = found["0.losses"].tolist()
    assert losses == pytest.approx(run["losses"], rel=1e-3)
    assert found["0.passes"].tolist() == [len(run["losses"])]
    initial, change = (golden.tensor(run["model"], run["tensors"][n]) for n in ("value_initial", "value_change"))
    assert relative_error(found["0.value.initial"], initial.flatten()) < AGREEMENT
    assert relative_error(found["0.value.optimised"] - found["0.value.initial"], change.flatten()) < AGREEMENT
    keys = found["0.keys.1"]
    assert relative_error(keys.mean(0), golden.tensor(run["model"], run["tensors"]["mean_key"]).flatten()) < AGREEMENT
    written = torch.outer(found["0.left.1"], found["0.right.1"])
    assert relative_error(written, next(iter(changes_in(out).values()))) < 1e-6
    again = edit("rome", run["model"], edits, tmp_path / "other.safetensors", settings, "--as-published")
    assert again.exit_code == 0, again.output
    assert not (tmp_path / "other.trace.safetensors").exists()


OFFERS = [
    (kind, found.offer.name, found.offer.params)
    for kind in ("editor", "transform")
    for found in load_registry().offers[kind]
    if issubclass(found.offer.params, DepartingParams) and found.offer.params.departures
]


@pytest.mark.parametrize(("kind", "name", "params"), OFFERS, ids=[name for _, name, _ in OFFERS])
def test_what_departs_is_a_default_and_can_be_had(kind: str, name: str, params: type[DepartingParams]) -> None:
    assert params.departures
    by_switch = {one.parameter: one for one in params.departures if one.by_switch}
    defaults, published = params(), params().as_published()
    for parameter, one in by_switch.items():
        assert getattr(defaults, parameter) == one.paper != one.published == getattr(published, parameter)
    assert not by_switch.keys() & set(published.not_as_published())
    done = CliRunner().invoke(main, ["describe", kind, name])
    assert all(word in done.output for one in params.departures for word in (one.parameter, one.reason.split()[0]))


def test_what_cannot_be_had_as_published_is_refused(tmp_path: Path) -> None:
    golden = Golden(ROOT)
    edits = edits_of(golden, golden.run(CASES[0].run), tmp_path)
    done = edit("memit+norm-anchor", "tiny-llama", edits, tmp_path / "patch.safetensors", {}, "--as-published")
    assert done.exit_code == 2
    assert "--as-published: transform norm-anchor (plugin norm-anchor) does not say how" in done.stderr
    given = CliRunner().invoke(main, ["eval", "--patch", str(tmp_path / "any"), "--as-published"])
    assert given.exit_code == 2
    assert "--as-published: cannot be combined with --patch" in given.stderr
