"""What every plugin package owes its users: a cheap import, and a README that names what it offers with commands that run.

from wildcore.testing.packages import check_import, check_readme

def test_the_package():
    check_import("wildcore_mine", ["torch", "transformers"])
    check_readme("mine", Path(__file__).parents[1] / "README.md")
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wildcore.registry import load_registry

SECONDS = 120


def check_import(module: str, heavy: Sequence[str]) -> None:
    """Raise ``AssertionError`` if importing ``module`` in a process of its own also imports one of the ``heavy`` modules."""
    code = f"import sys, {module}; print(*sorted(set({list(heavy)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), f"importing {module} imports {done.stdout.strip()}; leave that to Offer.make"


def check_readme(plugin: str, readme: Path) -> None:
    """Raise ``AssertionError`` if a README leaves out an offer of the plugin, or shows a ``describe`` command that fails."""
    registry = load_registry([plugin])
    assert not registry.broken, registry.broken[0].problem
    names = [found.offer.name for offers in registry.offers.values() for found in offers]
    names += [found.offer.name for found in registry.protocols]
    text = readme.read_text(encoding="utf-8")
    missing = [name for name in names if f"`{name}`" not in text]
    assert not missing, f"{readme} does not name {missing}"
    for line in text.splitlines():
        if line.strip().startswith("wildcore describe "):
            _run(line.split())


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert command[-1] in done.stdout, done.stdout
