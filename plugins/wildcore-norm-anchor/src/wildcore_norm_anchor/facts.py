"""The facts to measure a reference norm on: a small bundled sample, or a table."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path

from wildcore import EditRequest, Malformed, Parameter, UserError
from wildcore.datasets import TableParams, read_table
from wildcore_norm_anchor.parameters import SAMPLE


def read_facts(name: str, most: int) -> list[EditRequest]:
    """Return the first ``most`` facts. Raises ``UserError`` naming file, row and field."""
    if name == SAMPLE:
        with as_file(files("wildcore_norm_anchor").joinpath("sample_facts.jsonl")) as path:
            return list(islice(_read(path), most))
    try:
        facts = list(islice(_read(Path(name)), most))
    except UserError as error:
        # messages of the table reader speak of the dataset, whose parameter it usually is
        raise error.renamed({"dataset.path": str}).within("transform.norm-anchor.facts") from error
    if not facts:
        raise UserError("it holds no fact", Parameter("transform.norm-anchor.facts", name), "name a table with some")
    return facts


def hash_of(facts: Sequence[EditRequest]) -> str:
    """Return a hash of the whole content of the facts, and of their order."""
    return sha256(b"".join(fact.model_dump_json().encode() + b"\n" for fact in facts)).hexdigest()[:16]


def _read(path: Path) -> Iterator[EditRequest]:
    for row in read_table(TableParams(path=path)):
        if isinstance(row, Malformed):
            raise UserError(row.problem, about=row.place)
        yield EditRequest(prompt=row.text("prompt"), subject=row.text("subject"), target=row.text("target"))
