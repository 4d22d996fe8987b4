"""What ``--json`` prints: alone on stdout, in the form that it names and docs/json.md describes, whatever texts it holds."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner, Result

from wildcore import EditRequest, EvalProtocol, Use
from wildcore.cli import main
from wildcore.json_documents import JsonDocument
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ProbeRecord, ScoreRecord
from wildcore.testing import json_pages
from wildcore.types import Answer, Output

DOCS = Path(__file__).parents[2] / "docs"
HALF = "\ud800"
HOSTILE = '\x1b[31mred, \x07, \u202ereversed, \u2028 </script> "quoted" \\ [bold]'
PLACE = os.fsdecode(b"runs/not utf-8 \xff")
"""The folder of a run; its name has half a surrogate pair in Python. The files of a run cannot hold one."""
FAST = ["--protocol", "wild", "--set", "editor.steps=2", "--set", "editor.layer=1", "--limit", "2"]
TABLE = ["--preset", "table3", "--model", "pocket", "--dataset", "pocketqa", "--editor", "ft-m", "--limit", "2"]
COMMANDS: dict[str, list[str]] = {
    "eval of several runs": [
        "eval", "--editor", "ft-m", "--editor", "ft-l", *FAST, "--continuation", "0", "--out", "runs/two",
    ],
    "show": ["show", "runs/two/ft-m"],
    "show of a sequence": ["show", "runs/sequence"],
    "show of edits": ["show", "runs/sequence", "--edits"],
    "score": ["score", "runs/two/ft-m", "--metric", "contains"],
    "compare": ["compare", "runs/two/ft-m", "runs/two/ft-l"],
    "audit": ["audit", "pocketqa", "--limit", "5"],
    "audit with a model": ["audit", "pocketqa", "--limit", "2", "--model", "pocket"],
    "plugins": ["plugins"],
    "plugins --broken": ["plugins", "--broken"],
    "describe an editor": ["describe", "mend"],
    "describe a protocol": ["describe", "wild"],
    "describe a model": ["describe", "pocket"],
    "cache list": ["cache", "list"],
    "cache verify": ["cache", "verify"],
    "agreement": ["agreement", PLACE],
    "show of hostile text": ["show", PLACE],
    "compare hostile text": ["compare", PLACE, PLACE],
    "leaderboard check": ["leaderboard", "check", "runs/two/ft-m"],
    "study plan": ["study", "plan", *TABLE, "--out", "runs/study"],
    "study collect": ["study", "collect", "runs/two/ft-m"],
}  # fmt: skip
ROWS = {
    "show": "cells",
    "show of edits": "edits",
    "compare": "differences",
    "audit": "findings",
    "plugins": "plugins",
    "describe an editor": "parameters",
    "cache list": "artifacts",
    "agreement": "agreements",
    "study plan": "runs",
    "study collect": "tables",
}
"""The list of rows in a document, as pandas reads it."""

Call = Callable[..., Result]


def hostile_run(path: Path) -> None:
    """Write a run whose names, questions and answers are hostile."""
    use = Use(name="x")
    protocol = EvalProtocol(name="wild", summary="", context=use, generator=use, truncator=use, metrics={})
    named = {"name": HOSTILE, "dtype": "float32", "device": "cpu"}
    facts: dict[str, Any] = {"identity": dict.fromkeys(("model", "dataset", "editor"), named), "job": {"seed": 0}}
    manifest = Manifest(
        created="2026-01-01", protocols=(protocol,), case_count=1, versions={}, hardware={}, plugins={}, **facts
    )
    run = RunFolder.create(path, manifest)
    answers = tuple(
        Answer(text=text, token_ids=(), output=Output(text=text, token_ids=(), stop_reason="stop-rule"))
        for text in (HOSTILE, HOSTILE[::-1])
    )
    probe = ProbeRecord(
        protocol="wild", probe=0, kind="reliability", question=HOSTILE, answers=(HOSTILE,), prompt=HOSTILE,
        gold_token_ids=(), before=answers[:1], after=answers[1:],
    )  # fmt: skip
    request = EditRequest(prompt=HOSTILE, target=HOSTILE)
    run.append(
        CaseRecord(case=HOSTILE, request=request, edit=EditOutcome(status="edited", seconds=1.0), probes=(probe,))
    )
    place: dict[str, Any] = {"case": HOSTILE, "protocol": "wild", "probe": 0, "kind": "reliability"}
    run.write_scores(
        ScoreRecord(**place, metric=metric, before=0.0, before_reason=None, after=value, after_reason=None)
        for metric, value in (("exact-match", 0.0), (f"judge {HOSTILE}", 1.0))
    )


@pytest.fixture(scope="module")
def call(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Return a function that calls ``wildcore`` in a folder with finished runs."""

    def called(*arguments: object) -> Result:
        return CliRunner(env=environment).invoke(main, list(map(str, arguments)), prog_name="wildcore")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("json"))
        made = called("eval", "--editor", "ft-m", *FAST, "--schedule", "sequential", "--out", "runs/sequence")
        assert made.exit_code == 0, made.output
        hostile_run(Path(PLACE))
        yield called


