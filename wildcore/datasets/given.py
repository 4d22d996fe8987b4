"""Files in which a user gives what an editor would otherwise draw at random, with one entry for each request.

The name of an entry is its request's prompt and target with a blank between them, such as "The capital of France is Rome".
Names that are equal in Unicode are the same.
"""

import json
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from wildcore.equivalence import canonical
from wildcore.errors import Parameter, Refused, UserError
from wildcore.types import EditRequest

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 20
"""Number of bytes read at once for a file's hash."""


def entry_name(request: EditRequest) -> str:
    """Return the name of the entry for ``request``, in Unicode's form NFC."""
    return canonical(f"{request.prompt} {request.target}")


class GivenFile:
    """A file that the parameter ``setting`` names. It is read only when its content is asked for."""

    def __init__(self, path: Path, setting: str) -> None:
        self.path = path
        self.setting = setting

    def identity(self) -> str:
        """Return a hash of its content, for the manifest. Raises ``UserError`` if it cannot be read."""
        digest = sha256()
        try:
            with self.path.open("rb") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise self._error(f"cannot be read ({error})") from error
        return digest.hexdigest()[:16]

    def _error(self, problem: str, way_out: str | None = None) -> UserError:
        return UserError(problem, Parameter(self.setting, self.path), way_out)

    def _missing(self, request: EditRequest) -> Refused:
        return Refused(
            f"{self.setting}={self.path} has no entry {entry_name(request)!r} (its prompt, a blank, its target)"
        )


class GivenTexts(GivenFile):
    """A JSON file: one object that maps the entries' names to texts."""

    @cached_property
    def texts(self) -> dict[str, str]:
        """All entries, by their names in NFC. Raises ``UserError`` if the file is not such an object, or an entry is not text."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise self._error(f"cannot be read as JSON ({error})") from error
        if not isinstance(found, dict) or not found:
            raise self._error(
                "not a JSON object with entries", 'give a text for each request: {"PROMPT TARGET": "text", ...}'
            )
        for name, text in found.items():
            if not isinstance(text, str) or not text.strip():
                raise self._error(f"the entry {name!r} holds no text")
        return {canonical(name): text for name, text in found.items()}

    def of(self, request: EditRequest) -> str:
        """Return the text for ``request``. Raises ``Refused`` if there is none."""
        if entry_name(request) not in self.texts:
            raise self._missing(request)
        return self.texts[entry_name(request)]


class GivenTensors(GivenFile):
    """A safetensors file with one tensor for each entry."""

    def require(self, shape: tuple[int, ...], allowed: "Callable[[Tensor], bool]", kind: str) -> None:
        """Check every entry. Raises ``UserError`` if one has another ``shape`` or is not ``allowed``; ``kind`` names what is
        allowed.
        """
        if not self._entries:
            raise self._error("it holds no tensor")
        for name in sorted(self._entries.values()):
            tensor = self._read(name)
            if tuple(tensor.shape) != shape:
                raise self._error(
                    f"the entry {name!r} has the shape {list(tensor.shape)}, and this model needs {list(shape)}"
                )
            if not allowed(tensor):
                raise self._error(f"the entry {name!r} must hold {kind}")

    def of(self, request: EditRequest) -> "Tensor":
        """Return the tensor for ``request``, on the CPU. Raises ``Refused`` if there is none."""
        self.require_entry(request)
        return self._read(self._entries[entry_name(request)])

    def require_entry(self, request: EditRequest) -> None:
        """Raise ``Refused`` if there is no tensor for ``request``."""
        if entry_name(request) not in self._entries:
            raise self._missing(request)

    @cached_property
    def _entries(self) -> dict[str, str]:
        """The entries' names as the file has them, by their names in NFC."""
        try:
            with safe_open(self.path, framework="np") as stream:
                return {canonical(name): name for name in stream.keys()}  # noqa: SIM118 (the file is no mapping)
        except (OSError, SafetensorError) as error:
            raise self._error(f"cannot be read as safetensors ({error})") from error

    def _read(self, name: str) -> "Tensor":
        try:
            with safe_open(self.path, framework="pt") as stream:
                tensor: Tensor = stream.get_tensor(name)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise self._error(f"the entry {name!r} cannot be read ({error})") from error
        return tensor
