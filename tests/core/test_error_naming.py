"""Choices of the job in messages: named by the options of the command line, by parameters in Python, and nowhere else."""

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wildcore
from wildcore import UserError, api
from wildcore.api.naming import PYTHON
from wildcore.cli import main
from wildcore.cli.naming import COMMAND_LINE
from wildcore.datasets.selection import require_one_choice
from wildcore.errors import Module, Option, Parameter, Place, Setting, command, joined, render
from wildcore.jobs.spec import parse_settings
from wildcore.models.hints import require_fetchable

CORE = Path(wildcore.__file__).parent
PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.mark.parametrize(
    ("call", "neutral"),
    [
        (lambda: require_fetchable("./llama"), "model './llama': no such folder"),
        (
            lambda: require_one_choice(1, 2),
            "`limit` takes the first cases and `sample` draws some; give one of them",
        ),
        (
            lambda: parse_settings(["editor.layer"]),
            "editor.layer: write SECTION.PARAMETER=VALUE, such as editor.layer=5",
        ),
    ],
)
def test_an_error_by_itself_is_neutral(call: Callable[[], Any], neutral: str) -> None:
    with pytest.raises(UserError) as refused:
        call()
    assert str(refused.value) == neutral


def test_what_the_facade_raises_names_its_parameters() -> None:
    for call in (lambda: api.load("./llama"), lambda: api.load("./llama", dtype="float32")):
        with pytest.raises(UserError) as refused:
            call()
        assert str(refused.value) == "model='./llama': no such folder"
        assert refused.value._render_traceback_() == ["UserError: model='./llama': no such folder"]


def test_what_a_plugin_raises_as_one_text_stays_as_it_is() -> None:
    error = UserError("corpus.txt, line 3: not UTF-8 text; save it as UTF-8")
    assert str(error) == error.rendered(COMMAND_LINE) == error.rendered(PYTHON) == error.problem
    assert (error.about, error.way_out) == (None, None)


def test_a_value_is_shown_as_it_is_typed() -> None:
    path = Option("model", Path("my models/llama"))
    assert render(path, COMMAND_LINE) == "--model 'my models/llama'"
    assert render(path, PYTHON) == "model='my models/llama'"
    assert render(path) == "model 'my models/llama'"
    assert render(Option("limit", 1), COMMAND_LINE) == "--limit 1"
    assert render(Setting("editor.text", "a b"), COMMAND_LINE) == "--set 'editor.text=a b'"
    several = Option("where", {"source": "NQ", "split": "a b"})
    assert render(several, COMMAND_LINE) == "--where source=NQ --where 'split=a b'"
    assert command("show", Path("my run"), Option("edits")) == "wildcore show 'my run' --edits"
    assert command("eval", Setting("editor.layers", [4, 5])) == "wildcore eval --set 'editor.layers=[4,5]'"
    assert render(Setting("metric.f1.aliases", False), COMMAND_LINE) == "--set metric.f1.aliases=false"


def test_parts_are_joined_at_any_depth() -> None:
    said = joined([("a ", ("b ", Option("limit"))), Place(Path("f"), 2), Module("metric", "f1", "m")], "; ")
    assert render(said, COMMAND_LINE) == "a b --limit; f, line 2; metric f1 (plugin m)"


def test_a_caller_renames_what_it_hands_on_in_every_part_of_an_error() -> None:
    error = UserError(
        ("of ", Option("model", "m")), Parameter("dataset.path", "f"), ("set ", Setting("dataset.path"), Option("seed"))
    )
    names = {"model": lambda name: Option("judge", name), "dataset.path": lambda path: Parameter("pool", path)}
    renamed = error.renamed(names).within("metric x")
    assert renamed.rendered(COMMAND_LINE) == "metric x: pool=f: of --judge m; set pool--seed"
    assert UserError("p").within("metric x").rendered(COMMAND_LINE) == "metric x: p"


