"""Plugins import helper libraries and the core, never each other; the core imports no plugin; a breach of this is seen."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[2]
PROJECTS: dict[str, dict[str, Any]] = {
    file.parent.name.replace("-", "_"): tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    for file in (ROOT / "plugins").glob("*/pyproject.toml")
}
LINTER: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACT = "plugins import helper libraries and the core, never each other"
RUN = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the configuration in ``folder``; packages that lie there replace the installed ones."""
    return subprocess.run([sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, check=False)


def names(layer: str) -> set[str]:
    return {name.strip() for name in layer.split("|")}


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(LINTER['contracts'])} kept, 0 broken" in done.stdout


def test_every_package_is_under_the_contract() -> None:
    plugins, helpers, core = next(one["layers"] for one in LINTER["contracts"] if one["name"] == CONTRACT)
    assert names(plugins) == {name for name, project in PROJECTS.items() if "entry-points" in project}
    assert names(helpers) == {name for name, project in PROJECTS.items() if "entry-points" not in project}
    assert core == "wildcore"
    assert set(LINTER["root_packages"]) == {*PROJECTS, "wildcore"}


@pytest.mark.parametrize("package", [*PROJECTS, "wildcore"])
def test_what_is_imported_is_declared_also_where_it_serves_types_alone(package: str) -> None:
    """The contract leaves out imports for types, which a type checker of a plugin alone needs all the same."""
    project = PROJECTS.get(package, {"dependencies": []})
    declared = {re.split(r"[<>=\[ ]", needed)[0].replace("-", "_") for needed in project["dependencies"]}
    imported = {name for file in source(package).rglob("*.py") for name in packages_imported(file)}
    assert imported - {package, "wildcore"} <= declared & {*PROJECTS}


def source(package: str) -> Path:
    """Return the folder of a package's modules."""
    return ROOT / package if package == "wildcore" else ROOT / "plugins" / package.replace("_", "-") / "src" / package


def packages_imported(file: Path) -> Iterator[str]:
    """Yield the packages of this repository that a module names in an import, wherever that stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        named += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from (name.partition(".")[0] for name in named if name.partition(".")[0] in {*PROJECTS, "wildcore"})


@pytest.mark.parametrize(
    ("package", "imported"),
    [("wildcore", "wildcore_rome"), ("wildcore_rome", "wildcore_ft"), ("wildcore_keyvalue", "wildcore_rome")],
)
def test_a_breach_is_caught(package: str, imported: str, tmp_path: Path) -> None:
    shutil.copytree(source(package), tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / package / "breach.py").write_text(f"import {imported}\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{package}.breach -> {imported}" in done.stdout
    assert "1 kept, 1 broken" in done.stdout
