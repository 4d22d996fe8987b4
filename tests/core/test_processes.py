"""A program that is forked is like one that was started."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from wildcore.testing.processes import run_python

TELLING = """
import json, os, sys
import helping
print(json.dumps([os.getpid(), os.getcwd(), sys.argv, os.environ.get("SAYS"), __name__, helping.VALUE, sys.stdin.read()]))
print("Grüße", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "scripts" / "telling.py"
    path.parent.mkdir()
    path.write_text(TELLING)
    (path.parent / "helping.py").write_text("VALUE = 7\n")
    return path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def test_a_script_has_its_own_process_folder_arguments_and_environment(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYS", "not this")
    done = run_python([str(script), "--one", "two"], environment(SAYS="hello"), tmp_path)
    process, *rest = json.loads(done.stdout)
    assert process != os.getpid()
    assert rest == [str(tmp_path), [str(script), "--one", "two"], "hello", "__main__", 7, ""]
    assert done.stderr == "Grüße\n"
    assert done.returncode == 3
    with pytest.raises(subprocess.CalledProcessError):
        done.check_returncode()


def test_what_one_leaves_the_next_does_not_find(script: Path, tmp_path: Path) -> None:
    assert json.loads(run_python([str(script)], environment(SAYS="hello")).stdout)[3] == "hello"
    assert json.loads(run_python([str(script)], environment()).stdout)[3] is None


def test_a_module_is_found_in_the_path_that_the_environment_names(script: Path, tmp_path: Path) -> None:
    done = run_python(["-m", "telling", "x"], environment(PYTHONPATH=str(script.parent)), tmp_path)
    assert json.loads(done.stdout)[1:3] == [str(tmp_path), [str(script), "x"]]


def test_an_error_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("raise ValueError('no such thing')\n")
    done = run_python([str(tmp_path / "failing.py")], environment())
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: no such thing\n")


def test_a_program_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    (tmp_path / "waiting.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        run_python([str(tmp_path / "waiting.py")], environment(), timeout=10)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
