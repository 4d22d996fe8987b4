"""The run folder: what a run was, every answer it got, and their scores.

``manifest.json`` says how the run was made; ``journal.jsonl`` holds one finished case to a line, durable before the next
begins; ``scores.jsonl`` holds scores apart from the answers; ``scorings.jsonl`` says how scores were made that the protocols do
not ask for; ``work.jsonl`` says which calls worked on the run; ``summary.json`` adds the scores up.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from wildcore.errors import Option, UserError, command
from wildcore.records.schema import SCHEMA, CaseRecord, Manifest, ScoreRecord, ScoringRecord, WorkRecord
from wildcore.storage.durable import lock, make_durable, write_durably
from wildcore.storage.manifests import read_versioned
from wildcore.types import Record

R = TypeVar("R", bound=Record)


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal_path = path / "journal.jsonl"
        self.scores_path = path / "scores.jsonl"

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> "RunFolder":
        """Start a run in an empty or new folder. Raises ``UserError`` where that cannot be.

        Of two processes that start a run in the same folder, one does and the other is refused.
        """
        require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_first(path / "manifest.json", manifest.model_dump_json(indent=2) + "\n")
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
            raise UserError(f"{path}: not a run folder (no manifest.json in it)")
        return cls(path)

    @classmethod
    def finished(cls, path: Path) -> "RunFolder":
        """Open a run that has been scored. Raises ``UserError`` for another."""
        folder = cls.open(path)
        if not folder.scores_path.exists():
            done = sum(1 for _ in folder.cases())
            raise UserError(
                f"{path}: unfinished, {done} of {folder.manifest.case_count} cases done and not scored yet; "
                f"go on with: {resume_command(path)}"
            )
        return folder

    @property
    def manifest(self) -> Manifest:
        """The manifest as written. Raises ``UserError`` if it is damaged or of another schema."""
        path = self.path / "manifest.json"
        try:
            return read_versioned(path, path.read_text(encoding="utf-8"), Manifest, (SCHEMA,))
        except ValueError as error:
            raise UserError(f"{path}: damaged: {' '.join(str(error).split())}") from error

    def cases(self) -> Iterator[CaseRecord]:
        """Read the finished cases. A last line without its end, as a killed run leaves it, is not one."""
        return _read_lines(self.journal_path, CaseRecord)

    def scores(self) -> Iterator[ScoreRecord]:
        """Read the scores."""
        return _read_lines(self.scores_path, ScoreRecord)

    def repair(self) -> int:
        """Cut a half-written last line off the journal and return how many bytes that was."""
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
        """Hold the run for this process. Raises ``UserError`` if another process works in it, or where it cannot be locked."""
        path = self.path / ".lock"
        with ExitStack() as held:
            try:
                lock(held.enter_context(path.open("w")))
            except BlockingIOError:
                raise UserError(f"{self.path}: another process is working in this run") from None
            except OSError as error:
                raise UserError(
                    f"{path}: cannot be locked ({_why(error)}); a run that is worked on must lie where files can be written "
                    "and locked"
                ) from error
            yield

    def append(self, record: CaseRecord) -> None:
        """Write a finished case; on return it survives the death of the process and of the machine.

        Raises ``UserError`` where it cannot be written; the cases before it stay as they are.
        """
        with self._written(self.journal_path, "the cases before are"):
            _append(self.journal_path, record)

    def work(self) -> Iterator[WorkRecord]:
        """Read which calls worked on the run. One that was killed is not among them."""
        return _read_lines(self.path / "work.jsonl", WorkRecord)

    def append_work(self, record: WorkRecord) -> None:
        """Write that a call worked on the run. Raises ``UserError`` where it cannot be written."""
        path = self.path / "work.jsonl"
        with self._written(path, "what is finished is"):
            _append(path, record)

    def scorings(self) -> Iterator[ScoringRecord]:
        """Read which metrics were added, and how they were made."""
        return _read_lines(self.path / "scorings.jsonl", ScoringRecord)

    def append_scoring(self, record: ScoringRecord) -> None:
        """Write that a metric was added. Raises ``UserError`` where it cannot be written."""
        path = self.path / "scorings.jsonl"
        with self._written(path, "the answers and earlier scores are"):
            _append(path, record)

    def write_scores(self, scores: Iterable[ScoreRecord]) -> None:
        """Write all scores at once: a reader sees the earlier file or the new one, never a part.

        Raises ``UserError`` where they cannot be written.
        """
        with self._written(self.scores_path, "the answers and earlier scores are"):
            write_durably(self.scores_path, "".join(score.model_dump_json() + "\n" for score in scores))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the sums of the scores. Raises ``UserError`` where they cannot be written."""
        path = self.path / "summary.json"
        with self._written(path, "the answers and scores are"):
            write_durably(path, json.dumps(summary, indent=2) + "\n")

    @contextmanager
    def _written(self, path: Path, kept: str) -> Iterator[None]:
        """Turn the system's refusal to write a file into a ``UserError`` that says what is kept."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({_why(error)}); {kept} kept; once it can be, go on with: "
                f"{resume_command(self.path)}"
            ) from error


def resume_command(path: Path) -> str:
    """Return the command that resumes the run at ``path``, ready to be pasted into a shell."""
    return command("eval", Option("resume", path))


def require_free(path: Path) -> None:
    """Raise ``UserError`` unless ``path`` is an empty folder or nothing yet."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise _not_free(path)


def _not_free(path: Path) -> UserError:
    return UserError(
        "not an empty folder", Option("out", path), f"choose another, or resume the run in it: {resume_command(path)}"
    )


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _write_first(path: Path, text: str) -> None:
    """Write a file that no other process has made. Raises ``FileExistsError`` if one has, ``OSError`` where it cannot be."""
    path.touch(exist_ok=False)
    try:
        write_durably(path, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    make_durable(path.parent.parent)  # the folder may be new too


def _append(path: Path, record: Record) -> None:
    """Add a line to a file. Raises ``OSError`` where that cannot be, and leaves no part of the line."""
    line = memoryview(record.model_dump_json().encode() + b"\n")
    with path.open("ab", buffering=0) as stream:
        end = stream.tell()
        try:
            while line:
                line = line[stream.write(line) :]
            os.fsync(stream.fileno())
        except BaseException:
            with suppress(OSError):  # the end of a half-written line is missing, so readers leave it out
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
                raise UserError(f"{path}, line {number}: {place}: {problem['msg']}") from error
