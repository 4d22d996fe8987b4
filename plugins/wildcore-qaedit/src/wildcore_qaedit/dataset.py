"""Reading QAEdit from a file of rows."""

from collections.abc import Iterator
from pathlib import Path

from wildcore import EditCase, EditRequest, Probe
from wildcore.rows import Row, read_rows


class QAEdit:
    """QAEdit in the form of the authors' released file."""

    def __init__(self, path: Path, locality_probes: int) -> None:
        self.path = path
        self.locality_probes = locality_probes

    def cases(self) -> Iterator[EditCase]:
        """Yield the cases in file order. Raises ``UserError`` naming file, row and field for malformed data."""
        return (self._case(row) for row in read_rows(self.path))

    def _case(self, row: Row) -> EditCase:
        prompt, target, source = row.text("prompt"), row.text("target"), row.text("source")
        unrelated = [
            Probe(kind="locality", prompt=local.text("loc"), answers=(local.text("loc_ans"),))
            for local in row.rows("locality")[: self.locality_probes]
        ]
        return EditCase(
            id=f"{source}-{row.whole_number('id')}",  # ids are unique within a source only
            request=EditRequest(prompt=prompt, target=target, subject=row.text("subject")),
            probes=(
                Probe(kind="reliability", prompt=prompt, answers=(target,)),
                Probe(kind="generalization", prompt=row.text("rephrase"), answers=(target,)),
                *unrelated,
            ),
            tags={"source": source},
        )
