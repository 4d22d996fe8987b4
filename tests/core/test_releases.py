"""All packages of this repository are versioned together, and each plugin is bound to the core that it was tested with."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def project(file: Path) -> dict[str, Any]:
    """Return what a pyproject.toml says of its package."""
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return content


CORE = project(ROOT / "pyproject.toml")
PLUGINS = [project(file) for file in sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def test_all_packages_have_one_version() -> None:
    assert len(PLUGINS) > 30
    assert {plugin["name"]: plugin["version"] for plugin in PLUGINS if plugin["version"] != CORE["version"]} == {}


def test_every_plugin_is_bound_to_the_minor_version_of_the_core() -> None:
    major, minor, _ = (int(part) for part in CORE["version"].split("."))
    bound = f"wildcore>={major}.{minor},<{major}.{minor + 1}"
    assert [plugin["name"] for plugin in PLUGINS if bound not in plugin["dependencies"]] == []
