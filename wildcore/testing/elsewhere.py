"""Runs a plugin's tests without the rest of its repository: ``python -m wildcore.testing.elsewhere PLUGIN INTO``.

The folder PLUGIN is copied into the folder INTO, and pytest runs there with the installed packages. Everything after INTO is
passed to pytest. A plugin whose tests pass in this way can move to its own repository.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def copied(plugin: Path, into: Path) -> Path:
    """Copy a plugin's folder into the folder ``into``, replacing an earlier copy, and return the copy."""
    copy = into / plugin.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(plugin, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "dist"))
    return copy


def pytest_command(copy: Path, arguments: Sequence[str] = ()) -> list[str]:
    """Return Python's arguments for running the tests of ``copy``, in that folder, with only its own configuration."""
    settings = ["-c", str(copy / "pyproject.toml"), "--import-mode=importlib", "-ra", "-p", "wildcore.testing.patience"]
    unknown_mark = ["-W", "ignore:Unknown pytest.mark.golden"]
    return ["-m", "pytest", *settings, *unknown_mark, str(copy / "tests"), *arguments]


def main(arguments: Sequence[str]) -> int:
    """Copy the plugin and run its tests; return pytest's exit status."""
    plugin, into, *others = arguments
    copy = copied(Path(plugin).resolve(), Path(into).resolve())
    return subprocess.run([sys.executable, *pytest_command(copy, others)], cwd=copy, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
