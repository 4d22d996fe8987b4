"""The layers of the core hold, and a breach of them is seen."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

ROOT = Path(__file__).parents[2]
CORE = ROOT / "wildcore"
BREACH = "import wildcore.registry"

pytest.importorskip("importlinter")


LINTER: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
LAYERS: list[str] = next(one["layers"] for one in LINTER["contracts"] if one["name"] == "layers of the core")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package in ``folder``."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a folder with a copy of the core and the contract on its layers, which holds without any plugin installed."""
    shutil.copytree(CORE, tmp_path / "wildcore", ignore=shutil.ignore_patterns("__pycache__", "data"))
    contracts = [one for one in LINTER["contracts"] if one["layers"] == LAYERS]
    alone = LINTER | {"root_packages": ["wildcore"], "contracts": contracts}
    (tmp_path / "pyproject.toml").write_text(tomli_w.dumps({"tool": {"importlinter": alone}}), encoding="utf-8")
    return tmp_path


def test_the_layers_hold(copied: Path) -> None:
    done = lint(copied)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("module", ["types.py", "interfaces.py", "params.py", "hookspecs.py"])
def test_an_upward_import_is_caught(copied: Path, module: str) -> None:
    path = copied / "wildcore" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{BREACH}\n", encoding="utf-8")
    done = lint(copied)
    assert done.returncode == 1
    assert f"wildcore.{path.stem} -> wildcore.registry" in done.stdout


def test_every_module_has_a_layer() -> None:
    layered = {name.strip() for layer in LAYERS for name in layer.split("|")}
    there = {path.stem for path in CORE.glob("*.py")} | {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert there - {"__init__", "__main__"} <= layered


def test_no_method_is_named_in_the_core() -> None:
    methods = re.compile(r"\b(ROME|rome|MEMIT|memit|AlphaEdit|alphaedit|FT-M|ft-m|GRACE|WISE)\b")
    named = {path.name: methods.findall(path.read_text(encoding="utf-8")) for path in CORE.rglob("*.py")}
    assert len(named) > 20
    assert not {name: found for name, found in named.items() if found}
