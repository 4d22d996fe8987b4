"""What a reader must know about a run: what in it is not as published."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wildcore.jobs.build import UNREGISTERED, name_in_words
from wildcore.records.schema import Manifest


@dataclass(frozen=True)
class Departure:
    """What is not as published, in words; ``protocol`` is the name of the protocol that it is about, None for the editor."""

    text: str
    protocol: str | None = None

    def __str__(self) -> str:
        return self.text


def departures(manifest: Manifest) -> Iterator[Departure]:
    """Yield variants of protocols, protocols of the user, given patches, and editors that no package offers or that run with
    other parameters than their published code.
    """
    for protocol in manifest.protocols:
        if protocol.variant_of:
            text = f"variant of {protocol.variant_of}: {'; '.join(protocol.differences)}"
            yield Departure(text, protocol.name)
    own = manifest.job.get("own_protocols")
    for one in own if isinstance(own, list) else ():
        if isinstance(one, Mapping):
            yield Departure(f"protocol of the user: {one.get('name')}", str(one.get("name")))
    editor = manifest.identity.get("editor")
    if isinstance(editor, Mapping) and isinstance(editor.get("name"), str):
        yield from map(Departure, _of_editor(editor))


def _of_editor(editor: Mapping[str, Any]) -> Iterator[str]:
    if "patch" in editor:
        patch = editor["patch"] if isinstance(editor["patch"], Mapping) else {}
        yield f"a given patch was evaluated: {patch.get('file')}, sha256 {patch.get('sha256')}"
    if editor["name"].startswith(UNREGISTERED):
        yield f"an editor that no package offers: {editor['name']}"
    if "transforms" in editor or "as_published" in editor:
        yield f"editor {name_in_words(editor)}"
