"""The errors that a user of the core can cause, each with its place in the code, and as the command line and Python show it."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import wildcore
import wildcore.testing
from wildcore import (
    AnsweredProbe,
    Editor,
    EditorParams,
    EvalProtocol,
    Measurement,
    Metric,
    ModelShape,
    NoParams,
    Offer,
    Params,
    Refused,
    Saved,
    Score,
    Use,
    UserError,
    api,
)
from wildcore.api.asking import _NoDataset, _probe, _require_answers, answered_probes
from wildcore.api.editors import chosen
from wildcore.api.jobs import job as job_in_python
from wildcore.api.jobs import joined_settings, protocol_names
from wildcore.api.naming import PYTHON
from wildcore.api.patches import ModelPatch, fitting
from wildcore.api.runs import _compared
from wildcore.cli import main
from wildcore.cli.driver import _report_broken
from wildcore.cli.naming import COMMAND_LINE
from wildcore.datasets import Row, TableParams, read_table
from wildcore.datasets.given import GivenTensors, GivenTexts
from wildcore.datasets.json_rows import Unreadable
from wildcore.datasets.reading import Reading
from wildcore.datasets.rows import bad_rows, edit_request
from wildcore.datasets.selection import WAY_OUT, CaseFilter, CaseReader, require_one_choice, require_some
from wildcore.errors import Module, Option
from wildcore.evaluation.checkpoints import NAME, Checkpoint, SequenceState, read_patch_or_run
from wildcore.evaluation.failure_filter import FailureFilter, first_metric
from wildcore.evaluation.judging import JudgeAt
from wildcore.evaluation.measuring import ModelMeasurer
from wildcore.evaluation.schedules import FIRST_EDITS, require_fitting_schedule
from wildcore.evaluation.sequences import SequenceRunner, edit_on_top_of
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.interfaces import Patch, only_unicode
from wildcore.jobs.audit import Auditor
from wildcore.jobs.build import UNREGISTERED, _as_published, chosen_measurements, find_editor, make_editor
from wildcore.jobs.chat import chat_note
from wildcore.jobs.edit import _read as read_for_editor
from wildcore.jobs.edit import _save as save_model
from wildcore.jobs.edit import apply_patches, require_finite
from wildcore.jobs.eval import _failing
from wildcore.jobs.facts import read_facts
from wildcore.jobs.in_use import require_unedited
from wildcore.jobs.prepare import _require_dataset
from wildcore.jobs.protocol_files import read_protocol
from wildcore.jobs.protocols import added_metrics, ready_protocols
from wildcore.jobs.resume import require_same
from wildcore.jobs.spec import (
    AuditJob,
    EditJob,
    JobSpec,
    ModelChoice,
    parse_settings,
    refuse_unused_settings,
    settings_for,
)
from wildcore.jobs.tracking import tracking
from wildcore.jobs.whole_runs import recorded_job
from wildcore.models import LoadedModel, ModelRequest
from wildcore.models.adapters import merge, require_peft
from wildcore.models.chat import render_chat
from wildcore.models.checks import guard_embedding, require_editable
from wildcore.models.finiteness import require_finite_logits
from wildcore.models.hints import require_fetchable, require_model_folder
from wildcore.models.loading import family_of, fetch_folder, load_config, load_model, pick_device, pick_dtype
from wildcore.models.memory import parameter_count, require_memory
from wildcore.models.quantised import Quantisation
from wildcore.models.reading import require_dequantising
from wildcore.models.sources import Adapter, require_merging
from wildcore.models.template_limits import rendered_within_limits
from wildcore.models.tokens import tokenise_pair
from wildcore.params import build
from wildcore.patches import Dense, WeightPatch
from wildcore.patches.files import (
    KEY,
    PatchFile,
    PatchManifest,
    editor_read_errors,
    patched_model,
    read_patch,
    require_new,
    require_same_model,
    require_savable,
    write_patch,
)
from wildcore.patches.fitting import require_fitting, require_read_back
from wildcore.records.run_folder import RunFolder, require_free
from wildcore.records.schema import EditOutcome, JudgingPointRecord, Manifest
from wildcore.records.trace_files import _write as write_trace
from wildcore.registry import Found, Plugin, Registry, load_registry
from wildcore.reporting.console import Reporter
from wildcore.reporting.ranking import goal
from wildcore.reporting.run import readable_manifest
from wildcore.storage import Artifact, artifact_file, read_manifest
from wildcore.storage.artifact_entries import remove
from wildcore.storage.checked_rows import damaged_rows
from wildcore.storage.manifests import read_versioned
from wildcore.storage.tensor_files import write_tensors
from wildcore.testing.conformance import SilentProgress, quiet_environment
from wildcore.testing.error_cases import Caught, assert_shown, causing
from wildcore.testing.networks import tiny_model
from wildcore.testing.raise_sites import makers, reached, sites
from wildcore.testing.stub_protocol import Bare, Greedy, Whole, plain_protocol
from wildcore.tracking.process import Chosen, TrackerProcess
from wildcore.types import EditCase, EditRequest, FrozenData, Malformed, Probe, Prompt

CORE = Path(wildcore.__file__).parent
MAKERS = makers([CORE])
SITES = sites(CORE, MAKERS)

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
SHAPE = ModelShape("llama", 2, 8, 100)
FACT = EditRequest(prompt="Rome is in", target="Peru")
CASE = EditCase(id="1", request=FACT, probes=(Probe(kind="reliability", prompt=FACT.prompt, answers=(FACT.target,)),))
MARKED = Reading(missing_values=frozenset({"nan"}))
BAD = [Malformed(place=f"facts.jsonl, line {line}", problem="the field 'target' is missing") for line in (2, 3)]
PROGRESS = SilentProgress()


class Facts:
    """A dataset of one case and perhaps malformed rows."""

    def __init__(self, *malformed: Malformed) -> None:
        self.malformed = malformed

    def cases(self) -> Iterator[EditCase | Malformed]:
        yield CASE
        yield from self.malformed


class Nothing:
    """A dataset without a case."""

    def cases(self) -> Iterator[EditCase | Malformed]:
        return iter(())


class Many:
    """A dataset of more cases than must be refused to stop a run."""

    def cases(self) -> Iterator[EditCase | Malformed]:
        return (CASE.model_copy(update={"id": str(number)}) for number in range(FIRST_EDITS + 1))


class Needy(Params):
    """Parameters one of which must be given."""

    rate: float


class Refusing(Editor):
    """Refuses every request."""

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        raise Refused("no subject")

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        raise Refused("no subject")


class Hungry(Editor):
    """Needs more memory than there is."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        raise torch.OutOfMemoryError("CUDA out of memory")


class Louder:
    """A patch that is no change of weights."""

    def applied(self, model: LoadedModel) -> AbstractContextManager[None]:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        return {"finite": True}

    def to_saved(self) -> Saved:
        return Saved({"factor": torch.ones(1)}, {"module": "m"})


class Right(Metric):
    """1 for every answer."""

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        return [Score(value=1.0) for _ in items]


@cache
def tiny() -> LoadedModel:
    return tiny_model("llama")


def job(**chosen: Any) -> JobSpec:
    return JobSpec(**{"model": "m", "dataset": "", "editor": "e", "protocols": (), **chosen})


def registry() -> Registry:
    """Return stub offers: the editor e and its transform t, the datasets none and many, and a protocol p of its modules."""
    made: dict[str, list[tuple[str, Any]]] = {
        "editor": [("e", Refusing())],
        "transform": [("t", SimpleNamespace())],
        "dataset": [("none", Nothing()), ("many", Many())],
        "context": [("c", Bare())],
        "generator": [("g", Greedy(1))],
        "truncator": [("w", Whole())],
        "metric": [("m", Right())],
    }
    found = Registry([Plugin("stub", "wildcore", "1.0")])
    for kind, offers in made.items():
        for name, one in offers:
            found.offers[kind].append(Found("stub", Offer(name, lambda params, one=one: one, NoParams)))
    found.protocols.append(Found("stub", protocol()))
    return found


def protocol() -> EvalProtocol:
    modules = {"context": Use(name="c"), "generator": Use(name="g"), "truncator": Use(name="w")}
    return EvalProtocol(name="p", summary="", metrics={"reliability": (Use(name="m"),)}, **modules)


