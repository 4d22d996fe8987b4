"""A manifest of any shape, with sound checksums, gets a verdict or a message: nobody has checked what is submitted."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wildcore_leaderboard.boards import sections
from wildcore_leaderboard.check import Allowed, checked
from wildcore_leaderboard.runs import read_run
from wildcore_leaderboard.view import index_view, run_view

from wildcore import UserError
from wildcore.registry import Registry
from wildcore.storage import unsealed
from wildcore.storage.checksums import sealed

STRANGE = (None, [], {}, "x", 1e9, -1, True, ["a"], {"name": 3}, [[]], {"params": 5})

Place = tuple[Any, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value in nested JSON."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*place, key))


@pytest.fixture(scope="module")
def scratch(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copytree(made, tmp_path_factory.mktemp("strange") / "run")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_manifest_is_read_or_refused(scratch: Path, registry: Registry, data: st.DataObject) -> None:
    file = scratch / "manifest.json"
    sound = file.read_bytes()
    manifest = json.loads(unsealed(sound))
    *way, last = data.draw(st.sampled_from([one for one in places(manifest) if len(one) <= 4]))
    holder = manifest
    for key in way:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(st.sampled_from(STRANGE))
    else:
        holder.pop(last)
    file.write_text(sealed(json.dumps(manifest, indent=2)))
    try:
        assert checked(registry, scratch, Allowed()).in_a_sentence()
        _shown(registry, scratch)
    finally:
        file.write_bytes(sound)


def _shown(registry: Registry, path: Path) -> None:
    """Make the pages of a run, unless it is refused."""
    try:
        run = read_run(registry, path, path.parent)
    except UserError:
        return
    index_view(sections([run]), {run.id: None})
    run_view(run, None)
