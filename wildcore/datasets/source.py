"""The base of datasets that are tables."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from wildcore.datasets.reading import Reading
from wildcore.datasets.rows import Row, parsed_all
from wildcore.datasets.tables import TableParams, read_table, reading_of
from wildcore.errors import Message
from wildcore.types import EditCase, Malformed

P = TypeVar("P", bound=TableParams)


class TableDataset(ABC, Generic[P]):
    """A dataset whose cases are made row by row from the table that ``params`` name."""

    def __init__(self, params: P) -> None:
        self.params = params
        self._reading = Reading()

    def cases(self) -> Iterator[EditCase | Malformed]:
        """Yield the cases in the order of the rows."""
        self._reading = reading_of(self.params)
        return parsed_all(read_table(self.params, self._reading), self.cases_of)

    @abstractmethod
    def cases_of(self, row: Row) -> Iterable[EditCase]:
        """Return the cases of one row. Raises ``MalformedRow``."""

    def notes(self) -> Iterator[Message]:
        """Yield notes on what was noticed in the rows read since ``cases`` was called."""
        return self._reading.notes()
