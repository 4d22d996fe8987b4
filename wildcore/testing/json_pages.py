"""Writes the part of ``docs/json.md`` that describes each document, and the JSON Schemas beside it, from the printed types.

Run ``python -m wildcore.testing.json_pages docs`` after a change of what a command prints with ``--json``.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from wildcore.cli import main
from wildcore.json_documents import JsonDocument
from wildcore.registry import load_registry

PAGE = "json.md"
SCHEMAS = "json-schemas"
MARK = "<!-- written by wildcore.testing.json_pages; do not edit below -->\n"
WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}

Schema = Mapping[str, Any]


def documents() -> dict[JsonDocument, list[str]]:
    """Return the documents of all installed commands, each with the commands that print it."""
    found: dict[JsonDocument, list[str]] = {}
    for name, command in all_commands().items():
        for document in getattr(command, "documents", ()):
            found.setdefault(document, []).append(name)
    return found


def all_commands() -> dict[str, click.Command]:
    """Return every command of the core and of the installed plugins, with sub-commands, by what is typed after ``wildcore``."""
    own = {name: found.offer for name, found in load_registry().commands.items()}
    return dict(sorted(_with_inner({**main.commands, **own})))


def _with_inner(commands: Mapping[str, click.Command], prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in commands.items():
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from _with_inner(command.commands, f"{prefix}{name} ")


def write(folder: Path) -> None:
    """Write the page and the schemas into the folder of documents. What the page says above ``MARK`` is kept."""
    page = folder / PAGE
    above = page.read_text(encoding="utf-8").partition(MARK)[0] if page.exists() else ""
    page.write_text(above + MARK + "\n" + described(), encoding="utf-8")
    (folder / SCHEMAS).mkdir(exist_ok=True)
    for name, text in schemas().items():
        (folder / SCHEMAS / name).write_text(text, encoding="utf-8")


def schemas() -> dict[str, str]:
    """Return the JSON Schema of each document by the name of its file."""
    return {
        f"{one.schema.replace('/', '-')}.json": json.dumps(one.json_schema(), indent=1) + "\n" for one in documents()
    }


def described() -> str:
    """Return the description of all documents, and of the types in them."""
    types: dict[str, Schema] = {}
    lines = ["## Documents", ""]
    for document, commands in documents().items():
        found: Schema = document.json_schema()
        for name, inner in found.get("$defs", {}).items():
            if types.setdefault(name, inner) != inner:
                raise ValueError(f"two types that are printed are called {name}; rename one")
        typed = ", ".join(f"`wildcore {command} --json`" for command in commands)
        lines += [f"### {document.schema}", "", f"{typed}. {_prose(found)}", "", *_table(found), ""]
    lines += ["## Types", ""]
    for name, found in sorted(types.items()):
        lines += [f"### {name}", "", _prose(found), "", *(_table(found) if "properties" in found else ()), ""]
    return "\n".join(lines).rstrip() + "\n"


def _prose(found: Schema) -> str:
    """Return the description of a type as one paragraph of Markdown, with the names that JSON has for values."""
    text = re.sub(r"\bNone\b", "null", found.get("description", ""))
    return " ".join(text.replace("``", "`").split())


def _table(found: Schema) -> list[str]:
    required = found.get("required", ())
    rows = [
        f"| `{name}` | {_type(inner)}{'' if name in required else '; may be absent'} |"
        for name, inner in found["properties"].items()
    ]
    return ["| field | type |", "| --- | --- |", *rows]


def _type(found: Schema) -> str:
    """Return a type in words."""
    if "$ref" in found:
        name = found["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in found:
        return f"`{json.dumps(found['const'])}`"
    if "enum" in found:
        return "one of " + ", ".join(f"`{json.dumps(one)}`" for one in found["enum"])
    if "anyOf" in found:
        return " or ".join(_type(one) for one in found["anyOf"])
    if "prefixItems" in found:
        return f"list of {len(found['prefixItems'])}: {', '.join(_type(one) for one in found['prefixItems'])}"
    if found.get("type") == "array":
        return f"list of {_type(found['items'])}" if found.get("items") else "list"
    if found.get("type") == "object":
        inner = found.get("additionalProperties")
        return f"object with values: {_type(inner)}" if isinstance(inner, Mapping) and inner else "object"
    if found.get("format"):
        return f"text ({found['format']})"
    return WORDS.get(str(found.get("type")), "any JSON value")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
