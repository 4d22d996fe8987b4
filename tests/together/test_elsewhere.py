"""A plugin can leave the repository: its tests need nothing outside its folder but what is installed.

Here for two plugins; ``tox -m plugins`` runs the tests of every plugin so.
"""

import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from wildcore.testing.elsewhere import copied, pytest_command
from wildcore.testing.processes import run_python
from wildcore.testing.real_data import real_data

PLUGINS = Path(__file__).parents[2] / "plugins"


def run_copy(plugin: Path, into: Path) -> CompletedProcess[str]:
    copy = copied(plugin, into)
    return run_python(pytest_command(copy, ["-q"]), os.environ, copy)


@pytest.mark.parametrize("name", ["wildcore-rect", "wildcore-zsre"])
def test_the_tests_of_a_plugin_pass_elsewhere(name: str, tmp_path: Path) -> None:
    done = run_copy(PLUGINS / name, tmp_path)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(("outside", "status"), [("", 0), ("../../beside.txt", 1)], ids=["inside", "outside"])
def test_what_lies_outside_the_folder_is_missed(outside: str, status: int, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    (plugin / "tests").mkdir(parents=True)
    (plugin / "pyproject.toml").write_text("")
    (tmp_path / "beside.txt").write_text("")
    (plugin / "tests" / "test_it.py").write_text(
        f"from pathlib import Path\n\n\ndef test_it():\n    assert (Path(__file__).parent / {outside!r}).exists()\n"
    )
    assert (plugin / "tests" / outside).exists()
    done = run_copy(plugin, tmp_path / "elsewhere")
    assert done.returncode == status, done.stdout


def test_an_earlier_copy_is_replaced(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "old.txt").write_text("")
    copied(plugin, tmp_path / "elsewhere")
    (plugin / "old.txt").rename(plugin / "new.txt")
    copy = copied(plugin, tmp_path / "elsewhere")
    assert [path.name for path in copy.iterdir()] == ["new.txt"]


def test_real_data_lies_in_the_nearest_folder_of_that_name(tmp_path: Path) -> None:
    test = tmp_path / "repository" / "tests" / "test_it.py"
    test.parent.mkdir(parents=True)
    assert not real_data(str(test), "data/rows.json").exists()
    for folder in (tmp_path, tmp_path / "repository"):
        found = folder / "shared" / "data" / "rows.json"
        found.parent.mkdir(parents=True)
        found.write_text("[]")
        assert real_data(str(test), "data/rows.json") == found
