"""The command line as a real process, and sample plugins really installed by pip."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from wildcore.testing.processes import run_python

PACKAGES = Path(__file__).parent / "packages"
VERSION = "1.0"

Done = subprocess.CompletedProcess[str]
Python = Callable[..., Done]


def build_wheel(source: Path, into: Path) -> Path:
    """Build a wheel from a folder of modules with an ``entry_points.txt``: no build backend, no network."""
    name = source.name.replace("-", "_")
    info = f"{name}-{VERSION}.dist-info"
    files = {path.name: path.read_text(encoding="utf-8") for path in source.glob("*.py")}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {source.name}\nVersion: {VERSION}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = (source / "entry_points.txt").read_text(encoding="utf-8")
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = into / f"{name}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def install_with_pip(sources: list[Path], into: Path) -> None:
    """Install the sample packages with pip into a folder of their own."""
    into.mkdir()
    wheels = [str(build_wheel(source, into.parent)) for source in sources]
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(into), *wheels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``plugins(NAME, ...)`` where one of these packages is not installed."""
    installed = {entry.dist.name for entry in entry_points(group="wildcore") if entry.dist}
    for item in items:
        needed = {f"wildcore-{name}" for mark in item.iter_markers("plugins") for name in mark.args}
        if missing := sorted(needed - installed):
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)} beside the core"))


@pytest.fixture(scope="session")
def pip_install() -> Callable[[list[Path], Path], None]:
    """``install_with_pip``, for packages that a test writes itself."""
    return install_with_pip


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that installs sample packages by name and returns the folder to put on ``PYTHONPATH``."""
    known: dict[tuple[str, ...], Path] = {}

    def install(*names: str) -> Path:
        if names not in known:
            known[names] = tmp_path_factory.mktemp("installed") / "site"
            install_with_pip([PACKAGES / name for name in names], known[names])
        return known[names]

    return install


def environment_of(site: Path | None, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process away from the network and from the user's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WILDCORE_", "PYTHON"))}
    path = {"PYTHONPATH": str(site)} if site else {}
    return {**kept, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", **variables, **path}


@pytest.fixture(scope="session")
def python() -> Python:
    """A function that runs Python in a process of its own, away from the network and from the user's settings."""

    def run(*arguments: str | Path, site: Path | None = None, cwd: Path | None = None, **variables: str) -> Done:
        environment = environment_of(site, variables)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=cwd,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def wildcore() -> Python:
    """A function that runs ``wildcore`` with the arguments given."""

    def run(*arguments: str | Path, site: Path | None = None, cwd: Path | None = None, **variables: str) -> Done:
        return run_python(["-m", "wildcore", *map(str, arguments)], environment_of(site, variables), cwd, 120)

    return run
