"""The facts that a patch writes, as cases that evaluate it."""

from collections.abc import Iterator, Sequence
from typing import Any

from wildcore.datasets.selection import CaseFilter, CaseReader
from wildcore.errors import Option
from wildcore.patches.files import PatchFile
from wildcore.types import EditCase, EditRequest, Probe

NAME = "the patch's own facts"
NOTE = (
    "the patch is evaluated on the facts that it writes, by their edit prompts alone; rephrasings and other facts are asked "
    "about only where a dataset has them (",
    Option("dataset", "NAME"),
    ")",
)


class OwnFacts:
    """The dataset of a patch's ``requests``. Each is a case with one probe, its edit prompt."""

    def __init__(self, requests: Sequence[EditRequest]) -> None:
        self.requests = requests

    def cases(self) -> Iterator[EditCase]:
        """Yield the cases in the order of the requests, numbered from 1."""
        for number, request in enumerate(self.requests, start=1):
            answers = (request.target, *request.aliases)
            probe = Probe(
                kind="reliability",
                prompt=request.prompt,
                answers=answers,
                rival=request.ground_truth,
                separator=request.separator,
            )
            yield EditCase(id=str(number), request=request, probes=(probe,))


def own_facts_reader(file: PatchFile, choice: CaseFilter) -> tuple[CaseReader, dict[str, Any]]:
    """Return the reader of a patch's own facts, and the description of the dataset for the manifest: the digest of the whole
    file.
    """
    return CaseReader(NAME, OwnFacts(file.manifest.requests), choice), {"name": NAME, "sha256": file.digest}