OF_OTHER_PROGRAMS = {
    "--head": "ray start",
    "--import-mode": "pytest",
    "--local-dir": "hf download",
    "--porcelain": "git status",
    "--untracked-files": "git status",
}
"""Options that stand in the sources because they are not wildcore's, with the command that has each."""

NOT_SHOWN = {
    ("testing/json_pages.py", "--json"),
    ("wildcore_leaderboard/reports.py", "--out"),
    ("wildcore_study/commands.py", "--preset"),
    ("wildcore_study/queue.py", "--device"),
}
"""Modules that spell an option without showing it in a message: to write a document, to call another command, to read it from a
command line, and to start a process with it."""

DECLARING = {"option", "add_argument", "Shortcut", "Example", "judge"}
"""Functions that add an option to a command line, or an example of a command to its help."""


def modules() -> Iterator[Path]:
    """The modules of the core but for the command line."""
    return (path for path in sorted(CORE.rglob("*.py")) if (CORE / "cli") not in path.parents)


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every string of a module that is neither documentation nor part of the declaration of an option."""
    nodes = list(ast.walk(tree))
    left_out = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) in DECLARING:
            left_out |= {id(inner) for inner in ast.walk(node)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node


def options_spelled_in(code: str) -> Iterator[tuple[int, str]]:
    """The lines of ``code`` whose strings spell an option of the command line, and the option."""
    for node in texts(ast.parse(code)):
        yield from ((node.lineno, option) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", node.value))


def options_spelled(paths: Iterable[Path]) -> list[str]:
    return [
        f"{path}, line {line}: {option}"
        for path in paths
        for line, option in options_spelled_in(path.read_text(encoding="utf-8"))
        if option not in OF_OTHER_PROGRAMS and ("/".join(path.parts[-2:]), option) not in NOT_SHOWN
    ]


def test_the_core_spells_no_option_of_the_command_line() -> None:
    assert options_spelled(modules()) == []


@pytest.mark.skipif(not PLUGINS.is_dir(), reason="needs the sources of the plugins")
def test_no_plugin_spells_an_option_of_the_command_line() -> None:
    sources = sorted(PLUGINS.glob("*/src/**/*.py"))
    assert len(sources) > 100
    assert options_spelled(sources) == []


def test_an_option_that_is_spelled_is_found() -> None:
    code = '"""Says --model."""\nx = f"--seed {1}"\ny = ("a (--limit N)", "a--b")\n'
    code += '@click.option("--out", help="--in")\ndef f(): ...'
    assert list(options_spelled_in(code)) == [(2, "--seed"), (3, "--limit")]


def options_named() -> set[str]:
    """The name of every ``Option`` that the core makes with a literal name."""
    calls = [node for path in modules() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "Option"
        and isinstance(call.args[0], ast.Constant)
    }


def test_every_choice_that_the_core_names_is_an_option_of_the_command_line() -> None:
    commands = [main, *main.commands.values()]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    named = options_named()
    assert len(named) > 20
    assert {name for name in named if render(Option(name), COMMAND_LINE) not in known} == set()


ONLY_ON_THE_COMMAND_LINE = {
    "broken": "a flag of wildcore plugins",
    "by": "runs are compared by wildcore compare",
    "csv": "a form of wildcore compare",
    "edits": "the table of wildcore edit",
    "json": "a flag of wildcore show",
    "plugins": "all plugins are loaded in Python",
    "resume": "runs are resumed by wildcore eval",
    "set": "Python has a mapping of settings",
    "threads": "torch is set up by the program itself",
}


def test_every_choice_that_the_core_names_is_a_parameter_in_python() -> None:
    functions = [found for name in api.__all__ if inspect.isfunction(found := getattr(api, name))]
    known = {parameter for function in functions for parameter in inspect.signature(function).parameters}
    unknown = {name for name in options_named() if render(Option(name), PYTHON) not in known}
    assert unknown == ONLY_ON_THE_COMMAND_LINE.keys()