@pytest.fixture(scope="module")
def printed(call: Call) -> dict[str, str]:
    """Return what each of ``COMMANDS`` prints on stdout."""
    found = {}
    for name, arguments in COMMANDS.items():
        done = call(*arguments, "--json")
        assert done.exit_code == 0 or (name == "leaderboard check" and done.exit_code == 1), (name, done.stderr)
        found[name] = done.stdout
    return found


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def read(text: str) -> dict[str, Any]:
    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_document_has_the_form_that_it_names(name: str, printed: Mapping[str, str]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema")
    assert printed[name].isascii()
    assert printed[name].endswith("}\n")
    content = read(printed[name])
    (document,) = [one for one in json_pages.documents() if one.schema == content["schema"]]
    schema = document.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content)
    assert document.read(printed[name])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**content, "more": 1})
    first = next(one for one in content if one != "schema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({k: v for k, v in content.items() if k != first})


@pytest.mark.parametrize("name", COMMANDS)
def test_jq_reads_it(name: str, printed: Mapping[str, str]) -> None:
    jq = shutil.which("jq") or pytest.skip("jq is not installed")
    done = subprocess.run([jq, "-r", ".schema"], input=printed[name], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == read(printed[name])["schema"]


@pytest.mark.parametrize("name", ROWS)
def test_pandas_reads_its_rows(name: str, printed: Mapping[str, str]) -> None:
    pandas = pytest.importorskip("pandas", reason="needs the package pandas")
    content = read(printed[name])
    table = pandas.json_normalize(content[ROWS[name]])
    assert len(table) == len(content[ROWS[name]])
    assert name == "cache list" or len(table)
    if name == "show":
        assert table["after"].between(0, 1).all()


def test_hostile_text_goes_through_unharmed(printed: Mapping[str, str]) -> None:
    assert read(printed["show of hostile text"])["identity"]["editor"]["name"] == HOSTILE
    assert read(printed["agreement"])["run"] == PLACE
    (differing,) = read(printed["agreement"])["agreements"][0]["differing"]
    assert (differing["said"]["question"], differing["said"]["answer"]) == (HOSTILE, HOSTILE[::-1])


def test_every_command_that_prints_json_has_a_document_and_an_example_of_it_here() -> None:
    commands = json_pages.all_commands()
    printing = {name for name, one in commands.items() if any("--json" in option.opts for option in one.params)}
    assert printing == {name for name, one in commands.items() if getattr(one, "documents", ())}
    tried = {" ".join(arguments) for arguments in COMMANDS.values()}
    assert printing - {"study status"} <= {name for name in printing if any(one.startswith(name) for one in tried)}


def test_the_page_and_the_schemas_are_those_of_the_types() -> None:
    way_out = "run: python -m wildcore.testing.json_pages docs"
    page = (DOCS / json_pages.PAGE).read_text(encoding="utf-8")
    assert page.partition(json_pages.MARK)[2].strip() == json_pages.described().strip(), way_out
    there = {file.name: file.read_text(encoding="utf-8") for file in (DOCS / json_pages.SCHEMAS).iterdir()}
    assert there == json_pages.schemas(), way_out


def test_a_number_that_is_not_finite_is_null_and_other_forms_are_refused() -> None:
    document = JsonDocument("plugins", 1, "wildcore.cli.plugins:PluginList")
    text = document.text({"numbers": [float("nan"), float("-inf"), 1.5]})
    assert read(text) == {"schema": "wildcore.plugins/1", "numbers": [None, None, 1.5]}
    for other in ("[]", '{"schema": "wildcore.plugins/2", "plugins": []}', '{"plugins": []}', text):
        with pytest.raises(ValueError, match=r"form|numbers"):
            document.read(other)


def test_notes_are_on_stderr(call: Call) -> None:
    done = call("describe", "rome", "--json")
    assert done.stderr == "Note: rome is the name of a protocol too: wildcore describe protocol rome\n"
    assert read(done.stdout)["kind"] == "editor"


def test_a_broken_plugin_is_listed_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from wildcore.registry import Plugin, Registry

    broken = Plugin("odd", "odd-package", "1.0", problem=f"no {HALF} {HOSTILE}", trace="Traceback")
    context = click.Context(main, obj=Registry(plugins=[broken]))
    with context:
        done = CliRunner().invoke(main.commands["plugins"], ["--json"], obj=context.obj)
    assert read(done.stdout)["plugins"][0]["problem"] == f"no {HALF} {HOSTILE}"