def written(folder: Path, name: str, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(content)
    return folder / name


def new_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def cli(*arguments: str | Path) -> None:
    """Run the command line in this process, so that its error can be seen as it was raised."""
    main.main([str(argument) for argument in arguments], standalone_mode=False)


def run_like(path: Path) -> Any:
    return SimpleNamespace(path=path)


def run(folder: Path, name: str = "run", cases: int = 0, schedule: str = "batch", **job: Any) -> RunFolder:
    """Return a new run of ``cases`` cases, none of which is done."""
    stated = {"editor": "e", "seed": 0, "schedule": schedule, "edits_per_update": None, **job}
    rest: dict[str, Any] = {"protocols": (), "versions": {}, "hardware": {}, "plugins": {}}
    manifest = Manifest(created="now", job=stated, identity={"name": name}, case_count=cases, **rest)
    return RunFolder.create(folder / name, manifest)


def finished(folder: Path) -> RunFolder:
    done = run(folder)
    done.write_scores([])
    return done


def sequence(folder: RunFolder, change: Patch | None = None) -> Checkpoint:
    """Save a sequence of one update in a run."""
    state = SequenceState(0)
    state.add(EditOutcome(status="edited", seconds=0), {}, change, None)
    file = Checkpoint(folder)
    file.save(state)
    return file


def weights(value: float) -> WeightPatch:
    return WeightPatch({tiny().mlp_output(1).name: Dense(torch.full((1, 1), value))})


def manifest_of_patch(dtype: str = "float32", **changed: Any) -> PatchManifest:
    model = patched_model(tiny()).model_copy(update={"dtype": dtype})
    editor = {"name": "e", "plugin": "stub"}
    fields = {"created": "now", "model": model, "editor": editor, "seed": 0, "requests": (FACT,), "versions": {}}
    return PatchManifest(**{**fields, **changed})


def patch_file(path: Path, dtype: str = "float32", value: float = 1.0) -> Path:
    write_patch(path, weights(value), manifest_of_patch(dtype))
    return path


def raw_patch(path: Path, tensors: dict[str, Tensor], manifest: str) -> Path:
    write_tensors(path, tensors, KEY, manifest)
    return path


def artifact(folder: Path, number: int = 1) -> Artifact:
    return artifact_file(quiet_environment(folder), tiny(), "test", {"number": number})


def saved_artifact(folder: Path, number: int = 1) -> Artifact:
    made = artifact(folder, number)
    made.save(Saved({"x": torch.ones(1)}, {}))
    return made


def model_folder(folder: Path, *without: str, **config: str) -> Path:
    """Return a copy of the tiny model, without some of its files, and with other files instead."""
    copied = shutil.copytree(TINY, folder / "model")
    for name in without:
        (copied / name).unlink()
    for name, text in config.items():
        written(copied, name + ".json", text)
    return copied


def load(folder: Path) -> LoadedModel:
    return load_model(ModelRequest(str(folder)), load_registry([]).families)


def reply(question: str = "Rome?", accepted: tuple[str, ...] = ()) -> api.Reply:
    fields: dict[str, Any] = {"protocol": "p", "kind": "reliability", "gold_token_ids": (), "answers": ()}
    return api.Reply(question=question, accepted=accepted, prompt=question, **fields)


COMPARING: Any = SimpleNamespace(reads_unedited=True)


def raised(error: UserError) -> None:
    raise error


def ask_without_answer() -> None:
    reads, plain = SimpleNamespace(reads_gold=True), SimpleNamespace(reads_gold=False)
    protocol: Any = SimpleNamespace(name="p", generator=reads, truncator=plain)
    _require_answers(protocol, [_probe("Rome?")])


def call_under_a_patch() -> None:
    with ModelPatch(weights(0.0), manifest_of_patch()).applied(tiny()):
        require_unedited(tiny())


def all_refused(folder: Path) -> None:
    with patch("wildcore.api.runs.plugins", lambda own: registry()):
        api.evaluate(
            tiny(), Refusing(), dataset="many", protocols="p", out=folder / "run", continuation=0, progress=False
        )


def without_pandas(folder: Path) -> None:
    with patch.dict(sys.modules, {"pandas": None}):
        api.Result(finished(folder).path).to_pandas()


def resume(folder: Path, *options: str) -> None:
    cli("eval", "--resume", run(folder).path, *options)


def sequence_of_another_run(folder: Path) -> None:
    file = sequence(run(folder, "one"))
    other = Checkpoint(run(folder, "other"))
    shutil.copy(file.path, other.path)
    other.read()


def damaged_sequence(folder: Path) -> None:
    begun = run(folder)
    written(begun.path, NAME, "?")
    Checkpoint(begun).read()


def unwritable_sequence(folder: Path) -> None:
    begun = run(folder)
    new_folder(begun.path / NAME)
    sequence(begun)


def sequence_apart_from_its_run(folder: Path) -> None:
    read_patch_or_run(sequence(run(folder)).path.rename(folder / "moved.safetensors"))


def measurer_of(resource: str) -> ModelMeasurer:
    """Return what measures a model by one measurement that depends on ``resource``."""

    class Words(Measurement):
        def pin_resources(self) -> dict[str, str]:
            return {"of": resource}

    return ModelMeasurer(None, {"words": Words()}, None)


def huge_checkpoint(folder: Path) -> Any:
    return SimpleNamespace(seconds=0.0, written=SimpleNamespace(size=1 << 50), file=SimpleNamespace(path=folder / NAME))


def run_as_patch(folder: Path, change: Patch | None) -> None:
    begun = run(folder)
    sequence(begun, change)
    read_patch_or_run(begun.path)


def damaged_store_of_answers(folder: Path) -> None:
    store = UneditedAnswers(folder, tiny())
    store.path.write_text("no database", encoding="utf-8")
    UneditedAnswers(folder, tiny())


def everything_known(folder: Path) -> None:
    metrics = {"reliability": (("m", Right()),)}
    asked = plain_protocol(Greedy(1), metrics=metrics)  # type: ignore[arg-type]
    plan: Any = SimpleNamespace(candidates=iter([CASE]), reader=SimpleNamespace(wanted=None), reporter=PROGRESS)
    _failing(plan, FailureFilter(UneditedAnswers(folder, tiny()), asked))


def without_chat_template() -> None:
    definition = SimpleNamespace(context=Use(name="wild/chat"))
    chat: Any = SimpleNamespace(name="p", asks_in_chat=True, definition=definition)
    chat_note(Registry(), [chat], tiny())


def without_mps(name: str) -> None:
    with patch("torch.backends.mps.is_available", return_value=False):
        pick_device(name)


def without_cuda(name: str) -> None:
    with patch("torch.cuda.device_count", return_value=1):
        pick_device(name)


def out_of_reach(name: str) -> None:
    with patch("huggingface_hub.snapshot_download", side_effect=OSError("No route to host.")):
        fetch_folder(ModelRequest(name))


def too_large() -> None:
    with patch("wildcore.models.memory.free_memory", return_value=0):
        require_memory("m", 10**6, torch.float32, torch.device("cpu"))


def without_end_of_sequence() -> None:
    tokenizer = copy(tiny().tokenizer)
    tokenizer.eos_token = None
    tokenise_pair(tokenizer, Prompt(text="Rome is in"), "Peru", "end-of-sequence")


def read_only_folder(folder: Path) -> None:
    with patch("wildcore.patches.files.TemporaryFile", side_effect=OSError(30, "Read-only file system")):
        require_new(folder / "p")


def unreadable_for_its_editor(folder: Path) -> None:
    with editor_read_errors(folder / "p", "make the patch again"):
        raise KeyError("factor")


def other_model(folder: Path, **changed: Any) -> None:
    model = patched_model(tiny()).model_copy(update={"fingerprint": "0", **changed})
    require_same_model(folder / "p", manifest_of_patch(model=model), tiny())


def dangling(folder: Path) -> Path:
    (folder / "run").symlink_to(folder / "nowhere")
    return folder / "run"


def locked_twice(folder: Path) -> None:
    begun = run(folder)
    with begun.locked(), RunFolder.open(begun.path).locked():
        pass


def unlockable(folder: Path) -> None:
    begun = run(folder)
    new_folder(begun.path / ".lock")
    with begun.locked():
        pass


def unwritable_run(folder: Path) -> None:
    begun = run(folder)
    new_folder(begun.scores_path)
    begun.write_scores([])


def damaged_journal(folder: Path) -> None:
    begun = run(folder)
    written(begun.path, "journal.jsonl", '{"case": 3}\n')
    list(begun.cases())


def changed_run(folder: Path) -> None:
    path = run(folder).path / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    RunFolder.open(path.parent).manifest  # noqa: B018


def cut_scores(folder: Path) -> None:
    begun = run(folder)
    written(begun.path, "scores.jsonl", "{}\n")
    begun.write_summary({})
    begun.write_scores([])
    RunFolder.finished(begun.path, print)


def linked_run(folder: Path) -> None:
    begun = run(folder)
    begun.journal_path.symlink_to(written(folder, "other", ""))
    RunFolder.open(begun.path)


def cache_that_leads_out(folder: Path) -> None:
    new_folder(folder / "cache")
    (folder / "cache" / "unedited-answers").symlink_to(new_folder(folder / "other"))
    UneditedAnswers(folder / "cache", tiny())


def tracked_by(*names: str) -> None:
    registry = Registry()
    registry.offers["tracker"].append(Found("mine", Offer("one", list)))
    with tracking(registry, names, {}, Reporter(True)):
        pass


def asking_tracker() -> TrackerProcess:
    process = TrackerProcess(Chosen("one", "mine", {}))
    process._opened.put("tracker one: the package sample cannot be imported; install it: pip install sample")
    return process


def damaged_run(folder: Path) -> None:
    begun = run(folder)
    written(begun.path, "manifest.json", '{"schema_number": 1')
    begun.manifest  # noqa: B018


def two_plugins() -> Registry:
    found = registry()
    found.offers["editor"].append(Found("other", found.offers["editor"][0].offer))
    return found


def content_under_another_name(folder: Path) -> None:
    one, other = saved_artifact(folder, 1), artifact(folder, 2)
    shutil.copy(one.path, other.path)
    other.load()


def damaged_artifact(folder: Path, content: bytes) -> Path:
    made = artifact(folder)
    made.path.parent.mkdir(parents=True)
    made.path.write_bytes(content)
    return made.path


def foreign_safetensors(path: Path) -> Path:
    write_tensors(path, {"x": torch.ones(1)}, "other", "{}")
    return path


def unwritable_cache(folder: Path) -> None:
    written(folder, "prepared", "")
    saved_artifact(folder)


def unremovable(folder: Path) -> None:
    made: Any = SimpleNamespace(path=new_folder(folder / "kept"), writing=False)
    remove([made])


def given_texts(folder: Path, text: str) -> GivenTexts:
    return GivenTexts(written(folder, "texts.json", text), "editor.prefixes")


def given_tensors(folder: Path, tensors: dict[str, Tensor]) -> GivenTensors:
    write_tensors(folder / "masks", tensors, "any", "{}")
    return GivenTensors(folder / "masks", "editor.masks")


def require_two(given: GivenTensors) -> None:
    given.require((2,), lambda tensor: bool((tensor > 0).all()), "positive numbers")


def replaced_while_read(folder: Path) -> None:
    given = given_tensors(folder, {"Rome is in Peru": torch.ones(2)})
    given.require((2,), lambda tensor: True, "numbers")
    written(folder, "masks", "")
    given.of(FACT)


def shards(folder: Path, index: str) -> Path:
    written(folder, "model.safetensors.index.json", index)
    return folder


def row(**fields: Any) -> Row:
    return Row("facts.jsonl, line 4", fields)


def table(folder: Path, name: str, content: str | bytes) -> None:
    list(read_table(TableParams(path=written(folder, name, content))))


def change_of(model: LoadedModel, value: float = 0.0) -> WeightPatch:
    """Return a patch that adds ``value`` to each number of a weight."""
    projection = model.mlp_output(0)
    return WeightPatch({projection.name: Dense(torch.full(projection.weight.shape, value))})


def beyond_the_range(folder: Path) -> None:
    """Apply a change that is finite in float32, with which the weights are not finite in the model's own dtype."""
    source = model_folder(folder)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    written(source, "config.json", json.dumps({**config, "dtype": "float16"}))
    request = ModelRequest(str(source), dtype="float32")
    model = load_model(request, load_registry([]).families)
    write_patch(folder / "p", change_of(model, 1e6), manifest_of_patch(model=patched_model(model)))
    apply_patches(load_registry([]), ModelChoice(model=str(source)), [folder / "p"], folder / "out", PROGRESS)


def not_finite() -> LoadedModel:
    """Return a model with one weight that is not a number."""
    model = tiny_model("llama")
    model.mlp_output(1).weight[0, 0] = float("nan")
    return model


def write_model(folder: Path) -> None:
    """Apply a patch, with a name of the model folder that is too long for the file system."""
    model = load(TINY)
    manifest = manifest_of_patch(model=patched_model(model))
    write_patch(folder / "p", change_of(model), manifest)
    choice = ModelChoice(model=str(TINY))
    apply_patches(load_registry([]), choice, [folder / "p"], folder / ("m" * 250), PROGRESS)


def deeper() -> str:
    """Return the tiny model's configuration with one more layer."""
    config = json.loads((TINY / "config.json").read_text(encoding="utf-8"))
    return json.dumps({**config, "num_hidden_layers": config["num_hidden_layers"] + 1})


SAME = ""
"""Python shows what the command line shows."""
NOT_THERE = "not there"
"""Only callers in Python can cause it."""
Case = tuple[str, Callable[[Path], Any], str, str]
"""Where the error is made (module and function), what goes wrong in a folder, what the command line shows of it, and what
Python shows; the folder is called FOLDER in both."""

API: list[Case] = [
    (
        "api.asking:answered_probes",
        lambda folder: answered_probes(reply(), None),
        NOT_THERE,
        (
            "'Rome?': the question came without an answer to compare with; ask it as "
            "wildcore.api.question(prompt, answer)"
        ),
    ),
    (
        "api.asking:_probe",
        lambda folder: _probe(3),
        NOT_THERE,
        "questions: expected text or what wildcore.api.question returns, found 3",
    ),
    (
        "api.asking:_require_answers",
        lambda folder: ask_without_answer(),
        NOT_THERE,
        (
            "protocol p: the right answer is read by its generator, and 'Rome?' comes without; ask it as "
            "wildcore.api.question(prompt, answer)"
        ),
    ),
    (
        "api.asking:_NoDataset.cases",
        lambda folder: _NoDataset().cases(),
        NOT_THERE,
        "context: it shows examples of a dataset, and none is named; name one (dataset='NAME')",
    ),
    (
        "api.editors:chosen",
        lambda folder: chosen(Refusing),
        NOT_THERE,
        "editor: Refusing is a class; make an object of it: Refusing(...)",
    ),
    (
        "api.editors:chosen",
        lambda folder: chosen(3),
        NOT_THERE,
        (
            "editor: int lacks pin_resources, prepare, edit, edit_each, reset, restore, state; let it "
            "inherit from wildcore.Editor, which has defaults for all but edit"
        ),
    ),
    (
        "api.jobs:job",
        lambda folder: job_in_python(JobSpec, tiny(), editor="e", protocols=("p",), dataset="d", batch_size=0),
        NOT_THERE,
        "batch_size: <...>",
    ),
    (
        "api.jobs:protocol_names",
        lambda folder: protocol_names([]),
        NOT_THERE,
        "protocols: name at least one (wildcore plugins lists them)",
    ),
    (
        "api.jobs:joined_settings",
        lambda folder: joined_settings({"editor.layer": 1}, {"editor.layer": 2}),
        NOT_THERE,
        "settings['editor.layer']: it is set twice; leave one of them out",
    ),
    (
        "jobs.in_use:require_unedited",
        lambda folder: require_unedited(3),
        NOT_THERE,
        "model: expected a model that wildcore.api.load returned, found int",
    ),
    (
        "jobs.in_use:require_unedited",
        lambda folder: call_under_a_patch(),
        NOT_THERE,
        (
            "model tiny-llama: a patch is applied to it now, and this call needs it unedited; call it "
            "outside of `with patch.applied(model):`, and hand it the patch (patch=...) where it takes one"
        ),
    ),
    (
        "api.patches:ModelPatch.save",
        lambda folder: ModelPatch(Louder(), manifest_of_patch(editor={"name": "e", "plugin": None})).save(folder / "p"),
        NOT_THERE,
        (
            "FOLDER/p: no plugin offers the editor of this patch, so it could not be read back; only "
            "changes of weights can"
        ),
    ),
    ("api.patches:edit", lambda folder: api.edit(tiny(), Refusing(), []), NOT_THERE, "facts: there is none to write"),
    (
        "api.patches:edit",
        lambda folder: api.edit(tiny(), Refusing(), ["Rome is in Peru"]),
        NOT_THERE,
        "facts: expected what wildcore.api.fact returns, found 'Rome is in Peru'",
    ),
    (
        "api.patches:edit",
        lambda folder: api.edit(tiny(), Refusing(), FACT, progress=False),
        NOT_THERE,
        "facts: unregistered: <...>.Refusing refuses all 1; 'Rome is in': no subject",
    ),
    (
        "api.patches:fitting",
        lambda folder: fitting(3, tiny()),
        NOT_THERE,
        "patch: expected what wildcore.api.edit returned or a patch file, found int",
    ),
    (
        "api.runs:Result.to_pandas",
        lambda folder: without_pandas(folder),
        NOT_THERE,
        "to_pandas: it needs pandas, which cannot be imported (<...>); pip install pandas, or use rows()",
    ),
    (
        "api.runs:evaluate",
        lambda folder: api.evaluate(tiny()),
        NOT_THERE,
        "evaluate: give either an editor, to make edits, or a patch, to evaluate it",
    ),
    (
        "jobs.whole_runs:_stopped_as_error",
        lambda folder: all_refused(folder),
        NOT_THERE,
        "FOLDER/run: stopped, because the first edits were all refused: no subject",
    ),
    (
        "jobs.whole_runs:recorded_job",
        lambda folder: recorded_job(run(folder)),
        (
            "FOLDER/run: its manifest.json does not hold a job as this version writes it (model, dataset, "
            "protocols); go on with the version that began it"
        ),
        SAME,
    ),
    (
        "api.runs:score",
        lambda folder: api.score(finished(folder).path, "m", unedited=[]),
        NOT_THERE,
        "unedited: a run has the unedited model's answers; leave it out",
    ),
    (
        "api.runs:_compared",
        lambda folder: _compared([3], None, COMPARING, "m"),
        NOT_THERE,
        "answers: expected a run folder or what wildcore.api.ask returned, found 3",
    ),
    (
        "api.runs:_compared",
        lambda folder: _compared([reply()], None, COMPARING, "m"),
        NOT_THERE,
        (
            "metric m: it compares with the unedited model's answers; ask without a patch too, and hand "
            "those replies over (unedited=...)"
        ),
    ),
    (
        "api.runs:_compared",
        lambda folder: _compared([reply("Rome?")], [reply("Lima?")], COMPARING, "m"),
        NOT_THERE,
        "unedited: these replies are not to the same questions in the same order",
    ),
]

COMMANDS: list[Case] = [
    (
        "cli.audit:_spec",
        lambda folder: cli("audit", "d", "--set", "editor.layer=1"),
        "--set editor.layer: an audit edits nothing; leave it out",
        SAME,
    ),
    (
        "cli.cache:_doomed",
        lambda folder: cli("cache", "prune"),
        "say what to remove: --kind, --model, --older-than, --unfinished, or --all alone",
        SAME,
    ),
    (
        "cli.describe:_described_model",
        lambda folder: cli("describe", "model", "./llama"),
        "./llama: no such folder",
        SAME,
    ),
    (
        "cli.describe:describe",
        lambda folder: cli("describe", "editr", "x"),
        "unknown kind 'editr'; did you mean 'editor'?",
        SAME,
    ),
    (
        "jobs.describe_offer:_unknown",
        lambda folder: cli("describe", "editor"),
        "editor is a kind; also give a name: wildcore describe editor NAME",
        SAME,
    ),
    (
        "jobs.describe_offer:_unknown",
        lambda folder: cli("describe", "zzzzzz"),
        "nothing is called 'zzzzzz'; all names are listed by: wildcore plugins",
        SAME,
    ),
    (
        "cli.compare:compare",
        lambda folder: cli("compare", folder / "run", "--json", "--latex"),
        "--latex: another format was chosen too; leave out --json",
        NOT_THERE,
    ),
    (
        "cli.show:show",
        lambda folder: cli("show", folder / "run", "--json", "--latex"),
        "--latex: another format was chosen too; leave out --json",
        NOT_THERE,
    ),
    (
        "cli.driver:_report_broken",
        lambda folder: _report_broken(Registry([Plugin("rome", "wildcore-rome", "1.0", "no module")]), strict=True),
        "--strict-plugins: plugin 'rome' (wildcore-rome 1.0) is broken: no module",
        SAME,
    ),
    (
        "cli.edit:apply_command",
        lambda folder: cli("apply", folder / "one", folder / "other", "--out", folder / "model"),
        "several patches are applied only with --merge: each was made for the model without the others",
        SAME,
    ),
    (
        "cli.eval:_specs",
        lambda folder: cli("eval", "--patch", folder / "p", "--editor", "e"),
        "--patch evaluates an existing patch, and --editor makes patches; give one of them",
        SAME,
    ),
    (
        "cli.eval:eval_command",
        lambda folder: cli("eval", "--editor", "e", "--json", "--edits"),
        "--edits: the summary in --json has no edits; leave it out, and use show RUN --edits --json",
        SAME,
    ),
    (
        "cli.eval:_specs",
        lambda folder: cli("eval"),
        "no editor named; give --editor NAME (wildcore plugins lists them)",
        SAME,
    ),
    (
        "cli.eval:_specs",
        lambda folder: cli("eval", "--editor", "e", "--editor", "e"),
        "--editor: an editor is named twice",
        SAME,
    ),
    (
        "cli.eval:_specs",
        lambda folder: cli("eval", "--editor", "e", "--schedule", "batch", "--edit-order", "1", "--edit-order", "1"),
        "--edit-order: an order of edits is named twice",
        SAME,
    ),
    (
        "cli.eval:_specs",
        lambda folder: cli("eval", "--patch", folder / "p", "--as-published"),
        ("--as-published: cannot be combined with --patch, whose edits are already made; leave --as-published out"),
        SAME,
    ),
    (
        "cli.eval:_spec_to_resume",
        lambda folder: resume(folder, "--protocol-file", "p.toml"),
        "--protocol-file: a resumed run keeps the protocols that it was begun with; leave it out",
        SAME,
    ),
    (
        "cli.eval:_spec_to_resume",
        lambda folder: resume(folder, "--out", "other"),
        "--out: a resumed run stays in its own folder; leave --out out",
        SAME,
    ),
    (
        "cli.eval:_spec_to_resume",
        lambda folder: resume(folder, "--editor", "e", "--editor", "f"),
        "--resume resumes one run, which has one editor",
        SAME,
    ),
    (
        "cli.eval:_spec_to_resume",
        lambda folder: resume(folder, "--edit-order", "1", "--edit-order", "2"),
        "--resume resumes one run, which has one order of edits",
        SAME,
    ),
    (
        "cli.eval:_spec_to_resume",
        lambda folder: resume(folder),
        (
            "--resume FOLDER/run: its manifest.json does not hold a job as this version writes it (model, "
            "dataset, protocols); go on with the version that began it"
        ),
        SAME,
    ),
    (
        "cli.options:parse_where",
        lambda folder: cli("audit", "d", "--where", "source"),
        "--where source: write --where TAG=VALUE, such as --where source=NQ",
        SAME,
    ),
    (
        "cli.options:parse_where",
        lambda folder: cli("audit", "d", "--where", "source=NQ", "--where", "source=WD"),
        "--where source=WD: source is given twice",
        SAME,
    ),
    (
        "cli.score:score",
        lambda folder: cli("score", finished(folder).path),
        "no metric named; give --metric NAME (wildcore plugins lists them)",
        SAME,
    ),
]

MODELS: list[Case] = [
    (
        "models.hints:require_fetchable",
        lambda folder: require_fetchable("./llama"),
        "--model ./llama: no such folder",
        "model='./llama': no such folder",
    ),
    (
        "models.hints:require_fetchable",
        lambda folder: require_fetchable("hf.co/a/b/tree/v1.0"),
        ("--model hf.co/a/b/tree/v1.0: an address of the hub; give its name there: --model a/b --revision v1.0"),
        ("model='hf.co/a/b/tree/v1.0': an address of the hub; give its name there: model='a/b' revision='v1.0'"),
    ),
    (
        "models.hints:require_fetchable",
        lambda folder: require_fetchable(str(written(folder, "config.json", "{}"))),
        "--model FOLDER/config.json: a file; give the folder that it is in: --model FOLDER",
        "model='FOLDER/config.json': a file; give the folder that it is in: model='FOLDER'",
    ),
    (
        "models.hints:require_model_folder",
        lambda folder: require_model_folder("m", folder),
        (
            "--model m: no config.json in it; wildcore reads Hugging Face folders (config.json, tokenizer "
            "and .safetensors weights) and GGUF files. Download one: hf download OWNER/NAME --local-dir FOLDER, then "
            "--model FOLDER"
        ),
        (
            "model='m': no config.json in it; wildcore reads Hugging Face folders (config.json, tokenizer "
            "and .safetensors weights) and GGUF files. Download one: hf download OWNER/NAME --local-dir FOLDER, then "
            "model='FOLDER'"
        ),
    ),
    (
        "models.loading:fetch_folder",
        lambda folder: fetch_folder(ModelRequest(str(folder), revision="main")),
        "--revision main: FOLDER is a local folder, which has no revisions",
        "revision='main': FOLDER is a local folder, which has no revisions",
    ),
    (
        "models.loading:fetch_folder",
        lambda folder: fetch_folder(ModelRequest("pocket", folder=folder / "gone")),
        "--model pocket: its plugin brings no folder FOLDER/gone; install the plugin again",
        "model='pocket': its plugin brings no folder FOLDER/gone; install the plugin again",
    ),
    (
        "models.loading:pick_device",
        lambda folder: pick_device("gpu"),
        "--device gpu: not a device; use auto, cpu, cuda, cuda:N or mps",
        "device='gpu': not a device; use auto, cpu, cuda, cuda:N or mps",
    ),
    (
        "models.loading:pick_device",
        lambda folder: pick_device("meta"),
        "--device meta: not supported; use auto, cpu, cuda, cuda:N or mps",
        "device='meta': not supported; use auto, cpu, cuda, cuda:N or mps",
    ),
    (
        "models.loading:pick_dtype",
        lambda folder: pick_dtype("float64", None, torch.device("mps")),
        "--dtype float64: mps has no float64; use --device cpu",
        "dtype='float64': mps has no float64; use device='cpu'",
    ),
    (
        "models.loading:pick_dtype",
        lambda folder: pick_dtype("int8", None, torch.device("cpu")),
        "dtype int8: models run in float32, bfloat16, float16, float64 only; choose one of these",
        SAME,
    ),
    (
        "models.loading:family_of",
        lambda folder: family_of(SimpleNamespace(model_type="mamba"), {}),
        (
            "model_type 'mamba' is not a known family (known: ). A plugin adds one by the hook "
            "wildcore_families; wildcore describe model NAME prints its lines"
        ),
        SAME,
    ),
    (
        "models.loading:load_model",
        lambda folder: load(model_folder(folder, config=deeper())),
        (
            "--model FOLDER/model: cannot be loaded: its files lack model.layers.4.input_layernorm.weight "
            "and 8 more, which config.json asks for"
        ),
        (
            "model='FOLDER/model': cannot be loaded: its files lack model.layers.4.input_layernorm.weight "
            "and 8 more, which config.json asks for"
        ),
    ),
    (
        "models.loading:load_model",
        lambda folder: load(
            model_folder(folder, "tokenizer.json", tokenizer_config='{"tokenizer_class": "ByT5Tokenizer"}')
        ),
        "--model FOLDER/model: its tokenizer reports no character offsets; a fast tokenizer is needed",
        "model='FOLDER/model': its tokenizer reports no character offsets; a fast tokenizer is needed",
    ),
    (
        "models.loading:pick_device",
        lambda folder: without_cuda("cuda:1"),
        "--device cuda:1: 1 CUDA devices are visible here",
        "device='cuda:1': 1 CUDA devices are visible here",
    ),
    (
        "models.loading:pick_device",
        lambda folder: without_mps("mps"),
        "--device mps: not available here",
        "device='mps': not available here",
    ),
    (
        "models.loading:fetch_folder",
        lambda folder: out_of_reach("owner/name"),
        (
            "--model owner/name: neither a local folder nor reachable on the hub (No route to host); see "
            "whether https://huggingface.co/owner/name is there; for a private model: hf auth login"
        ),
        (
            "model='owner/name': neither a local folder nor reachable on the hub (No route to host); see "
            "whether https://huggingface.co/owner/name is there; for a private model: hf auth login"
        ),
    ),
    (
        "models.loading:load_config",
        lambda folder: load_config(ModelRequest("m"), written(folder, "config.json", "{").parent),
        "--model m: its config.json cannot be read: <...>",
        "model='m': its config.json cannot be read: <...>",
    ),
    (
        "models.reading:plan_weights",
        lambda folder: load(model_folder(folder, "model.safetensors")),
        (
            "--model FOLDER/model: no .safetensors file in it, nor other weights; download the model again, "
            "whole: hf download OWNER/NAME --local-dir FOLDER, then --model FOLDER"
        ),
        (
            "model='FOLDER/model': no .safetensors file in it, nor other weights; download the model again, "
            "whole: hf download OWNER/NAME --local-dir FOLDER, then model='FOLDER'"
        ),
    ),
    (
        "models.memory:require_memory",
        lambda folder: too_large(),
        (
            "--model m: its weights need 0.0 GiB as float32, and 0.0 GiB are free on cpu; --dtype bfloat16 "
            "halves it; --device-map auto spreads it over all devices"
        ),
        (
            "model='m': its weights need 0.0 GiB as float32, and 0.0 GiB are free on cpu; dtype='bfloat16' "
            "halves it; device_map='auto' spreads it over all devices"
        ),
    ),
    (
        "models.memory:_shards",
        lambda folder: parameter_count(shards(folder, "{}")),
        (
            "FOLDER/model.safetensors.index.json: not an index of safetensors files ('weight_map'); fetch "
            "the model again"
        ),
        SAME,
    ),
    (
        "models.memory:_shards",
        lambda folder: parameter_count(shards(folder, '{"weight_map": {"w": "1.safetensors"}}')),
        ("FOLDER/model.safetensors.index.json: it names 1.safetensors, which the folder lacks; fetch the model again"),
        SAME,
    ),
    (
        "models.memory:read_header",
        lambda folder: parameter_count(written(folder, "model.safetensors", "?").parent),
        (
            "FOLDER/model.safetensors: not a safetensors file (its header is longer than the file); fetch "
            "the model again"
        ),
        SAME,
    ),
    (
        "models.tokens:tokenise_pair",
        lambda folder: without_end_of_sequence(),
        ("close_target=end-of-sequence: this tokenizer has no such token; close by a full stop (close_target=stop)"),
        SAME,
    ),
]


def expanding(folder: Path) -> None:
    """Read a Parquet file whose content is far larger than the file."""
    import pyarrow
    import pyarrow.parquet

    path = folder / "facts.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"a": ["x" * 70_000_000]}), path, compression="zstd", write_statistics=False
    )
    list(read_table(TableParams(path=path)))


