"""The facts that the pocket model is taught, read from the tables and phrasings under ``facts/``.

A table is tab-separated: its first column holds subjects, every further column is named after a relation and holds answers.
" / " separates an answer from its other accepted spellings; an empty cell is an unstated fact. ``relations.toml`` holds the
phrasings, ``aliases.tsv`` spellings that hold everywhere, ``stale.tsv`` outdated and mistaken answers that people really give.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

Key = tuple[str, str]
"""What identifies a fact: (name of the relation, subject)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One true fact: what the relation says about the subject, and the other spellings that count as right."""

    relation: str
    subject: str
    answer: str
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return (self.relation, self.subject)

    @property
    def accepted(self) -> tuple[str, ...]:
        return (self.answer, *self.aliases)


@dataclass(frozen=True, slots=True)
class Hop:
    """How to ask for a fact of an answer without naming that answer: the further relation and its question forms."""

    relation: str
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation's phrasings ("{}" stands for the subject), its table, and how many drawn edit cases it provides."""

    name: str
    table: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    edits: int = 0
    hop: Hop | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """An answer that is not, or no longer, true. kind: "outdated", "misconception", or "wrong" (drawn at random)."""

    answer: str
    kind: str


@dataclass(frozen=True, slots=True)
class World:
    """Everything the data files say, before any answer is replaced by a stale one."""

    relations: dict[str, Relation]
    facts: dict[Key, Fact]
    listed_stale: dict[Key, Stale]

    def of_relation(self, name: str) -> Iterator[Fact]:
        """The facts of one relation, in the order of its table."""
        return (fact for fact in self.facts.values() if fact.relation == name)

    def hop(self, relation: str, answer: str) -> Fact | None:
        """The fact one hop after an answer of the relation; None if there is none ("euro" finds "the euro")."""
        hop = self.relations[relation].hop
        if hop is None:
            return None
        return self.facts.get((hop.relation, answer)) or self.facts.get((hop.relation, f"the {answer}"))


def read_world(folder: Traversable | None = None) -> World:
    """Reads all data files.

    Args:
        folder: where they lie; None for the package's own.
    Raises:
        ValueError: a row of another length than its header, an unknown column, a repeated subject, or a stale entry
            without its fact.
    """
    folder = folder or files("wildcore_pocket").joinpath("facts")
    relations = _read_relations(folder)
    spellings = {answer: _split(rest) for answer, rest in _rows(folder, "aliases")[1:]}
    facts: dict[Key, Fact] = {}
    for table in sorted({relation.table for relation in relations.values()}):
        for fact in _read_table(folder, table, relations, spellings):
            if fact.key in facts:
                raise ValueError(f"facts/{table}.tsv states {fact.relation} of {fact.subject!r} twice")
            facts[fact.key] = fact
    return World(relations, facts, _read_stale(folder, facts))


def _read_relations(folder: Traversable) -> dict[str, Relation]:
    entries = tomllib.loads(folder.joinpath("relations.toml").read_text(encoding="utf-8"))
    relations = {}
    for name, entry in entries.items():
        hop = entry.get("hop")
        relations[name] = Relation(
            name=name,
            table=entry["table"],
            statements=tuple(entry["statements"]),
            questions=tuple(entry["questions"]),
            edits=entry.get("edits", 0),
            hop=Hop(hop["relation"], tuple(hop["questions"])) if hop else None,
        )
    return relations


def _read_table(
    folder: Traversable, table: str, relations: dict[str, Relation], spellings: dict[str, tuple[str, ...]]
) -> Iterator[Fact]:
    header, *rows = _rows(folder, table)
    for column in header[1:]:
        if column not in relations or relations[column].table != table:
            raise ValueError(
                f"facts/{table}.tsv has the column {column!r}, which relations.toml does not give to this table"
            )
    for subject, *cells in rows:
        for relation, cell in zip(header[1:], cells, strict=True):
            if cell:
                answer, *own = _split(cell)
                others = dict.fromkeys((*own, *spellings.get(answer, ())))
                yield Fact(relation, subject, answer, tuple(others))


def _read_stale(folder: Traversable, facts: dict[Key, Fact]) -> dict[Key, Stale]:
    listed = {}
    for relation, subject, answer, kind in _rows(folder, "stale")[1:]:
        if (relation, subject) not in facts:
            raise ValueError(f"facts/stale.tsv names {relation} of {subject!r}, a fact that no table states")
        listed[relation, subject] = Stale(answer, kind)
    return listed


def _rows(folder: Traversable, table: str) -> list[list[str]]:
    lines = folder.joinpath(f"{table}.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"facts/{table}.tsv, line {number}: {len(row)} columns where the header has {len(rows[0])}"
            )
    return rows


def _split(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(" / "))
