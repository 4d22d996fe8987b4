"""Bad input gets one clear message and exit code 2, never a traceback."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from wildcore.cli import eval as eval_cli
from wildcore.cli import main
from wildcore.cli.describe import KINDS
from wildcore.cli.driver import Failure
from wildcore.jobs.spec import JobSpec
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import Manifest
from wildcore.registry import load_registry

TINY = Path(__file__).parents[2] / "wildcore" / "testing" / "data" / "tiny-gpt2"
CALL = ("--plugins", "good,wild,synthetic", "eval")
USUAL = {"--dataset": "two-facts", "--model": str(TINY)}
EVAL = (*CALL, *(word for option in USUAL.items() for word in option))


@pytest.fixture(scope="module")
def good(installed) -> Path:
    return installed("sample-good")


@pytest.fixture
def refused(wildcore, good, tmp_path):
    """A function that runs ``wildcore``, checks that it refuses in one line, and returns what it says."""

    def run(*arguments: str | Path) -> str:
        done = wildcore(*arguments, site=good, cwd=tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, done.stderr
        assert done.stderr.rstrip().endswith(errors[0])
        assert not list(tmp_path.iterdir()), "a refused call leaves nothing behind"
        return errors[0].removeprefix("Error: ")

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evl",), "No such command 'evl'. Did you mean 'eval'?"),
        (("eval", "--editr", "x"), "No such option"),
        (("eval", "--dtype", "float8"), "'float8' is not one of 'auto', 'float32', 'bfloat16', 'float16', 'float64'"),
        (("eval", "--limit", "0"), "'--limit': 0 is not in the range x>=1"),
        (("eval", "--batch-size", "many"), "'--batch-size': 'many' is not a valid integer"),
        (("eval", "--seed", "1.5"), "'--seed': '1.5' is not a valid integer"),
        (("eval",), "no editor named; give --editor NAME"),
        (("eval", "--editor", "a", "--editor", "a"), "--editor: an editor is named twice"),
        (("eval", "--resume", "nowhere"), "nowhere: not a run folder"),
        (("eval", "--seed", str(2**63)), "Invalid value for '--seed'"),
        (("eval", "--resume"), "'--resume' requires an argument"),
        (("compare",), "Missing argument 'RUNS...'"),
        (("compare", "nowhere"), "nowhere: not a run folder (no manifest.json in it)"),
        (("show",), "Missing argument 'RUN'"),
        (("show", "nowhere"), "nowhere: not a run folder (no manifest.json in it)"),
        (("show", "--json", "--edits", "nowhere"), "nowhere: not a run folder"),
        (("describe", "editr", "x"), "unknown kind 'editr'; did you mean 'editor'?"),
        (("describe", "two-fact"), "nothing is called 'two-fact'; did you mean 'two-facts' (dataset)?"),
        (("describe", "editor"), "editor is a kind; also give a name: wildcore describe editor NAME"),
        (("describe", "zzzzzz"), "nothing is called 'zzzzzz'; all names are listed by: wildcore plugins"),
        (("describe", "editor", "no-chnge"), "unknown editor 'no-chnge'; did you mean 'no-change'?"),
        pytest.param(
            ("describe", "protocol", "wlid"),
            "unknown protocol 'wlid'; did you mean 'wild'?",
            marks=pytest.mark.plugins("wild"),
        ),
        (("describe", "dataset", "good/two-fact"), "did you mean 'two-facts'?"),
        (("describe", "model", "nowhere/at/all"), "nowhere/at/all: no such folder"),
    ],
)
def test_refused_before_anything_heavy(refused, arguments, said: str) -> None:
    assert said in refused(*arguments)


@pytest.mark.plugins("pocket", "synthetic", "wild")
@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("editor.layer", "--set editor.layer: write --set SECTION.PARAMETER=VALUE, such as --set editor.layer=5"),
        ("editr.layer=5", "unknown section 'editr'; did you mean 'editor'?"),
        ("editor.layer=[", "the value cannot be used: not valid YAML"),
    ],
)
def test_settings_in_the_wrong_form(refused, pair: str, said: str) -> None:
    assert said in refused(*EVAL, "--editor", "no-change", "--set", pair)


CHECKED_WITH_THE_MODEL = [
    (("--editor", "no-chnge"), "unknown editor 'no-chnge'; did you mean 'no-change'?"),
    (("--editor", "no-change", "--protocol", "wlid"), "unknown protocol 'wlid'; did you mean 'wild'?"),
    (("--editor", "no-change", "--dataset", "tow-facts"), "unknown dataset 'tow-facts'; did you mean 'two-facts'?"),
    (("--editor", "no-change", "--metric", "exact-mach"), "unknown metric 'exact-mach'; did you mean 'exact-match'?"),
    (
        ("--editor", "no-change", "--metric", "exact-match", "--metric", "exact-match"),
        "--metric: a metric is named twice",
    ),
    (("--editor", "no-change", "--context", "chta"), "unknown context 'chta'; did you mean 'chat'?"),
    (
        ("--editor", "no-change", "--set", "editor.strenght=1"),
        "editor no-change (plugin good): unknown parameter 'strenght'; did you mean 'strength'?",
    ),
    (
        ("--editor", "no-change", "--set", "editor.strength=much"),
        "parameter 'strength': Input should be a valid number",
    ),
    (
        ("--editor", "no-change", "--set", "editor.strength=.inf"),
        "--set editor.strength=.inf: the value cannot be used: inf is not a finite number",
    ),
    (("--editor", "no-change", "--set", f"editor.layer={2**63}"), "a number is too large for 64 bits"),
    (("--editor", "no-change", "--set", "editor.layer=99"), "editor.layer=99: the model has layers 0 to "),
    (("--editor", "no-change", "--set", "editor.preset=tiyn"), "no such preset; did you mean 'tiny'?"),
    (("--editor", "no-change", "--set", "dataset.path=x"), "dataset two-facts (plugin good): unknown parameter 'path'"),
    (("--editor", "no-change", "--set", "metric.bleu.n=4"), "this run uses no metric 'bleu'"),
    (("--editor", "no-change", "--model", "/nowhere/at/all"), "--model /nowhere/at/all: no such folder"),
    (("--editor", "no-change", "--model", "."), "--model .: no config.json in it; wildcore reads Hugging Face folders"),
    (("--editor", "no-change", "--model", "llama3:8b"), "--model llama3:8b: it looks like an Ollama name."),
    (("--editor", "no-change", "--device", "gpu"), "--device gpu: not a device; use auto, cpu, cuda, cuda:N or mps"),
    (("--editor", "no-change", "--revision", "main"), "is a local folder, which has no revisions"),
]
ALL_IN_ONE_PROCESS = """
import contextlib, io, json, sys
from wildcore.cli import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(arguments, prog_name="wildcore")
        except SystemExit as leaving:
            code = leaving.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@pytest.fixture(scope="module")
