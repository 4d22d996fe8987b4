"""Checkpoints of a sequence of updates in the run folder: what was written, the outcomes of the edits, the editor's state."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from wildcore.errors import Option, Place, UserError, command
from wildcore.evaluation.schedules import SECONDS_BETWEEN_SAVES, TOGETHER, Schedule
from wildcore.interfaces import Editor, Patch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.patches.accumulated import CombinedPatch
from wildcore.patches.files import (
    PatchedModel,
    PatchFile,
    PatchManifest,
    digest_of,
    editor_read_errors,
    read_patch,
)
from wildcore.patches.fitting import CHANGE
from wildcore.patches.weights import WeightPatch
from wildcore.records.provenance import FAMILY
from wildcore.records.run_folder import RunFolder, resume_command
from wildcore.records.schema import EditOutcome, Manifest
from wildcore.storage.manifests import read_versioned
from wildcore.storage.tensor_files import read_tensors, read_text, write_tensors
from wildcore.types import FrozenData

SCHEMA = 2
READABLE = (1, 2)
"""Schemas that can be read. In the first, either all cases of an update were refused or none."""
NAME = "sequence.safetensors"
KEY = "wildcore-sequence"
FACTS = "facts"
"""Name of the tensor that holds all facts as the bytes of JSON; they may exceed the size of a file's metadata."""

SAVES_TAKE_AT_MOST = 0.05
"""Share of the time that may be spent on saving before saves become less frequent."""


class SequenceManifest(FrozenData):
    """The metadata of a checkpoint: the run, the index of the sequence, and how many of its updates are done."""

    schema_number: int = SCHEMA
    run: str
    sequence: int
    updates: int


@dataclass
class SequenceState:
    """What was written of a sequence so far: one outcome for each update, all changes, and the editor's state after them.

    ``refused`` holds for each update the ids of the cases that the editor refused, and why; the outcome is that of the other
    cases.
    """

    sequence: int
    outcomes: list[EditOutcome] = field(default_factory=list)
    refused: list[Mapping[str, str]] = field(default_factory=list)
    patch: CombinedPatch = field(default_factory=CombinedPatch)
    state: Saved | None = None
    finite: bool = True
    """Whether every number written so far is finite."""
    last_update: Mapping[str, float] = field(default_factory=dict)
    """The Frobenius norm of the last update's change, by module; empty if it changed no weight."""
    half_taken: bool = False
    """True if an interruption came while an update was being added, so that the parts are inconsistent."""

    @property
    def size(self) -> int:
        """The number of bytes that its tensors take in a checkpoint."""
        tensors = [
            tensor for saved in (*self.saved_patches(), self.state) if saved for tensor in saved.tensors.values()
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.patch.sums.values(), *tensors))

    def saved_patches(self) -> list[Saved]:
        """Return the content of the patches that are not changes of weights."""
        return [patch.to_saved() for patch in self.patch.latest.values()]

    def add(self, outcome: EditOutcome, refused: Mapping[str, str], patch: Patch | None, state: Saved | None) -> None:
        """Add the outcome of the next update; ``patch`` is None if nothing was written."""
        self.half_taken = True
        if patch is not None:
            self.patch.add(patch)
            self.finite = self.patch.finite
        self.last_update = patch.norms() if isinstance(patch, WeightPatch) else {}
        if outcome.status == "edited" and not self.finite:
            outcome = outcome.model_copy(update={"patch": {**(outcome.patch or {}), "finite": False}})
        self.outcomes.append(outcome)
        self.refused.append(refused)
        self.state = state
        self.half_taken = False


