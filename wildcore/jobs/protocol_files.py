"""Protocols in files: TOML or YAML, with the fields of ``EvalProtocol``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import yaml
from pydantic import ValidationError

from wildcore.errors import Option, UserError, command, suggestion
from wildcore.home import user_path
from wildcore.types import PROBE_KINDS, EvalProtocol

COMMENT = f"""\
# A protocol: how an edited model is asked and scored. Give the copy a name of its own, change it, and run it with
#   {command("eval", Option("protocol_file", "FILE"))}
# A module without parameters may be written as its name alone: truncator = "sentence".
"""


def read_protocol(path: Path) -> EvalProtocol:
    """Read one protocol. Raises ``UserError`` naming file and field."""
    path = user_path(path)
    content = _parse(path, _text(path))
    if not isinstance(content, Mapping):
        raise UserError(f"expected the fields of a protocol, found {type(content).__name__}", _named(path))
    try:
        return EvalProtocol.model_validate({"summary": f"from {path.name}", **content})
    except ValidationError as error:
        raise UserError("; ".join(_explain(p) for p in error.errors()), _named(path)) from None


def to_toml(protocol: EvalProtocol) -> str:
    """Return a protocol as the text of a file that ``read_protocol`` reads. Fields that are unset or empty are left out."""
    fields = protocol.model_dump(mode="json", exclude={"variant_of", "differences"})
    fields["metrics"] = {kind: fields["metrics"][kind] for kind in PROBE_KINDS if fields["metrics"].get(kind)}
    return COMMENT + tomli_w.dumps(_filled(fields))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", _named(path)) from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text: {error.reason} at byte {error.start}", _named(path)) from error


def _parse(path: Path, text: str) -> Any:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix in (".yaml", ".yml"):
            return yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise UserError(" ".join(str(error).split()), _named(path)) from error
    raise UserError("the name must end in .toml, .yaml or .yml", _named(path))


def _named(path: Path) -> Option:
    return Option("protocol_file", path)


def _explain(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return f"unknown field {place!r}; {suggestion(place, list(EvalProtocol.model_fields))}"
    if problem["type"] == "missing":
        return f"the field {place!r} is missing"
    return f"field {place!r}: {problem['msg']}"


def _filled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(inner) for key, inner in value.items() if inner not in (None, {})}
    return [_filled(inner) for inner in value] if isinstance(value, list) else value