def damaged_parquet(folder: Path) -> None:
    """Read a Parquet file whose first page is damaged."""
    import pyarrow
    import pyarrow.parquet

    path = folder / "facts.parquet"
    numbers = pyarrow.table({"a": [f"{number:050}" for number in range(100)]})
    pyarrow.parquet.write_table(numbers, path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:104] = b"\xff" * 100
    path.write_bytes(content)
    list(read_table(TableParams(path=path)))


DATA: list[Case] = [
    (
        "datasets.tables:read_table",
        lambda folder: read_table(TableParams()),
        (
            "dataset: nothing to read; name a file with --set dataset.path=FILE or a data set on the hub "
            "with --set dataset.hub=OWNER/NAME"
        ),
        (
            "dataset: nothing to read; name a file with settings={'dataset.path': 'FILE'} or a data set on "
            "the hub with settings={'dataset.hub': 'OWNER/NAME'}"
        ),
    ),
    (
        "datasets.tables:_refuse_hub_settings",
        lambda folder: read_table(TableParams(path=Path("t.json"), split="test")),
        (
            "dataset.split=test: this is for a data set on the hub, and dataset.path=t.json names a file; "
            "leave one of the two out"
        ),
        SAME,
    ),
    (
        "datasets.text_files:opened",
        lambda folder: list(read_table(TableParams(path=folder / "none.json"))),
        "dataset.path=FOLDER/none.json: cannot be read: No such file or directory",
        SAME,
    ),
    (
        "datasets.text_files:opened",
        lambda folder: read_facts(folder / "none.json"),
        "--edits FOLDER/none.json: cannot be read: No such file or directory",
        "edits='FOLDER/none.json': cannot be read: No such file or directory",
    ),
    (
        "jobs.facts:read_facts",
        lambda folder: read_facts(written(folder, "facts.jsonl", "")),
        "--edits FOLDER/facts.jsonl: it holds no fact",
        "edits='FOLDER/facts.jsonl': it holds no fact",
    ),
    (
        "datasets.json_rows:ListReader._error",
        lambda folder: read_facts(written(folder, "facts.json", "{}\n{}")),
        (
            "FOLDER/facts.json, line 2, column 1: not valid JSON: Extra data; a file with an object on each "
            "line must be called .jsonl"
        ),
        SAME,
    ),
    (
        "datasets.separated:_header",
        lambda folder: read_facts(written(folder, "facts.csv", "prompt,prompt\n")),
        "FOLDER/facts.csv, line 1: two columns are called 'prompt'",
        SAME,
    ),
    (
        "datasets.rows:Row._get",
        lambda folder: edit_request(Row("facts.jsonl, line 4", {"promt": "Rome"})),
        "facts.jsonl, line 4: the field 'prompt' is missing; did you mean 'promt'?",
        SAME,
    ),
    (
        "datasets.rows:Row.filled",
        lambda folder: edit_request(Row("facts.jsonl, line 4", {"prompt": "{} is", "target": "Rome"})),
        "facts.jsonl, line 4: field 'prompt': {} stands for the subject, and the row has none",
        SAME,
    ),
    (
        "datasets.rows:Row.answers",
        lambda folder: edit_request(Row("f.csv, line 2", {"prompt": "x", "target": "nan"}, reading=MARKED)),
        "f.csv, line 2: field 'target': expected at least one answer, found 'nan', which stands for a missing value",
        SAME,
    ),
    (
        "datasets.json_rows:ListReader.whole_value",
        lambda folder: table(folder, "facts.json", '{"a": ' + "[" * 100_000),
        (
            "FOLDER/facts.json: nested too deeply: more than 64 levels; write one row on each line of a file whose name ends in "
            ".jsonl; it is read row by row"
        ),
        SAME,
    ),
    (
        "datasets.json_rows:ListReader._error",
        lambda folder: table(folder, "facts.json", '[{"a": 1},\n {"a": [1}]'),
        "FOLDER/facts.json, line 2, column 10: not valid JSON: '}' closes nothing in row 2",
        SAME,
    ),
    (
        "datasets.json_rows:ListReader._error",
        lambda folder: table(folder, "facts.json", '[{"a": 1},\n {"a": 1'),
        "FOLDER/facts.json, line 2, column 2: not valid JSON: row 2, which begins here, is not closed",
        SAME,
    ),
    (
        "datasets.json_rows:ListReader._error",
        lambda folder: table(folder, "facts.json", '[{"a": 1}]\n]'),
        (
            "FOLDER/facts.json, line 2, column 1: not valid JSON: Extra data; a file with an object on each line must be called "
            ".jsonl"
        ),
        SAME,
    ),
    (
        "datasets.json_rows:ListReader._error",
        lambda folder: table(folder, "facts.json", '{"a" 1}'),
        "FOLDER/facts.json, line 1, column 6: not valid JSON: Expecting ':' delimiter",
        SAME,
    ),
    (
        "datasets.parquet_rows:unreadable",
        damaged_parquet,
        "dataset.path=FOLDER/facts.parquet, row 1: cannot be read: <...>",
        SAME,
    ),
    (
        "datasets.parquet_rows:unreadable",
        lambda folder: list(read_table(TableParams(hub=str(written(folder, "train.jsonl", "{}").parent), split="dev"))),
        (
            "dataset.hub=FOLDER: cannot be read: <...>; a file of it that lies here can be named with --set "
            "dataset.path=FILE"
        ),
        (
            "dataset.hub=FOLDER: cannot be read: <...>; a file of it that lies here can be named with "
            "settings={'dataset.path': 'FILE'}"
        ),
    ),
    (
        "datasets.tables:_rows_within",
        lambda folder: table(folder, "facts.json", '{"a": [{}], "a": []}'),
        "FOLDER/facts.json: the name 'a' occurs twice in an object",
        SAME,
    ),
    (
        "datasets.separated:_header",
        lambda folder: table(folder, "facts.csv", ",".join(map(str, range(10_001)))),
        "FOLDER/facts.csv, line 1: 10,001 columns, and at most 10,000 are read",
        SAME,
    ),
    (
        "datasets.separated:_require_name",
        lambda folder: table(folder, "facts.csv", "prompt,target\0"),
        (
            "FOLDER/facts.csv, line 1: the name 'target\\x00' of a field holds a control character; write another name into the "
            "first row"
        ),
        SAME,
    ),
    (
        "datasets.parquet_rows:_require_honest",
        expanding,
        "dataset.path=FOLDER/facts.parquet: its column 'a' holds <...> bytes in <...>; write it without compression",
        SAME,
    ),
    (
        "datasets.text_files:_wide_pieces",
        lambda folder: table(folder, "facts.csv", "a\n".encode("utf-16") + b"\0"),
        "FOLDER/facts.csv, line 2: not UTF-16 text: truncated data; save the file as UTF-8",
        SAME,
    ),
    (
        "datasets.selection:CaseReader.require_sound",
        lambda folder: CaseReader("facts", Facts(BAD[0]), CaseFilter()).cases(),
        ("facts.jsonl, line 2: the field 'target' is missing (--skip-malformed leaves such rows out and lists them)"),
        (
            "facts.jsonl, line 2: the field 'target' is missing (skip_malformed=True leaves such rows out "
            "and lists them)"
        ),
    ),
    (
        "datasets.rows:bad_rows",
        lambda folder: raised(bad_rows(Option("edits", "facts.jsonl"), BAD, WAY_OUT)),
        (
            "--edits facts.jsonl: 2 malformed rows (--skip-malformed leaves such rows out and lists "
            "them):\n  facts.jsonl, line 2: the field 'target' is missing\n  facts.jsonl, line 3: the field "
            "'target' is missing"
        ),
        (
            "edits='facts.jsonl': 2 malformed rows (skip_malformed=True leaves such rows out and lists "
            "them):\n  facts.jsonl, line 2: the field 'target' is missing\n  facts.jsonl, line 3: the field "
            "'target' is missing"
        ),
    ),
    (
        "datasets.selection:CaseReader._matching",
        lambda folder: CaseReader("facts", Facts(), CaseFilter(where={"source": "NQ"})).cases(),
        "--where source=NQ: no case of facts fits; tag 'source': known: none",
        "where={'source': 'NQ'}: no case of facts fits; tag 'source': known: none",
    ),
    (
        "datasets.selection:require_one_choice",
        lambda folder: require_one_choice(1, 2),
        "--limit takes the first cases and --sample draws some; give one of them",
        "limit takes the first cases and sample draws some; give one of them",
    ),
    (
        "datasets.selection:require_some",
        lambda folder: require_some("facts", []),
        "dataset facts: it holds no case",
        SAME,
    ),
    (
        "datasets.given:GivenFile.identity",
        lambda folder: GivenTexts(folder / "none.json", "editor.prefixes").identity(),
        "editor.prefixes=FOLDER/none.json: cannot be read (<...>)",
        SAME,
    ),
    (
        "datasets.rows:Row.answers",
        lambda folder: row(answer=[]).answers("answer"),
        "facts.jsonl, line 4: field 'answer': expected at least one answer, found []",
        SAME,
    ),
    (
        "datasets.rows:Row.whole_number",
        lambda folder: row(rank="first").whole_number("rank"),
        "facts.jsonl, line 4: field 'rank': expected a whole number, found 'first'",
        SAME,
    ),
    (
        "datasets.rows:Row.rows",
        lambda folder: row(probes="Rome?").rows("probes"),
        "facts.jsonl, line 4: field 'probes': expected a list of objects, found 'Rome?'",
        SAME,
    ),
    (
        "datasets.rows:Row._text",
        lambda folder: row(prompt=" ").text("prompt"),
        "facts.jsonl, line 4: field 'prompt': expected text that is not empty, found ' '",
        SAME,
    ),
    (
        "datasets.rows:Row._text",
        lambda folder: row(prompt="Rome \ud800").text("prompt"),
        ("facts.jsonl, line 4: field 'prompt': expected text made of whole characters, found 'Rome \\ud800'"),
        SAME,
    ),
    (
        "datasets.rows:Row._text",
        lambda folder: row(prompt="Rome\x1b[31m").text("prompt"),
        "facts.jsonl, line 4: field 'prompt': expected text without control characters, found 'Rome\\x1b[31m'",
        SAME,
    ),
    (
        "datasets.rows:Row.whole_number",
        lambda folder: row(rank=Unreadable("a whole number has 700 digits")).whole_number("rank"),
        "facts.jsonl, line 4: field 'rank': a whole number has 700 digits",
        SAME,
    ),
    (
        "datasets.given:GivenTexts.texts",
        lambda folder: given_texts(folder, "{").texts,
        "editor.prefixes=FOLDER/texts.json: cannot be read as JSON (<...>)",
        SAME,
    ),
    (
        "datasets.given:GivenTexts.texts",
        lambda folder: given_texts(folder, "[]").texts,
        (
            "editor.prefixes=FOLDER/texts.json: not a JSON object with entries; give a text for each "
            'request: {"PROMPT TARGET": "text", ...}'
        ),
        SAME,
    ),
    (
        "datasets.given:GivenTexts.texts",
        lambda folder: given_texts(folder, '{"Rome is in Peru": " "}').texts,
        "editor.prefixes=FOLDER/texts.json: the entry 'Rome is in Peru' holds no text",
        SAME,
    ),
    (
        "datasets.given:GivenTensors.require",
        lambda folder: require_two(given_tensors(folder, {})),
        "editor.masks=FOLDER/masks: it holds no tensor",
        SAME,
    ),
    (
        "datasets.given:GivenTensors.require",
        lambda folder: require_two(given_tensors(folder, {"Rome is in Peru": torch.ones(3)})),
        ("editor.masks=FOLDER/masks: the entry 'Rome is in Peru' has the shape [3], and this model needs [2]"),
        SAME,
    ),
    (
        "datasets.given:GivenTensors.require",
        lambda folder: require_two(given_tensors(folder, {"Rome is in Peru": torch.zeros(2)})),
        "editor.masks=FOLDER/masks: the entry 'Rome is in Peru' must hold positive numbers",
        SAME,
    ),
    (
        "datasets.given:GivenTensors._entries",
        lambda folder: require_two(GivenTensors(written(folder, "masks", "?"), "editor.masks")),
        "editor.masks=FOLDER/masks: cannot be read as safetensors (<...>)",
        SAME,
    ),
    (
        "datasets.given:GivenTensors._read",
        lambda folder: replaced_while_read(folder),
        "editor.masks=FOLDER/masks: the entry 'Rome is in Peru' cannot be read (<...>)",
        SAME,
    ),
    (
        "datasets.selection:CaseReader.examples",
        lambda folder: CaseReader("facts", Facts(), CaseFilter()).examples(2),
        "dataset facts: 2 examples are wanted and it holds 1 cases that fit",
        SAME,
    ),
    (
        "datasets.selection:CaseReader.require_sound",
        lambda folder: CaseReader("facts", Facts(*BAD), CaseFilter()).cases(),
        (
            "dataset facts: 2 malformed rows (--skip-malformed leaves such rows out and lists "
            "them):\n  facts.jsonl, line 2: the field 'target' is missing\n  facts.jsonl, line 3: the field "
            "'target' is missing"
        ),
        (
            "dataset facts: 2 malformed rows (skip_malformed=True leaves such rows out and lists "
            "them):\n  facts.jsonl, line 2: the field 'target' is missing\n  facts.jsonl, line 3: the field "
            "'target' is missing"
        ),
    ),
    (
        "datasets.selection:require_some",
        lambda folder: require_some("facts", [CASE, CASE]),
        "dataset facts: the case id '1' occurs 2 times",
        SAME,
    ),
    (
        "datasets.tables:_reader",
        lambda folder: read_table(TableParams(path=Path("facts.xls"))),
        (
            "dataset.path=facts.xls: the ending does not tell a format; known: .json, .jsonl, .ndjson, "
            ".csv, .tsv, .parquet"
        ),
        SAME,
    ),
    (
        "datasets.text_files:_not_utf8",
        lambda folder: table(folder, "facts.jsonl", b"{}\n\xff\n"),
        (
            "FOLDER/facts.jsonl, line 2: not UTF-8 text: invalid start byte at byte 0 of the line; byte 0xff is 'ÿ' in "
            "Windows-1252; save the file as UTF-8"
        ),
        SAME,
    ),
    (
        "datasets.tables:_rows_within",
        lambda folder: table(folder, "facts.json", "{}"),
        "FOLDER/facts.json: expected a JSON list of rows, found dict",
        SAME,
    ),
    (
        "datasets.separated:_header",
        lambda folder: table(folder, "facts.csv", 'a,"b'),
        "FOLDER/facts.csv, line 1: the columns' names cannot be told apart: <...>",
        SAME,
    ),
    (
        "datasets.separated:_header",
        lambda folder: table(folder, "facts.csv", "\n"),
        "FOLDER/facts.csv, line 1: expected the columns' names, found nothing",
        SAME,
    ),
    (
        "datasets.parquet_rows:unreadable",
        lambda folder: table(folder, "facts.parquet", "?"),
        "dataset.path=FOLDER/facts.parquet: cannot be read: <...>",
        SAME,
    ),
]