class Checkpoint:
    """The file in which a run saves its current sequence. When the run has ended, it holds the last sequence."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.path / NAME
        self.run = _digest(folder.manifest)

    def save(self, written: SequenceState) -> None:
        """Replace the file's content by ``written``, atomically. Raises ``UserError`` if that fails."""
        tensors, facts = _packed(written)
        updates = len(written.outcomes)
        manifest = SequenceManifest(run=self.run, sequence=written.sequence, updates=updates)
        try:
            write_tensors(self.path, {**tensors, FACTS: _as_tensor(facts)}, KEY, manifest.model_dump_json())
        except (OSError, SafetensorError) as error:
            way_out = f"make room, and go on with: {resume_command(self.path.parent)}"
            raise UserError(f"cannot be written ({error})", Place(self.path), way_out) from error

    def load(self, sequence: int, model: LoadedModel, editor: Editor) -> SequenceState:
        """Return what was written of a sequence; empty if nothing of it was saved.

        Raises ``UserError`` for a file that is damaged, belongs to another run, or cannot be loaded by the editor.
        """
        if not self.path.exists():
            return SequenceState(sequence)
        manifest, tensors = self.read()
        if manifest.sequence != sequence:
            return SequenceState(sequence)
        with editor_read_errors(self.path, self._way_out):
            return _unpacked(sequence, tensors, model, editor)

    def read(self) -> tuple[SequenceManifest, dict[str, Tensor]]:
        """Return the file's metadata and tensors. Raises ``UserError`` if it is damaged or belongs to another run."""
        manifest, tensors = self._read()
        if manifest.run != self.run:
            raise UserError("it belongs to another run", Place(self.path), self._way_out)
        return manifest, tensors

    def _read(self) -> tuple[SequenceManifest, dict[str, Tensor]]:
        try:
            text, tensors = read_tensors(self.path, KEY)
            return read_versioned(self.path, text, SequenceManifest, READABLE, self._way_out), tensors
        except (OSError, RuntimeError, SafetensorError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"damaged, or not such a file ({reason})", Place(self.path), self._way_out) from error

    @property
    def _way_out(self) -> str:
        return "delete the file, and what it kept is made again"


class PeriodicCheckpoint:
    """Saves checkpoints from time to time, rarely enough that it costs little."""

    def __init__(self, file: Checkpoint, written: SequenceState, seconds: float | None = SECONDS_BETWEEN_SAVES) -> None:
        """Save ``written`` in ``file`` at most every ``seconds``. None: never."""
        self.file, self.written, self.seconds = file, written, seconds
        self.kept = len(written.outcomes)
        self.due = time.monotonic() + (seconds or 0)

    def save_if_due(self) -> None:
        """Save if enough time has passed."""
        if self.seconds is not None and time.monotonic() >= self.due:
            self.save()

    def save(self) -> None:
        """Save what is not saved yet. Does nothing while an update is half added: the previous checkpoint remains valid."""
        if self.seconds is None or self.written.half_taken or len(self.written.outcomes) == self.kept:
            return
        begun = time.monotonic()
        self.file.save(self.written)
        now = time.monotonic()
        self.kept = len(self.written.outcomes)
        self.due = now + max(self.seconds, (now - begun) / SAVES_TAKE_AT_MOST)


def read_patch_or_run(path: Path) -> PatchFile:
    """Read a patch file. Given a run folder, or the ``sequence.safetensors`` in it, return what the run wrote as a patch.

    Raises ``UserError`` for anything else, and for a run that is unfinished or did not write changes of weights.
    """
    if path.is_dir():
        return _patch_of(RunFolder.open(path))
    if path.is_file() and _is_sequence(path):
        if path.name != NAME or not (path.parent / "manifest.json").is_file():
            raise UserError("it is read with the manifest.json of its run", Place(path), "give the run folder")
        return _patch_of(RunFolder.open(path.parent))
    return read_patch(path)


def _is_sequence(path: Path) -> bool:
    try:
        return read_text(path, KEY) is not None
    except (OSError, SafetensorError):
        return False  # read_patch reports what is wrong with the file


def _patch_of(folder: RunFolder) -> PatchFile:
    """Return everything that a finished run wrote as one patch of all its facts."""
    run, cases = folder.manifest, list(folder.cases())
    file = Checkpoint(folder)
    _require_finished(file, run, len(cases))
    said, tensors = file.read()
    sums = _sums(file, run, tensors)
    sequences = Schedule.chosen(run.job["schedule"], run.job["edits_per_update"], run.case_count).sequences(cases)
    own = [case for update in sequences[said.sequence] for case in update]
    manifest = PatchManifest(
        created=run.created,
        model=_model_of(run),
        editor=run.identity["editor"],
        seed=run.identity["seed"],
        requests=tuple(case.request for case in own if case.edit.status == "edited"),
        versions=run.versions,
    )
    note = f"{file.path} holds the last of {len(sequences)} batches only, with {len(own)} of {len(cases)} cases"
    named = {f"{name}:{CHANGE}": total for name, total in sums.items()}
    return PatchFile(file.path, manifest, named, digest_of(file.path), note if len(sequences) > 1 else None)


