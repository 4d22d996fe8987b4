"""The layers of the core hold, and a breach of them is seen."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "wildcore"
BREACH = "import wildcore.registry"

pytest.importorskip("importlinter")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package in ``folder``."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(CORE, tmp_path / "wildcore", ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("module", ["types.py", "interfaces.py", "params.py", "hookspecs.py"])
def test_an_upward_import_is_caught(copied: Path, module: str) -> None:
    path = copied / "wildcore" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{BREACH}\n", encoding="utf-8")
    done = lint(copied)
    assert done.returncode == 1
    assert f"wildcore.{path.stem} -> wildcore.registry" in done.stdout


def test_the_untouched_copy_passes(copied: Path) -> None:
    assert lint(copied).returncode == 0


def test_every_module_has_a_layer() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    layered = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    there = {path.stem for path in CORE.glob("*.py")} | {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert there - {"__init__", "__main__"} <= layered


def test_no_method_is_named_in_the_core() -> None:
    methods = re.compile(r"\b(ROME|rome|MEMIT|memit|AlphaEdit|alphaedit|FT-M|ft-m|GRACE|WISE)\b")
    named = {path.name: methods.findall(path.read_text(encoding="utf-8")) for path in CORE.rglob("*.py")}
    assert len(named) > 20
    assert not {name: found for name, found in named.items() if found}