RUNS: list[Case] = [
    (
        "evaluation.checkpoints:Checkpoint.save",
        lambda folder: unwritable_sequence(folder),
        (
            "FOLDER/run/sequence.safetensors: cannot be written (<...>); make room, and go on with: "
            "wildcore eval --resume FOLDER/run"
        ),
        SAME,
    ),
    (
        "evaluation.checkpoints:Checkpoint.read",
        lambda folder: sequence_of_another_run(folder),
        (
            "FOLDER/other/sequence.safetensors: it belongs to another run; delete the file, and what it "
            "kept is made again"
        ),
        SAME,
    ),
    (
        "evaluation.checkpoints:Checkpoint._read",
        lambda folder: damaged_sequence(folder),
        (
            "FOLDER/run/sequence.safetensors: damaged, or not such a file (<...>); delete the file, and "
            "what it kept is made again"
        ),
        SAME,
    ),
    (
        "evaluation.checkpoints:read_patch_or_run",
        lambda folder: sequence_apart_from_its_run(folder),
        "FOLDER/moved.safetensors: it is read with the manifest.json of its run; give the run folder",
        SAME,
    ),
    (
        "evaluation.checkpoints:_require_finished",
        lambda folder: read_patch_or_run(run(folder, schedule="single").path),
        (
            "FOLDER/run: its edits were made and evaluated one by one, and none is kept; begin a run with "
            "--schedule batch or --schedule sequential, or make a patch with wildcore edit"
        ),
        (
            "FOLDER/run: its edits were made and evaluated one by one, and none is kept; begin a run with "
            "schedule='batch' or schedule='sequential', or make a patch with wildcore edit"
        ),
    ),
    (
        "evaluation.checkpoints:_require_finished",
        lambda folder: read_patch_or_run(run(folder, cases=2).path),
        (
            "FOLDER/run: the run is unfinished (0 of 2 cases evaluated); finish it with wildcore eval "
            "--resume FOLDER/run"
        ),
        SAME,
    ),
    (
        "evaluation.checkpoints:_sums",
        lambda folder: run_as_patch(folder, Louder()),
        (
            "FOLDER/run/sequence.safetensors: what e writes cannot become weights; wildcore show FOLDER/run "
            "shows how the run evaluated it, and wildcore eval --patch evaluates a patch of wildcore edit "
            "--editor e"
        ),
        SAME,
    ),
    (
        "evaluation.checkpoints:_sums",
        lambda folder: run_as_patch(folder, None),
        (
            "FOLDER/run/sequence.safetensors: none of its edits changed a weight; wildcore show FOLDER/run "
            "--edits shows them"
        ),
        SAME,
    ),
    (
        "evaluation.checkpoints:_sums",
        lambda folder: run_as_patch(folder, weights(float("inf"))),
        (
            "FOLDER/run/sequence.safetensors: the edits diverged (not finite); wildcore show FOLDER/run "
            "--edits shows them"
        ),
        SAME,
    ),
    (
        "evaluation.sequences:edit_on_top_of",
        lambda folder: edit_on_top_of(Hungry(), tiny(), [FACT, FACT], SequenceState(0)),
        (
            "out of memory while 2 edits were written in one update (CUDA out of memory); begin a run with "
            "fewer --edits-per-update, or with --dtype bfloat16"
        ),
        (
            "out of memory while 2 edits were written in one update (CUDA out of memory); begin a run with "
            "fewer edits_per_update, or with dtype='bfloat16'"
        ),
    ),
    (
        "storage.checked_rows:CheckedRows.opened",
        lambda folder: UneditedAnswers(written(folder, "cache", ""), tiny()),
        (
            "FOLDER/cache/unedited-answers: cannot be made (Not a directory); name another cache folder by "
            "WILDCORE_CACHE"
        ),
        SAME,
    ),
    (
        "storage.checked_rows:CheckedRows.opened",
        lambda folder: damaged_store_of_answers(folder),
        (
            "FOLDER/unedited-answers/<...>.sqlite: the kept answers of the unedited model cannot be used "
            "(file is not a database<...>); free some disk space, name another "
            "cache folder by WILDCORE_CACHE, or remove the file; they are then asked anew"
        ),
        SAME,
    ),
    (
        "records.run_folder:RunFolder.create",
        lambda folder: RunFolder.create(written(folder, "file", "") / "run", run(folder).manifest),
        "--out FOLDER/file/run: cannot be written (Not a directory); choose another folder",
        "out='FOLDER/file/run': cannot be written (Not a directory); choose another folder",
    ),
    (
        "records.run_folder:RunFolder.create",
        lambda folder: RunFolder.create(dangling(folder), run(folder, "other").manifest),
        "--out FOLDER/run: not an empty folder; choose another",
        "out='FOLDER/run': not an empty folder; choose another",
    ),
    (
        "records.run_folder:RunFolder.started",
        lambda folder: run(folder).started,
        "FOLDER/run/manifest.json: damaged: created: <...>",
        SAME,
    ),
    (
        "records.run_folder:RunFolder.finished",
        lambda folder: RunFolder.finished(run(folder, cases=2).path, print),
        ("FOLDER/run: unfinished, 0 of 2 cases done and not scored yet; go on with: wildcore eval --resume FOLDER/run"),
        SAME,
    ),
    (
        "records.run_folder:RunFolder.finished",
        lambda folder: cut_scores(folder),
        "FOLDER/run/scores.jsonl: lines are missing: 1 of 1; make it anew with: wildcore eval --resume FOLDER/run",
        SAME,
    ),
    (
        "records.run_folder:RunFolder.manifest",
        lambda folder: damaged_run(folder),
        "FOLDER/run/manifest.json: damaged: <...>",
        SAME,
    ),
    (
        "records.run_folder:RunFolder.manifest",
        lambda folder: changed_run(folder),
        (
            "FOLDER/run/manifest.json: damaged: its content is not what was saved; if you changed it on purpose, "
            "remove its field checksum"
        ),
        SAME,
    ),
    (
        "storage.links:require_no_link",
        lambda folder: linked_run(folder),
        "FOLDER/run/journal.jsonl: it is a link, and links are not followed here; put the file itself in its place, or remove it",
        SAME,
    ),
    (
        "storage.links:require_inside",
        lambda folder: cache_that_leads_out(folder),
        "FOLDER/cache/unedited-answers/<...>.sqlite: a link leads out of FOLDER/cache (FOLDER/other); remove the link; the "
        "files are made anew",
        SAME,
    ),
    (
        "storage.checked_rows:damaged_rows",
        lambda folder: damaged_rows(written(folder, "rows.sqlite", "no database")),
        (
            "FOLDER/rows.sqlite: damaged, or not a store of this cache (file is not a database); remove the file; its content "
            "is made anew"
        ),
        SAME,
    ),
    (
        "records.run_folder:RunFolder.locked",
        lambda folder: locked_twice(folder),
        "FOLDER/run: another process is working in this run",
        SAME,
    ),
    (
        "records.run_folder:RunFolder.locked",
        lambda folder: unlockable(folder),
        (
            "FOLDER/run/.lock: cannot be locked (Is a directory); a run that is worked on must lie where "
            "files can be written and locked"
        ),
        SAME,
    ),
    (
        "records.run_folder:RunFolder._written",
        lambda folder: unwritable_run(folder),
        (
            "FOLDER/run/scores.jsonl: cannot be written (Is a directory); the answers and earlier scores "
            "are kept; once it can be, go on with: wildcore eval --resume FOLDER/run"
        ),
        SAME,
    ),
    (
        "records.lines:read_lines",
        lambda folder: damaged_journal(folder),
        "FOLDER/run/journal.jsonl, line 1: case: <...>; make it anew with: wildcore eval --resume FOLDER/run",
        SAME,
    ),
    (
        "records.trace_files:_write",
        lambda folder: write_trace(written(folder, "traces", "") / "1.safetensors", {}, {}),
        ("FOLDER/traces/1.safetensors: the trace cannot be written (<...>); make room, or leave --trace out"),
        "FOLDER/traces/1.safetensors: the trace cannot be written (<...>); make room, or leave trace out",
    ),
    (
        "reporting.run:readable_manifest",
        lambda folder: readable_manifest(run(folder)),
        (
            "FOLDER/run/manifest.json: its identity does not say model.name, model.dtype, model.device, "
            "dataset.name, editor.name; it is damaged or of another version of wildcore, which can show the "
            "run"
        ),
        SAME,
    ),
]