def refusals(python, good, tmp_path_factory) -> list[list[object]]:
    """What each of ``CHECKED_WITH_THE_MODEL`` leads to; one process, because importing torch takes seconds."""
    folder = tmp_path_factory.mktemp("refusals")
    calls = [
        [*CALL, *arguments, *(word for option in USUAL.items() if option[0] not in arguments for word in option)]
        for arguments, _ in CHECKED_WITH_THE_MODEL
    ]
    done = python("-c", ALL_IN_ONE_PROCESS, json.dumps(calls), site=good, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir()), "a refused call leaves nothing behind"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.plugins("pocket", "synthetic", "wild")
@pytest.mark.parametrize(
    "index", range(len(CHECKED_WITH_THE_MODEL)), ids=lambda i: " ".join(CHECKED_WITH_THE_MODEL[i][0])
)
def test_refused_before_a_model_is_loaded(refusals, index: int) -> None:
    code, out, err = refusals[index]
    assert code == 2
    assert not out
    assert CHECKED_WITH_THE_MODEL[index][1] in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in err


def test_show_of_an_unfinished_run_says_how_to_go_on(wildcore, tmp_path: Path) -> None:
    facts = {
        "created": "now",
        "job": {},
        "identity": {},
        "protocols": (),
        "versions": {},
        "hardware": {},
        "plugins": {},
    }
    run = RunFolder.create(tmp_path / "run", Manifest(case_count=7, **facts))
    done = wildcore("show", run.path)
    assert done.returncode == 2
    assert "unfinished, 0 of 7 cases done and not scored yet" in done.stderr
    assert f"wildcore eval --resume {run.path}" in done.stderr


