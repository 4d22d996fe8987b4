"""Every extension point is documented, and the registry really calls it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wildcore import hookspecs

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("wildcore_"))
HEAD = """
import os
from wildcore import hookimpl

def called(name):
    with open(os.environ["WITNESS"], "a") as stream:
        stream.write(name + "\\n")
    return []
"""
HOOK = """
@hookimpl
def {name}():
    return called("{name}")
"""


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented(name: str) -> None:
    text = getattr(hookspecs, name).__doc__
    assert text
    assert text.strip().endswith(".")
    assert getattr(hookspecs, name).__annotations__["return"] is not None or name == "wildcore_commands"


def test_every_hook_is_called_once(wildcore, pip_install: Callable[..., None], tmp_path: Path) -> None:
    package = tmp_path / "sample-witness"
    package.mkdir()
    (package / "sample_witness.py").write_text(HEAD + "".join(HOOK.format(name=name) for name in HOOKS))
    (package / "entry_points.txt").write_text("[wildcore]\nwitness = sample_witness\n")
    pip_install([package], tmp_path / "site")
    done = wildcore(
        "--plugins", "witness", "--strict-plugins", "plugins", site=tmp_path / "site", WITNESS=str(tmp_path / "calls")
    )
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "calls").read_text().split()) == HOOKS
