"""Checks for every plugin package: a cheap import, offers that can be made, and a README that names them.

from wildcore.testing.packages import check_import, check_offers, check_readme

def test_the_package():
    check_import("wildcore_mine", ["torch", "transformers"])
    check_offers("mine")
    check_readme("mine", Path(__file__).parents[1] / "README.md")
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wildcore.interfaces import Lazy
from wildcore.registry import Registry, load_registry

SECONDS = 120


def check_import(module: str, heavy: Sequence[str]) -> None:
    """Raise ``AssertionError`` if importing ``module`` in a process of its own also imports one of the ``heavy`` modules."""
    code = f"import sys, {module}; print(*sorted(set({list(heavy)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), f"importing {module} imports {done.stdout.strip()}; leave that to Offer.make"


def check_offers(plugin: str) -> None:
    """Raise ``AssertionError`` if the plugin is broken, offers nothing, or offers something that cannot be imported."""
    registry = _loaded(plugin)
    offers = [found.offer for offers in registry.offers.values() for found in offers]
    assert offers or registry.protocols or registry.commands, f"the plugin {plugin} offers nothing"
    for offer in offers:
        if isinstance(offer.make, Lazy):
            assert callable(offer.make.resolve()), f"{offer.name}: {offer.make.place} cannot be called"


def check_readme(plugin: str, readme: Path) -> None:
    """Raise ``AssertionError`` if a README omits an offer of the plugin, or shows a ``describe`` command that fails."""
    registry = _loaded(plugin)
    names = [found.offer.name for offers in registry.offers.values() for found in offers]
    names += [found.offer.name for found in registry.protocols]
    names += [f"wildcore {command}" for command in registry.commands]
    text = readme.read_text(encoding="utf-8")
    missing = [name for name in names if f"`{name}`" not in text]
    assert not missing, f"{readme} does not name {missing}"
    for line in text.splitlines():
        if line.strip().startswith("wildcore describe "):
            _run(line.split())


def _loaded(plugin: str) -> Registry:
    registry = load_registry([plugin])
    assert not registry.broken, registry.broken[0].problem
    return registry


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
