"""What editors need once for a model is made ahead by a command, and shown, verified and removed by others."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch

import wildcore.testing
from wildcore.testing.processes import run_python

MODELS = Path(wildcore.testing.__file__).parent / "data"
ROME = ("rome", "--model", MODELS / "tiny-llama")
Wildcore = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

# the command line, which says how many batches of the second moments it has added, and waits there
COUNTING = """
import itertools, sys, time
from wildcore_keyvalue import moments
numbers = itertools.count(1)
def count(keeper):
    print("added", next(numbers), file=sys.stderr, flush=True)
    time.sleep(0.2)
moments._Keeper.save_if_due = count
from wildcore.cli import main
main()
"""

TRAINED = """
from wildcore import Editor, Offer, Saved, UserError, hookimpl
from wildcore.storage import artifact_file


class Trained(Editor):
    trains = True

    def __init__(self, params):
        self.file = None

    def train(self, model, environment, cases):
        subjects = [case.request.subject for case in cases]
        self.file = artifact_file(environment, model, "sample-network", {"cases": len(subjects)})
        self.file.save(Saved({}, {"subjects": subjects, "seed": environment.seed}))

    def prepare(self, model, environment):
        assert self.file.exists(), "it is trained first"

    def edit(self, model, requests):
        raise UserError("this one only trains")


@hookimpl
def wildcore_editors():
    return [Offer("sample-trained", Trained)]
"""


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty cache and an editor that is trained."""
    site = tmp_path / "site"
    facts = site / "sample_trained-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "sample_trained.py").write_text(TRAINED)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: sample-trained\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[wildcore]\ntrained = sample_trained\n")
    return environment | {"WILDCORE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(site)}


def said(process: subprocess.CompletedProcess[str]) -> str:
    return " ".join(process.stderr.split())


def files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((cache / "prepared").glob("*/*"))}


def test_what_is_prepared_is_used_and_said_to_be_there(wildcore: Wildcore, tmp_path: Path, edits: Path) -> None:
    first = wildcore("prepare", *ROME)
    assert first.returncode == 0, first.stderr
    kinds = re.findall(r"^(\S+), [\d.]+ (?:B|KiB|MiB), prepared: (\S+)$", first.stdout, re.MULTILINE)
    assert [kind for kind, _ in kinds] == ["prefixes", "second-moments"]
    assert all(Path(path).is_file() for _, path in kinds)
    assert "condition number" in first.stderr
    before = files(tmp_path / "cache")
    again = wildcore("prepare", *ROME, "--quiet")
    assert again.stdout.count("already existed") == 2
    assert "prepared:" not in again.stdout
    data = ("--dataset", "counterfact", "--set", f"dataset.path={edits}", "--limit", 1, "--out", tmp_path / "run")
    done = wildcore("eval", "--editor", *ROME, *data, "--quiet")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "cache") == before, "the run must use what was prepared"


def test_other_parameters_prepare_something_else(wildcore: Wildcore, tmp_path: Path) -> None:
    for layer in (0, 1):
        assert "second-moments" in wildcore("prepare", *ROME, "--set", f"editor.layer={layer}").stdout
    assert len(list((tmp_path / "cache" / "prepared" / "second-moments").iterdir())) == 2


def test_an_editor_that_needs_nothing_says_so(wildcore: Wildcore) -> None:
    done = wildcore("prepare", "ft-m", "--model", MODELS / "tiny-llama")
    assert done.returncode == 0, done.stderr
    assert "there is nothing to prepare" in done.stdout


def test_an_editor_is_trained_on_the_cases_asked_for(wildcore: Wildcore, edits: Path, tmp_path: Path) -> None:
    data = ("--dataset", "counterfact", "--set", f"dataset.path={edits}", "--limit", 3, "--seed", 7)
    done = wildcore("prepare", "sample-trained", "--model", MODELS / "tiny-llama", *data)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("sample-network, ")
    with safetensors.safe_open(line.split(": ")[1], framework="np") as stream:
        kept = stream.metadata()["wildcore-prepared"]
    assert '"subjects":["the red harbour 0","the green market 1","the blue library 2"],"seed":7' in kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rom",), "unknown editor 'rom'; did you mean 'rome'?"),
        (("rome", "--dataset", "counterfac"), "unknown dataset 'counterfac'; did you mean 'counterfact'?"),
        (("rome", "--dataset", "pocketqa"), "--dataset pocketqa: editor rome trains nothing; leave it out"),
        (("rome", "--limit", "3"), "--limit: it chooses cases of a dataset, and editor rome trains nothing"),
        (("rome", "--skip-malformed"), "--skip-malformed: it chooses cases of a dataset"),
        (("rome", "--set", "editor.layer=9"), "editor.layer=9: the model has layers 0 to"),
        (("rome", "--set", "dataset.path=x"), "--set dataset.path: no dataset takes part here"),
        (("rome", "--set", "editor.corpus=nowhere.txt"), "editor.corpus=nowhere.txt: cannot be read"),
        (("sample-trained",), "editor sample-trained is trained on edit cases; name some with --dataset NAME"),
        (("sample-trained", "--dataset", "counterfact", "--set", "dataset.path=nowhere.json"), "nowhere.json"),
        (("sample-trained", "--dataset", "pocketqa", "--limit", "1", "--sample", "1"), "give one of them"),
    ],
)
def test_wrong_input_is_one_message(arguments: tuple[str, ...], message: str, wildcore: Wildcore) -> None:
    done = wildcore("prepare", *arguments, "--model", MODELS / "tiny-llama")
    assert done.returncode == 2
    assert message in said(done)
    assert "Traceback" not in done.stderr


