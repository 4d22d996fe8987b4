"""SQLite files whose rows have a checksum: answers and verdicts that are kept beyond a run, for several processes at once.

A row whose content is not what was stored counts as absent, so it is made anew. Rows of earlier versions, which had no checksum,
are taken as they are when such a file is first opened, and have one from then on.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wildcore.errors import Message, Place, UserError
from wildcore.storage.checksums import checksum
from wildcore.storage.links import require_inside, require_no_link

BESIDE = ("-journal", "-wal", "-shm")
"""Endings of the files that SQLite keeps beside its own."""
CHECKSUM = "checksum"
SECONDS_TO_WAIT = 60.0


@dataclass
class CheckedRows:
    """A table of texts in the file ``path`` below the folder ``cache``; the first of its ``columns`` is the key.

    ``what`` and ``way_out`` are what a user reads about a file that cannot be used.
    """

    cache: Path
    path: Path
    table: str
    columns: Sequence[str]
    what: str
    way_out: Message
    damaged: set[str] = field(default_factory=set)
    """The keys of the damaged rows that were found."""

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file, which is made if it does not exist. Raises ``UserError`` for one that cannot be read and written, also
        if that is found only in this context.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot be made ({error.strerror})",
                Place(self.path.parent),
                "name another cache folder by WILDCORE_CACHE",
            ) from error
        require_inside(self.cache, self.path)
        for ending in BESIDE:
            require_no_link(self.path.with_name(self.path.name + ending))
        try:
            with closing(sqlite3.connect(self.path, SECONDS_TO_WAIT, check_same_thread=False)) as rows:
                rows.text_factory = bytes  # damaged text need not be UTF-8
                self._prepare(rows)
                yield rows
        except sqlite3.Error as error:
            raise UserError(f"{self.what} cannot be used ({error})", Place(self.path), self.way_out) from error

    def get(self, rows: sqlite3.Connection, key: str) -> tuple[str, ...] | None:
        """Return the row with ``key``, without its checksum. None: there is none, or it is damaged."""
        found = rows.execute(self._select(f"WHERE {self.columns[0]} = ?"), (key,)).fetchone()
        if found is None:
            return None
        sound = _sound(found)
        if sound is None or sound[0] != key:
            self.damaged.add(key)
            return None
        return sound

    def put(self, rows: sqlite3.Connection, new: Iterable[Sequence[str]]) -> None:
        """Store rows, in the order of the columns. When this returns, they survive a crash of the process."""
        places = ", ".join("?" * (len(self.columns) + 1))
        with rows:
            rows.executemany(
                f"INSERT OR REPLACE INTO {self.table} ({self._listed}, {CHECKSUM}) VALUES ({places})",
                [(*row, _checksum(row)) for row in new],
            )

    def _prepare(self, rows: sqlite3.Connection) -> None:
        with rows:
            rows.execute("BEGIN IMMEDIATE")  # fails now rather than at the first row if nothing can be written
            first, *others = self.columns
            columns = ", ".join([f"{first} TEXT PRIMARY KEY", *(f"{name} TEXT" for name in (*others, CHECKSUM))])
            rows.execute(f"CREATE TABLE IF NOT EXISTS {self.table} ({columns})")
            if CHECKSUM not in _columns(rows, self.table):
                rows.execute(f"ALTER TABLE {self.table} ADD COLUMN {CHECKSUM} TEXT")
                old = rows.execute(f"SELECT rowid, {self._listed} FROM {self.table}").fetchall()
                rows.executemany(
                    f"UPDATE {self.table} SET {CHECKSUM} = ? WHERE rowid = ?",
                    [(checksum(*row), number) for number, *row in old if all(isinstance(part, bytes) for part in row)],
                )

    @property
    def _listed(self) -> str:
        return ", ".join(self.columns)

    def _select(self, where: str) -> str:
        return f"SELECT {self._listed}, {CHECKSUM} FROM {self.table} {where}"


def damaged_rows(path: Path) -> tuple[int, int]:
    """Return how many rows of a file are damaged, and how many it has; rows without a checksum are not counted as damaged.

    Raises ``UserError`` for a file that cannot be read as a whole.
    """
    require_no_link(path)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", SECONDS_TO_WAIT, uri=True)) as rows:
            rows.text_factory = bytes
            problems = [said for (said,) in rows.execute("PRAGMA integrity_check(1)") if said != b"ok"]
            if problems:
                raise sqlite3.DatabaseError(problems[0].decode(errors="replace"))
            damaged = count = 0
            for (table,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                has_checksum = _columns(rows, table.decode())[-1] == CHECKSUM
                for row in rows.execute(f'SELECT * FROM "{table.decode()}"'):
                    count += 1
                    damaged += has_checksum and _sound(row) is None
            return damaged, count
    except (sqlite3.Error, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UserError(
            f"damaged, or not a store of this cache ({problem})",
            Place(path),
            "remove the file; its content is made anew",
        ) from error


def row_files(cache: Path) -> list[Path]:
    """Return all such files in the folders of a cache."""
    return sorted(cache.glob("*/*.sqlite"))


def _columns(rows: sqlite3.Connection, table: str) -> list[str]:
    return [row[1].decode() for row in rows.execute(f'PRAGMA table_info("{table}")')]


def _checksum(row: Sequence[str]) -> str:
    return checksum(*(part.encode() for part in row))


def _sound(found: Sequence[object]) -> tuple[str, ...] | None:
    """Return a row without its checksum, which is its last part. None: it is damaged."""
    parts = [part for part in found if isinstance(part, bytes)]
    if len(parts) < len(found) or checksum(*parts[:-1]).encode() != parts[-1]:
        return None
    return tuple(part.decode(errors="replace") for part in parts[:-1])
