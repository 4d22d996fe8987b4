"""Manifests of files: JSON with the number of its schema."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from wildcore.bounded import load_json
from wildcore.errors import Place, UserError
from wildcore.types import FrozenData

R = TypeVar("R", bound=FrozenData)


def read_versioned(path: Path, text: str, model: type[R], readable: Sequence[int], way_out: str = "") -> R:
    """Return the ``model`` parsed from the JSON ``text``, which was found in ``path``; its ``schema_number`` must be in
    ``readable``.

    Raises ``UserError`` with the ``way_out`` for another schema, and ``ValueError``, of which pydantic's ``ValidationError``
    is a subclass, for text that is damaged.
    """
    raw = load_json(text)
    says_schema = isinstance(raw, dict) and "schema_number" in raw
    if says_schema and raw["schema_number"] not in readable:
        *others, last = map(str, readable)
        schemas = f"schemas {', '.join(others)} and {last}" if others else f"schema {last}"
        raise UserError(
            f"schema {raw['schema_number']}, and this wildcore reads {schemas}", Place(path), way_out or None
        )
    found = model.model_validate(raw)
    if not says_schema:
        raise ValueError("it does not say its schema_number")
    return found
