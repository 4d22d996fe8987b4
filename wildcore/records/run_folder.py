"""The run folder: how a run was made, every answer, and the scores.

``manifest.json`` says how the run was made. ``journal.jsonl`` has one finished case on each line, saved durably before the
next begins; a case that was evaluated at several judging points has a line for each. ``points.jsonl`` says what was measured
of the model at judging points. ``scores.jsonl`` has the scores, apart from the answers. ``scorings.jsonl`` says how scores by
added metrics were made. ``work.jsonl`` says which calls worked on the run. ``summary.json`` sums up the scores, and holds the
length and checksum of each file with lines. The manifest, the summary and every line have a checksum. No file in the folder may
be a link.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

from wildcore.bounded import JSON_CHARACTERS, read_bytes_bounded
from wildcore.errors import Option, Place, UserError, command
from wildcore.records.lines import Key, Mended, append_line, keys_named, line_of, mend_lines, read_lines
from wildcore.records.schema import (
    READABLE,
    AddedMetricRecord,
    CaseRecord,
    InvocationRecord,
    JudgingPointRecord,
    Manifest,
    ScoreRecord,
)
from wildcore.records.summary_file import NAME as SUMMARY
from wildcore.records.summary_file import Change, changes, summary_text
from wildcore.records.trace_files import FOLDER as TRACES
from wildcore.storage.checksums import NAME as CHECKSUM
from wildcore.storage.checksums import sealed, unsealed
from wildcore.storage.durable import (
    UNFINISHED,
    appearing,
    clear_abandoned,
    lock,
    make_durable,
    not_through_links,
    write_durably,
)
from wildcore.storage.links import require_no_link
from wildcore.storage.manifests import read_versioned
from wildcore.types import FrozenData

R = TypeVar("R", bound=FrozenData)

MANIFEST = "manifest.json"
LINES: Mapping[str, type[FrozenData]] = {
    "journal.jsonl": CaseRecord,
    "points.jsonl": JudgingPointRecord,
    "scores.jsonl": ScoreRecord,
    "scorings.jsonl": AddedMetricRecord,
    "work.jsonl": InvocationRecord,
}
"""The files that have a record on each line."""
OTHERS = (MANIFEST, SUMMARY, ".lock", "sequence.safetensors", TRACES)
MADE_ANEW = {
    "journal.jsonl": "; their cases are done again",
    "points.jsonl": "; the model is measured again at these points",
    "scores.jsonl": "; the run's own metrics score them again, and wildcore score the metrics added later",
    "scorings.jsonl": "; wildcore score records each added metric again",
    "work.jsonl": "; the calls in them are no longer known",
    SUMMARY: "; it is made anew",
}
"""What follows after damaged lines were removed from a file, or after lines were lost."""


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal_path = path / "journal.jsonl"
        self.scores_path = path / "scores.jsonl"

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> "RunFolder":
        """Start a run in an empty or new folder. Raises ``UserError`` if that is not possible.

        A new folder appears with its manifest in it, whole or not at all. If two processes start a run in the same folder, one
        succeeds and the other is refused.
        """
        require_free(path)
        text = sealed(manifest.model_dump_json(indent=2, by_alias=True))
        try:
            if path.is_dir():
                _begin_within(path, text)
            else:
                with suppress(FileExistsError):  # a file, which the next line finds
                    path.parent.mkdir(parents=True, exist_ok=True)
                with appearing(path) as folder:
                    (folder / MANIFEST).write_text(text, encoding="utf-8")
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) or (path.is_symlink() and not path.exists()):
                raise _not_free(path) from error
            raise UserError(
                f"cannot be written ({_why(error)})", about=Option("out", path), way_out="choose another folder"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a run for reading or resuming. Raises ``UserError`` if ``path`` is not one, or if a file in it is a link.

        ``path`` itself may be a link.
        """
        for name in (*LINES, *OTHERS):
            require_no_link(path / name)
        if not (path / MANIFEST).is_file():
            raise UserError("not a run folder (no manifest.json in it)", Place(path))
        return cls(path)

    @classmethod
    def finished(cls, path: Path, note: Callable[[str], None]) -> "RunFolder":
        """Open a run that has been scored. Raises ``UserError`` if it has not been.

        Cases that are missing from its journal, lines in it that are not counted, and files that changed since the run was
        summed up are given to ``note``. Raises ``UserError`` also if scores are missing.
        """
        folder = cls.open(path)
        if not folder.scores_path.exists():
            done = sum(1 for _ in folder.cases())
            raise UserError(
                f"unfinished, {done} of {folder.manifest.case_count} cases done and not scored yet",
                Place(path),
                f"go on with: {resume_command(path)}",
            )
        missing = list(folder.missing_cases())
        for change in changes(path, LINES):
            if change.is_cut and change.name == folder.scores_path.name:
                raise UserError(change.problem, Place(path / change.name), f"make it anew with: {resume_command(path)}")
            if not (change.is_cut and change.name == folder.journal_path.name and missing):  # which says the same
                note(f"{path / change.name}: {change.problem}{folder._way_on(change)}")
        for found in (*folder.uncounted_lines(), *missing):
            note(f"{folder.journal_path}: {found}")
        return folder

    @property
    def manifest(self) -> Manifest:
        """The manifest as written. Raises ``UserError`` if it is damaged or has another schema."""
        path = self.path / MANIFEST
        try:
            text = unsealed(read_bytes_bounded(path, JSON_CHARACTERS)).decode()
        except ValueError as error:
            raise UserError(
                f"damaged: {error}", Place(path), f"if you changed it on purpose, remove its field {CHECKSUM}"
            ) from error
        try:
            return read_versioned(path, text, Manifest, READABLE)
        except ValueError as error:
            raise UserError(f"damaged: {' '.join(str(error).split())}", Place(path)) from error

    @property
    def started(self) -> datetime:
        """The local time at which the run was started. Raises ``UserError`` if the manifest is damaged."""
        try:
            return datetime.fromisoformat(self.manifest.created).astimezone().replace(tzinfo=None)
        except ValueError as error:
            raise UserError(f"damaged: created: {error}", Place(self.path / MANIFEST)) from error

    def records(self) -> Iterator[CaseRecord]:
        """Read the finished cases of the run at all its judging points, each once.

        A last line without a line end, as a killed run leaves it, is ignored. Raises ``UserError`` for a damaged line.
        """
        own, seen = set(self.manifest.case_ids), set[Key]()
        for record in self._read(self.journal_path, CaseRecord):
            key = (record.case, record.after_edits)
            if key not in seen and (not own or record.case in own):
                seen.add(key)
                yield record

    def cases(self) -> Iterator[CaseRecord]:
        """Read each finished case of the run once, as it was evaluated last. Raises ``UserError`` for a damaged line."""
        last = self._last_points()
        return (record for record in self.records() if record.after_edits == last.get(record.case))

    def all_scores(self) -> Iterator[ScoreRecord]:
        """Read the scores of all judging points. Raises ``UserError`` for a damaged line."""
        return self._read(self.scores_path, ScoreRecord, appended=False)

    def scores(self) -> Iterator[ScoreRecord]:
        """Read the scores of each case as it was evaluated last. Raises ``UserError`` for a damaged line."""
        last = self._last_points()
        return (score for score in self.all_scores() if score.after_edits == last.get(score.case, score.after_edits))

    def points(self) -> Iterator[JudgingPointRecord]:
        """Read what was measured of the model at judging points, each once. Raises ``UserError`` for a damaged line."""
        seen = set[int]()
        for point in self._read(self.path / "points.jsonl", JudgingPointRecord):
            if point.after_edits not in seen:
                seen.add(point.after_edits)
                yield point

    def _last_points(self) -> dict[str, int | None]:
        """Return after how many edits each case was evaluated last."""
        last: dict[str, int | None] = {}
        for case, after_edits in self._keys_named():
            known = last.get(case)
            if case not in last or known is None or (after_edits is not None and after_edits > known):
                last[case] = after_edits
        return last

    def uncounted_lines(self) -> Iterator[str]:
        """Say how many lines of the journal repeat a case, or are of a case that is not of this run; ``records`` skips them."""
        times, own = self._keys_named(), set(self.manifest.case_ids)
        foreign = list(dict.fromkeys(case for case, _ in times if own and case not in own))
        doubled = [key for key, count in times.items() if count > 1 and key[0] not in foreign]
        if doubled:
            repeats = sum(times[key] - 1 for key in doubled)
            yield f"lines that repeat a case, which are not counted: {repeats}; the first is of case {doubled[0][0]}"
        if foreign:
            yield f"cases of another run, which are not counted: {len(foreign)}; the first is {foreign[0]}"

    def missing_cases(self) -> Iterator[str]:
        """Say how many cases of the run are not in the journal, unless the run was stopped before them."""
        keys, manifest = self._keys_named(), self.manifest
        if any(point.stopped for point in self.points()):
            return
        done = {case for case, _ in keys}
        own = set(manifest.case_ids or done) & done
        lines = sum(case in own for case, _ in keys)
        if len(own) < manifest.case_count:
            first = next((f"; the first is {case}" for case in manifest.case_ids if case not in own), "")
            missing = f"missing cases: {manifest.case_count - len(own)} of {manifest.case_count}{first}"
        elif lines < (expected := manifest.journal_lines or 0):
            missing = f"missing at judging points: {expected - lines} of {expected} evaluations of cases"
        else:
            return
        yield f"{missing}; make them with: {resume_command(self.path)}"

    def changed_files(self) -> Iterator[str]:
        """Say which files changed since the run was summed up, and what follows when it is resumed."""
        for change in changes(self.path, LINES):
            yield f"{change.name}: {change.problem}{MADE_ANEW[change.name]}"

    def _way_on(self, change: Change) -> str:
        by_resuming = change.name not in ("scorings.jsonl", "work.jsonl")
        return f"; make it anew with: {resume_command(self.path)}" if by_resuming else MADE_ANEW[change.name]

    def _keys_named(self) -> Counter[Key]:
        return Counter(key for key in keys_named(self.journal_path) if key is not None)

    def _read(self, path: Path, model: type[R], appended: bool = True) -> Iterator[R]:
        return read_lines(path, model, f"make it anew with: {resume_command(self.path)}", appended)

    def mend(self, names: Iterable[str] = LINES) -> Iterator[str]:
        """Remove what killed processes left, and half-written and damaged lines of the files ``names``, and say what was removed.

        Scores of cases that are not in the journal are removed too. The run must be locked. Raises ``UserError`` if a file
        cannot be written.
        """
        for left in self.path.glob(f"*{UNFINISHED}"):
            _remove(left)
        for folder in (self.path.parent, self.path / TRACES):
            clear_abandoned(folder)
        for name in names:
            with self._written(self.path / name, "what is finished is"):
                yield from _removed(name, mend_lines(self.path / name, LINES[name]))
        if self.scores_path.name in names and self.scores_path.exists():
            done, scores = set(keys_named(self.journal_path)), list(self.all_scores())
            if any((score.case, score.after_edits) not in done for score in scores):
                self.write_scores(score for score in scores if (score.case, score.after_edits) in done)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for this process. Raises ``UserError`` if another process works in it, or if it cannot be locked."""
        path = self.path / ".lock"
        require_no_link(path)
        with ExitStack() as held:
            try:
                lock(held.enter_context(open(path, "a", opener=not_through_links)))
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
            append_line(self.journal_path, record)

    def append_point(self, record: JudgingPointRecord) -> None:
        """Append what was measured at a judging point. Raises ``UserError`` if it cannot be written."""
        path = self.path / "points.jsonl"
        with self._written(path, "what is finished is"):
            append_line(path, record)

    def work(self) -> Iterator[InvocationRecord]:
        """Read which calls worked on the run. A call that was killed is not among them."""
        return self._read(self.path / "work.jsonl", InvocationRecord)

    def append_invocation(self, record: InvocationRecord) -> None:
        """Append a call that worked on the run. Raises ``UserError`` if it cannot be written."""
        path = self.path / "work.jsonl"
        with self._written(path, "what is finished is"):
            append_line(path, record)

    def scorings(self) -> Iterator[AddedMetricRecord]:
        """Read which metrics were added, and their parameters."""
        return self._read(self.path / "scorings.jsonl", AddedMetricRecord)

    def append_scoring(self, record: AddedMetricRecord) -> None:
        """Append an added metric. Raises ``UserError`` if it cannot be written."""
        path = self.path / "scorings.jsonl"
        with self._written(path, "the answers and earlier scores are"):
            append_line(path, record)

    def write_scores(self, scores: Iterable[ScoreRecord]) -> None:
        """Replace all scores at once: a reader sees the earlier file or the new one, never a part.

        Raises ``UserError`` if they cannot be written.
        """
        with self._written(self.scores_path, "the answers and earlier scores are"):
            write_durably(self.scores_path, "".join(map(line_of, scores)))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary of the scores, with the extent of each file. Raises ``UserError`` if it cannot be written."""
        path = self.path / SUMMARY
        with self._written(path, "the answers and scores are"):
            write_durably(path, summary_text(summary, self.path, LINES))

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
    """Raise ``UserError`` unless ``path`` is an empty folder or does not exist.

    What a process left that was killed while it began a run there is removed.
    """
    if path.is_dir():
        clear_abandoned(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise _not_free(path)


def _not_free(path: Path) -> UserError:
    """Return the error for a folder that is not free; it names the way to resume only a run that can be resumed."""
    try:
        RunFolder.open(path).manifest  # noqa: B018
    except (UserError, OSError):
        return UserError("not an empty folder", Option("out", path), "choose another")
    return UserError(
        "not an empty folder", Option("out", path), f"choose another, or resume the run in it: {resume_command(path)}"
    )


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _begin_within(folder: Path, manifest: str) -> None:
    """Write the manifest into an existing folder. Raises ``FileExistsError`` if the folder is no longer empty, ``OSError`` if it
    cannot be written.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, wait=True)  # another process may begin a run there too
        if any(folder.iterdir()):
            raise FileExistsError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))
        write_durably(folder / MANIFEST, manifest)
    finally:
        os.close(descriptor)
    make_durable(folder.resolve().parent)


def _removed(name: str, mended: Mended) -> Iterator[str]:
    if mended.half and name == "journal.jsonl":
        yield f"the journal's last line was half written ({mended.half} bytes); it was cut off and its case is done again"
    elif mended.half:
        yield f"{name}: the last line was half written ({mended.half} bytes); it was cut off"
    if mended.damaged:
        follows = MADE_ANEW[name]
        yield f"{name}: damaged lines were removed: {mended.damaged}{follows}; the first: {mended.first}"


def _remove(left: Path) -> None:
    if left.is_dir() and not left.is_symlink():
        rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)
