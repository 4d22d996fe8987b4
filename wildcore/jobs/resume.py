"""Whether a run may be resumed: everything that its answers depend on must be the same."""

from collections.abc import Mapping
from typing import Any

from wildcore.errors import Option, UserError
from wildcore.interfaces import RESOURCES
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import changed_values


def with_later_fields(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded job completed with the fields that it lacks if an earlier version wrote it.

    Nothing was continued then, and one seed served the editor and the drawing of cases.
    """
    return {"continuation": 0, "sample_seed": job.get("seed", 0), **job}


def require_same(folder: RunFolder, identity: Mapping[str, Any], identity_now: Mapping[str, Any]) -> None:
    """Raise ``UserError`` naming every difference between the identity of a run and that of a call."""
    different = changed_values(identity, identity_now)
    if different:
        raise UserError(f"not the same run: {'; '.join(different)}", about=Option("resume", folder.path))


def without_resources(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity without the editor's pinned resources, which are compared only if edits are left to be made."""
    return {**identity, "editor": {name: said for name, said in identity["editor"].items() if name != RESOURCES}}


def mended(run: RunFolder) -> list[str]:
    """Remove from an interrupted run what a killed process left, and return notes on it."""
    with run.locked():  # otherwise this would cut off a line that another process is still writing
        return [*run.changed_files(), *run.mend(), *(f"journal.jsonl: {said}" for said in run.uncounted_lines())]
