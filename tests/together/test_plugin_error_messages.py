"""The errors that a user of the plugins can cause: where the code makes each, and how the command line and Python show it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import copy, deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from wildcore_agreement.command import _chosen, _compared, _named, _write_sheet
from wildcore_agreement.verdicts import find_label
from wildcore_alphaedit.editor import AlphaEdit
from wildcore_alphaedit.null_space import Spectrum
from wildcore_alphaedit.parameters import AlphaEditParams
from wildcore_bertscore.baseline import baseline
from wildcore_bertscore.encoder import find_encoder, load_encoder
from wildcore_collapse.texts import read_prompts, read_texts
from wildcore_counterfact.dataset import _filled
from wildcore_emmet.solve import written_together
from wildcore_ike.pool import read_pool
from wildcore_judge.key import read_key
from wildcore_judge.labels import _label, read_labels
from wildcore_judge.local import LocalJudge
from wildcore_judge.metric import make_judge
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.prompt import read_prompt
from wildcore_judge.server import ServerJudge, checked_url
from wildcore_judge.store import open_store
from wildcore_keyvalue.corpus import open_corpus
from wildcore_keyvalue.moment_source import MomentSource, read_moments
from wildcore_keyvalue.moments import _place, _require_usable
from wildcore_keyvalue.parameters import KeyValueParams
from wildcore_keyvalue.prefixes import read_prefixes
from wildcore_keyvalue.solver import MomentSolver
from wildcore_leaderboard.build import _read_runs, _require_site
from wildcore_leaderboard.facts import dataset_reader
from wildcore_leaderboard.hub import require_repository_name, send
from wildcore_leaderboard.model_results import model_card, require_model_folder, require_one_model
from wildcore_leaderboard.publish_command import _require_private, _write_card
from wildcore_leaderboard.runs import find_runs as find_site_runs
from wildcore_leaderboard.runs import read_run
from wildcore_lm_eval.language_model import EditedModel
from wildcore_lm_eval.measurement import LmEval
from wildcore_lm_eval.parameters import LmEvalParams
from wildcore_lm_eval.quiet import hub_code_refused
from wildcore_lm_eval.tasks import load_tasks
from wildcore_lora.modules import _paths
from wildcore_lora.parameters import LoraParams
from wildcore_mend.editor import Mend
from wildcore_mend.examples import examples, hash_of
from wildcore_mend.losses import Losses
from wildcore_mend.parameters import MendParams
from wildcore_mend.store import find, find_again, place_for
from wildcore_mend.training import Training
from wildcore_mlflow.parameters import MlflowParams
from wildcore_mlflow.tracker import Mlflow
from wildcore_norm_anchor.facts import read_facts
from wildcore_norm_anchor.parameters import NormAnchorParams
from wildcore_norm_anchor.reference import measured_norm
from wildcore_prompting.contexts import FewShot
from wildcore_prompting.parameters import FewShotParams, _from
from wildcore_prompting.parameters import _read as read_examples
from wildcore_ray.actor import CellActor
from wildcore_ray.cluster import _require_reachable, connected, import_ray
from wildcore_ray.executor import Crew
from wildcore_ray.executor import Slot as RaySlot
from wildcore_ray.parameters import RayParams
from wildcore_report.building import Report
from wildcore_report.finding import find_runs
from wildcore_report.live import LiveReport, find_all
from wildcore_report.payload import Summary
from wildcore_report.server import ReportServer
from wildcore_report.writing import require_free_for_figures, require_writable, write_figures, write_page
from wildcore_retrieval.embeddings import _load
from wildcore_retrieval.parameters import RetrieverParams
from wildcore_retrieval.retrievers import make_retriever, retriever_of_patch
from wildcore_segmenters.dictionaries import _installed
from wildcore_slurm.executor import SubmititExecutor, Submitter, import_submitit
from wildcore_slurm.parameters import SubmititParams
from wildcore_study.choices import PresetChoice, chosen_study
from wildcore_study.commands import choice_of
from wildcore_study.cost import Cost, require_room, require_time
from wildcore_study.definition import grid, read_study
from wildcore_study.execution import devices_of
from wildcore_study.folder import StudyFolder, require_folder
from wildcore_study.gathering import _layout_of, gathered
from wildcore_study.local import LocalExecutor
from wildcore_study.planning import StudyPlan, plan_study
from wildcore_study.presets import read_preset
from wildcore_study.script_command import script
from wildcore_study.worker import require_same_device, require_unchanged
from wildcore_table import MappedTableParams
from wildcore_table.dataset import MappedTable
from wildcore_table.shapes import case_maker
from wildcore_tensorboard.parameters import TensorBoardParams
from wildcore_tensorboard.tracker import TensorBoard
from wildcore_trackio.parameters import TrackioParams
from wildcore_trackio.tracker import Trackio
from wildcore_ultraedit.editor import UltraEdit
from wildcore_ultraedit.parameters import UltraEditParams
from wildcore_wandb.parameters import WandbParams
from wildcore_wandb.tracker import Wandb
from wildcore_wild.contexts import Chat
from wildcore_wild.parameters import ChatParams
from wildcore_wise.activity import activation_of
from wildcore_wise.editor import documents
from wildcore_wise.parameters import WiseParams

import wildcore
import wildcore.testing
from wildcore import NO_PROGRESS, EditCase, EditRequest, Malformed, ModelShape, Probe, Saved, UserError
from wildcore.api.naming import PYTHON
from wildcore.cli.naming import COMMAND_LINE
from wildcore.datasets import Row
from wildcore.models import LoadedModel
from wildcore.registry import load_registry
from wildcore.reporting.console import Reporter
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.error_cases import Caught, assert_shown, causing
from wildcore.testing.networks import tiny_model
from wildcore.testing.raise_sites import makers, reached, sites

PLUGINS = [
    Path(str(find_spec(path.parent.name).origin)).parent  # type: ignore[union-attr]
    for path in sorted((Path(__file__).parents[2] / "plugins").glob("*/src/*/__init__.py"))
]
"""The folders from which the plugins are imported, which are others where they are installed from wheels."""
CORE = Path(wildcore.__file__).parent
MAKERS = makers([CORE, *PLUGINS])
SITES = {package.name: sites(package, MAKERS) for package in (CORE, *PLUGINS)}

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
SHAPE = ModelShape("llama", 6, 8, 100)
FACT = EditRequest(prompt="Rome is in", target="Peru")
CASE = EditCase(id="1", request=FACT, probes=(Probe(kind="reliability", prompt=FACT.prompt, answers=(FACT.target,)),))


@cache
def tiny() -> LoadedModel:
    return tiny_model("llama")


def chatting(template: str) -> Any:
    """Return the tiny model with a chat template."""
    model = copy(tiny())
    model.tokenizer = copy(model.tokenizer)
    model.tokenizer.chat_template = template
    return model


def written(folder: Path, name: str, text: str | bytes) -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def sheet(file: Path) -> None:
    run: Any = SimpleNamespace()
    _write_sheet(run, run, file)


def unsendable_key() -> None:
    with patch.dict("os.environ", {"MY_KEY": "two words"}):
        read_key("MY_KEY", needed=True)


def other_server_in_the_environment(folder: Path) -> None:
    with patch.dict("os.environ", {"OPENAI_BASE_URL": "http://localhost"}):
        ServerJudge(JudgeParams(model="m")).prepare(quiet_environment(folder))


def damaged_verdicts(folder: Path) -> None:
    (folder / "judge").mkdir()
    written(folder / "judge", "verdicts.sqlite", "no database")
    with open_store(folder, {}, "1"):
        pass


def no_place_for_verdicts(folder: Path) -> None:
    written(folder, "judge", "a file")
    with open_store(folder, {}, "1"):
        pass


def corpus_out_of_reach() -> None:
    with patch("datasets.load_dataset", side_effect=ValueError("no such dataset")):
        list(open_corpus("hub:owner/name").documents())


def text_out_of_reach() -> None:
    with patch("datasets.load_dataset", side_effect=ValueError("no such dataset")):
        read_texts("hub:owner/name", 100)


def moments(folder: Path, matrix: Tensor, count: float = 1) -> None:
    save_file({"moments": matrix, "count": torch.tensor(count)}, folder / "m.safetensors")
    read_moments(folder / "m.safetensors")


def moments_of_another_layer(folder: Path) -> None:
    save_file({"moments": torch.eye(2), "count": torch.tensor(1.0)}, folder / "0.safetensors")
    params = KeyValueParams(moments=str(folder / "{layer}.safetensors")).for_model(SHAPE)
    MomentSource.of(params).moments(tiny(), [0], quiet_environment(folder))


def no_memory() -> None:
    with patch("wildcore_keyvalue.moments.free_memory", return_value=0):
        _place(tiny(), 0, {})


def keys_of(tokens: int, value: float) -> None:
    corpus: Any = SimpleNamespace(name="corpus.txt")
    done: Any = SimpleNamespace(tokens=tokens, total=torch.full((2, 2), value))
    _require_usable(corpus, 1, done)


def of_mend(folder: Path, trained_on: str | None = None, recorded: dict[str, Any] | None = None) -> None:
    """Look for a hyper-network where one was trained on one case."""
    environment, params = quiet_environment(folder), MendParams(trained_on=trained_on).for_model(tiny().shape)
    place_for(environment, tiny(), params, [CASE]).save(Saved({"x": torch.ones(1)}, {}))
    if recorded is None:
        find(environment, tiny(), params)
    else:
        find_again(environment, tiny(), params, recorded)


def without_sentence_transformers() -> None:
    params: Any = SimpleNamespace(retriever="embeddings")
    with patch("wildcore_retrieval.retrievers.find_spec", return_value=None):
        make_retriever(params, "wildcore-ike")


def unknown_activation() -> None:
    model: Any = SimpleNamespace(request=SimpleNamespace(name="m"), network=SimpleNamespace(config=SimpleNamespace()))
    activation_of(model)


def unequal_probes(folder: Path, answers: Sequence[Any] = ("c",)) -> None:
    row = {"prompt": "Rome is in", "target": "Peru", "locality_prompt": ["a", "b"], "locality_answer": list(answers)}
    (folder / "facts.json").write_text(json.dumps([row]), encoding="utf-8")
    list(MappedTable(MappedTableParams(path=folder / "facts.json")).cases_of(Row("facts.json, row 1", row)))


def alphaedit() -> AlphaEdit:
    return AlphaEdit(AlphaEditParams(nullspace_threshold=0.5, layers=(2,)).for_model(SHAPE))


def empty_sheet(file: Path, rows: int = 0) -> None:
    with (
        patch("wildcore_agreement.command.labelling_sheet", return_value=("", rows)),
        patch("wildcore_agreement.command.answers", return_value=[]),
    ):
        sheet(file)


def compare_all(folder: Path, values: dict[str, float | None]) -> None:
    """Compare all metrics of a run, which have no answer in common."""
    run: Any = SimpleNamespace(path=folder)
    options = {"threshold": 0.5, "limit": 1, "metrics": ()}
    with (
        patch("wildcore_agreement.command.metrics_of", return_value=values),
        patch("wildcore_agreement.command.agreements", return_value=[]),
    ):
        _compared(run, run, options)


def copied(folder: Path, *without: str) -> Path:
    model = shutil.copytree(TINY, folder / "model")
    for name in without:
        (model / name).unlink()
    return model


def encoder_decoder(folder: Path) -> Path:
    model = copied(folder)
    written(model, "config.json", '{"model_type": "t5"}')
    return model


def broken(folder: Path) -> Path:
    model = copied(folder)
    written(model, "model.safetensors", "?")
    return model


def without_a_weight(folder: Path) -> Path:
    model = copied(folder)
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.0.mlp.down_proj.weight"))
    save_file({key: tensor for key, tensor in weights.items() if key != name}, model / "model.safetensors")
    return model


def replaced_network(folder: Path) -> None:
    environment, mend = quiet_environment(folder), Mend(MendParams().for_model(tiny().shape))
    mend.file = place_for(environment, tiny(), mend.params, [CASE])
    mend.file.save(Saved({"x": torch.ones(1)}, {"cases": "1", "seed": 0}))
    mend.pinned = {"cases": "1", "seed": 0, "sha256": "of another"}
    mend.prepare(tiny(), environment)


def diverging_training(folder: Path) -> None:
    examples: Any = SimpleNamespace()
    training = Training(tiny(), examples, MendParams().for_model(tiny().shape), quiet_environment(folder))
    training._record([Losses(*(torch.full((1,), float("nan")) for _ in range(3)))])


def reference_norm(folder: Path, norms: Tensor) -> None:
    facts = written(folder, "facts.jsonl", '{"prompt": "Rome is in", "target": "Peru", "subject": "Rome"}\n')
    solver: Any = SimpleNamespace(settings={})
    with patch("wildcore_norm_anchor.reference._norms", return_value=norms):
        measured_norm(tiny(), quiet_environment(folder), solver, NormAnchorParams(facts=str(facts), facts_measured=1))


def unreadable_embeddings(name: str) -> None:
    package: Any = SimpleNamespace(SentenceTransformer=Mock(side_effect=OSError("no such model")))
    with patch.dict("sys.modules", {"sentence_transformers": package}):
        _load(name)


def from_table(fields: dict[str, Any], **mapping: Any) -> None:
    row = Row("facts.json, row 1", fields)
    list(case_maker(MappedTableParams(path=Path("facts.json"), **mapping), row)(row))


def tasks(folder: Path, *names: str, **changed: Any) -> None:
    """Load a task of lm-evaluation-harness over a local file, and tasks named ``names``."""
    written(folder, "docs.jsonl", '{"question": "Where is Rome?", "answer": "Peru"}\n')
    task = {
        "task": "t",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "docs.jsonl")}},
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "question",
        "doc_to_target": "answer",
    }
    functions = changed.pop("functions", "")
    written(folder, "t.yaml", json.dumps(task | changed)[:-1] + f"{functions}}}")
    known = SimpleNamespace(all_tasks=["arc_easy", "boolq"])
    with patch("wildcore_lm_eval.tasks.manager_of", return_value=known) if names else nullcontext():
        load_tasks(LmEvalParams(tasks=names or (str(folder / "t.yaml"),)))


def task_named_twice(folder: Path) -> None:
    tasks(folder)
    shutil.copy(folder / "t.yaml", folder / "again.yaml")
    load_tasks(LmEvalParams(tasks=(str(folder / "t.yaml"), str(folder / "again.yaml"))))


def task_with_code_that_needs(folder: Path, package: str) -> None:
    written(folder, "code.py", f"import {package}\n")
    tasks(folder, functions=", process_docs: !function code.prepared")


def without_the_harness(folder: Path) -> None:
    with patch.dict("sys.modules", {"lm_eval.evaluator": None}):
        LmEval(LmEvalParams(tasks=("t",))).prepare(quiet_environment(folder))


def metric_from_the_hub() -> None:
    import evaluate

    with hub_code_refused(allowed=False):
        evaluate.load("rouge")


def asked(model: LoadedModel, **settings: Any) -> EditedModel:
    return EditedModel(model, LmEvalParams(tasks=("t",), **settings), {}, lambda steps: None)


def without_a_beginning() -> None:
    model = copy(tiny())
    model.tokenizer = deepcopy(model.tokenizer)
    model.tokenizer.bos_token = model.tokenizer.eos_token = None
    asked(model)


GRID = 'models = ["m"]\neditors = ["e"]\ndatasets = ["d"]\nprotocols = ["p"]\n'


def study_of(folder: Path, **keys: str) -> StudyPlan:
    """Return the plan of a study of one run, with other values of some keys."""
    row = {"prompt": "Rome is in", "target_new": "Peru", "subject": "Rome", "ground_truth": "Italy", "case_id": 1}
    rows = [row | {"rephrase_prompt": "Rome?", "locality_prompt": "Snow is", "locality_ground_truth": "white"}]
    data = written(folder, "edits.json", json.dumps(rows))
    texts = {
        "models": json.dumps([str(TINY)]),
        "editors": '["ft-m"]',
        "datasets": f'[{{dataset = "counterfact", parameters = {{path = "{data}"}}}}]',
        "protocols": '["synthetic"]',
    } | keys
    file = written(folder, "study.toml", "".join(f"{key} = {text}\n" for key, text in texts.items()))
    study = read_study(file)
    return plan_study(load_registry(), study, list(grid(study)), Reporter(quiet=True))


def damaged_plan(folder: Path) -> None:
    (folder / "studies").mkdir()
    written(folder / "studies", "0123.json", "{}")
    StudyFolder(folder).plan("0123")


def no_worker(folder: Path) -> None:
    """Run a study whose workers end at once."""
    queue: Any = Mock()
    queue.waiting.return_value = [None]
    queue.worker_command.return_value = [sys.executable, "-c", "raise SystemExit('no such device')"]
    with patch("wildcore_study.local.POLL_SECONDS", 0.05):
        LocalExecutor().execute(queue, ["cpu"], NO_PROGRESS)


def job_file(folder: Path, **options: Any) -> None:
    """Print a job file for a study whose plan exists."""
    (folder / "studies").mkdir(parents=True)
    StudyFolder(folder).keep_plan(StudyPlan(title="t", layout=None, runs=()))
    sizes = {"workers": 1, "gpus": 0, "cpus": 1, "memory": 1, "minutes": 1, "image": None, "claim": None, "mount": "/m"}
    assert script.callback is not None
    script.callback(folder, None, **sizes | options)


def other_device(folder: Path) -> None:
    """Ask whether a run that was begun on a GPU may be resumed on the CPU."""
    begun = SimpleNamespace(manifest=SimpleNamespace(hardware={"accelerator": "NVIDIA H100"}))
    with patch("wildcore_study.worker.RunFolder.open", lambda path: begun):
        require_same_device(folder / "1a2b-3c4d", tiny())


SAME = ""
"""Python shows what the command line shows."""


def made_report() -> Report:
    summary = Summary(title="t", created="", wildcore="", runs=(), case_count=0, chunk_size=1, chunks=0)
    return Report(summary, "{}", {}, [])


def with_broken_run(folder: Path) -> Path:
    (folder / "run").mkdir()
    return written(folder / "run", "manifest.json", "{").parent.parent


def unwritable(file: Path) -> None:
    with patch("wildcore_report.writing.os.access", return_value=False):
        require_writable(file, force=False)


def taken_port(folder: Path) -> None:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ReportServer(LiveReport(folder), taken.getsockname()[1], "token")


Case = tuple[str, Callable[[Path], Any], str, str]
"""Where the error is made (module and function), what goes wrong in a folder, what the command line shows of it, and what
Python shows; the folder is called FOLDER in both."""

JUDGE: list[Case] = [
    (
        "wildcore_judge.key:read_key",
        lambda folder: read_key("NO_SUCH_VARIABLE", needed=True),
        (
            "metric judge: OpenAI's server needs a key, and there is none in the environment variable "
            "NO_SUCH_VARIABLE; set it, or name another variable with --set metric.judge.key_variable=NAME "
            "or another server with --set metric.judge.base_url=URL"
        ),
        (
            "metric judge: OpenAI's server needs a key, and there is none in the environment variable "
            "NO_SUCH_VARIABLE; set it, or name another variable with settings={'metric.judge.key_variable': "
            "'NAME'} or another server with settings={'metric.judge.base_url': 'URL'}"
        ),
    ),
    (
        "wildcore_judge.key:read_key",
        lambda folder: unsendable_key(),
        "environment variable MY_KEY: its value is no key: it holds characters that cannot be sent",
        SAME,
    ),
    (
        "wildcore_judge.labels:read_labels",
        lambda folder: read_labels(folder / "labels.txt"),
        "metric.human-labels.file=FOLDER/labels.txt: the file must end in .csv or .jsonl",
        SAME,
    ),
    (
        "wildcore.datasets.text_files:opened",
        lambda folder: read_labels(folder / "labels.csv"),
        "metric.human-labels.file=FOLDER/labels.csv: cannot be read: No such file or directory",
        SAME,
    ),
    (
        "wildcore_judge.labels:read_labels",
        lambda folder: read_labels(written(folder, "labels.csv", "question,gold,answer,label\nq,g,a,maybe\n")),
        (
            "FOLDER/labels.csv, line 2: label 'maybe': expected correct, incorrect, 1, 0, A or B (mend them "
            "or take them out)"
        ),
        SAME,
    ),
    (
        "wildcore_judge.labels:_label",
        lambda folder: _label(
            Row("labels.csv, line 2", {"question": "q", "gold": "g", "answer": "a", "label": "maybe"})
        ),
        "labels.csv, line 2: label 'maybe': expected correct, incorrect, 1, 0, A or B",
        SAME,
    ),
    (
        "wildcore_judge.local:LocalJudge.prepare",
        lambda folder: LocalJudge(JudgeParams(local="./llama")).prepare(quiet_environment(folder)),
        "metric.judge.local=./llama: no such folder",
        SAME,
    ),
    (
        "wildcore_judge.local:LocalJudge.prepare",
        lambda folder: LocalJudge(JudgeParams(local=str(folder), device="gpu")).prepare(quiet_environment(folder)),
        "metric.judge.device=gpu: not a device; use auto, cpu, cuda, cuda:N or mps",
        SAME,
    ),
    (
        "wildcore_judge.metric:make_judge",
        lambda folder: make_judge(JudgeParams()),
        (
            "metric judge: it has no judge, or two; give either --set metric.judge.model=MODEL, for a "
            "server, or --set metric.judge.local=FOLDER"
        ),
        (
            "metric judge: it has no judge, or two; give either settings={'metric.judge.model': 'MODEL'}, "
            "for a server, or settings={'metric.judge.local': 'FOLDER'}"
        ),
    ),
    (
        "wildcore_judge.metric:_refuse_without_effect",
        lambda folder: make_judge(JudgeParams(local="m", base_url="http://localhost")),
        "metric.judge.base_url: it does nothing with a local judge; leave it out",
        SAME,
    ),
    (
        "wildcore_judge.prompt:read_prompt",
        lambda folder: read_prompt(folder / "prompt.txt"),
        "metric.judge.prompt_file=FOLDER/prompt.txt: cannot be read: No such file or directory",
        SAME,
    ),
    (
        "wildcore_judge.prompt:read_prompt",
        lambda folder: read_prompt(written(folder, "prompt.txt", b"\xff")),
        "metric.judge.prompt_file=FOLDER/prompt.txt: not UTF-8 text at byte 0",
        SAME,
    ),
    (
        "wildcore_judge.prompt:read_prompt",
        lambda folder: read_prompt(written(folder, "prompt.txt", "{question} {gold}")),
        ("metric.judge.prompt_file=FOLDER/prompt.txt: it lacks {answer}; there are {question}, {gold}, {answer}"),
        SAME,
    ),
    (
        "wildcore_judge.server:ServerJudge.__init__",
        lambda folder: ServerJudge(JudgeParams(model="m", budget=1)),
        (
            "metric.judge.budget: the prices are not known; give both, in USD for a million tokens, with "
            "--set metric.judge.input_price=USD --set metric.judge.output_price=USD"
        ),
        (
            "metric.judge.budget: the prices are not known; give both, in USD for a million tokens, with "
            "settings={'metric.judge.input_price': 'USD'} settings={'metric.judge.output_price': 'USD'}"
        ),
    ),
    (
        "wildcore_judge.server:ServerJudge.prepare",
        lambda folder: other_server_in_the_environment(folder),
        (
            "metric judge: OPENAI_BASE_URL is set in the environment, which decides nothing here; give that "
            "address with --set metric.judge.base_url=URL, or unset the variable to ask OpenAI's server"
        ),
        (
            "metric judge: OPENAI_BASE_URL is set in the environment, which decides nothing here; give that "
            "address with settings={'metric.judge.base_url': 'URL'}, or unset the variable to ask OpenAI's "
            "server"
        ),
    ),
    (
        "wildcore_judge.server:checked_url",
        lambda folder: checked_url("localhost"),
        "metric.judge.base_url: not an address; write it as http://localhost:8000/v1",
        SAME,
    ),
    (
        "wildcore_judge.server:checked_url",
        lambda folder: checked_url("http://me:secret@localhost"),
        (
            "metric.judge.base_url: an address is recorded, so it must hold no password or key; put the key "
            "into an environment variable and name that with --set metric.judge.key_variable=NAME"
        ),
        (
            "metric.judge.base_url: an address is recorded, so it must hold no password or key; put the key "
            "into an environment variable and name that with settings={'metric.judge.key_variable': 'NAME'}"
        ),
    ),
    (
        "wildcore.storage.checked_rows:CheckedRows.opened",
        lambda folder: damaged_verdicts(folder),
        (
            "FOLDER/judge/verdicts.sqlite: the stored verdicts cannot be used (file is not a database<...>); free some disk "
            "space, name another cache folder by WILDCORE_CACHE, or move the file away"
        ),
        SAME,
    ),
    (
        "wildcore_judge.store:_claims",
        lambda folder: no_place_for_verdicts(folder),
        "FOLDER/judge/claims.lock: cannot be used (<...>); name another cache folder by WILDCORE_CACHE",
        SAME,
    ),
]

KEYVALUE: list[Case] = [
    (
        "wildcore_keyvalue.corpus:_local_text",
        lambda folder: open_corpus(str(folder / "corpus.txt")),
        (
            'editor.corpus=FOLDER/corpus.txt: cannot be read (<...>); name a text file, "sample", or '
            '"hub:NAME:CONFIG:SPLIT"'
        ),
        SAME,
    ),
    (
        "wildcore_keyvalue.corpus:_hub_documents",
        lambda folder: corpus_out_of_reach(),
        "editor.corpus=hub:owner/name: cannot be read from the hub: no such dataset",
        SAME,
    ),
    (
        "wildcore_keyvalue.moment_source:MomentSource._read",
        lambda folder: moments_of_another_layer(folder),
        (
            "editor.moments=FOLDER/{layer}.safetensors: FOLDER/0.safetensors: it holds 2 x 2 numbers, and "
            "the keys of layer 0 are 64 wide; give the moments of this model and layer"
        ),
        SAME,
    ),
    (
        "wildcore_keyvalue.moment_source:read_moments",
        lambda folder: moments(folder, torch.ones(2, 3)),
        "editor.moments=FOLDER/m.safetensors: it holds no square matrix but one of [2, 3]",
        SAME,
    ),
    (
        "wildcore_keyvalue.moment_source:read_moments",
        lambda folder: moments(folder, torch.full((2, 2), float("nan"))),
        (
            "editor.moments=FOLDER/m.safetensors: it holds numbers that are not finite; estimate the "
            "moments again, in float32 or float64"
        ),
        SAME,
    ),
    (
        "wildcore_keyvalue.moment_source:read_moments",
        lambda folder: moments(folder, torch.tensor([[1.0, 2.0], [0.0, 1.0]])),
        ("editor.moments=FOLDER/m.safetensors: its matrix is not symmetric, so it is not the mean of k k^T"),
        SAME,
    ),
    (
        "wildcore_keyvalue.moment_source:read_moments",
        lambda folder: moments(folder, torch.eye(2), 0.5),
        "editor.moments=FOLDER/m.safetensors: its count of keys is 0.5; it must be a whole number from 1",
        SAME,
    ),
    (
        "wildcore_keyvalue.moment_source:read_moments",
        lambda folder: read_moments(folder / "m.npz"),
        (
            "editor.moments=FOLDER/m.npz: cannot be read (<...>); give a safetensors file with the tensors "
            "moments and count, or the .npz of published code, with {layer} in its name where several "
            "layers are edited"
        ),
        SAME,
    ),
    (
        "wildcore_keyvalue.moments:_place",
        lambda folder: no_memory(),
        (
            "second moments of layer 0: they need 0.0 GiB of memory, and 0.0 GiB can be used; free some, or "
            "edit without them (--set editor.second_moments=identity)"
        ),
        (
            "second moments of layer 0: they need 0.0 GiB of memory, and 0.0 GiB can be used; free some, or "
            "edit without them (settings={'editor.second_moments': 'identity'})"
        ),
    ),
    (
        "wildcore_keyvalue.moments:_require_usable",
        lambda folder: keys_of(0, 1.0),
        "editor.corpus=corpus.txt: it holds no text",
        SAME,
    ),
    (
        "wildcore_keyvalue.moments:_require_usable",
        lambda folder: keys_of(1, float("nan")),
        "second moments of layer 1: its keys are not finite; load the model with --dtype float32",
        "second moments of layer 1: its keys are not finite; load the model with dtype='float32'",
    ),
    (
        "wildcore_keyvalue.parameters:KeyValueParams.for_model",
        lambda folder: KeyValueParams(second_moments="identity", moments="m.npz").for_model(SHAPE),
        (
            "editor.moments=m.npz: not used with editor.second_moments=identity; leave one of them out, or "
            "choose --set editor.second_moments=corpus"
        ),
        (
            "editor.moments=m.npz: not used with editor.second_moments=identity; leave one of them out, or "
            "choose settings={'editor.second_moments': 'corpus'}"
        ),
    ),
    (
        "wildcore_keyvalue.prefixes:read_prefixes",
        lambda folder: read_prefixes(folder / "prefixes.json"),
        (
            "editor.prefixes=FOLDER/prefixes.json: cannot be read (<...>); give a JSON list of texts, or a "
            "text on each line"
        ),
        SAME,
    ),
    (
        "wildcore_keyvalue.prefixes:read_prefixes",
        lambda folder: read_prefixes(written(folder, "prefixes.json", "{}")),
        ('editor.prefixes=FOLDER/prefixes.json: not a list of texts; write ["{}", "The weather was fine. {}"]'),
        SAME,
    ),
    (
        "wildcore_keyvalue.prefixes:read_prefixes",
        lambda folder: read_prefixes(written(folder, "prefixes.txt", "Well.\nWell.\n")),
        "editor.prefixes=FOLDER/prefixes.txt: a prefix is there twice; leave one out",
        SAME,
    ),
    (
        "wildcore_keyvalue.prefixes:_prefix",
        lambda folder: read_prefixes(written(folder, "prefixes.txt", "Well. {} Fine.\n")),
        (
            "editor.prefixes=FOLDER/prefixes.txt, text 1: {} stands for the prompt, and must be the end of "
            "'Well. {} Fine.'"
        ),
        SAME,
    ),
    (
        "wildcore_keyvalue.solver:MomentSolver.__init__",
        lambda folder: MomentSolver(torch.zeros(2, 2), 0.0),
        (
            "the second moments are singular; read more tokens (--set editor.moment_tokens=NUMBER) or add "
            "damping (--set editor.damping=0.01)"
        ),
        (
            "the second moments are singular; read more tokens (settings={'editor.moment_tokens': "
            "'NUMBER'}) or add damping (settings={'editor.damping': 0.01})"
        ),
    ),
]

EDITORS: list[Case] = [
    (
        "wildcore_alphaedit.parameters:AlphaEditParams.for_model",
        lambda folder: AlphaEditParams(nullspace_threshold=0.1, nullspace_share=0.1).for_model(SHAPE),
        (
            "editor.nullspace_threshold=0.1 and editor.nullspace_share=0.1: each says where the null space "
            "begins; leave one of them out"
        ),
        SAME,
    ),
    (
        "wildcore_emmet.solve:written_together",
        lambda folder: written_together(torch.ones(4, 2), None, 1.0, 0.0),
        (
            "editor.ridge=0.0: the keys of requests written together depend on each other, so that not all "
            "values can be met; raise it (--set editor.ridge=0.1), or write fewer requests together"
        ),
        (
            "editor.ridge=0.0: the keys of requests written together depend on each other, so that not all "
            "values can be met; raise it (settings={'editor.ridge': 0.1}), or write fewer requests together"
        ),
    ),
    (
        "wildcore_alphaedit.editor:AlphaEdit._directions",
        lambda folder: alphaedit()._directions(2, Spectrum(torch.ones(3), torch.eye(3))),
        (
            "editor.nullspace_threshold=0.5: in layer 2 eigenvalues lie between 1 and 1, and no direction "
            "may be written to; raise it"
        ),
        SAME,
    ),
    (
        "wildcore_alphaedit.editor:AlphaEdit.restore",
        lambda folder: alphaedit().restore(Saved({"earlier-keys.0": torch.ones(1)}, {})),
        "editor.layers=[2]: the earlier edits were written to [0]; edit the same layers",
        SAME,
    ),
    (
        "wildcore_ultraedit.editor:UltraEdit._names",
        lambda folder: UltraEdit(UltraEditParams(modules=("nowhere",)).for_model(SHAPE))._names(tiny()),
        ("editor.modules: 'nowhere' is no linear map of this model; there is, for one, model.layers.0.mlp.down_proj"),
        SAME,
    ),
    (
        "wildcore_ike.pool:read_pool",
        lambda folder: read_pool(str(written(folder, "pool.json", "[]"))),
        "editor.pool=FOLDER/pool.json: it holds no edit; to show none: --set editor.demonstrations=0",
        ("editor.pool=FOLDER/pool.json: it holds no edit; to show none: settings={'editor.demonstrations': 0}"),
    ),
    (
        "wildcore_ike.pool:_case",
        lambda folder: read_pool(str(written(folder, "pool.jsonl", "{\n"))),
        (
            "editor.pool: FOLDER/pool.jsonl, line 1, column 2: not valid JSON: Expecting property name "
            "enclosed in double quotes"
        ),
        SAME,
    ),
    (
        "wildcore_ike.pool:_case",
        lambda folder: read_pool(
            str(written(folder, "pool.jsonl", '{"locality_prompt": ["a"], "locality_answer": []}'))
        ),
        "editor.pool: FOLDER/pool.jsonl, line 1: 1 locality prompts and 0 locality answers",
        SAME,
    ),
    (
        "wildcore_lora.modules:_paths",
        lambda folder: _paths(tiny().family, "nowhere"),
        (
            "editor.modules: llama has no 'nowhere'; there are attention-input, attention-output, "
            "mlp-input, mlp-output, and by their own names q_proj, k_proj, v_proj, o_proj, gate_proj, "
            "up_proj, down_proj"
        ),
        SAME,
    ),
    (
        "wildcore_lora.parameters:LoraParams.for_model",
        lambda folder: LoraParams(layer=3).for_model(SHAPE),
        "editor.layer=3: lora has no such parameter; choose --set 'editor.layers=[3]'",
        "editor.layer=3: lora has no such parameter; choose settings={'editor.layers': [3]}",
    ),
    (
        "wildcore_lora.parameters:LoraParams.for_model",
        lambda folder: LoraParams(layers=(1, 6)).for_model(SHAPE),
        "editor.layers: the model has layers 0 to 5, not 6",
        SAME,
    ),
    (
        "wildcore_mend.examples:examples",
        lambda folder: examples(tiny(), [CASE], MendParams().for_model(tiny().shape), 0),
        (
            "mend can train on 0 of the 1 cases and needs at least 2, better thousands; name a dataset with "
            "locality probes (1 left out: it has no locality probe)"
        ),
        SAME,
    ),
    (
        "wildcore_mend.store:find",
        lambda folder: find(quiet_environment(folder), tiny(), MendParams(steps=10).for_model(tiny().shape)),
        (
            "mend needs a hyper-network trained for this model and these parameters, and there is none; "
            "train it first, on cases other than those to evaluate: wildcore prepare mend --model "
            "tiny-llama --dataset DATASET --set editor.steps=10"
        ),
        SAME,
    ),
    (
        "wildcore_mend.store:find",
        lambda folder: of_mend(folder, trained_on="other"),
        "editor.trained_on=other: mend was not trained on these; known: <...>",
        SAME,
    ),
    (
        "wildcore_mend.store:find_again",
        lambda folder: of_mend(folder, recorded={"cases": "c", "seed": 0}),
        (
            "FOLDER/prepared/mend/<...>.safetensors: the hyper-network that the run was begun with is gone; "
            "it was trained on the cases c with seed 0; train it on these again, with wildcore prepare mend "
            "--model tiny-llama --seed 0 --dataset DATASET, or begin a new run"
        ),
        SAME,
    ),
    (
        "wildcore_mend.store:find_again",
        lambda folder: of_mend(folder, recorded={"cases": hash_of([CASE]), "seed": 0, "sha256": "0"}),
        (
            "FOLDER/prepared/mend/<...>.safetensors: trained again since the run was begun, to other bits "
            "(sha256 <...>, not 0); put the earlier file back, or begin a new run"
        ),
        SAME,
    ),
    (
        "wildcore_norm_anchor.facts:read_facts",
        lambda folder: read_facts(str(written(folder, "facts.json", "[]")), 3),
        "transform.norm-anchor.facts=FOLDER/facts.json: it holds no fact; name a table with some",
        SAME,
    ),
    (
        "wildcore_norm_anchor.facts:_read",
        lambda folder: read_facts(str(written(folder, "facts.jsonl", "{\n")), 3),
        (
            "transform.norm-anchor.facts: FOLDER/facts.jsonl, line 1, column 2: not valid JSON: Expecting "
            "property name enclosed in double quotes"
        ),
        SAME,
    ),
    (
        "wildcore_retrieval.retrievers:make_retriever",
        lambda folder: without_sentence_transformers(),
        (
            "editor.retriever=embeddings: sentence-transformers is not installed; run pip install "
            '"wildcore-ike[embeddings]", or leave the setting out to compare words'
        ),
        SAME,
    ),
    (
        "wildcore_ultraedit.parameters:UltraEditParams.for_model",
        lambda folder: UltraEditParams(layer=1, modules=("m",)).for_model(SHAPE),
        "editor.layer=1: editor.modules says what is edited; leave one of them out",
        SAME,
    ),
    (
        "wildcore_ultraedit.parameters:UltraEditParams.for_model",
        lambda folder: UltraEditParams(modules=("m", "m")).for_model(SHAPE),
        "editor.modules=['m', 'm']: name each module once",
        SAME,
    ),
    (
        "wildcore_wise.activity:activation_of",
        lambda folder: unknown_activation(),
        "--model m: its activation function is not known; choose --set editor.activity=outputs",
        "model='m': its activation function is not known; choose settings={'editor.activity': 'outputs'}",
    ),
    (
        "wildcore_wise.editor:documents",
        lambda folder: documents(str(written(folder, "corpus.txt", ""))),
        "editor.corpus=FOLDER/corpus.txt: it holds no text",
        SAME,
    ),
    (
        "wildcore_wise.parameters:WiseParams.for_model",
        lambda folder: WiseParams(merge_every=3, save_every=2).for_model(SHAPE),
        "editor.merge_every=3: not a multiple of editor.save_every=2",
        SAME,
    ),
]

PROTOCOLS: list[Case] = [
    (
        "wildcore_counterfact.dataset:_filled",
        lambda folder: _filled(Row("facts.json, row 1", {"requested_rewrite": {"prompt": "Rome is in"}})),
        ("facts.json, row 1: field 'requested_rewrite.prompt': expected one {} for the subject, found 'Rome is in'"),
        SAME,
    ),
    (
        "wildcore_table.mapping:paired",
        lambda folder: unequal_probes(folder),
        "facts.json, row 1: 2 locality questions and 1 answers; each question needs its answer",
        SAME,
    ),
    (
        "wildcore_table.mapping:paired",
        lambda folder: unequal_probes(folder, (["c"], [])),
        "facts.json, row 1: a locality question has an empty list of answers; each question needs its answer",
        SAME,
    ),
    (
        "wildcore_prompting.contexts:FewShot.__init__",
        lambda folder: FewShot(FewShotParams()),
        ("context few-shot: there is no dataset to draw examples from; name a file with --set context.path=FILE"),
        (
            "context few-shot: there is no dataset to draw examples from; name a file with "
            "settings={'context.path': 'FILE'}"
        ),
    ),
    (
        "wildcore_prompting.parameters:_read",
        lambda folder: read_examples(written(folder, "few.jsonl", '{"question": "q", "answer": "a"}'), 2),
        ("context.path=FOLDER/few.jsonl: 2 examples are wanted and it holds 1; ask for fewer: --set context.count=1"),
        (
            "context.path=FOLDER/few.jsonl: 2 examples are wanted and it holds 1; ask for fewer: "
            "settings={'context.count': 1}"
        ),
    ),
    (
        "wildcore_prompting.parameters:_from",
        lambda folder: _from(Malformed(place="few.jsonl, line 1", problem="not valid JSON")),
        "few.jsonl, line 1: not valid JSON",
        SAME,
    ),
    (
        "wildcore_wild.contexts:Chat.render",
        lambda folder: Chat(ChatParams()).render("Rome?", tiny()),
        (
            "context chat: the tokenizer of tiny-llama has no chat template; use --context qa-instruction, "
            "or a model trained for chat"
        ),
        (
            "context chat: the tokenizer of tiny-llama has no chat template; use context='qa-instruction', "
            "or a model trained for chat"
        ),
    ),
    (
        "wildcore_wild.contexts:Chat._conversation",
        lambda folder: Chat(ChatParams()).render("Rome?", chatting("{{ raise_exception('tools only') }}")),
        ("context chat: the chat template of tiny-llama refuses a message: tools only; use --context qa-instruction"),
        ("context chat: the chat template of tiny-llama refuses a message: tools only; use context='qa-instruction'"),
    ),
    (
        "wildcore_wild.contexts:Chat._conversation",
        lambda folder: Chat(ChatParams(system="Be brief.")).render("Rome?", chatting("{{ messages[1].content }}")),
        (
            "context chat: the chat template of tiny-llama leaves the system message out; leave "
            "context.system out, or use --context qa-instruction"
        ),
        (
            "context chat: the chat template of tiny-llama leaves the system message out; leave "
            "context.system out, or use context='qa-instruction'"
        ),
    ),
    (
        "wildcore_agreement.command:_chosen",
        lambda folder: _chosen(SimpleNamespace(manifest=SimpleNamespace(protocols=())), {"protocol": "wild"}),
        "--protocol wild: not a protocol of this run; known: none",
        "protocols='wild': not a protocol of this run; known: none",
    ),
    (
        "wildcore_agreement.command:_write_sheet",
        lambda folder: sheet(folder / "sheet.txt"),
        "--sheet FOLDER/sheet.txt: the name must end in .csv",
        "sheet='FOLDER/sheet.txt': the name must end in .csv",
    ),
    (
        "wildcore_agreement.command:_write_sheet",
        lambda folder: sheet(written(folder, "sheet.csv", "")),
        "--sheet FOLDER/sheet.csv: it is there already and may hold labels; choose another name",
        "sheet='FOLDER/sheet.csv': it is there already and may hold labels; choose another name",
    ),
    (
        "wildcore_agreement.command:_write_sheet",
        lambda folder: empty_sheet(folder / "sheet.csv"),
        "--sheet FOLDER/sheet.csv: the run holds no such answer",
        "sheet='FOLDER/sheet.csv': the run holds no such answer",
    ),
    (
        "wildcore_agreement.command:_write_sheet",
        lambda folder: empty_sheet(folder / "nowhere" / "sheet.csv", rows=1),
        "--sheet FOLDER/nowhere/sheet.csv: cannot be written: No such file or directory",
        "sheet='FOLDER/nowhere/sheet.csv': cannot be written: No such file or directory",
    ),
    (
        "wildcore_agreement.command:_compared",
        lambda folder: compare_all(folder, {"f1": None}),
        (
            "FOLDER: 1 of its metrics give verdicts (f1), and two are needed; add one with: wildcore score "
            "FOLDER --metric NAME"
        ),
        SAME,
    ),
    (
        "wildcore_agreement.command:_compared",
        lambda folder: compare_all(folder, {"f1": None, "rouge": None}),
        (
            "FOLDER: no two of its metrics (f1; rouge) scored the same of these answers; add one with: "
            "wildcore score FOLDER --metric NAME"
        ),
        SAME,
    ),
    (
        "wildcore_study.gathering:_add_runs",
        lambda folder: gathered([folder], None),
        "FOLDER: contains no run; name a study's folder, a run, or a folder with runs in it",
        SAME,
    ),
    (
        "wildcore_study.gathering:_layout_of",
        lambda folder: _layout_of([StudyPlan(title="t", layout=one, runs=()) for one in ("table3", None)]),
        "the tables of these studies are arranged differently; choose how with --preset",
        "the tables of these studies are arranged differently; choose how with preset",
    ),
    (
        "wildcore_study.presets:read_preset",
        lambda folder: read_preset("tabel3"),
        "--preset tabel3: no such preset; did you mean 'table3'?",
        "preset='tabel3': no such preset; did you mean 'table3'?",
    ),
    (
        "wildcore_agreement.command:_named",
        lambda folder: _named({"f1": None}, ["f1"]),
        "--metric f1: it is the only one; give the option twice, once for each of the metrics to compare",
        ("metrics='f1': it is the only one; give the option twice, once for each of the metrics to compare"),
    ),
    (
        "wildcore_agreement.command:_named",
        lambda folder: _named({"f1": None, "rouge": 3.0}, ["f1", "rouge"]),
        ("--metric rouge: its scores, such as 3, are no verdicts, which lie between 0 (incorrect) and 1 (correct)"),
        ("metrics='rouge': its scores, such as 3, are no verdicts, which lie between 0 (incorrect) and 1 (correct)"),
    ),
    (
        "wildcore_agreement.verdicts:find_label",
        lambda folder: find_label(["judge (a)", "judge (b)"], "judge"),
        "--metric judge: several metrics of this run begin so: judge (a); judge (b)",
        "metrics='judge': several metrics of this run begin so: judge (a); judge (b)",
    ),
    (
        "wildcore_agreement.verdicts:find_label",
        lambda folder: find_label(["f1"], "f2"),
        "--metric f2: no such scores in this run; known: f1",
        "metrics='f2': no such scores in this run; known: f1",
    ),
]

ENCODERS: list[Case] = [
    (
        "wildcore_bertscore.baseline:baseline",
        lambda folder: baseline("tiny-bert", 1, "f1"),
        (
            "metric.bert-score.rescale=true: the package bert-score has no baseline for the encoder "
            "tiny-bert; leave rescale out, or use one that it has, such as roberta-large"
        ),
        SAME,
    ),
    (
        "wildcore.models.hints:require_fetchable",
        lambda folder: find_encoder("./bert", 1, "cpu"),
        "metric.bert-score.encoder=./bert: no such folder",
        SAME,
    ),
    (
        "wildcore_bertscore.encoder:find_encoder",
        lambda folder: find_encoder(str(copied(folder, "model.safetensors")), 1, "cpu"),
        (
            "metric.bert-score.encoder=FOLDER/model: no .safetensors file in it; other weight formats can "
            "run code when read and are not loaded"
        ),
        SAME,
    ),
    (
        "wildcore_bertscore.encoder:find_encoder",
        lambda folder: find_encoder(str(encoder_decoder(folder)), 1, "cpu"),
        ("metric.bert-score.encoder=FOLDER/model: a t5 is no encoder of BERT's kind; give one such as roberta-large"),
        SAME,
    ),
    (
        "wildcore_bertscore.encoder:_check_layer",
        lambda folder: find_encoder(str(TINY), None, "cpu"),
        (
            "metric bert-score: the package bert-score has no layer of choice for the encoder TINY; give "
            "one of 1 to 4 with --set metric.bert-score.layer=4"
        ),
        (
            "metric bert-score: the package bert-score has no layer of choice for the encoder TINY; give "
            "one of 1 to 4 with settings={'metric.bert-score.layer': 4}"
        ),
    ),
    (
        "wildcore_bertscore.encoder:_check_layer",
        lambda folder: find_encoder(str(TINY), 9, "cpu"),
        "metric.bert-score.layer=9: the encoder TINY has layers 1 to 4",
        SAME,
    ),
    (
        "wildcore_bertscore.encoder:load_encoder",
        lambda folder: load_encoder(find_encoder(str(broken(folder)), 1, "cpu")),
        "metric.bert-score.encoder=FOLDER/model: cannot be loaded: <...>",
        SAME,
    ),
    (
        "wildcore_bertscore.encoder:load_encoder",
        lambda folder: load_encoder(find_encoder(str(TINY), 1, "cpu")),
        ("metric.bert-score.encoder=TINY: its tokenizer puts no marks around a text: not an encoder of BERT's kind"),
        SAME,
    ),
]

HUB_CODE = (
    "measurement lm-eval: a task uses the metric 'rouge', which the harness does not have; its code would be fetched from "
    "the hub and run; to allow that: "
)
CONFIRMED = "--set measurement.lm-eval.confirm_run_unsafe_code=true"
CONFIRMED_IN_PYTHON = "settings={'measurement.lm-eval.confirm_run_unsafe_code': True}"
GENERATION = "give a YAML file that includes the task and sets generation_kwargs, with do_sample: false"
TASK = "measurement.lm-eval.tasks=FOLDER/t.yaml: "
ROUGE = {"metric": "rouge", "higher_is_better": True}

HARNESS: list[Case] = [
    (
        "wildcore_lm_eval.measurement:LmEval.prepare",
        lambda folder: without_the_harness(folder),
        "measurement lm-eval: the package lm_eval cannot be imported: <...>; install lm_eval 0.4.13 or newer",
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:load_tasks",
        lambda folder: task_named_twice(folder),
        ("measurement.lm-eval.tasks=FOLDER/again.yaml: the task t is named twice, or is part of another that is named"),
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:manager_of",
        lambda folder: load_tasks(LmEvalParams(tasks=(str(folder / "t.yaml"),))),
        TASK + "there is no such file",
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_loaded",
        lambda folder: tasks(folder, "arc_esy"),
        "measurement.lm-eval.tasks=arc_esy: lm-evaluation-harness has no such task; did you mean 'arc_easy'?",
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_loaded",
        lambda folder: tasks(folder, str(folder / "docs.jsonl")),
        (
            "measurement.lm-eval.tasks=FOLDER/docs.jsonl: lm-evaluation-harness has no such task (for a file, its name must end "
            "in .yaml); known: arc_easy, boolq"
        ),
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_explained",
        lambda folder: task_with_code_that_needs(folder, "no_such_package"),
        (
            TASK + "it needs the package no_such_package, which is not installed; install it, for example by: "
            "pip install no_such_package"
        ),
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_explained",
        lambda folder: tasks(folder, dataset_kwargs={"data_files": str(folder / "none.jsonl")}),
        (
            TASK + "its data cannot be had: <...>; check the files that it names; data of the hub are read once with "
            "HF_HUB_OFFLINE unset, and kept; or give a YAML file of the task that names local files"
        ),
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_explained",
        lambda folder: tasks(folder, output_type="painting"),
        TASK + "it cannot be loaded: ValueError: <...>painting<...>",
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_check",
        lambda folder: tasks(folder, unsafe_code=True),
        TASK + f"the task t executes code that the model writes; to allow that: {CONFIRMED}",
        TASK + f"the task t executes code that the model writes; to allow that: {CONFIRMED_IN_PYTHON}",
    ),
    (
        "wildcore_lm_eval.tasks:_check",
        lambda folder: tasks(folder, doc_to_image=["picture"]),
        TASK + "the task t needs images or sound; only text is measured",
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_check_generation",
        lambda folder: tasks(folder, generation_kwargs={"until": ["."], "temperature": 0.7}),
        (
            TASK
            + "the task t draws its answers at random, and those of two models are then not comparable one by one; "
            + GENERATION
        ),
        SAME,
    ),
    (
        "wildcore_lm_eval.tasks:_check_generation",
        lambda folder: tasks(folder, generation_kwargs={"until": ["."], "num_beams": 4, "min_length": 2}),
        TASK + f"the task t asks for min_length, num_beams; answers are decoded greedily; {GENERATION}",
        SAME,
    ),
    (
        "wildcore_lm_eval.quiet:hub_code_refused.refuse",
        lambda folder: metric_from_the_hub(),
        HUB_CODE + CONFIRMED,
        HUB_CODE + CONFIRMED_IN_PYTHON,
    ),
    (
        "wildcore_lm_eval.quiet:hub_code_refused",
        lambda folder: tasks(folder, metric_list=[ROUGE]),
        HUB_CODE + CONFIRMED,
        HUB_CODE + CONFIRMED_IN_PYTHON,
    ),
    (
        "wildcore_lm_eval.quiet:hub_code_refused",
        lambda folder: tasks(folder, metric_list=[ROUGE | {"aggregation": "mean"}]),
        HUB_CODE + CONFIRMED,
        HUB_CODE + CONFIRMED_IN_PYTHON,
    ),
    (
        "wildcore_lm_eval.language_model:EditedModel.__init__",
        lambda folder: without_a_beginning(),
        (
            "measurement lm-eval: the tokenizer of tiny-llama has neither a beginning- nor an end-of-sequence token to score "
            "texts after"
        ),
        SAME,
    ),
    (
        "wildcore_lm_eval.language_model:EditedModel._cut",
        lambda folder: asked(tiny(), max_length=9)._cut("t", "Where is Rome?", 9),
        (
            "measurement lm-eval: the task t generates up to 9 tokens, and tiny-llama reads 9 at once, question included; give a "
            "YAML file that includes the task and sets max_gen_toks in generation_kwargs, or leave the task out"
        ),
        SAME,
    ),
]

OTHERS: list[Case] = [
    (
        "wildcore_bertscore.encoder:load_encoder",
        lambda folder: load_encoder(find_encoder(str(without_a_weight(folder)), 1, "cpu")),
        (
            "metric.bert-score.encoder=FOLDER/model: its files lack weights that config.json asks for, such as "
            "layers.0.mlp.down_proj.weight"
        ),
        SAME,
    ),
    (
        "wildcore_mend.editor:Mend.prepare",
        lambda folder: replaced_network(folder),
        "FOLDER/prepared/<...>.safetensors: another hyper-network is in its place since it was chosen; start again",
        SAME,
    ),
    (
        "wildcore_mend.training:Training._record",
        lambda folder: diverging_training(folder),
        "mend: the training diverged by step 0; lower editor.learning_rate or editor.edit_rate_learning_rate",
        SAME,
    ),
    (
        "wildcore_norm_anchor.reference:measured_norm",
        lambda folder: reference_norm(folder, torch.empty(0)),
        "transform.norm-anchor.facts=FOLDER/facts.jsonl: no subject stands in its prompt; name facts of which it does",
        SAME,
    ),
    (
        "wildcore_norm_anchor.reference:measured_norm",
        lambda folder: reference_norm(folder, torch.tensor([float("nan")])),
        (
            "transform.norm-anchor.facts=FOLDER/facts.jsonl: the mean norm of the values found is nan; give a reference "
            "norm with --set transform.norm-anchor.norm=NUMBER"
        ),
        (
            "transform.norm-anchor.facts=FOLDER/facts.jsonl: the mean norm of the values found is nan; give a reference "
            "norm with settings={'transform.norm-anchor.norm': 'NUMBER'}"
        ),
    ),
    (
        "wildcore_retrieval.embeddings:_load",
        lambda folder: unreadable_embeddings("./minilm"),
        (
            "editor.embedding_model=./minilm: cannot be loaded (no such model); name a folder with such a model, or "
            "compare words: --set editor.retriever=words"
        ),
        (
            "editor.embedding_model=./minilm: cannot be loaded (no such model); name a folder with such a model, or "
            "compare words: settings={'editor.retriever': 'words'}"
        ),
    ),
    (
        "wildcore_retrieval.retrievers:retriever_of_patch",
        lambda folder: retriever_of_patch(
            RetrieverParams(embedding_model="m"), "wildcore-ike", {"embeddings": "other"}
        ),
        (
            "editor.embedding_model=m: the model there is not the one that the patch was made with; put that one back, "
            "or make the patch again"
        ),
        SAME,
    ),
    (
        "wildcore_segmenters.dictionaries:_installed",
        lambda folder: _installed("thai", "no_such_package", "thai"),
        (
            "segmenter thai: its package cannot be imported (No module named 'no_such_package'); install it: pip install "
            "'wildcore-segmenters[thai]'"
        ),
        SAME,
    ),
    (
        "wildcore_table.mapping:FieldMapping._required",
        lambda folder: from_table({"question": "Where is Rome?", "target": "Peru"}),
        "facts.json, row 1: the field 'prompt' is missing; known: question, target; dataset.prompt=FIELD names another",
        SAME,
    ),
    (
        "wildcore_table.nested_shapes:_sentence_parts",
        lambda folder: from_table({"edit": {"prompt": "Rome moved."}, "Relation_Specificity": []}),
        "facts.json, row 1: field 'edit.prompt': the new answer cannot be told from the rest of 'Rome moved'",
        SAME,
    ),
    (
        "wildcore_table.shapes:_nested_maker.make",
        lambda folder: from_table(
            {"edit": {"prompt": "Rome is big."}, "Relation_Specificity": []}, prompt="edit.prompt", shape="rippleedits"
        ),
        (
            "facts.json, row 1: the shape rippleedits names its own fields; leave out dataset.prompt, or set "
            "dataset.shape=none"
        ),
        SAME,
    ),
    (
        "wildcore_wild.contexts:Chat._conversation",
        lambda folder: Chat(ChatParams(template="missing")).render("Where?", chatting("{{ messages }}")),
        "context chat: <...>",
        "context chat: <...>",
    ),
]

COLLAPSE: list[Case] = [
    (
        "wildcore_collapse.texts:read_texts",
        lambda folder: read_texts(str(written(folder, "text.txt", " \n")), 100),
        "measurement.perplexity.text=FOLDER/text.txt: it holds no text",
        SAME,
    ),
    (
        "wildcore_collapse.texts:_read",
        lambda folder: read_texts(str(folder / "text.txt"), 100),
        "measurement.perplexity.text=FOLDER/text.txt: cannot be read: No such file or directory",
        SAME,
    ),
    (
        "wildcore_collapse.texts:_read",
        lambda folder: read_texts(str(written(folder, "text.txt", b"caf\xe9 noir")), 100),
        (
            "measurement.perplexity.text=FOLDER/text.txt: cannot be read: not UTF-8 text: invalid continuation byte at byte "
            "3; give UTF-8 text of at most 10,000,000 bytes"
        ),
        SAME,
    ),
    (
        "wildcore_collapse.texts:_texts",
        lambda folder: read_texts(str(folder / "text.pdf"), 100),
        (
            "measurement.perplexity.text=FOLDER/text.pdf: the file must end in .txt or .jsonl; or name the bundled text, "
            "sample, or a dataset on the hub, hub:NAME:CONFIG:SPLIT"
        ),
        SAME,
    ),
    (
        "wildcore_collapse.texts:_on_the_hub",
        lambda folder: read_texts("hub:a:b:c:d", 100),
        "measurement.perplexity.text=hub:a:b:c:d: not a dataset on the hub; write hub:NAME:CONFIG:SPLIT",
        SAME,
    ),
    (
        "wildcore_collapse.texts:_rows",
        lambda folder: read_texts(str(written(folder, "text.jsonl", "{")), 100),
        (
            "measurement.perplexity.text: FOLDER/text.jsonl, line 1, column 2: not valid JSON: Expecting property name "
            "enclosed in double quotes"
        ),
        SAME,
    ),
    (
        "wildcore.datasets.rows:Row._get",
        lambda folder: read_texts(str(written(folder, "text.jsonl", '{"content": "a"}')), 100),
        "measurement.perplexity.text: FOLDER/text.jsonl, line 1: the field 'text' is missing; known: content",
        SAME,
    ),
    (
        "wildcore.datasets.text_files:opened",
        lambda folder: read_texts(str(folder / "text.jsonl"), 100),
        "measurement.perplexity.text=FOLDER/text.jsonl: cannot be read: No such file or directory",
        SAME,
    ),
    (
        "wildcore.datasets.tables:_hub",
        lambda folder: text_out_of_reach(),
        (
            "measurement.perplexity.text=hub:owner/name: cannot be read: ValueError: no such dataset; a file of it that lies "
            "here can be named with measurement.perplexity.text=FILE"
        ),
        SAME,
    ),
    (
        "wildcore_collapse.texts:read_prompts",
        lambda folder: read_prompts(str(written(folder, "prompts.txt", "\n"))),
        "measurement.n-gram-entropy.prompts=FOLDER/prompts.txt: it holds no prompt; write one on each line",
        SAME,
    ),
    (
        "wildcore_collapse.texts:_read",
        lambda folder: read_prompts(str(folder)),
        "measurement.n-gram-entropy.prompts=FOLDER: cannot be read: Is a directory",
        SAME,
    ),
]


class Died(Exception):
    """Stands for an error of Ray."""


class Restarting(Died):
    """Stands for another."""


class TaskFailed(Exception):
    """Stands for an error that a call raised in an actor."""

    cause = "out of memory"


def crew(answer: Any = None, error: Exception | None = None, slots: int = 1, **parameters: Any) -> tuple[Crew, RaySlot]:
    """Return the actors of a study, of which the first gives an answer, or raises an error, and its slot."""
    errors = SimpleNamespace(ActorUnavailableError=Restarting, RayActorError=Died, RayTaskError=TaskFailed)
    ray = Mock(exceptions=errors)
    ray.get = Mock(return_value=answer, side_effect=error)
    ray.available_resources.return_value = {"CPU": 1.0}
    places = [RaySlot("cpu", actor=Mock(), failed_starts=2) for _ in range(slots)]
    return Crew(ray, RayParams(**parameters), Mock(), places, Mock()), places[0]


def heeded(**given: Any) -> None:
    made, slot = crew(**given)
    made._heed(slot)


def opened_with(problem: Exception) -> None:
    queue = Mock()
    queue.open_worker.side_effect = problem
    found = CellActor(queue, "cpu", "m").opened().problem
    assert found is not None
    raise found


def without_room() -> None:
    made, _ = crew(start_seconds=0.5)
    made.last_answer -= 1
    made._require_workers()


def other_weights() -> None:
    made, slot = crew()
    slot.model = "m"
    made.fingerprints["m"] = "aa"
    made._go_on(slot, SimpleNamespace(fingerprint="bb"))  # type: ignore[arg-type]


def ray_that(**attributes: Any) -> None:
    with patch("wildcore_ray.cluster.import_ray", return_value=Mock(**attributes)), connected(None, 1, 1):
        pass


def without_package(call: Callable[[], Any]) -> None:
    with patch.dict("sys.modules", ray=None, submitit=None):
        call()


def tracker_without(package: str, make: Callable[[], Any], **variables: str) -> None:
    with patch.dict("sys.modules", {package: None}), patch.dict("os.environ", variables):
        make()


def mlflow_of(uri: str) -> None:
    with patch("wildcore_mlflow.tracker.find_spec", return_value=None):
        Mlflow(MlflowParams(uri=uri))


def wandb_without_a_key(folder: Path) -> None:
    gone = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "NETRC": str(folder / "netrc")}
    with patch.dict("os.environ", gone):
        Wandb(WandbParams(folder=folder))


TRACKERS: list[Case] = [
    (
        "wildcore_mlflow.tracker:Mlflow.__init__",
        lambda folder: tracker_without("mlflow", lambda: Mlflow(MlflowParams(uri=str(folder)))),
        "tracker mlflow: the package mlflow cannot be imported (<...>); install it: pip install mlflow-skinny",
        SAME,
    ),
    (
        "wildcore_mlflow.tracker:Mlflow.__init__",
        lambda folder: mlflow_of("sqlite:///mlflow.db"),
        (
            "tracker mlflow: a database needs MLflow with all its parts, and mlflow-skinny is installed; install it (pip "
            "install mlflow), or choose a folder or a server"
        ),
        SAME,
    ),
    (
        "wildcore_mlflow.tracker:Mlflow.__init__",
        lambda folder: mlflow_of("http://me:hunter2@host"),
        (
            "tracker.mlflow.uri: an address with a user or a password is not accepted; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_URI"
        ),
        SAME,
    ),
    (
        "wildcore_tensorboard.tracker:_imported",
        lambda folder: tracker_without(
            "tensorboard.summary.writer.event_file_writer", lambda: TensorBoard(TensorBoardParams(folder=folder))
        ),
        "tracker tensorboard: the package tensorboard cannot be imported (<...>); install it: pip install tensorboard",
        SAME,
    ),
    (
        "wildcore_trackio.tracker:Trackio.__init__",
        lambda folder: tracker_without("trackio", lambda: Trackio(TrackioParams())),
        "tracker trackio: the package trackio cannot be imported (<...>); install it: pip install trackio",
        SAME,
    ),
    (
        "wildcore_wandb.tracker:Wandb.__init__",
        lambda folder: tracker_without("wandb", lambda: Wandb(WandbParams(folder=folder))),
        "tracker wandb: the package wandb cannot be imported (<...>); install it: pip install wandb",
        SAME,
    ),
    (
        "wildcore_wandb.tracker:Wandb._require_key",
        wandb_without_a_key,
        (
            "tracker wandb: no key (<...>); run wandb login, or set WANDB_API_KEY, or WANDB_MODE=offline to write files only"
        ),
        SAME,
    ),
]


def refusing_submitit(**attributes: Any) -> Submitter:
    failed = SimpleNamespace(utils=SimpleNamespace(FailedJobError=ValueError))
    submitit = Mock(core=failed, **attributes)
    with patch("wildcore_slurm.executor.import_submitit", return_value=submitit):
        return Submitter(SubmititParams(cluster="slurm"), Path("/nonexistent") if not attributes else Path("/tmp"))


NO_SLURM = (
    "executor.cluster=slurm: no job can be submitted (<...>); run the command on a machine that submits jobs, or try it "
    "with the cluster local"
)
EXECUTORS: list[Case] = [
    (
        "wildcore_ray.cluster:import_ray",
        lambda folder: without_package(import_ray),
        "executor ray: the package ray cannot be imported (<...>); install it: pip install 'ray>=2.40'",
        SAME,
    ),
    (
        "wildcore_slurm.executor:import_submitit",
        lambda folder: without_package(import_submitit),
        "executor submitit: the package submitit cannot be imported (<...>); install it: pip install 'submitit>=1.5'",
        SAME,
    ),
    (
        "wildcore_ray.cluster:_require_reachable",
        lambda folder: _require_reachable("127.0.0.1:1"),
        "executor.address=127.0.0.1:1: no Ray cluster can be reached there (<...>); start one (ray start --head), or leave "
        "the address out to start one on this machine",
        SAME,
    ),
    (
        "wildcore_ray.cluster:connected",
        lambda folder: ray_that(**{"is_initialized.return_value": True}),
        "executor ray: this process uses Ray already; end that use first: ray.shutdown()",
        SAME,
    ),
    (
        "wildcore_ray.cluster:connected",
        lambda folder: ray_that(**{"is_initialized.return_value": False, "init.side_effect": OSError("no memory")}),
        "executor ray: no Ray cluster can be started on this machine (no memory)",
        SAME,
    ),
    (
        "wildcore_ray.actor:CellActor.__init__",
        lambda folder: opened_with(ValueError("broken")),
        "opening a worker: ValueError: broken",
        SAME,
    ),
    (
        "wildcore_ray.executor:Crew._heed",
        lambda folder: heeded(error=TaskFailed()),
        "executor ray: no worker can be started: executor ray: a worker failed: out of memory",
        SAME,
    ),
    (
        "wildcore_ray.executor:Crew._replace_dead",
        lambda folder: heeded(error=Died("killed")),
        "executor ray: no worker can be started: executor ray: a worker died while it was started: killed",
        SAME,
    ),
    (
        "wildcore_ray.executor:Crew._require_workers",
        lambda folder: without_room(),
        "executor ray: no worker can be started: none was ready after 0.5 s; the cluster has 1 free CPU cores and 0 free "
        "GPUs; reserve less for each worker with executor.cpus and executor.gpus",
        SAME,
    ),
    (
        "wildcore_ray.executor:Crew._go_on",
        lambda folder: other_weights(),
        "executor ray: no worker can be started: model m: the weights that a worker loaded have the fingerprint bb, those of "
        "the first worker aa; give all machines the same files",
        SAME,
    ),
    (
        "wildcore_slurm.executor:Submitter.__init__",
        lambda folder: refusing_submitit(**{"AutoExecutor.side_effect": RuntimeError("no sbatch")}),
        NO_SLURM,
        SAME,
    ),
    (
        "wildcore_slurm.executor:Submitter.submit",
        lambda folder: refusing_submitit(
            **{"AutoExecutor.return_value.submit.side_effect": RuntimeError("no sbatch")}
        ).submit(Mock(**{"worker_command.return_value": ["worker"]}), "cpu"),
        NO_SLURM,
        SAME,
    ),
    (
        "wildcore_slurm.executor:SubmititExecutor.execute",
        lambda folder: fruitless(folder),
        "executor submitit: no worker can be started: 5 jobs in a row ended on each device without finishing a cell; "
        "their output is in FOLDER",
        SAME,
    ),
]


def fruitless(folder: Path) -> None:
    queue = Mock(**{"waiting.return_value": [None]})
    given_up = patch("wildcore_slurm.executor.Slot.is_given_up", True)
    with patch("wildcore_slurm.executor.Submitter"), given_up:
        SubmititExecutor(SubmititParams(logs=folder)).execute(queue, ["cpu"], wildcore.NO_PROGRESS)


STUDY: list[Case] = [
    (
        "wildcore_study.choices:chosen_study",
        lambda folder: chosen_study(None, None, PresetChoice()),
        (
            "--preset: name either a study file or a preset (batch-size, decomposition, extra-content, generation, "
            "input, metric, retention, sequential, table3, truncation)"
        ),
        (
            "preset: name either a study file or a preset (batch-size, decomposition, extra-content, generation, "
            "input, metric, retention, sequential, table3, truncation)"
        ),
    ),
    (
        "wildcore_study.choices:chosen_study",
        lambda folder: chosen_study(folder / "a.toml", None, PresetChoice(limit=3)),
        "--limit: is for presets, and a study file says this itself; write it in the file",
        "limit: is for presets, and a study file says this itself; write it in the file",
    ),
    (
        "wildcore_study.choices:of_preset",
        lambda folder: chosen_study(None, "table3", PresetChoice()),
        "--model: a preset needs a model; name one, or several",
        "model: a preset needs a model; name one, or several",
    ),
    (
        "wildcore_study.commands:choice_of",
        lambda folder: choice_of({"limit": 3, "sample": 4}),
        "--limit: cannot be combined with --sample; leave one of them out",
        "limit: cannot be combined with sample; leave one of them out",
    ),
    (
        "wildcore_study.cost:require_room",
        lambda folder: require_room(folder, Cost(edits=1, answers=10**15, seconds=0, unknown=0, bytes=10**18)),
        (
            "FOLDER: 1,000,000,000,000,000 answers need about 1000000000.0 GB, and <...> GB are free; make room, "
            "choose fewer cases, or another folder with --out"
        ),
        (
            "FOLDER: 1,000,000,000,000,000 answers need about 1000000000.0 GB, and <...> GB are free; make room, "
            "choose fewer cases, or another folder with out"
        ),
    ),
    (
        "wildcore_study.cost:require_time",
        lambda folder: require_time(Cost(edits=1, answers=1, seconds=36000, unknown=0, bytes=1), 2.0, 4),
        "--hours 2.0: what is left takes about 2.5 hours on 4 devices; choose fewer cases, or allow more hours",
        "hours=2.0: what is left takes about 2.5 hours on 4 devices; choose fewer cases, or allow more hours",
    ),
    (
        "wildcore_study.definition:read_study",
        lambda folder: read_study(folder / "study.toml"),
        "FOLDER/study.toml: cannot be read (No such file or directory)",
        SAME,
    ),
    (
        "wildcore_study.definition:read_study",
        lambda folder: read_study(written(folder, "study.toml", b"\xff")),
        "FOLDER/study.toml: is not UTF-8 (byte 0)",
        SAME,
    ),
    (
        "wildcore_study.definition:read_study",
        lambda folder: read_study(written(folder, "study.toml", "models = 1 2")),
        "FOLDER/study.toml: is not TOML: Expected newline or end of document after a statement (at line 1, column 12)",
        SAME,
    ),
    (
        "wildcore_study.definition:read_study",
        lambda folder: read_study(written(folder, "study.toml", "models = " + "[" * 100_000)),
        "FOLDER/study.toml: is nested too deeply",
        SAME,
    ),
    (
        "wildcore_study.definition:read_study",
        lambda folder: read_study(written(folder, "study.toml", "#" * 1_000_001)),
        "FOLDER/study.toml: is no study file: larger than 1,000,000 bytes",
        SAME,
    ),
    (
        "wildcore_study.definition:_faults",
        lambda folder: read_study(written(folder, "study.toml", GRID + "limits = 3")),
        "FOLDER/study.toml, line 5: limits: no such key; did you mean 'limit'?",
        SAME,
    ),
    (
        "wildcore_study.execution:devices_of",
        lambda folder: devices_of(" , "),
        "--devices ' , ': names no device; such as cuda:0,cuda:1, or auto",
        "devices=' , ': names no device; such as cuda:0,cuda:1, or auto",
    ),
    (
        "wildcore_study.folder:StudyFolder.plan",
        lambda folder: StudyFolder(folder).plan("0123"),
        "FOLDER/studies/0123.json: holds no plan of this name; make it with: wildcore study run",
        SAME,
    ),
    (
        "wildcore_study.folder:StudyFolder.plan",
        lambda folder: damaged_plan(folder),
        "FOLDER/studies/0123.json: is damaged, or was written by another version; start the study again",
        SAME,
    ),
    (
        "wildcore_study.folder:require_folder",
        lambda folder: require_folder(folder),
        "FOLDER: holds no study; name the folder that was given to study run with --out",
        "FOLDER: holds no study; name the folder that was given to study run with out",
    ),
    (
        "wildcore_study.local:LocalExecutor.execute",
        lambda folder: no_worker(folder),
        "executor local: no worker can be started; the last one said: no such device",
        SAME,
    ),
    (
        "wildcore_study.planning:plan_study",
        lambda folder: study_of(folder, editors='["rom"]'),
        (
            "the study cannot be run:\n  rom, on counterfact, with TINY, single: unknown editor 'rom'; did you mean "
            "'rome'?"
        ),
        SAME,
    ),
    (
        "wildcore_study.planning:own_protocols",
        lambda folder: study_of(
            folder, protocols='["wild", {protocol = "synthetic", name = "wild", context = "chat"}]'
        ),
        "two protocols of the study are called 'wild'; give one of them another name",
        SAME,
    ),
    (
        "wildcore_study.planning:SharedSettings.__init__",
        lambda folder: study_of(folder, settings='{"context.chat.system" = "x"}'),
        "--set context.chat.system: it belongs to a protocol; write it in the parameters of a protocol of the study",
        (
            "settings['context.chat.system']: it belongs to a protocol; write it in the parameters of a protocol of "
            "the study"
        ),
    ),
    (
        "wildcore_study.planning:SharedSettings.require_all_used",
        lambda folder: study_of(folder, settings='{"editor.lora.rank" = 3}'),
        "--set editor.lora.rank: no run of the study uses the editor 'lora'; known: ft-m",
        "settings['editor.lora.rank']: no run of the study uses the editor 'lora'; known: ft-m",
    ),
    (
        "wildcore_study.script_command:script",
        lambda folder: job_file(folder, engine="kubernetes", image=None, claim="data"),
        "--image: Kubernetes needs it",
        "image: Kubernetes needs it",
    ),
    (
        "wildcore_study.script_command:script",
        lambda folder: job_file(folder / "two\nlines", engine="slurm"),
        "--engine slurm: a path or argument of a job file may have no line break: 'FOLDER/two\\nlines'",
        "engine='slurm': a path or argument of a job file may have no line break: 'FOLDER/two\\nlines'",
    ),
    (
        "wildcore_study.worker:require_unchanged",
        lambda folder: require_unchanged(
            SimpleNamespace(id="1a2b"),
            SimpleNamespace(identity={"model": "another"}),  # type: ignore[arg-type]
        ),
        (
            "run 1a2b: the model, the data or the code that it depends on changed since the study was planned; start the "
            "study again, which plans it anew"
        ),
        SAME,
    ),
    (
        "wildcore_study.worker:require_same_device",
        lambda folder: other_device(folder),
        (
            "run 1a2b-3c4d: the run was begun on NVIDIA H100, and this device is cpu; resume it on a device of that "
            "kind with --retry, or begin it again with --discard-unfinished"
        ),
        (
            "run 1a2b-3c4d: the run was begun on NVIDIA H100, and this device is cpu; resume it on a device of that "
            "kind with retry=True, or begin it again with discard_unfinished=True"
        ),
    ),
]


def a_run_without_data(folder: Path) -> None:
    """Read a run whose manifest does not have what every run has."""
    run = SimpleNamespace(manifest=SimpleNamespace())
    with (
        patch("wildcore_leaderboard.runs.RunFolder.finished", return_value=run),
        patch("wildcore_leaderboard.runs.readable_manifest", return_value=SimpleNamespace(identity={})),
    ):
        read_run(load_registry(), folder / "run", folder)


def runs_in(folder: Path, name: str) -> Path:
    """Return a folder that holds a damaged run."""
    (folder / name).mkdir(parents=True)
    written(folder / name, "manifest.json", "{}")
    return folder


def sent_to(**answers: Any) -> None:
    """Send nothing to a hub that gives these answers."""
    hub = Mock(**{f"{name}.{how}": value for name, (how, value) in answers.items()})
    with patch.dict("os.environ", {"HF_TOKEN": "secret"}), patch("huggingface_hub.HfApi", return_value=hub):
        send("owner/name", Path(), [], False, "a run")


def single_edits() -> None:
    identity = {"editor": {}, "schedule": {"edits": "single"}}
    require_one_model(Mock(manifest=SimpleNamespace(identity=identity, case_count=2)))


def dataset_of_another_kind(folder: Path) -> None:
    said = {"plugin": "counterfact", "name": "counterfact", "params": {}}
    run: Any = SimpleNamespace(manifest=SimpleNamespace(identity={"dataset": said}))
    dataset_reader(run, load_registry(), folder / "facts.json")


def a_telling_file(folder: Path) -> None:
    written(folder, "README.md", "see /home/someone/x")
    with patch("wildcore_leaderboard.publish_command.Path.home", return_value=Path("/home/someone")):
        _require_private(folder, ["README.md"])


def a_card_that_cannot_be_written(folder: Path) -> None:
    run: Any = None
    with (
        patch("wildcore_leaderboard.model_results.results", return_value=[]),
        patch("wildcore_leaderboard.model_results.model_card", return_value="card"),
    ):
        list(_write_card(run, folder / "nowhere", ""))


LEADERBOARD: list[tuple[str, Callable[[Path], Any], str, str | None]] = [
    (
        "wildcore_leaderboard.build:_require_site",
        lambda folder: _require_site(folder, folder / "runs"),
        "--out FOLDER: the runs lie in it, and the site replaces what is there; choose another folder",
        "out='FOLDER': the runs lie in it, and the site replaces what is there; choose another folder",
    ),
    (
        "wildcore_leaderboard.build:_require_site",
        lambda folder: _require_site(written(folder, "site", ""), folder / "runs"),
        "--out FOLDER/site: not a folder; choose another name",
        "out='FOLDER/site': not a folder; choose another name",
    ),
    (
        "wildcore_leaderboard.build:_require_site",
        lambda folder: _require_site(written(folder, "thesis.tex", "").parent, folder.parent / "runs"),
        "--out FOLDER: it holds something other than a site of a leaderboard; choose an empty or new folder",
        "out='FOLDER': it holds something other than a site of a leaderboard; choose an empty or new folder",
    ),
    (
        "wildcore_leaderboard.build:_read_runs",
        lambda folder: _read_runs(load_registry(), runs_in(folder, "a"), Reporter(quiet=True)),
        "FOLDER: contains no finished run (a/manifest.json: damaged: <...>)",
        SAME,
    ),
    (
        "wildcore_leaderboard.runs:find_runs",
        lambda folder: find_site_runs(folder),
        "FOLDER: contains no run; name a folder with run folders in it, at any depth",
        SAME,
    ),
    (
        "wildcore_leaderboard.runs:read_run",
        a_run_without_data,
        (
            "FOLDER/run/manifest.json: its manifest lacks something that every run has (KeyError: 'editor'); it is damaged, "
            "or another version of wildcore made it"
        ),
        SAME,
    ),
    (
        "wildcore_leaderboard.facts:dataset_reader",
        dataset_of_another_kind,
        "--dataset-file FOLDER/facts.json: it cannot be read as the dataset of the run: <...>",
        "dataset_file='FOLDER/facts.json': it cannot be read as the dataset of the run: <...>",
    ),
    (
        "wildcore_leaderboard.hub:require_repository_name",
        lambda folder: require_repository_name("alone"),
        "--to-hub alone: not the name of a data set on the hub; give OWNER/NAME",
        "to_hub='alone': not the name of a data set on the hub; give OWNER/NAME",
    ),
    (
        "wildcore_leaderboard.hub:send",
        lambda folder: without_a_token(),
        "--to-hub owner/name: the hub needs a token, and HF_TOKEN is not set; set HF_TOKEN in the environment",
        "to_hub='owner/name': the hub needs a token, and HF_TOKEN is not set; set HF_TOKEN in the environment",
    ),
    (
        "wildcore_leaderboard.hub:send",
        lambda folder: sent_to(repo_info=("return_value", SimpleNamespace(private=False))),
        (
            "--to-hub owner/name: the data set exists and is public, so everyone would see the run; choose another name, or "
            "add --public"
        ),
        (
            "to_hub='owner/name': the data set exists and is public, so everyone would see the run; choose another name, or "
            "add public=True"
        ),
    ),
    (
        "wildcore_leaderboard.hub:send",
        lambda folder: sent_to(create_repo=("side_effect", OSError("no route; token secret"))),
        ("--to-hub owner/name: the hub at https://huggingface.co refused or cannot be reached (no route; token ...)"),
        "to_hub='owner/name': the hub at https://huggingface.co refused or cannot be reached (no route; token ...)",
    ),
    (
        "wildcore_leaderboard.model_results:require_one_model",
        lambda folder: single_edits(),
        (
            "--model-card: its edits were evaluated apart from each other, so no model has these numbers; publish a run that "
            "evaluates a patch, a sequence, or one batch"
        ),
        (
            "model_card: its edits were evaluated apart from each other, so no model has these numbers; publish a run that "
            "evaluates a patch, a sequence, or one batch"
        ),
    ),
    (
        "wildcore_leaderboard.model_results:require_model_folder",
        lambda folder: require_model_folder(folder),
        "--model-card FOLDER: not the folder of a model (no config.json in it); name a folder that wildcore apply wrote",
        "model_card='FOLDER': not the folder of a model (no config.json in it); name a folder that wildcore apply wrote",
    ),
    (
        "wildcore_leaderboard.model_results:model_card",
        lambda folder: model_card(written(folder, "README.md", "---\n[: x\n---\n").parent, []),
        "--model-card FOLDER/README.md: its card cannot be read (<...>); mend or remove it",
        "model_card='FOLDER/README.md': its card cannot be read (<...>); mend or remove it",
    ),
    (
        "wildcore_leaderboard.publish_command:_require_private",
        a_telling_file,
        "publish: README.md names '/home/someone/', which tells who made the run; remove it from the run",
        SAME,
    ),
    (
        "wildcore_leaderboard.publish_command:_write_card",
        a_card_that_cannot_be_written,
        "--model-card FOLDER/nowhere: cannot be written: No such file or directory",
        "model_card='FOLDER/nowhere': cannot be written: No such file or directory",
    ),
]


def without_a_token() -> None:
    with patch.dict("os.environ"):
        os.environ.pop("HF_TOKEN", None)
        send("owner/name", Path(), [], False, "a run")


SHOWN_AS_A_NOTE = ["wildcore_judge.local:LocalJudge.judge"]
"""Places whose error is not raised."""

REPORT: list[Case] = [
    (
        "wildcore_report.finding:_add_within",
        lambda folder: find_runs([folder / "nowhere"]),
        "FOLDER/nowhere: not a run, and not a folder with runs in it; name a run or a folder of runs",
        SAME,
    ),
    (
        "wildcore_report.finding:_add_within",
        lambda folder: find_runs([folder]),
        "FOLDER: contains no run; name a run, a folder with runs in it, or a study's folder",
        SAME,
    ),
    (
        "wildcore_report.finding:_add_within",
        lambda folder: find_runs([with_broken_run(folder)]),
        "FOLDER: none of its runs is finished (1); the first: FOLDER/run/manifest.json: damaged: <...>; finish one of them first",
        SAME,
    ),
    (
        "wildcore_report.writing:require_writable",
        lambda folder: require_writable(folder, force=True),
        "--out FOLDER: a folder; name a file, such as report.html",
        "out='FOLDER': a folder; name a file, such as report.html",
    ),
    (
        "wildcore_report.writing:require_writable",
        lambda folder: require_writable(folder / "nowhere" / "r.html", force=True),
        "--out FOLDER/nowhere/r.html: its folder does not exist; make the folder first, or choose another",
        "out='FOLDER/nowhere/r.html': its folder does not exist; make the folder first, or choose another",
    ),
    (
        "wildcore_report.writing:require_writable",
        lambda folder: require_writable(written(folder, "r.html", ""), force=False),
        "--out FOLDER/r.html: already exists; choose another name, or replace it with --force",
        "out='FOLDER/r.html': already exists; choose another name, or replace it with force",
    ),
    (
        "wildcore_report.writing:require_writable",
        lambda folder: unwritable(folder / "r.html"),
        "--out FOLDER/r.html: its folder cannot be written to; choose another folder",
        "out='FOLDER/r.html': its folder cannot be written to; choose another folder",
    ),
    (
        "wildcore_report.writing:write_page",
        lambda folder: write_page(made_report(), folder / "nowhere" / "r.html"),
        "--out FOLDER/nowhere/r.html: cannot be written (No such file or directory); choose another place",
        "out='FOLDER/nowhere/r.html': cannot be written (No such file or directory); choose another place",
    ),
    (
        "wildcore_report.writing:require_free_for_figures",
        lambda folder: require_free_for_figures(written(folder, "figures", ""), force=True),
        "--figures FOLDER/figures: not a folder; name a folder",
        "figures='FOLDER/figures': not a folder; name a folder",
    ),
    (
        "wildcore_report.writing:require_free_for_figures",
        lambda folder: require_free_for_figures(written(folder, "old.png", "").parent, force=False),
        "--figures FOLDER: not an empty folder; choose another, or replace figures of the same names with --force",
        "figures='FOLDER': not an empty folder; choose another, or replace figures of the same names with force",
    ),
    (
        "wildcore_report.writing:write_figures",
        lambda folder: write_figures([], written(folder, "figures", ""), NO_PROGRESS),
        "--figures FOLDER/figures: cannot be written (File exists); choose another folder",
        "figures='FOLDER/figures': cannot be written (File exists); choose another folder",
    ),
    (
        "wildcore_report.live:find_all",
        lambda folder: find_all(folder / "nowhere"),
        "FOLDER/nowhere: not a folder; name a folder of runs",
        SAME,
    ),
    (
        "wildcore_report.live:find_all",
        lambda folder: find_all(folder),
        "FOLDER: contains no run; name a folder with a run in it",
        SAME,
    ),
    (
        "wildcore_report.server:ReportServer.__init__",
        lambda folder: taken_port(folder),
        "--port <...>: cannot be used (Address already in use); choose another, or 0 for a free one",
        "port=<...>: cannot be used (Address already in use); choose another, or 0 for a free one",
    ),
]

CASES = [
    *JUDGE,
    *KEYVALUE,
    *EDITORS,
    *PROTOCOLS,
    *ENCODERS,
    *HARNESS,
    *OTHERS,
    *COLLAPSE,
    *EXECUTORS,
    *TRACKERS,
    *STUDY,
    *REPORT,
    *LEADERBOARD,
]
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
        assert_shown(error.rendered(naming).replace(str(folder), "FOLDER").replace(str(TINY), "TINY"), expected)


def names_reached(error: UserError) -> list[str]:
    return [f"{package}.{site.name}" for package, known in SITES.items() for site in reached(error, known)]


@pytest.mark.parametrize("number", NUMBERED)
def test_an_error_is_made_where_its_case_says(number: int, caught: Caught) -> None:
    assert CASES[number][0] in names_reached(caught(number)[0])


def test_every_place_that_makes_an_error_has_a_case(caught: Caught) -> None:
    caused = [caught(number)[0] for number in range(len(CASES))]
    missing = [
        f"{package.name}.{site.name}"
        for package in PLUGINS
        for site in SITES[package.name]
        if not any(reached(error, [site]) for error in caused)
    ]
    assert sorted(missing) == sorted(SHOWN_AS_A_NOTE), "\n".join(missing)
