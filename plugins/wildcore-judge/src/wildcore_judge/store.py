"""Verdicts on disk, so that nothing is asked, or paid for, twice."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from wildcore import Place, UserError
from wildcore_judge.forms import LETTERS, Letters
from wildcore_judge.verdict import Reply

SECONDS_TO_WAIT = 60.0
SECONDS_BETWEEN_LOOKS = 0.05
TABLE = "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, judge TEXT, prompt TEXT, reply TEXT, asked TEXT)"


class VerdictStore:
    """The verdicts of one judge with one version of a prompt. Several processes may use the same folder at once.

    A process claims a text before it asks about it, by locking one byte of a file; the text decides which byte. The lock ends
    with the process.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        claims: IO[bytes],
        judge: Mapping[str, str],
        prompt: str,
        letters: Letters,
    ) -> None:
        self._connection = connection
        self._claims = claims
        self._judge = json.dumps(judge, sort_keys=True)
        self._prompt = prompt
        self._letters = letters

    def get(self, text: str) -> Reply | None:
        """Return the stored reply to a text; it has a verdict. None: there is no stored reply."""
        row = self._connection.execute(
            "SELECT reply FROM verdicts WHERE key = ?", (self._digest(text).hex(),)
        ).fetchone()
        if row is None:
            return None
        reply = Reply.model_validate_json(row[0]).model_copy(update={"letters": self._letters})
        return reply if reply.verdict else None

    def put(self, text: str, reply: Reply) -> None:
        """Store a reply that has a verdict. When this returns, it survives a crash of the process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (self._digest(text).hex(), self._judge, self._prompt, reply.model_dump_json(), now)
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)", row)

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

    Raises ``UserError`` if it is damaged. One thread at a time may use it.
    """
    folder = cache / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "verdicts.sqlite"
    opened = closing(sqlite3.connect(path, SECONDS_TO_WAIT, check_same_thread=False))
    with (folder / "claims.lock").open("ab") as claims, opened as connection:
        try:
            _lock(claims, 0, wait=True)  # two processes must not enable the write-ahead log at the same time
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                connection.execute(TABLE)
        except sqlite3.DatabaseError as error:
            raise UserError(f"cannot be used as a store of verdicts ({error})", Place(path), "move it away") from error
        finally:
            _unlock(claims, 0)
        yield VerdictStore(connection, claims, judge, prompt, letters)


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
