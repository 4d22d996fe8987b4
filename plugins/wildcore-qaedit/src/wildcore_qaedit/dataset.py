"""Reads QAEdit."""

from collections.abc import Iterator

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import Row, TableDataset
from wildcore_qaedit import QAEditParams


class QAEdit(TableDataset[QAEditParams]):
    """QAEdit in the form released by its authors. It has no old answers and no aliases."""

    def cases_of(self, row: Row) -> Iterator[EditCase]:
        """Yield the case of a row, named by source and id."""
        prompt, target, source = row.text("prompt"), row.text("target"), row.text("source")
        unrelated = [
            Probe(kind="locality", prompt=local.text("loc"), answers=(local.text("loc_ans"),))
            for local in row.rows("locality")[: self.params.locality_probes]
        ]
        yield EditCase(
            id=f"{source}-{row.whole_number('id')}",  # ids are unique within a source only
            request=EditRequest(prompt=prompt, target=target, subject=row.text("subject")),
            probes=(
                Probe(kind="reliability", prompt=prompt, answers=(target,)),
                Probe(kind="generalization", prompt=row.text("rephrase"), answers=(target,)),
                *unrelated,
            ),
            tags={"source": source},
        )