JOBS: list[Case] = [
    (
        "jobs.spec:require_setting_name",
        lambda folder: parse_settings(["editor.layer"]),
        "--set editor.layer: write --set SECTION.PARAMETER=VALUE, such as --set editor.layer=5",
        (
            "settings['editor.layer']: write settings={'SECTION.PARAMETER': 'VALUE'}, such as "
            "settings={'editor.layer': 5}"
        ),
    ),
    (
        "jobs.spec:require_setting_name",
        lambda folder: parse_settings(["editr.layer=5"]),
        "--set editr.layer=5: unknown section 'editr'; did you mean 'editor'?",
        "settings['editr.layer=5']: unknown section 'editr'; did you mean 'editor'?",
    ),
    (
        "jobs.spec:refuse_unused_settings",
        lambda folder: refuse_unused_settings({"editor.layer": 1}, {"metric": {"f1"}}),
        "--set editor.layer: no editor takes part here; leave it out",
        "settings['editor.layer']: no editor takes part here; leave it out",
    ),
    (
        "jobs.spec:refuse_unused_settings",
        lambda folder: refuse_unused_settings({"metric.f2.x": 1}, {"metric": {"f1"}}),
        "--set metric.f2.x: this run uses no metric 'f2'; known: f1",
        "settings['metric.f2.x']: this run uses no metric 'f2'; known: f1",
    ),
    (
        "params:build",
        lambda folder: build(Needy, {}, Module("editor", "rome", "rome")),
        "editor rome (plugin rome): parameter 'rate' is missing; give it with --set editor.rate=VALUE",
        ("editor rome (plugin rome): parameter 'rate' is missing; give it with settings={'editor.rate': 'VALUE'}"),
    ),
    (
        "params:build",
        lambda folder: build(Needy, {"rat": 1, "rate": 1}, Module("editor", "rome", "rome")),
        "editor rome (plugin rome): unknown parameter 'rat'; did you mean 'rate'?",
        SAME,
    ),
    (
        "jobs.build:_as_published",
        lambda folder: _as_published(Needy(rate=1), Module("editor", "rome", "rome")),
        (
            "--as-published: editor rome (plugin rome) does not say how its published code differs from the "
            "default; leave --as-published out, and set its parameters one by one (--set "
            "editor.PARAMETER=VALUE)"
        ),
        (
            "as_published=True: editor rome (plugin rome) does not say how its published code differs from "
            "the default; leave as_published=True out, and set its parameters one by one "
            "(settings={'editor.PARAMETER': 'VALUE'})"
        ),
    ),
    (
        "params:EditorParams.for_model",
        lambda folder: EditorParams(layer=7).for_model(SHAPE),
        "editor.layer=7: the model has layers 0 to 1",
        SAME,
    ),
    (
        "registry:Registry._find",
        lambda folder: find_editor(Registry(), "rome"),
        "unknown editor 'rome'; known: none",
        SAME,
    ),
    (
        "interfaces:only_unicode",
        lambda folder: only_unicode("jieba"),
        "segmenter jieba: the segmenters of plugins are not known here",
        SAME,
    ),
    (
        "registry:load_registry",
        lambda folder: load_registry(["no-such-plugin-at-all"]),
        "--plugins: no plugin 'no-such-plugin-at-all' is installed; <...>",
        "plugins: no plugin 'no-such-plugin-at-all' is installed; <...>",
    ),
    (
        "jobs.protocols:ready_protocols",
        lambda folder: ready_protocols(Registry(), job(metrics=("f1", "f1")), [], None),
        "--metric: a metric is named twice",
        "metrics: a metric is named twice",
    ),
    (
        "jobs.prepare:_require_dataset",
        lambda folder: _require_dataset(job(), trains=True),
        "editor e is trained on edit cases; name some with --dataset NAME",
        "editor e is trained on edit cases; name some with dataset='NAME'",
    ),
    (
        "jobs.prepare:_require_dataset",
        lambda folder: _require_dataset(job(dataset="zsre"), trains=False),
        "--dataset zsre: editor e trains nothing; leave it out",
        "dataset='zsre': editor e trains nothing; leave it out",
    ),
    (
        "jobs.prepare:_require_dataset",
        lambda folder: _require_dataset(job(skip_malformed=True), trains=False),
        "--skip-malformed: it chooses cases of a dataset, and editor e trains nothing; leave it out",
        "skip_malformed: it chooses cases of a dataset, and editor e trains nothing; leave it out",
    ),
    (
        "evaluation.schedules:require_fitting_schedule",
        lambda folder: require_fitting_schedule("single", 3, None),
        (
            "--edits-per-update 3: single edits are written alone; leave it out, or choose --schedule batch "
            "or --schedule sequential"
        ),
        (
            "edits_per_update=3: single edits are written alone; leave it out, or choose schedule='batch' "
            "or schedule='sequential'"
        ),
    ),
    (
        "evaluation.schedules:require_fitting_schedule",
        lambda folder: require_fitting_schedule("batch", None, "p"),
        ("--schedule batch: cannot be combined with --patch, whose edits are already made; leave --schedule out"),
        ("schedule='batch': cannot be combined with patch, whose edits are already made; leave schedule out"),
    ),
    (
        "evaluation.schedules:require_fitting_schedule",
        lambda folder: require_fitting_schedule("batch", None, None, "each"),
        "--judge-at each: only a sequence has judging points; leave it out, or choose --schedule sequential",
        "judge_at='each': only a sequence has judging points; leave it out, or choose schedule='sequential'",
    ),
    (
        "evaluation.schedules:require_fitting_schedule",
        lambda folder: require_fitting_schedule("single", None, None, order=3),
        (
            "--edit-order 3: single edits do not depend on their order; leave it out, or choose --schedule batch or "
            "--schedule sequential"
        ),
        (
            "edit_order=3: single edits do not depend on their order; leave it out, or choose schedule='batch' or "
            "schedule='sequential'"
        ),
    ),
    (
        "evaluation.judging:JudgeAt.parse",
        lambda folder: JudgeAt.parse("now"),
        (
            "--judge-at now: not a choice of judging points; choose end, each, every:K, matrix, or numbers of edits such as "
            "1,10,100"
        ),
        (
            "judge_at='now': not a choice of judging points; choose end, each, every:K, matrix, or numbers of edits such as "
            "1,10,100"
        ),
    ),
    (
        "evaluation.judging:JudgeAt.require_ends_of_updates",
        lambda folder: JudgeAt.parse("20,30").require_ends_of_updates(20),
        "--judge-at 20,30: no update of 20 edits ends after 30 edits; choose multiples of 20",
        "judge_at='20,30': no update of 20 edits ends after 30 edits; choose multiples of 20",
    ),
    (
        "evaluation.sequences:SequenceRunner._say_size",
        lambda folder: SequenceRunner(None, None, None, None, "", print)._say_size(huge_checkpoint(folder)),
        (
            "FOLDER/sequence.safetensors: a checkpoint takes 1024.0 TiB, twice that while it is replaced; <...> are free; "
            "make room, or keep no checkpoint with --checkpoint-every never"
        ),
        (
            "FOLDER/sequence.safetensors: a checkpoint takes 1024.0 TiB, twice that while it is replaced; <...> are free; "
            "make room, or keep no checkpoint with checkpoint_every='never'"
        ),
    ),
    (
        "evaluation.measuring:ModelMeasurer.resume",
        lambda folder: measurer_of("now").resume(
            JudgingPointRecord(after_edits=0, resources={"words": {"of": "then"}})
        ),
        (
            "--resume: the model is measured on something else than before: words.of was 'then' and is now 'now'; restore what "
            "has changed, or begin a new run"
        ),
        (
            "resume: the model is measured on something else than before: words.of was 'then' and is now 'now'; restore what "
            "has changed, or begin a new run"
        ),
    ),
    (
        "jobs.tracking:tracking",
        lambda folder: tracked_by("one", "mine/one"),
        "--track: a tracker is named twice",
        "track: a tracker is named twice",
    ),
    (
        "tracking.process:TrackerProcess.require_ready",
        lambda folder: asking_tracker().require_ready(),
        "tracker one: the package sample cannot be imported; install it: pip install sample",
        SAME,
    ),
    (
        "jobs.build:chosen_measurements",
        lambda folder: chosen_measurements(Registry(), "sequential", "end", ("none", "perplexity")),
        "--measure: none cannot be combined with others",
        "measurements: none cannot be combined with others",
    ),
    (
        "jobs.build:chosen_measurements",
        lambda folder: chosen_measurements(Registry(), "single", "end", ("perplexity",)),
        (
            "--measure perplexity: a model is measured at the judging points of a sequence, or under a patch; leave it out, "
            "or choose "
            "--schedule sequential"
        ),
        (
            "measurements='perplexity': a model is measured at the judging points of a sequence, or under a patch; leave it out, "
            "or choose "
            "schedule='sequential'"
        ),
    ),
    (
        "reporting.ranking:goal",
        lambda folder: goal("wild.relia", [{("wild", "reliability", "m"): {"1": 1.0}}], {}),
        "--by wild.relia: no run has this number; choose one of wild.reliability",
        "by='wild.relia': no run has this number; choose one of wild.reliability",
    ),
    (
        "reporting.ranking:goal",
        lambda folder: goal("wild.reliability.n", [{("wild", "reliability", "m"): {"1": 1.0}}], {}),
        "--by wild.reliability.n: no run has this number; wild.reliability has the metrics m",
        "by='wild.reliability.n': no run has this number; wild.reliability has the metrics m",
    ),
    (
        "reporting.ranking:goal",
        lambda folder: goal("w.reliability", [{("w", "reliability", "m"): {"1": 3.0}}], {}),
        "--by w.reliability: not all its values are from 0 to 1, so whether more is better is unknown; no number can be ranked",
        "by='w.reliability': not all its values are from 0 to 1, so whether more is better is unknown; no number can be ranked",
    ),
    (
        "evaluation.failure_filter:first_metric",
        lambda folder: first_metric(SimpleNamespace(name="wild", metrics={}), Option("only_failures")),
        "--only-failures: protocol wild has no metric for reliability",
        "only_failures: protocol wild has no metric for reliability",
    ),
    (
        "jobs.resume:require_same",
        lambda folder: require_same(run_like(folder), {"seed": 1}, {"seed": 2}),
        "--resume FOLDER: not the same run: seed was 1 and is now 2",
        "resume='FOLDER': not the same run: seed was 1 and is now 2",
    ),
    (
        "jobs.protocol_files:_parse",
        lambda folder: read_protocol(written(folder, "mine.json", "{}")),
        "--protocol-file FOLDER/mine.json: the name must end in .toml, .yaml or .yml",
        "path='FOLDER/mine.json': the name must end in .toml, .yaml or .yml",
    ),
    (
        "jobs.audit:Auditor.audit",
        lambda folder: Auditor(registry(), AuditJob(dataset="none", protocols=()), PROGRESS).audit(),
        "dataset none: it holds no case",
        SAME,
    ),
    (
        "jobs.build:find_editor",
        lambda folder: find_editor(registry(), UNREGISTERED + "mine.Editor"),
        (
            "editor unregistered: mine.Editor: no plugin offers it, only the Python program that made it "
            "has it, so it cannot be found by name and its run cannot be resumed; run it again from there, "
            "or offer the class in a plugin"
        ),
        SAME,
    ),
    (
        "jobs.build:find_editor",
        lambda folder: find_editor(registry(), "e+t+t"),
        "editor e+t+t: the transform t is named twice; leave one out",
        SAME,
    ),
    (
        "jobs.build:_add_transforms",
        lambda folder: make_editor(registry(), EditJob(model="m", editor="e+t"), SHAPE),
        (
            "editor e (plugin stub): a method that is not closed-form takes no transforms; leave t out, or "
            "choose a closed-form editor"
        ),
        SAME,
    ),
    (
        "jobs.chat:chat_note",
        lambda folder: without_chat_template(),
        (
            "context chat: the tokenizer of tiny-llama has no chat template; choose another --context, or a "
            "model trained for chat"
        ),
        (
            "context chat: the tokenizer of tiny-llama has no chat template; choose another context, or a "
            "model trained for chat"
        ),
    ),
    (
        "jobs.edit:require_finite",
        lambda folder: require_finite(weights(float("inf")), "e"),
        "editor e: the edit diverged (not finite); nothing was written",
        SAME,
    ),
    (
        "jobs.edit:_read",
        lambda folder: read_for_editor(written(folder, "facts.jsonl", "{}"), Refusing(), skip_malformed=True),
        ("FOLDER/facts.jsonl, line 1: the field 'prompt' is missing; known: none (no row is left to be edited)"),
        SAME,
    ),
    (
        "jobs.edit:apply_patches",
        lambda folder: apply_patches(
            registry(), ModelChoice(model="m"), [patch_file(folder / "p"), folder / "p"], folder / "m", PROGRESS
        ),
        "FOLDER/p: that patch is given twice, and would be added twice; leave one of them out",
        SAME,
    ),
    (
        "jobs.edit:apply_patches",
        lambda folder: apply_patches(
            registry(),
            ModelChoice(model="m"),
            [patch_file(folder / "p"), patch_file(folder / "q", "float64")],
            folder / "m",
            PROGRESS,
        ),
        "FOLDER/p: the patches were made in different dtypes (float32, float64)",
        SAME,
    ),
    (
        "jobs.edit:_save",
        lambda folder: write_model(folder),
        "--out FOLDER/<...>: cannot be written (<...>); choose another place",
        "out='FOLDER/<...>': cannot be written (<...>); choose another place",
    ),
    (
        "jobs.eval:_failing",
        lambda folder: everything_known(folder),
        "--only-failures: the unedited model gets none of 1 cases wrong; nothing to edit",
        "only_failures: the unedited model gets none of 1 cases wrong; nothing to edit",
    ),
    (
        "jobs.protocol_files:read_protocol",
        lambda folder: read_protocol(written(folder, "p.yaml", "[]")),
        "--protocol-file FOLDER/p.yaml: expected the fields of a protocol, found list",
        "path='FOLDER/p.yaml': expected the fields of a protocol, found list",
    ),
    (
        "jobs.protocol_files:read_protocol",
        lambda folder: read_protocol(written(folder, "p.toml", "nme = 'p'")),
        (
            "--protocol-file FOLDER/p.toml: the field 'name' is missing; the field 'context' is missing; "
            "the field 'generator' is missing; the field 'truncator' is missing; the field 'metrics' is "
            "missing; unknown field 'nme'; did you mean 'name'?"
        ),
        (
            "path='FOLDER/p.toml': the field 'name' is missing; the field 'context' is missing; the field "
            "'generator' is missing; the field 'truncator' is missing; the field 'metrics' is missing; "
            "unknown field 'nme'; did you mean 'name'?"
        ),
    ),
    (
        "jobs.protocol_files:_parse",
        lambda folder: read_protocol(folder / "p.toml"),
        "--protocol-file FOLDER/p.toml: cannot be read: No such file or directory",
        "path='FOLDER/p.toml': cannot be read: No such file or directory",
    ),
    (
        "jobs.protocol_files:_parse",
        lambda folder: read_protocol(written(folder, "p.toml", b"\xff")),
        "--protocol-file FOLDER/p.toml: not UTF-8 text: invalid start byte at byte 0",
        "path='FOLDER/p.toml': not UTF-8 text: invalid start byte at byte 0",
    ),
    (
        "jobs.protocol_files:_parse",
        lambda folder: read_protocol(written(folder, "p.toml", "name =")),
        "--protocol-file FOLDER/p.toml: <...>",
        "path='FOLDER/p.toml': <...>",
    ),
    (
        "jobs.protocols:ready_protocols",
        lambda folder: ready_protocols(registry(), job(protocols=("p", "stub/p")), {}, None),
        "--protocol stub/p: it is named twice",
        "protocols='stub/p': it is named twice",
    ),
    (
        "jobs.protocols:added_metrics",
        lambda folder: added_metrics(registry(), ["m", "stub/m"], {}),
        "metric m: it is added twice",
        SAME,
    ),
    (
        "jobs.spec:parse_settings",
        lambda folder: parse_settings(["editor.layer=1", "editor.layer=2"]),
        "--set editor.layer=2: editor.layer is set twice",
        "settings['editor.layer=2']: editor.layer is set twice",
    ),
    (
        "jobs.spec:parse_settings",
        lambda folder: parse_settings(["editor.layer=[1"]),
        "--set 'editor.layer=[1': the value cannot be used: <...>",
        "settings['editor.layer=[1']: the value cannot be used: <...>",
    ),
    (
        "jobs.spec:settings_for",
        lambda folder: settings_for({"metric.f1.aliases": 1, "metric.f.aliases": 2}, "metric", ["f1", "f"]),
        "--set metric.f.aliases: aliases is set under another name of this metric too; leave one out",
        ("settings['metric.f.aliases']: aliases is set under another name of this metric too; leave one out"),
    ),
    (
        "params:EditorParams._of_layers",
        lambda folder: EditorParams()._of_layers((2, 1), SHAPE),
        "editor.layers=[2, 1]: name at least one layer, in ascending order, each once",
        SAME,
    ),
    (
        "params:EditorParams._of_layers",
        lambda folder: EditorParams()._of_layers((1, 2), SHAPE),
        "editor.layers=[1, 2]: the model has layers 0 to 1",
        SAME,
    ),
    (
        "params:EditorParams._of_layers",
        lambda folder: EditorParams(layer=0)._of_layers((0, 1), SHAPE),
        "editor.layer=0: the last of editor.layers=[0, 1] is another; leave one of them out",
        SAME,
    ),
    (
        "params:EditorParams._preset",
        lambda folder: EditorParams(preset="gpt").for_model(SHAPE),
        "editor.preset=gpt: no such preset; known: none",
        SAME,
    ),
    (
        "registry:Registry.add_protocols",
        lambda folder: registry().add_protocols([protocol()]),
        ("--protocol-file: 'p' is the name of a protocol of stub; a changed protocol needs a name of its own"),
        "protocols: 'p' is the name of a protocol of stub; a changed protocol needs a name of its own",
    ),
    (
        "registry:Registry._find",
        lambda folder: two_plugins().find("editor", "e"),
        "editor 'e' is offered by several plugins; ask for other/e or stub/e",
        SAME,
    ),
    ("registry:Registry._find", lambda folder: registry().find("editor", "f"), "unknown editor 'f'; known: e", SAME),
]

