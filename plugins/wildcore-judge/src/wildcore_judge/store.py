"""Verdicts on disk, so that nothing is asked, or paid for, twice."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import IO

from pydantic import ValidationError

from wildcore import Place, UserError
from wildcore.storage import CheckedRows, not_through_links, require_inside
from wildcore_judge.forms import LETTERS, Letters
from wildcore_judge.verdict import Reply

SECONDS_BETWEEN_LOOKS = 0.05
COLUMNS = ("key", "judge", "prompt", "reply", "asked")
REPLY = COLUMNS.index("reply")


class VerdictStore:
    """The verdicts of one judge with one version of a prompt. Several processes may use the same folder at once.

    A process claims a text before it asks about it, by locking one byte of a file; the text decides which byte. The lock ends
    with the process.
    """

    def __init__(
        self,
        kept: CheckedRows,
        rows: Connection,
        claims: IO[bytes],
        judge: Mapping[str, str],
        prompt: str,
        letters: Letters,
    ) -> None:
        self._kept = kept
        self._rows = rows
        self._claims = claims
        self._judge = json.dumps(judge, sort_keys=True)
        self._prompt = prompt
        self._letters = letters

    def get(self, text: str) -> Reply | None:
        """Return the stored reply to a text; it has a verdict. None: there is no stored reply, or it is damaged."""
        key = self._digest(text).hex()
        row = self._kept.get(self._rows, key)
        try:
            reply = Reply.model_validate_json(row[REPLY]) if row else None
        except ValidationError:  # damaged before it had a checksum
            self._kept.damaged.add(key)
            return None
        if reply is None:
            return None
        reply = reply.model_copy(update={"letters": self._letters})
        return reply if reply.verdict else None

    def put(self, text: str, reply: Reply) -> None:
        """Store a reply that has a verdict. When this returns, it survives a crash of the process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (self._digest(text).hex(), self._judge, self._prompt, reply.model_dump_json(), now)
        self._kept.put(self._rows, [row])

    def notes(self) -> Iterator[str]:
        """Say how many stored verdicts were damaged."""
        if self._kept.damaged:
            yield f"damaged verdicts, which are asked for anew: {len(self._kept.damaged)} ({self._kept.path})"

    @asynccontextmanager
    async def claimed(self, text: str) -> AsyncIterator[None]:
        """Claim a text for this process; waits while another process asks about it."""
        place = 1 + int.from_bytes(self._digest(text)[:6])
        while not _lock(self._claims, place):
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            yield
        finally:
            _unlock(self._claims, place)

    def _digest(self, text: str) -> bytes:
        return hashlib.sha256("\0".join([self._judge, self._prompt, text]).encode()).digest()


@contextmanager
def open_store(
    cache: Path, judge: Mapping[str, str], prompt: str, letters: Letters = LETTERS
) -> Iterator[VerdictStore]:
    """Open the store in the folder ``cache``; ``judge`` identifies who gives the verdicts, ``prompt`` is the version of the
    prompt, ``letters`` what it means by letters.

    Raises ``UserError`` if it cannot be used. One thread at a time may use it.
    """
    folder = cache / "judge"
    kept = CheckedRows(
        cache,
        folder / "verdicts.sqlite",
        "verdicts",
        COLUMNS,
        "the stored verdicts",
        "free some disk space, name another cache folder by WILDCORE_CACHE, or move the file away",
    )
    with ExitStack() as opened:
        claims = opened.enter_context(_claims(cache, folder / "claims.lock"))
        _lock(claims, 0, wait=True)  # two processes must not enable the write-ahead log at the same time
        try:
            rows = opened.enter_context(kept.opened())
            rows.execute("PRAGMA journal_mode = WAL")
        finally:
            _unlock(claims, 0)
        yield VerdictStore(kept, rows, claims, judge, prompt, letters)


def _claims(cache: Path, path: Path) -> IO[bytes]:
    """Open the file of claims. Raises ``UserError`` if that is not possible, or if it is a link."""
    require_inside(cache, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "ab", opener=not_through_links)
    except OSError as error:
        raise UserError(
            f"cannot be used ({error.strerror})", Place(path), "name another cache folder by WILDCORE_CACHE"
        ) from error


def _lock(stream: IO[bytes], place: int, wait: bool = False) -> bool:
    """Lock one byte for this process; returns whether this succeeded. POSIX only."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes may ask about the same text
        return True
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
    except BlockingIOError:
        return False
    return True


def _unlock(stream: IO[bytes], place: int) -> None:
    try:
        import fcntl
    except ImportError:
        return
    fcntl.lockf(stream, fcntl.LOCK_UN, 1, place)
