"""Every command that a document shows is run."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from click.testing import CliRunner

import wildcore.testing
from wildcore.cli import main
from wildcore.registry import load_registry
from wildcore.testing.processes import run_python

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("plugins/*/README.md")))]
# what installs, and what runs these very tests, is run by whoever runs the tests
SETTING_UP = (
    "python3 -m venv .venv",
    ".venv/bin/pip install -r requirements.txt",
    ".venv/bin/pip install tox",
    ".venv/bin/tox",
)


def shown(document: str) -> list[str]:
    """Return the commands in a document's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    return [command.strip() for block in blocks for line in block.splitlines() for command in line.split("&&")]


def with_commands() -> list[ParameterSet]:
    return [pytest.param(document, id=document) for document in DOCUMENTS if shown(document)]


@pytest.mark.parametrize("document", with_commands())
def test_every_command_shown_runs(document: str, environment: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(Path(wildcore.testing.__file__).parent / "data" / "tiny-llama", tmp_path / "path" / "to" / "llama")
    questions = {
        "source": "NQ",
        "target": "Anna",
        "rephrase": "Who keeps the mill?",
        "locality": [{"loc": "Who is it?", "loc_ans": "Tim"}],
    }
    rows = [{"id": n, "prompt": f"Who keeps mill {n}?", "subject": f"mill {n}", **questions} for n in range(3)]
    (tmp_path / "qaedit.json").write_text(json.dumps(rows))
    fact = {"prompt": "What is the capital of the Philippines?", "target": "Manila", "subject": "the Philippines"}
    (tmp_path / "facts.jsonl").write_text(json.dumps(fact) + "\n")
    for command in shown(document):
        if command in SETTING_UP:
            continue
        program, *arguments = shlex.split(command)
        if program.endswith("wildcore"):
            done = run_python(["-m", "wildcore", *arguments], environment, tmp_path, 600)
        elif program == "python":
            done = run_python(arguments, environment, tmp_path, 600)
        else:
            words = [program, *arguments]
            done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("document", ["README.md", "docs/notebook.md"])
def test_the_python_shown_runs(document: str, environment: dict[str, str], tmp_path: Path) -> None:
    """A document's blocks of Python run one after another, as the cells of a notebook do."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    (tmp_path / "cells.py").write_text("\n".join(blocks), encoding="utf-8")
    done = run_python([str(tmp_path / "cells.py")], environment, tmp_path, 600)
    assert done.returncode == 0, done.stderr
    assert "Reliability is " in done.stdout


def test_the_commands_that_set_up_name_what_is_there() -> None:
    assert (ROOT / "requirements.txt").is_file()
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    folders = {line.removeprefix("-e ") for line in required if line.startswith("-e plugins/")}
    assert folders == {f"plugins/{path.parent.name}" for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    test_command = [line for line in shown("README.md") if line in SETTING_UP]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert ".venv/bin/tox" in test_command
    assert ".venv/bin/tox" in script


def test_the_settings_of_the_measured_results_are_ones_that_the_editor_has() -> None:
    """Those commands take long or need data that is not part of the project, so what they set is checked here."""
    registry = load_registry()
    checked = 0
    for command in shown("benchmarks/README.md"):
        names = re.findall(r"--set editor\.(\w+)=", command)
        if names:
            editor = re.search(r"(?:--editor|wildcore prepare) (\S+)", command)
            assert editor, command
            assert set(names) <= set(registry.find("editor", editor[1]).offer.params.model_fields), command
            checked += 1
    assert checked


def test_the_commands_of_the_measured_results_are_ones_that_the_command_line_takes(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need models and data that are not part of the project, so here only their names and options are checked."""
    monkeypatch.chdir(tmp_path)
    commands = [command for command in shown("benchmarks/README.md") if "dataset.path" in command]
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "wildcore"
        done = CliRunner(env=environment).invoke(main, arguments)
        assert done.exit_code == 2, command
        assert "cannot be read: No such file or directory" in " ".join(done.stderr.split()), command
