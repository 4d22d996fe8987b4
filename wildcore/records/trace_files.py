"""Traces of edits as files: one safetensors file for each case of a run, or one beside a patch."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from safetensors import SafetensorError

from wildcore.errors import Option, Place, UserError
from wildcore.storage.tensor_files import write_tensors
from wildcore.trace import Trace
from wildcore.types import EditCase, EditRequest

if TYPE_CHECKING:
    from torch import Tensor

KEY = "wildcore-trace"
FOLDER = "traces"
LONGEST_NAME = 200
"""Most characters of a file's name without its ending; a longer id is named by its hash."""


def write_case_traces(run: Path, trace: Trace | None, cases: Sequence[EditCase]) -> None:
    """Write what was recorded of each of ``cases`` to ``run``/traces/CASE.safetensors; nothing where there is no trace.

    The case's id is percent-encoded where a file's name cannot hold it. Raises ``UserError`` where a file cannot be written.
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
    """Return where the trace of a patch file lies."""
    return patch.with_name(f"{patch.stem}.trace.safetensors")


def write_patch_trace(patch: Path, trace: Trace, requests: Sequence[EditRequest]) -> Path | None:
    """Write what was recorded of a patch's requests beside it, as NUMBER.NAME with the requests' numbers from 0.

    Returns the file, or None where nothing was recorded. Raises ``UserError`` where it cannot be written.
    """
    tensors = {
        f"{n}.{name}": value for n, request in enumerate(requests) for name, value in trace.take(request).items()
    }
    if not tensors:
        return None
    path = trace_beside(patch)
    _write(path, tensors, {"requests": [request.model_dump(mode="json") for request in requests]})
    return path


def _write(path: Path, tensors: "Mapping[str, Tensor]", about: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, KEY, json.dumps(about))
    except (OSError, SafetensorError) as error:
        way_out = ("make room, or leave ", Option("trace"), " out")
        raise UserError(f"the trace cannot be written ({error})", Place(path), way_out) from error
