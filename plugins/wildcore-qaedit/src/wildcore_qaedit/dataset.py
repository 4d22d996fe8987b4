"""Reads QAEdit."""

from collections.abc import Iterator

from wildcore import EditCase, EditRequest, Malformed, Probe
from wildcore.datasets import Row, parsed, read_table
from wildcore_qaedit import QAEditParams


class QAEdit:
    """QAEdit in the form released by its authors."""

    def __init__(self, params: QAEditParams) -> None:
        self.params = params

    def cases(self) -> Iterator[EditCase | Malformed]:
        """Yield the cases in the order of the rows, named by source and id. The data has no old answers and no aliases."""
        return parsed(read_table(self.params), self._case)

    def _case(self, row: Row) -> EditCase:
        prompt, target, source = row.text("prompt"), row.text("target"), row.text("source")
        unrelated = [
            Probe(kind="locality", prompt=local.text("loc"), answers=(local.text("loc_ans"),))
            for local in row.rows("locality")[: self.params.locality_probes]
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
