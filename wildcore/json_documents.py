"""What ``--json`` prints: one JSON object, whose field ``schema`` names its form and the version of that form.

``docs/json.md`` describes all forms. It is written from the types of the printed data by ``wildcore.testing.json_pages``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

SCHEMA = "schema"
"""The field of each document that names its form."""


@dataclass(frozen=True)
class JsonDocument:
    """The form of what a command prints with ``--json``.

    ``version`` counts changes that a reader must know about: a field was removed, or means something else. ``model`` is the
    place of the data type, as "module:name"; it is imported when it is needed. ``may_lack`` names fields that are left out if
    they have no value, as "Type.field".
    """

    name: str
    version: int
    model: str
    may_lack: frozenset[str] = frozenset()

    @property
    def schema(self) -> str:
        """The form's name with its version, such as "wildcore.show/1"."""
        return f"wildcore.{self.name}/{self.version}"

    def text(self, content: BaseModel | Mapping[str, Any]) -> str:
        """Return the document with this content.

        It is ASCII: other characters, such as control characters and lone surrogates, are escaped. A number that is not finite
        is null.
        """
        fields = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
        return json.dumps({SCHEMA: self.schema, **_plain(fields)}, indent=2, allow_nan=False)

    def read(self, text: str) -> BaseModel:
        """Return the content of a document. Raises ``ValueError`` for text of another form."""
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields.pop(SCHEMA, None) != self.schema:
            raise ValueError(f"not a document of the form {self.schema}")
        kind = self.data_type()
        return kind.model_validate({name: fields[name] for name in fields if name not in kind.model_computed_fields})

    def data_type(self) -> type[BaseModel]:
        """Return the type of the content."""
        module, _, name = self.model.partition(":")
        found: type[BaseModel] = getattr(import_module(module), name)
        return found

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the document."""
        found = self.data_type().model_json_schema(mode="serialization")
        for one in (found, *found.get("$defs", {}).values()):
            if "properties" in one:  # all fields are printed, those with a default too
                one["required"] = [name for name in one["properties"] if f"{one['title']}.{name}" not in self.may_lack]
        properties = {SCHEMA: {"const": self.schema}, **found["properties"]}
        return {**found, "title": self.schema, "properties": properties, "required": [SCHEMA, *found["required"]]}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it. Raises ``TypeError`` for one that has no such form."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(map(_plain, value))
        case float():
            return value if isfinite(value) else None
        case PurePath():
            return str(value)
        case _:
            return value