FILES: list[Case] = [
    (
        "records.run_folder:require_free",
        lambda folder: require_free(written(folder, "taken", "").parent),
        "--out FOLDER: not an empty folder; choose another",
        "out='FOLDER': not an empty folder; choose another",
    ),
    (
        "records.run_folder:require_free",
        lambda folder: require_free(run(folder).path),
        (
            "--out FOLDER/run: not an empty folder; choose another, or resume the run in it: wildcore eval "
            "--resume FOLDER/run"
        ),
        (
            "out='FOLDER/run': not an empty folder; choose another, or resume the run in it: wildcore eval "
            "--resume FOLDER/run"
        ),
    ),
    (
        "patches.files:require_new",
        lambda folder: require_new(folder),
        "--out FOLDER: already exists; choose another name",
        "out='FOLDER': already exists; choose another name",
    ),
    (
        "patches.files:require_new",
        lambda folder: require_new(folder / "a" / "p"),
        "--out FOLDER/a/p: there is no folder FOLDER/a; make it first",
        "out='FOLDER/a/p': there is no folder FOLDER/a; make it first",
    ),
    (
        "records.run_folder:RunFolder.open",
        lambda folder: RunFolder.open(folder),
        "FOLDER: not a run folder (no manifest.json in it)",
        SAME,
    ),
    ("patches.files:read_patch", lambda folder: read_patch(folder / "p"), "FOLDER/p: no such file", SAME),
    (
        "patches.files:write_patch",
        lambda folder: write_patch(folder / ("p" * 250), weights(1.0), manifest_of_patch()),
        "--out FOLDER/<...>: cannot be written (<...>); choose another place",
        "out='FOLDER/<...>': cannot be written (<...>); choose another place",
    ),
    (
        "patches.files:require_savable",
        lambda folder: require_savable(SimpleNamespace()),
        "this method's patches (SimpleNamespace) can neither be weights nor be kept in a file",
        SAME,
    ),
    (
        "patches.files:require_new",
        lambda folder: read_only_folder(folder),
        "--out FOLDER/p: nothing can be written there (Read-only file system); choose another place",
        "out='FOLDER/p': nothing can be written there (Read-only file system); choose another place",
    ),
    (
        "patches.files:PatchFile.weights",
        lambda folder: PatchFile(folder / "p", manifest_of_patch(facts={}), {}, "").weights(),
        (
            "FOLDER/p: what e changes cannot become weights; wildcore eval --patch evaluates it, and "
            "wildcore.api.open_patch applies it in Python"
        ),
        SAME,
    ),
    (
        "patches.files:editor_read_errors",
        lambda folder: unreadable_for_its_editor(folder),
        (
            "FOLDER/p: its editor cannot read it back (KeyError: 'factor'); another version of the editor "
            "may have written it; make the patch again"
        ),
        SAME,
    ),
    (
        "patches.files:read_patch",
        lambda folder: read_patch(foreign_safetensors(folder / "p")),
        "FOLDER/p: a safetensors file, but no patch; wildcore edit writes those",
        SAME,
    ),
    (
        "patches.files:read_patch",
        lambda folder: read_patch(written(folder, "p", "?")),
        "FOLDER/p: damaged, or not a patch file (<...>); make the patch again",
        SAME,
    ),
    (
        "patches.fitting:changes_in",
        lambda folder: read_patch(
            raw_patch(folder / "p", {"m:left": torch.ones(1)}, manifest_of_patch().model_dump_json())
        ),
        "FOLDER/p: damaged: the change of m is not whole; make the patch again",
        SAME,
    ),
    (
        "models.template_limits:rendered_within_limits",
        lambda folder: rendered_within_limits(lambda: "", "{{ 9 ** 9 }}", "the chat template"),
        "the chat template computes powers (**), which may take any time; take the tokenizer of the model's authors",
        SAME,
    ),
    (
        "models.finiteness:require_finite_logits",
        lambda folder: require_finite_logits(not_finite()),
        "--model tiny-llama: the unedited model's logits are not finite, at dtype float32 (its weight "
        "model.layers.1.mlp.down_proj.weight is not finite); take a model whose weights are sound",
        "model='tiny-llama': the unedited model's logits are not finite, at dtype float32 (its weight "
        "model.layers.1.mlp.down_proj.weight is not finite); take a model whose weights are sound",
    ),
    (
        "patches.fitting:require_fitting",
        lambda folder: require_fitting(folder / "p", WeightPatch({"m": Dense(torch.ones(2, 2))}), tiny()),
        "FOLDER/p: tiny-llama has no linear map 'm', so it cannot be applied; make the patch again",
        SAME,
    ),
    (
        "patches.fitting:require_read_back",
        lambda folder: require_read_back(
            folder / "p", SimpleNamespace(describe=lambda: {"finite": False}), Saved({}, {}), tiny()
        ),
        "FOLDER/p: it is not finite, so it cannot be applied; make the patch again",
        SAME,
    ),
    (
        "patches.files:write_patch",
        lambda folder: write_patch(folder / "p", weights(1.0), manifest_of_patch(requests=(FACT, FACT))),
        "--out FOLDER/p: fact 2 repeats fact 1; leave it out",
        "out='FOLDER/p': fact 2 repeats fact 1; leave it out",
    ),
    (
        "patches.files:read_patch",
        lambda folder: read_patch(
            raw_patch(
                folder / "p", {"m:left": torch.ones(1)}, manifest_of_patch(requests=(FACT, FACT)).model_dump_json()
            )
        ),
        "FOLDER/p: damaged: fact 2 repeats fact 1; make the patch again",
        SAME,
    ),
    (
        "jobs.edit:_require_finite_weights",
        lambda folder: beyond_the_range(folder),
        "FOLDER/p: with the change, the weight of model.layers.0.mlp.down_proj is beyond the range of float16; nothing was "
        "written",
        SAME,
    ),
    (
        "patches.files:_manifest",
        lambda folder: read_patch(raw_patch(folder / "p", {}, '{"schema_number": 2}')),
        "FOLDER/p: its manifest is damaged at created; make the patch again",
        SAME,
    ),
    (
        "patches.files:require_same_model",
        lambda folder: other_model(folder),
        (
            "FOLDER/p: made for tiny-llama (fingerprint 0, not <...>) and cannot be applied to tiny-llama; "
            "name that model (--model tiny-llama)"
        ),
        (
            "FOLDER/p: made for tiny-llama (fingerprint 0, not <...>) and cannot be applied to tiny-llama; "
            "name that model (model='tiny-llama')"
        ),
    ),
    (
        "patches.files:require_same_model",
        lambda folder: other_model(folder, dtype="float64"),
        (
            "FOLDER/p: made for tiny-llama (dtype float64, not float32; fingerprint 0, not <...>) and "
            "cannot be applied to tiny-llama; load the model in that dtype (--dtype float64)"
        ),
        (
            "FOLDER/p: made for tiny-llama (dtype float64, not float32; fingerprint 0, not <...>) and "
            "cannot be applied to tiny-llama; load the model in that dtype (dtype='float64')"
        ),
    ),
    (
        "storage.manifests:read_versioned",
        lambda folder: read_versioned(
            folder / "manifest.json", '{"schema_number": 9}', FrozenData, (1, 2), "delete the file"
        ),
        "FOLDER/manifest.json: schema 9, and this wildcore reads schemas 1 and 2; delete the file",
        SAME,
    ),
    (
        "storage.artifacts:Artifact.save",
        lambda folder: unwritable_cache(folder),
        (
            "FOLDER/prepared/test/<...>.safetensors: cannot be written (<...>); make room, or name another "
            "folder by $WILDCORE_CACHE"
        ),
        SAME,
    ),
    (
        "storage.artifacts:Artifact.load",
        lambda folder: content_under_another_name(folder),
        (
            "FOLDER/prepared/test/<...>.safetensors: it holds something else than its name says; delete the "
            "file and run again"
        ),
        SAME,
    ),
    (
        "storage.artifacts:_readable",
        lambda folder: read_manifest(damaged_artifact(folder, b"?")),
        (
            "FOLDER/prepared/test/<...>.safetensors: damaged, or not a prepared file (<...>); delete the "
            "file and run again"
        ),
        SAME,
    ),
    (
        "storage.artifacts:_readable",
        lambda folder: read_manifest(new_folder(folder / "x.safetensors")),
        "FOLDER/x.safetensors: cannot be read (<...>); delete the file and run again",
        SAME,
    ),
    (
        "storage.artifacts:_manifest",
        lambda folder: read_manifest(foreign_safetensors(folder / "x.safetensors")),
        (
            "FOLDER/x.safetensors: damaged, or not a prepared file (its metadata have no "
            "wildcore-prepared); delete the file and run again"
        ),
        SAME,
    ),
    (
        "storage.artifact_entries:remove",
        lambda folder: unremovable(folder),
        "FOLDER/kept: cannot be removed (<...>)",
        SAME,
    ),
]