@pytest.mark.parametrize("command", ["eval", "show", "compare", "plugins", "describe"])
def test_every_command_explains_itself(wildcore, command: str) -> None:
    done = wildcore(command, "--help")
    assert done.returncode == 0
    options = main.commands[command].params
    assert all(option.opts[0] in done.stdout for option in options if option.param_type_name == "option")


def test_version(wildcore) -> None:
    assert re.fullmatch(r"wildcore, version \d+\.\d+\.\d+\n", wildcore("--version").stdout)


@pytest.fixture(scope="module")
def described(python, good) -> dict[str, list[str]]:
    """What ``describe`` prints of every installed offer but models, which are read for it: text by kind and name."""
    code = """
import contextlib, io, json
from wildcore.cli import main
from wildcore.registry import load_registry
registry, printed = load_registry(), {}
names = {kind: {(f.plugin, f.offer.name) for f in found} for kind, found in registry.offers.items()}
del names["model"]
names["protocol"] = {(f.plugin, f.offer.name) for f in registry.protocols}
for kind, found in names.items():
    for plugin, name in sorted(found):
        with contextlib.redirect_stdout(io.StringIO()) as stream, contextlib.redirect_stderr(io.StringIO()):
            code = main(["describe", kind, f"{plugin}/{name}"], standalone_mode=False)
        printed[f"{kind} {plugin}/{name}"] = stream.getvalue()
print(json.dumps(printed))
"""
    done = python("-c", code, site=good)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.plugins("synthetic", "wild")
def test_describe_prints_every_offer_with_its_parameters(described) -> None:
    registry = load_registry()
    for kind in sorted({*KINDS} - {"model"}):
        for found in registry.protocols if kind == "protocol" else registry.offers[kind]:
            text = described[f"{kind} {found.plugin}/{found.offer.name}"]
            assert found.offer.summary.split()[0] in text
            if kind != "protocol":
                assert text.startswith(f"{kind} {found.offer.name} (plugin {found.plugin}): "), text
                shown = re.findall(r"(?m)^(\w+)  ", text)
                assert set(found.offer.params.model_fields) <= set(shown), text
    assert len(described) > 10


def test_describe_shows_meaning_default_and_preset(described) -> None:
    text = described["editor good/no-change"]
    assert re.search(r"(?m)^strength +float +1\.0 +How strongly nothing is changed\.$", text)
    assert re.search(r"(?m)^tiny +gpt2, 2 layers, width 16, vocabulary 100 +strength=2\.0$", text)
    assert "--set editor.PARAMETER=VALUE" in text


@pytest.mark.plugins("wild")
def test_describe_of_a_protocol_is_a_file_with_every_parameter(described) -> None:
    shown = tomllib.loads(described["protocol wild/wild"])
    assert shown["context"]["name"] == "qa-instruction"
    assert shown["generator"]["params"]["max_new_tokens"] == 50
    assert shown["truncator"]["params"]["stops"] == [".", "\n"]
    assert shown["metrics"]["reliability"][0]["name"] == "exact-match"
    assert shown["metrics"]["locality"][0]["name"] == "unchanged"


def test_a_message_cannot_act_upon_the_terminal() -> None:
    message = Failure("facts.jsonl, line 1: \x1b[31mEVIL\x1b]0;title\x07\nleave it away").format_message()
    assert message == "facts.jsonl, line 1: ·[31mEVIL·]0;title·\nleave it away"


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(eval_cli.time, "strftime", lambda form: "20260101-000000")
    spec = JobSpec(model="m", dataset="d", editor="e", protocols=("wild",))
    found = []
    for _ in range(3):
        ((_, path),) = eval_cli.run_paths([spec], None)
        path.mkdir(parents=True)
        found.append(path.name)
    assert found == ["20260101-000000-e-d", "20260101-000000-e-d-2", "20260101-000000-e-d-3"]


@pytest.mark.parametrize(
    "command",
    [
        ("eval",),
        ("edit", "--editor", "a", "--edits", "b", "--out", "c"),
        ("apply", "a", "--out", "b"),
        ("prepare", "a"),
        ("audit", "a"),
    ],
)
def test_the_number_of_threads_is_an_option_and_a_variable_of_what_runs_a_model(
    wildcore, command: tuple[str, ...]
) -> None:
    given = wildcore(*command, "--threads", "two")
    from_environment = wildcore(*command, WILDCORE_THREADS="two")
    for done in (given, from_environment):
        assert done.returncode == 2
        assert "'two' is neither auto nor a number from 1" in done.stderr
