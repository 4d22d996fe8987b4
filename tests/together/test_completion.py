"""A shell completes what can be typed next: really, in a process and in bash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from wildcore.cli import main

Complete = Callable[[str], list[str]]
OFFERS = [
    ("eval --editor ro", ["rome"]),
    ("eval --editor memit+", ["memit+norm-anchor", "memit+rect"]),
    ("eval --editor memit+rect+", ["memit+rect+norm-anchor"]),
    ("eval --editor=mem", ["memit"]),
    ("prepare me", ["memit", "mend"]),
    ("edit --editor ult", ["ultraedit"]),
    ("eval --dataset poc", ["pocketqa"]),
    ("audit zs", ["zsre"]),
    ("eval --protocol syn", ["synthetic"]),
    ("eval --only-failures wild-authors-", ["wild-authors-instruction"]),
    ("eval --metric exact-m", ["exact-match"]),
    ("score runs/first --metric token-f", ["token-f1"]),
    ("eval --context few", ["few-shot"]),
    ("eval --generator sam", ["sampling"]),
    ("eval --truncator stop-s", ["stop-strings"]),
    ("eval --measure perp", ["perplexity"]),
    ("eval --schedule ba", ["batch"]),
    ("eval --sample", ["--sample", "--sample-seed"]),
    ("eval --jud", ["--judge-at", "--judge", "--judge-local", "--judge-base-url", "--judge-budget"]),
    ("describe trunc", ["truncator"]),
    ("describe r-ro", ["r-rome"]),
    ("describe editor r", ["r-rome", "rome"]),
    ("describe protocol wild-authors-", ["wild-authors-instruction"]),
    ("describe model poc", ["pocket"]),
    ("describe nothing r", []),
    ("ag", ["agreement"]),
    ("study run --editor lo", ["locft", "lora"]),
    ("study plan --preset ta", ["table3"]),
    ("study run --executor lo", ["local"]),
    ("cache v", ["verify"]),
    ("--plugins rome eval --editor r", ["r-rome", "rome"]),
    ("--plugins nonesuch eval --editor r", []),
    ("eval --limit 1 --limit 2 --editor ro", ["rome"]),
]


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Return a function that completes the last word of a command in a folder with runs and models."""
    for run in ("single", "runs/first", "runs/other", ".hidden"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "manifest.json").touch()
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "models" / "llama").mkdir(parents=True)
    (tmp_path / "models" / "llama" / "config.json").touch()
    monkeypatch.chdir(tmp_path)

    def completed(words: str) -> list[str]:
        *before, last = words.split(" ")
        found = BashComplete(main, {}, "wildcore", "_WILDCORE_COMPLETE").get_completions(before, last)
        return [one.value if one.type == "plain" else f"{one.type}:{one.value}" for one in found]

    return completed


@pytest.mark.parametrize(("words", "expected"), OFFERS, ids=[words for words, _ in OFFERS])
def test_names_are_completed(
    words: str, expected: list[str], complete: Complete, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(words) == expected
    assert capsys.readouterr() == ("", ""), "a shell would show it"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("show ", ["runs/first", "runs/other", "single"]),
        ("show runs/", ["runs/first", "runs/other"]),
        ("show runs/f", ["runs/first"]),
        ("show .h", [".hidden"]),
        ("show nowhere/x", ["dir:nowhere/x"]),
        ("compare runs/first runs/o", ["runs/other"]),
        ("compare runs/first --baseline si", ["single"]),
        ("agreement runs/f", ["runs/first"]),
        ("score si", ["single"]),
        ("eval --resume ru", ["runs/first", "runs/other"]),
        ("eval --model mod", ["models/llama"]),
        ("eval --model ", ["pocket", "models/llama"]),
        ("describe model models/", ["models/llama"]),
        ("eval --model elsewhere", ["dir:elsewhere"]),
    ],
)
def test_folders_are_completed(words: str, expected: list[str], complete: Complete) -> None:
    assert complete(words) == expected


def test_an_absolute_place_is_completed(complete: Complete, tmp_path: Path) -> None:
    assert complete(f"show {tmp_path}/runs/f") == [f"{tmp_path}/runs/first"]


def test_names_that_would_be_other_lines_are_left_out(complete: Complete, tmp_path: Path) -> None:
    odd = tmp_path / "runs" / "x\nplain,y"
    odd.mkdir()
    (odd / "manifest.json").touch()
    assert complete("show runs/") == ["runs/first", "runs/other"]


def test_a_process_completes_without_torch(environment: dict[str, str]) -> None:
    code = (
        "import sys; from wildcore.cli import main\n"
        "try: main(prog_name='wildcore')\n"
        "finally: print('torch' in sys.modules, 'transformers' in sys.modules, file=sys.stderr)"
    )
    variables = {"_WILDCORE_COMPLETE": "bash_complete", "COMP_WORDS": "wildcore eval --editor ro", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | variables, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("plain,rome\n", "False False\n")


def test_bash_completes(environment: dict[str, str], tmp_path: Path) -> None:
    bash = shutil.which("bash") or pytest.skip("bash is not installed")
    program = tmp_path / "wildcore"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wildcore "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(_WILDCORE_COMPLETE=bash_source wildcore)"\n'
        "COMP_WORDS=(wildcore eval --editor memit+); COMP_CWORD=3\n"
        "_wildcore_completion wildcore\n"
        'complete -p wildcore; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    path = {"PATH": f"{tmp_path}{os.pathsep}{environment['PATH']}"}
    done = subprocess.run(
        [bash, "--norc", "-c", script], env=environment | path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _wildcore_completion wildcore",
        "memit+norm-anchor",
        "memit+rect",
    ]