def adapter_folder(folder: Path, config: str | None = None, name: str = "adapter", weights: bool = True) -> Path:
    """Return a folder that holds an adapter, for a base model beside it that is not there."""
    new_folder(folder / name)
    written(
        folder / name, "adapter_config.json", config or '{"peft_type": "LORA", "base_model_name_or_path": "./gone"}'
    )
    if weights:
        save_file({"lora": torch.ones(1)}, folder / name / "adapter_model.safetensors")
    return folder / name


def merged(folder: Path, **chosen: Any) -> LoadedModel:
    return load_model(ModelRequest(str(folder), merge_adapter=True, **chosen), load_registry([]).families)


def with_adapter(folder: Path) -> Path:
    """Return a whole model with an adapter beside it."""
    whole = model_folder(folder)
    written(whole, "adapter_config.json", "{}")
    return whole


def without_peft() -> None:
    with patch("wildcore.models.adapters.find_spec", return_value=None):
        require_peft("m")


def an_adapter(folder: Path) -> Adapter:
    return Adapter(folder, "LORA", "b")


def with_templates(templates: Any, template: str | None = None, **arguments: Any) -> None:
    model = tiny_model("llama")
    model.tokenizer.chat_template = templates
    render_chat(model, [{"role": "user", "content": "q"}], template, arguments)


