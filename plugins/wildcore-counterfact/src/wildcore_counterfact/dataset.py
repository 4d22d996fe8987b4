"""Reading CounterFact from a file of rows."""

from collections.abc import Iterator
from pathlib import Path

from wildcore import EditCase, EditRequest, Probe
from wildcore.rows import Row, read_rows


class CounterFact:
    """CounterFact as one flat row for each edit."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cases(self) -> Iterator[EditCase]:
        """Yield the cases in file order. Raises ``UserError`` naming file, row and field for malformed data."""
        return (_case(row) for row in read_rows(self.path))


def _case(row: Row) -> EditCase:
    prompt, target = row.text("prompt"), row.text("target_new")
    return EditCase(
        id=str(row.whole_number("case_id")),
        request=EditRequest(
            prompt=prompt, target=target, subject=row.text("subject"), ground_truth=row.text("ground_truth")
        ),
        probes=(
            Probe(kind="reliability", prompt=prompt, answers=(target,)),
            Probe(kind="generalization", prompt=row.text("rephrase_prompt"), answers=(target,)),
            Probe(kind="locality", prompt=row.text("locality_prompt"), answers=(row.text("locality_ground_truth"),)),
        ),
    )