def _require_finished(file: Checkpoint, run: Manifest, done: int) -> None:
    """Raise ``UserError`` unless all cases of a run that writes edits together are ``done``."""
    folder = file.path.parent
    if run.job.get("schedule", "single") == "single":
        raise UserError(
            "its edits were made and evaluated one by one, and none is kept",
            about=Place(folder),
            way_out=("begin a run with ", *TOGETHER, ", or make a patch with wildcore edit"),
        )
    if done < run.case_count or not file.path.exists():
        raise UserError(
            f"the run is unfinished ({done} of {run.case_count} cases evaluated)",
            about=Place(folder),
            way_out=f"finish it with {resume_command(folder)}",
        )


def _sums(file: Checkpoint, run: Manifest, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the changes of weights that were written. Raises ``UserError`` if the patches are of another kind or diverged."""
    folder, editor = file.path.parent, run.job["editor"]
    if json.loads(tensors[FACTS].numpy().tobytes())["patches"]:
        raise UserError(
            f"what {editor} writes cannot become weights",
            about=Place(file.path),
            way_out=f"{command('show', folder)} shows how the run evaluated it, and {command('eval', Option('patch'))} "
            f"evaluates a patch of {command('edit', Option('editor', editor))}",
        )
    sums, shown = _part("sum", tensors), f"{command('show', folder, Option('edits'))} shows them"
    if not sums:
        raise UserError("none of its edits changed a weight", Place(file.path), way_out=shown)
    if not all(bool(total.isfinite().all()) for total in sums.values()):
        raise UserError("the edits diverged (not finite)", Place(file.path), way_out=shown)
    return sums


def _model_of(run: Manifest) -> PatchedModel:
    model = run.identity["model"]
    said = {**model, "model_type": model[FAMILY]}
    return PatchedModel(**{name: said[name] for name in PatchedModel.model_fields})


def _packed(written: SequenceState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors by name, and the facts as JSON values."""
    tensors = {f"sum:{name}": total for name, total in written.patch.sums.items()}
    newest = written.saved_patches()
    for number, saved in enumerate(newest):
        tensors |= {f"patch.{number}:{name}": tensor for name, tensor in saved.tensors.items()}
    if written.state is not None:
        tensors |= {f"state:{name}": tensor for name, tensor in written.state.tensors.items()}
    facts = {
        "outcomes": [outcome.model_dump(mode="json") for outcome in written.outcomes],
        "refused": [dict(refused) for refused in written.refused],
        "patches": [dict(saved.facts) for saved in newest],
        "state": None if written.state is None else dict(written.state.facts),
        "last_update": dict(written.last_update),
    }
    return tensors, facts


def _unpacked(sequence: int, tensors: Mapping[str, Tensor], model: LoadedModel, editor: Editor) -> SequenceState:
    facts = json.loads(tensors[FACTS].numpy().tobytes())
    outcomes = [EditOutcome.model_validate(outcome) for outcome in facts["outcomes"]]
    written = SequenceState(sequence, outcomes, facts.get("refused", [{} for _ in outcomes]))
    for name, total in _part("sum", tensors).items():
        written.patch.sums[name] = total.to(model.projection(name).weight.device)
    for number, own in enumerate(facts["patches"]):
        written.patch.add(editor.load_patch(model, Saved(_part(f"patch.{number}", tensors), own)))
    if facts["state"] is not None:
        written.state = Saved(_part("state", tensors), facts["state"])
    written.finite = written.patch.finite
    written.last_update = facts.get("last_update", {})
    return written


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under ``prefix`` by their own names."""
    return {name.partition(":")[2]: tensor for name, tensor in tensors.items() if name.partition(":")[0] == prefix}


def _as_tensor(facts: Mapping[str, Any]) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest.identity, sort_keys=True).encode()).hexdigest()
