"""Reads any table: through a mapping of its fields, or in a published shape."""

from collections.abc import Callable, Iterable, Iterator

from wildcore import EditCase, Malformed
from wildcore.datasets import Row, TableDataset
from wildcore_table import MappedTableParams
from wildcore_table.shapes import case_maker


class MappedTable(TableDataset[MappedTableParams]):
    """A table whose fields are named by ``params``, or which has a published shape."""

    _make: Callable[[Row], Iterable[EditCase]] | None = None

    def cases(self) -> Iterator[EditCase | Malformed]:
        """Yield the cases in the order of the rows. The first row shows whether they have a published shape."""
        self._make = None
        return super().cases()

    def cases_of(self, row: Row) -> Iterable[EditCase]:
        """Return the cases of one row: one, unless the shape has several edits or questions in a row."""
        if self._make is None:
            self._make = case_maker(self.params, row)
        return self._make(row)
