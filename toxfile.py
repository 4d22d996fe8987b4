"""The test matrix, made from the folders of plugins/: adding a plugin edits no central file."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tox.config.loader.memory import MemoryLoader
from tox.plugin import impl

ROOT = Path(__file__).parent
PLUGINS = ROOT / "plugins"
INSTALL = "python -m pip install --quiet --no-build-isolation --disable-pip-version-check"
TOOLS = ["torch==2.13.0", "hatchling", "hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3"]
LINT = ["import-linter>=2", "mypy>=1.14", "pandas", "ruff>=0.9", "types-PyYAML"]


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


def wheels(folders: Iterable[str]) -> str:
    """Return the command that builds the core and ``folders`` as wheels and installs them."""
    return " ".join([INSTALL, ".[testing]", *dict.fromkeys(folders)])


@impl
def tox_extend_envs() -> Iterable[str]:
    """Name one environment for each plugin."""
    return plugin_names()


@impl
def tox_add_core_config(core_conf: Any, state: Any) -> None:
    """Define them: the core and this plugin alone, from built wheels, with the plugin's own tests."""
    together = wheels(folder(name) for name in plugin_names())
    state.conf.memory_seed_loaders["tests"].append(MemoryLoader(commands_pre=[together], deps=[*TOOLS, *LINT]))
    for name in plugin_names():
        loader = MemoryLoader(
            description=f"{name} alone with the core, from built wheels",
            labels=["plugins"],
            package="skip",
            deps=TOOLS,
            commands_pre=[wheels(local_packages(name))],
        )
        state.conf.memory_seed_loaders[name].append(loader)