def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(
    start_python: Start, wildcore: Wildcore, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(
        "".join(f"The keeper of mill {number} has {number % 7} cats and a dog.\n" for number in range(15000))
    )
    command = ("prepare", *ROME, "--set", f"editor.corpus={corpus}", "--set", "editor.moment_tokens=200000")
    store = tmp_path / "cache" / "prepared"
    process = start_python("-c", COUNTING, *command)
    assert process.stderr is not None
    for line in process.stderr:
        if line == "added 2\n":
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Give the same command again to go on" in errors
    assert "Traceback" not in errors
    (partial,) = store.glob("second-moments/*")
    assert partial.suffix == ".partial"
    listed = wildcore("cache", "list").stdout
    assert "UNFINISHED" in listed
    done = wildcore(*command)
    assert done.returncode == 0, done.stderr
    assert not partial.exists()
    assert re.search(r"second moments of layer \d: condition number", done.stderr)
    assert [made.suffix for made in store.glob("second-moments/*")] == [".safetensors"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache with what ROME needs for two models."""
    cache = tmp_path_factory.mktemp("made") / "cache"
    variables = os.environ | {"WILDCORE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    for model in ("tiny-llama", "tiny-gpt2"):
        command = ["-m", "wildcore", "prepare", "rome", "--model", str(MODELS / model), "--quiet"]
        run_python(command, variables).check_returncode()
    return cache


@pytest.fixture
def prepared(made: Path, environment: dict[str, str]) -> Path:
    """Return a copy of that cache, the one that the commands use."""
    return Path(shutil.copytree(made, environment["WILDCORE_CACHE"]))


def test_the_cache_is_listed_verified_and_pruned(prepared: Path, wildcore: Wildcore) -> None:
    size = sum(len(content) for content in files(prepared).values())
    listed = wildcore("cache", "list").stdout
    assert listed.count("second-moments") == listed.count("prefixes") == 2
    assert f"Total: 4 files, {size / 2**10:.1f} KiB, in {prepared / 'prepared'}" in listed
    verified = wildcore("cache", "verify")
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "Damaged: 0")
    damaged = next(prepared.glob("prepared/second-moments/*"))
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    verified = wildcore("cache", "verify")
    assert verified.returncode == 1
    assert f"{damaged}: damaged" in verified.stdout
    assert "Damaged: 1" in verified.stdout
    pruned = wildcore("cache", "prune", "--kind", "second-moments", "--model", MODELS / "tiny-gpt2", "--yes")
    assert pruned.returncode == 0, pruned.stderr
    assert re.search(r"^Freed [\d.]+ KiB\.$", pruned.stdout, re.MULTILINE)
    assert sorted(path.parent.name for path in prepared.glob("prepared/*/*")) == [
        "prefixes",
        "prefixes",
        "second-moments",
    ]
    assert wildcore("cache", "prune", "--older-than", "1d", "--yes").stdout == "Nothing to remove.\n"
    assert wildcore("cache", "prune", "--unfinished", "--yes").stdout == "Nothing to remove.\n"
    assert "Freed" in wildcore("cache", "prune", "--all", "--yes").stdout
    assert files(prepared) == {}
    assert "Total: 0 files, 0 B" in wildcore("cache", "list").stdout


@pytest.mark.parametrize(("answer", "left"), [("n\n", 4), ("", 4), ("y\n", 2)])
def test_pruning_asks_first(answer: str, left: int, prepared: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "wildcore", "cache", "prune", "--kind", "prefixes"]
    done = subprocess.run(command, env=environment, input=answer, text=True, capture_output=True, timeout=60)
    assert re.search(r"Remove 2 files and free [\d.]+ (KiB|B)\?", done.stdout)
    assert len(files(prepared)) == left
    assert (done.returncode == 0) == (left == 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to remove"),
        (("--all", "--kind", "prefixes"), "--all alone"),
        (("--older-than", "soon"), "'soon' is not an age; write 12h, 30d or 8w"),
        (("--older-than", "99999999999w"), "'99999999999w' is not an age"),
        (("--older-than", "0h", "--all"), "--all alone"),
    ],
)
def test_pruning_says_what_it_wants(arguments: tuple[str, ...], message: str, wildcore: Wildcore) -> None:
    done = wildcore("cache", "prune", *arguments, "--yes")
    assert done.returncode == 2
    assert message in said(done)
