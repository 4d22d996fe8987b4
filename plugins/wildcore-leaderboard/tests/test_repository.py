"""A leaderboard kept in a repository: the commands of its workflow check every submission and build the site."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parent / "repository"
WORKFLOW = ".github/workflows/leaderboard.yml"


def step(name: str) -> str:
    """Return the command of a step of the workflow."""
    workflow = yaml.safe_load((REPOSITORY / WORKFLOW).read_text())
    (found,) = [one["run"] for one in workflow["jobs"]["site"]["steps"] if one.get("name") == name]
    return str(found)


@pytest.fixture
def run_step(tmp_path: Path, edits: Path, another: Callable[..., Any]) -> Callable[[str], Any]:
    """Return a function that carries out a step in a clone of the repository with two submissions."""
    clone = copytree(REPOSITORY, tmp_path / "clone")
    (clone / "data").mkdir()
    copyfile(edits, clone / "data" / "edits.json")
    for name in ("first", "second"):
        copytree(another(name, editor=name).path, clone / "submissions" / name)
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(name: str) -> "subprocess.CompletedProcess[str]":
        command = ["bash", "-e", "-c", step(name)]
        return subprocess.run(command, cwd=clone, env=os.environ | own, text=True, capture_output=True, timeout=120)

    return run


def test_sound_submissions_pass_and_make_a_site(run_step: Callable[[str], Any], tmp_path: Path) -> None:
    checked = run_step("Check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("is a valid submission") == 2
    built = run_step("Build")
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "clone" / "site" / "index.html").read_text()
    assert "Our leaderboard" in page
    assert "first" in page
    assert "second" in page


def test_a_changed_submission_fails_the_check(run_step: Callable[[str], Any], tmp_path: Path) -> None:
    rmtree(tmp_path / "clone" / "submissions" / "first")
    scores = tmp_path / "clone" / "submissions" / "second" / "scores.jsonl"
    scores.write_bytes(scores.read_bytes().replace(b'"after":0.0', b'"after":1.0', 1))
    checked = run_step("Check")
    assert checked.returncode == 1
    assert "submissions/second is not a valid submission: scores.jsonl, line" in checked.stdout
