"""The run folder: how a run was made, every answer, and the scores.

``manifest.json`` says how the run was made. ``journal.jsonl`` has one finished case on each line, saved durably before the
next begins. ``scores.jsonl`` has the scores, apart from the answers. ``scorings.jsonl`` says how scores by added metrics were
made. ``work.jsonl`` says which calls worked on the run. ``summary.json`` sums up the scores.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from wildcore.errors import Option, Place, UserError, command
from wildcore.records.schema import SCHEMA, AddedMetricRecord, CaseRecord, InvocationRecord, Manifest, ScoreRecord
from wildcore.storage.durable import lock, make_durable, write_durably
from wildcore.storage.manifests import read_versioned
from wildcore.types import FrozenData

R = TypeVar("R", bound=FrozenData)


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal_path = path / "journal.jsonl"
        self.scores_path = path / "scores.jsonl"

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> "RunFolder":
        """Start a run in an empty or new folder. Raises ``UserError`` if that is not possible.

        If two processes start a run in the same folder, one succeeds and the other is refused.
        """
        require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_first(path / "manifest.json", manifest.model_dump_json(indent=2, by_alias=True) + "\n")
        except FileExistsError as error:
            raise _not_free(path) from error
        except OSError as error:
            raise UserError(
                f"cannot be written ({_why(error)})", about=Option("out", path), way_out="choose another folder"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a run for reading or resuming. Raises ``UserError`` if ``path`` is not one."""
        if not (path / "manifest.json").is_file():
            raise UserError("not a run folder (no manifest.json in it)", Place(path))
        return cls(path)

    @classmethod
    def finished(cls, path: Path) -> "RunFolder":
        """Open a run that has been scored. Raises ``UserError`` if it has not been."""
        folder = cls.open(path)
        if not folder.scores_path.exists():
            done = sum(1 for _ in folder.cases())
            raise UserError(
                f"unfinished, {done} of {folder.manifest.case_count} cases done and not scored yet",
                Place(path),
                f"go on with: {resume_command(path)}",
            )
        return folder

    @property
    def manifest(self) -> Manifest:
        """The manifest as written. Raises ``UserError`` if it is damaged or has another schema."""
        path = self.path / "manifest.json"
        try:
            return read_versioned(path, path.read_text(encoding="utf-8"), Manifest, (SCHEMA,))
        except ValueError as error:
            raise UserError(f"damaged: {' '.join(str(error).split())}", Place(path)) from error

    def cases(self) -> Iterator[CaseRecord]:
        """Read the finished cases. A last line without a line end, as a killed run leaves it, is ignored."""
        return _read_lines(self.journal_path, CaseRecord)

    def scores(self) -> Iterator[ScoreRecord]:
        """Read the scores."""
        return _read_lines(self.scores_path, ScoreRecord)

    def repair(self) -> int:
        """Remove a half-written last line from the journal and return its length in bytes."""
        if not self.journal_path.exists():
            return 0
        content = self.journal_path.read_bytes()
        keep = content.rfind(b"\n") + 1
        if keep < len(content):
            with self.journal_path.open("r+b") as stream:
                stream.truncate(keep)
                os.fsync(stream.fileno())
        return len(content) - keep

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for this process. Raises ``UserError`` if another process works in it, or if it cannot be locked."""
        path = self.path / ".lock"
        with ExitStack() as held:
            try:
                lock(held.enter_context(path.open("w")))
            except BlockingIOError:
                raise UserError("another process is working in this run", Place(self.path)) from None
            except OSError as error:
                raise UserError(
                    f"cannot be locked ({_why(error)})",
                    Place(path),
                    "a run that is worked on must lie where files can be written and locked",
                ) from error
            yield

    def append(self, record: CaseRecord) -> None:
        """Append a finished case. When this returns, the case survives a crash of the process and of the machine.

        Raises ``UserError`` if it cannot be written; the cases before it are kept.
        """
        with self._written(self.journal_path, "the cases before are"):
            _append(self.journal_path, record)

    def work(self) -> Iterator[InvocationRecord]:
        """Read which calls worked on the run. A call that was killed is not among them."""
        return _read_lines(self.path / "work.jsonl", InvocationRecord)

    def append_invocation(self, record: InvocationRecord) -> None:
        """Append a call that worked on the run. Raises ``UserError`` if it cannot be written."""
        path = self.path / "work.jsonl"
        with self._written(path, "what is finished is"):
            _append(path, record)

    def scorings(self) -> Iterator[AddedMetricRecord]:
        """Read which metrics were added, and their parameters."""
        return _read_lines(self.path / "scorings.jsonl", AddedMetricRecord)

    def append_scoring(self, record: AddedMetricRecord) -> None:
        """Append an added metric. Raises ``UserError`` if it cannot be written."""
        path = self.path / "scorings.jsonl"
        with self._written(path, "the answers and earlier scores are"):
            _append(path, record)

    def write_scores(self, scores: Iterable[ScoreRecord]) -> None:
        """Replace all scores at once: a reader sees the earlier file or the new one, never a part.

        Raises ``UserError`` if they cannot be written.
        """
        with self._written(self.scores_path, "the answers and earlier scores are"):
            write_durably(self.scores_path, "".join(score.model_dump_json() + "\n" for score in scores))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary of the scores. Raises ``UserError`` if it cannot be written."""
        path = self.path / "summary.json"
        with self._written(path, "the answers and scores are"):
            write_durably(path, json.dumps(summary, indent=2) + "\n")

    @contextmanager
    def _written(self, path: Path, kept: str) -> Iterator[None]:
        """Turn an ``OSError`` while writing a file into a ``UserError`` that says what is kept."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot be written ({_why(error)}); {kept} kept",
                Place(path),
                f"once it can be, go on with: {resume_command(self.path)}",
            ) from error


def resume_command(path: Path) -> str:
    """Return the command that resumes the run at ``path``, quoted for a shell."""
    return command("eval", Option("resume", path))


def require_free(path: Path) -> None:
    """Raise ``UserError`` unless ``path`` is an empty folder or does not exist."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise _not_free(path)


def _not_free(path: Path) -> UserError:
    return UserError(
        "not an empty folder", Option("out", path), f"choose another, or resume the run in it: {resume_command(path)}"
    )


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _write_first(path: Path, text: str) -> None:
    """Create a file. Raises ``FileExistsError`` if another process has created it, ``OSError`` if that is not possible."""
    path.touch(exist_ok=False)
    try:
        write_durably(path, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    make_durable(path.parent.parent)  # the folder may be new too


def _append(path: Path, record: FrozenData) -> None:
    """Append a line to a file. Raises ``OSError`` if that fails, and then leaves no part of the line."""
    line = memoryview(record.model_dump_json().encode() + b"\n")
    with path.open("ab", buffering=0) as stream:
        end = stream.tell()
        try:
            while line:
                line = line[stream.write(line) :]
            os.fsync(stream.fileno())
        except BaseException:
            with suppress(OSError):  # the half-written line has no end, so readers ignore it
                stream.truncate(end)
            raise
    if end == 0:
        make_durable(path.parent)


def _read_lines(path: Path, model: type[R]) -> Iterator[R]:
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield model.model_validate_json(line)
            except ValidationError as error:
                problem = error.errors()[0]
                place = ".".join(str(part) for part in problem["loc"]) or "line"
                raise UserError(f"{place}: {problem['msg']}", Place(path, number)) from error
