"""The edits to demonstrate with: a small bundled sample, or a table."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import as_file, files
from pathlib import Path

from wildcore import EditRequest, FrozenData, Malformed, Parameter, Setting, UserError
from wildcore.datasets import MalformedRow, Row, TableParams, read_table
from wildcore_ike.parameters import SAMPLE


class PoolCase(FrozenData):
    """An edit, rephrasings of its prompt, and prompts that it does not affect, each with its answer."""

    request: EditRequest
    rephrased: tuple[str, ...] = ()
    unrelated: tuple[tuple[str, str], ...] = ()


def read_pool(name: str) -> list[PoolCase]:
    """Return the cases of the sample or of a table. Raises ``UserError`` naming file, row and field."""
    if name == SAMPLE:
        with as_file(files("wildcore_ike").joinpath("sample_pool.jsonl")) as path:
            return _read(path)
    try:
        cases = _read(Path(name))
    except UserError as error:
        # messages of the table reader speak of the dataset, whose parameter it usually is
        raise error.renamed({"dataset.path": str}).within("editor.pool") from error
    if not cases:
        raise UserError(
            "it holds no edit", Parameter("editor.pool", name), ("to show none: ", Setting("editor.demonstrations", 0))
        )
    return cases


def hash_of(cases: Sequence[PoolCase]) -> str:
    """Return a hash of the whole content of the cases, and of their order."""
    return sha256(b"".join(case.model_dump_json().encode() + b"\n" for case in cases)).hexdigest()[:16]


def _read(path: Path) -> list[PoolCase]:
    return [_case(row) for row in read_table(TableParams(path=path))]


def _case(row: Row | Malformed) -> PoolCase:
    if isinstance(row, Malformed):
        raise UserError(row.problem, about=row.place)
    prompts, answers = _texts(row, "locality_prompt"), _texts(row, "locality_answer")
    if len(prompts) != len(answers):
        raise MalformedRow(row.place, f"{len(prompts)} locality prompts and {len(answers)} locality answers")
    return PoolCase(
        request=EditRequest(prompt=row.text("prompt"), target=row.text("target"), subject=row.optional_text("subject")),
        rephrased=_texts(row, "rephrase"),
        unrelated=tuple(zip(prompts, answers, strict=True)),
    )


def _texts(row: Row, name: str) -> tuple[str, ...]:
    return row.texts(name) if row.holds(name) else ()
