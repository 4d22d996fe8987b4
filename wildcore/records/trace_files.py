"""Traces of edits as files: one safetensors file for each case of a run, or one beside a patch."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from safetensors import SafetensorError

from wildcore.bounded import load_json
from wildcore.errors import Option, Place, UserError
from wildcore.storage.tensor_files import read_text, write_tensors
from wildcore.trace import Trace
from wildcore.types import EditCase, EditRequest

if TYPE_CHECKING:
    from torch import Tensor

KEY = "wildcore-trace"
FOLDER = "traces"
PATCH = "patch"
"""Field of a trace's metadata: the name of the patch file beside it."""
LONGEST_NAME = 200
"""Longest file name, in characters, without its ending. A longer id is replaced by its hash."""


def write_case_traces(run: Path, trace: Trace | None, cases: Sequence[EditCase]) -> None:
    """Write the trace of each of ``cases`` to ``run``/traces/CASE.safetensors; nothing if ``trace`` is None.

    The case's id is percent-encoded if a file name cannot contain it. Raises ``UserError`` if a file cannot be written.
    """
    if trace is None:
        return
    for case in cases:
        recorded = trace.take(case.request)
        if recorded:
            path = run / FOLDER / f"{_file_name(case.id)}.safetensors"
            _write(path, recorded, {"case": case.id, "request": case.request.model_dump(mode="json")})


def _file_name(case: str) -> str:
    name = quote(case, safe=" ")
    return name if len(name) <= LONGEST_NAME else sha256(case.encode()).hexdigest()


def trace_beside(patch: Path) -> Path:
    """Return the path of a patch file's trace."""
    return patch.with_name(f"{patch.stem}.trace.safetensors")


def trace_without_patch(patch: Path) -> Path | None:
    """Return the trace of a patch that was never saved, because the edit was killed in between. None: there is no such trace.

    A trace that names no patch, such as that of an edit that diverged, is none.
    """
    path = trace_beside(patch)
    left_alone = path.is_file() and not path.is_symlink() and not patch.exists()
    return path if left_alone and _patch_of(path) == patch.name else None


def _patch_of(path: Path) -> str | None:
    """Return the name of the patch that a trace belongs to. None: it belongs to none, or is no trace."""
    try:
        about = load_json(read_text(path, KEY) or "{}")
    except (OSError, SafetensorError, ValueError):
        return None
    named = about.get(PATCH) if isinstance(about, dict) else None
    return named if isinstance(named, str) else None


def write_patch_trace(
    patch: Path, trace: Trace, requests: Sequence[EditRequest], diverged: bool = False
) -> Path | None:
    """Write the trace of a patch's requests beside the patch, as NUMBER.NAME with the requests' numbers from 0.

    It is written before the patch, and names it unless the edit ``diverged`` and has none, so a trace that names a patch which
    does not exist was left by an edit that was killed. Returns the file, or None if nothing was recorded. Raises
    ``UserError`` if it cannot be written.
    """
    tensors = {
        f"{n}.{name}": value for n, request in enumerate(requests) for name, value in trace.take(request).items()
    }
    if not tensors:
        return None
    path = trace_beside(patch)
    about = {"requests": [request.model_dump(mode="json") for request in requests]}
    _write(path, tensors, about if diverged else {**about, PATCH: patch.name})
    return path


def _write(path: Path, tensors: "Mapping[str, Tensor]", about: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, KEY, json.dumps(about))
    except (OSError, SafetensorError) as error:
        way_out = ("make room, or leave ", Option("trace"), " out")
        raise UserError(f"the trace cannot be written ({error})", Place(path), way_out) from error