def unreadable_template() -> None:
    model = tiny_model("llama")
    model.tokenizer.add_tokens(["[Q]"])
    model.tokenizer.chat_template = "[Q]"
    asked = SimpleNamespace(render=lambda question, model: Prompt(text="[Q]", separator="", special_tokens=False))
    ready = replace(plain_protocol(Greedy(1)), asks_in_chat=True, context=asked)
    chat_note(registry(), [ready], model)


def wrong_family(**parts: str) -> None:
    model = tiny()
    require_editable(model.network, replace(model.family, **parts), "m")


def codes() -> None:
    model = tiny_model("llama")
    weight = model.mlp_output(0).module.weight
    model.mlp_output(0).module.weight = torch.nn.Parameter(weight.to(torch.int8), requires_grad=False)
    require_editable(model.network, model.family, "m")


def without_embedding_for_a_token() -> None:
    model = tiny_model("llama")
    model.tokenizer.add_tokens(["Brightwater"])
    guard_embedding(model.network, model.tokenizer)
    model.network(torch.tensor([[model.embeddings]]))


def not_saved(folder: Path) -> None:
    model = replace(tiny_model("llama"), request=ModelRequest(str(TINY)))
    with patch.object(type(model.network), "save_pretrained", side_effect=RuntimeError("shared tensors")):
        save_model(model, folder / "out", PROGRESS)


def of_model(site: str, call: Callable[[Path], Any], name: str, rest: str, rest_in_python: str | None = None) -> Case:
    """Return the case of an error about a model."""
    return site, call, f"--model {name}: {rest}", f"model='{name}': {rest_in_python or rest}"


FOUND_IN_FOLDERS: list[Case] = [
    of_model(
        "models.loading:_require_small_files",
        lambda folder: load(model_folder(folder, generation_config="[" * 100_000)),
        "FOLDER/model",
        "its generation_config.json cannot be read: nested too deeply: more than 64 levels",
    ),
    of_model(
        "models.reading:require_dequantising",
        lambda folder: require_dequantising(Quantisation("gptq", 4), "m"),
        "m",
        "its weights are quantised (quant_method gptq, 4 bits), and transformers cannot turn them back into the ordinary weights "
        "that an edit changes; take the model that was quantised, which its card names",
    ),
    of_model(
        "models.sources:gguf_name",
        lambda folder: load([written(folder, f"{name}.gguf", "").parent for name in "ab"].pop()),
        "FOLDER",
        "it holds several GGUF files (a.gguf, b.gguf); name one: --model FOLDER/a.gguf",
        "it holds several GGUF files (a.gguf, b.gguf); name one: model='FOLDER/a.gguf'",
    ),
    of_model(
        "models.sources:gguf_name",
        lambda folder: load(written(folder, "a-00001-of-00002.gguf", "")),
        "FOLDER/a-00001-of-00002.gguf",
        "a-00001-of-00002.gguf is one part of a model, and parts are not read; join them with the program llama-gguf-split of "
        "llama.cpp",
    ),
    of_model(
        "models.sources:read_adapter",
        lambda folder: load(adapter_folder(folder, "{")),
        "FOLDER/adapter",
        "its adapter_config.json cannot be read: <...>",
    ),
    of_model(
        "models.sources:read_adapter",
        lambda folder: load(adapter_folder(folder, '{"peft_type": "LORA", "base_model_name_or_path": ""}')),
        "FOLDER/adapter",
        "its adapter_config.json names no base model; write the base model's folder or hub name into it as "
        "base_model_name_or_path",
    ),
    of_model(
        "models.sources:require_merging",
        lambda folder: require_merging(an_adapter(folder), ModelRequest("m")),
        "m",
        "it holds an adapter (LORA) for the base model b, not a whole model; --merge-adapter merges it into the base model while "
        "loading",
        "it holds an adapter (LORA) for the base model b, not a whole model; merge_adapter=True merges it into the base model "
        "while loading",
    ),
    (
        "models.sources:require_merging",
        lambda folder: require_merging(
            an_adapter(folder), ModelRequest(str(folder), revision="v1", merge_adapter=True)
        ),
        "--revision v1: FOLDER is a local folder, which has no revisions",
        "revision='v1': FOLDER is a local folder, which has no revisions",
    ),
    of_model(
        "models.sources:require_merging",
        lambda folder: require_merging(an_adapter(folder), ModelRequest("m", merge_adapter=True)),
        "m",
        "it holds an adapter (LORA) for the base model b, not a whole model, and has no adapter_model.safetensors; save it by "
        "save_pretrained of a newer peft; a pickled adapter_model.bin can run code and is not loaded",
    ),
    of_model(
        "models.loading:_nothing_to_merge",
        lambda folder: merged(model_folder(folder)),
        "FOLDER/model",
        "it holds no adapter (adapter_config.json); leave --merge-adapter out",
        "it holds no adapter (adapter_config.json); leave merge_adapter=True out",
    ),
    of_model(
        "models.loading:_nothing_to_merge",
        lambda folder: merged(with_adapter(folder)),
        "FOLDER/model",
        "the folder holds a whole model beside the adapter, so it is not clear which weights are meant; leave --merge-adapter "
        "out to use the whole model, or move the adapter_* files into a folder of their own",
        "the folder holds a whole model beside the adapter, so it is not clear which weights are meant; leave "
        "merge_adapter=True out to use the whole model, or move the adapter_* files into a folder of their own",
    ),
    of_model(
        "models.adapters:require_peft",
        lambda folder: without_peft(),
        "m",
        "<...>needs the package peft; pip install peft",
    ),
    of_model(
        "models.checks:_wrong_family",
        lambda folder: wrong_family(layers="no.layers"),
        "m",
        "its network does not have the modules that the family llama names (<...>); the plugin that offers the family must name "
        "them as they are",
    ),
    of_model(
        "models.checks:require_editable",
        lambda folder: wrong_family(final_norm="no.norm"),
        "m",
        "its network does not have the modules that the family llama names (<...>); the plugin that offers the family must name "
        "them as they are",
    ),
    of_model(
        "models.checks:require_editable",
        lambda folder: wrong_family(mlp_output="mlp.c_proj"),
        "m",
        "its network does not have the modules that the family llama names (no layer has mlp.c_proj); the plugin that offers the "
        "family must name them as they are",
    ),
    of_model(
        "models.checks:require_editable",
        lambda folder: codes(),
        "m",
        "model.layers.0.mlp.down_proj holds codes (int8), not numbers, so an edit would not change what the network computes; "
        "take the model with ordinary weights",
    ),
    (
        "models.checks:guard_embedding.refuse",
        lambda folder: without_embedding_for_a_token(),
        "its token 'Brightwater' (<...>) has no embedding: the network has <...>, and its tokenizer does not fit it",
        SAME,
    ),
    (
        "models.chat:template_text",
        lambda folder: with_templates(None),
        "the tokenizer of tiny-llama has no chat template",
        SAME,
    ),
    (
        "models.chat:template_text",
        lambda folder: with_templates("x", "brief"),
        "the tokenizer of tiny-llama has one chat template, which has no name; leave 'brief' out",
        SAME,
    ),
    (
        "models.chat:template_text",
        lambda folder: with_templates({"default": "x"}, "brief"),
        "the tokenizer of tiny-llama has no template 'brief'; choose one of default",
        SAME,
    ),
    (
        "models.chat:render_chat",
        lambda folder: with_templates("x", think=True),
        "the chat template of tiny-llama reads no argument 'think'; known: none",
        SAME,
    ),
    (
        "jobs.chat:_require_readable",
        lambda folder: unreadable_template(),
        "context <...>: the chat template of tiny-llama cannot be read: its token '[Q]' (<...>; choose another --context, or "
        "take the tokenizer that belongs to the network",
        "context <...>: the chat template of tiny-llama cannot be read: its token '[Q]' (<...>; choose another context, or "
        "take the tokenizer that belongs to the network",
    ),
    (
        "jobs.edit:_save",
        lambda folder: not_saved(folder),
        "--out FOLDER/out: transformers cannot save this model (RuntimeError: shared tensors); the patch itself is unchanged; "
        "wildcore eval --patch evaluates it without saving a model",
        "out='FOLDER/out': transformers cannot save this model (RuntimeError: shared tensors); the patch itself is unchanged; "
        "wildcore eval --patch evaluates it without saving a model",
    ),
    (
        "patches.files:require_new",
        lambda folder: require_new(written(folder, "file", "") / "patch"),
        "--out FOLDER/file/patch: FOLDER/file is a file, not a folder; choose another place",
        "out='FOLDER/file/patch': FOLDER/file is a file, not a folder; choose another place",
    ),
]
if find_spec("peft"):
    FOUND_IN_FOLDERS += [
        of_model(
            "models.loading:find_files",
            lambda folder: merged(adapter_folder(folder)),
            "FOLDER/adapter",
            "its base model ./gone: no such folder; download the base model, and write its folder into "
            "FOLDER/adapter/adapter_config.json as base_model_name_or_path",
        ),
        of_model(
            "models.loading:find_files",
            lambda folder: merged(
                adapter_folder(
                    adapter_folder(folder, name="base").parent,
                    '{"peft_type": "LORA", "base_model_name_or_path": "../base"}',
                )
            ),
            "FOLDER/adapter",
            "its base model ../base is an adapter too; merge that one first",
        ),
        of_model(
            "models.adapters:_unfit",
            lambda folder: merge(tiny_model("llama").network, Adapter(adapter_folder(folder), "LORA", "b"), "m"),
            "m",
            "its adapter (LORA) cannot be merged into b: <...>; see whether base_model_name_or_path in its adapter_config.json "
            "names the model that it was trained on",
        ),
    ]


CASES = [*API, *COMMANDS, *MODELS, *FOUND_IN_FOLDERS, *DATA, *RUNS, *JOBS, *FILES]
NUMBERED = [pytest.param(number, id=f"{number}-{case[0]}") for number, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> Caught:
    """A function that returns the error of a case and the folder of its files; each case is caused once."""
    return causing([case[1] for case in CASES], MAKERS, tmp_path_factory)


@pytest.mark.parametrize("number", NUMBERED)
def test_an_error_names_things_as_its_user_does(number: int, caught: Caught) -> None:
    _, _, on_command_line, in_python = CASES[number]
    error, folder = caught(number)
    for naming, expected in ((COMMAND_LINE, on_command_line), (PYTHON, in_python or on_command_line)):
        if expected != NOT_THERE:
            assert_shown(error.rendered(naming).replace(str(folder), "FOLDER"), expected)


@pytest.mark.parametrize("number", NUMBERED)
def test_an_error_is_made_where_its_case_says(number: int, caught: Caught) -> None:
    assert CASES[number][0] in {site.name for site in reached(caught(number)[0], SITES)}


def test_every_place_that_makes_an_error_has_a_case(caught: Caught) -> None:
    caused = {site for number in range(len(CASES)) for site in reached(caught(number)[0], SITES)}
    assert len(SITES) > 150
    assert [str(site) for site in SITES if site not in caused] == []
