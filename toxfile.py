"""The test matrix, made from the folders of plugins/: adding a plugin changes nothing here."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tox.config.loader.memory import MemoryLoader
from tox.plugin import impl

ROOT = Path(__file__).parent
PLUGINS = ROOT / "plugins"
INSTALL = "python -m pip install --quiet --no-build-isolation --disable-pip-version-check"
LOWEST = "uv pip install --quiet --no-build-isolation --resolution lowest-direct --upgrade-package pluggy"
TORCH = "torch==2.13.0"
TOOLS = [TORCH, "hatchling", "hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3"]
LAYERS = "import-linter>=2"
LINT = [LAYERS, "mypy>=1.14", "pandas", "ruff>=0.9", "types-PyYAML"]
PYTHONS = ["py311", "py312", "py313", "py314"]


def plugin_names() -> list[str]:
    """Return the names of the plugin packages, such as "wildcore-rome"."""
    return sorted(file.parent.name for file in PLUGINS.glob("*/pyproject.toml"))


def project(name: str) -> dict[str, Any]:
    """Return what a plugin's pyproject.toml says of it."""
    content: dict[str, Any] = tomllib.loads((PLUGINS / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def for_tests(name: str) -> list[str]:
    """Return what a plugin's tests need besides the plugin."""
    extras: dict[str, list[str]] = project(name).get("optional-dependencies", {})
    return extras.get("test", [])


def folder(name: str) -> str:
    """Return the plugin's folder as pip takes it, with what its tests need."""
    return f"./plugins/{name}" + ("[test]" if for_tests(name) else "")


def local_packages(name: str) -> list[str]:
    """Return the plugin's folder and those of the packages of this repository that it, or its tests, depend on."""
    needed = [found for found in plugin_names() if found in (*project(name)["dependencies"], *for_tests(name))]
    return [folder(name), *(path for found in needed for path in local_packages(found))]


def wheels(folders: Iterable[str], install: str = INSTALL) -> str:
    """Return the command that builds the core and ``folders`` as wheels and installs them."""
    return " ".join([install, ".[testing]", *dict.fromkeys(folders)])


def all_packages() -> list[str]:
    """Return the folders of all plugins."""
    return [folder(name) for name in plugin_names()]


def with_all_packages() -> dict[str, dict[str, Any]]:
    """Return what the environments need in which everything is installed together, by their names."""
    together = {"commands_pre": [wheels(all_packages())]}
    editable = " ".join([INSTALL, "-e", ".[testing]", *(f"-e {path}" for path in all_packages())])
    # torch stays as it is: older releases can be had from the registry only as builds for accelerators, gigabytes each. What the
    # tools of the tests bring is newer than declared, unless uv is told to change it; pluggy is.
    lowest = wheels([*all_packages(), TORCH], LOWEST)
    return {
        "tests": {"deps": [*TOOLS, *LINT], **together},
        **{python: {"deps": [*TOOLS, LAYERS, "pandas"], **together} for python in PYTHONS},
        "lowest": {"deps": [*TOOLS, "pandas", "uv"], "commands_pre": [lowest]},
        "coverage": {
            "deps": [*TOOLS, LAYERS, "pandas", "editables", "pytest-cov>=6"],
            "commands_pre": [editable],
        },
    }


def build(path: str) -> str:
    """Return the command that builds a source distribution, and from it a wheel, of the package in ``path``."""
    return f"python -m build --no-isolation --outdir dist {path}"


@impl
def tox_extend_envs() -> Iterable[str]:
    """Name one environment for each plugin."""
    return plugin_names()


@impl
def tox_add_core_config(core_conf: Any, state: Any) -> None:
    """Complete them: the core and this plugin alone, from built wheels, with the plugin's own tests; and the others."""
    seeds = state.conf.memory_seed_loaders
    for name, settings in with_all_packages().items():
        seeds[name].append(MemoryLoader(**settings))
    seeds["core"].append(MemoryLoader(deps=[*TOOLS, LAYERS], commands_pre=[wheels([])]))
    packages = [".", *(f"./plugins/{name}" for name in plugin_names())]
    empty = "python -c \"import shutil; shutil.rmtree('dist', ignore_errors=True)\""
    seeds["wheels"].append(MemoryLoader(commands_pre=[empty, *map(build, packages)]))
    for name in plugin_names():
        loader = MemoryLoader(
            description=f"{name} alone with the core, from built wheels",
            labels=["plugins"],
            package="skip",
            deps=TOOLS,
            commands_pre=[wheels(local_packages(name))],
        )
        seeds[name].append(loader)
