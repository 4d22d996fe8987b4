"""From rows of tables to edit cases: reading, choosing, checking."""

from wildcore.datasets.given import GivenFile, GivenTensors, GivenTexts
from wildcore.datasets.reading import MISSING_VALUES
from wildcore.datasets.rows import MalformedRow, Row, bad_rows, distinct, parsed
from wildcore.datasets.source import TableDataset
from wildcore.datasets.tables import TableParams, read_table

__all__ = [
    "MISSING_VALUES",
    "GivenFile",
    "GivenTensors",
    "GivenTexts",
    "MalformedRow",
    "Row",
    "TableDataset",
    "TableParams",
    "bad_rows",
    "distinct",
    "parsed",
    "read_table",
]
