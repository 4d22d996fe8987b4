"""How the values of a source are read, and what was noticed meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass, field

MISSING_VALUES = ("NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", "NaT")
"""Texts that programs write for a missing value."""

WHOLE_NUMBER = "whole numbers read without their .0"
DATE = "dates read without midnight"
TRUTH_VALUE = "truth values read as True or False"
KEPT = "texts that usually stand for a missing value, kept as they are"
EMPTIED = "texts that stand for a missing value, read as empty"
LIST = "texts of a list in one cell, read as a list"
TEMPLATE = "prompts whose {} was filled with the subject"
BLANK_ROW = "blank rows skipped"
UNNAMED_COLUMN = "rows with text in a column without a name, which was left out"
BLANK_COLUMN = "rows with blank cells beyond the last name, which were left out"

PARAMETERS = {
    WHOLE_NUMBER: "dataset.plain_values=false keeps them as they are",
    DATE: "dataset.plain_values=false keeps them as they are",
    KEPT: "dataset.missing_values lists texts to read as empty",
    EMPTIED: "dataset.missing_values=[] keeps them",
}
"""For what can be changed by a parameter of a dataset: the parameter."""


@dataclass
class Noticed:
    """How often something was noticed, and where first."""

    count: int
    first: str


@dataclass
class Reading:
    """How the values of one source are read, and a count of what was noticed.

    ``plain_values``: numbers, dates and truth values are written as a person writes them. ``missing_values``: texts that are
    read as empty.
    """

    plain_values: bool = True
    missing_values: frozenset[str] = frozenset()
    form: list[str] = field(default_factory=list)
    """How the source as a whole is read, such as its encoding; each a complete note."""

    noticed: dict[str, Noticed] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    """Number of rows for each field that has content and is not used."""

    _last: tuple[str, str] = ("", "")

    def notice(self, what: str, place: str) -> None:
        """Count one more of ``what``; the same thing at the same place is counted once, if it is noticed twice in a row."""
        if (what, place) == self._last:
            return
        self._last = (what, place)
        found = self.noticed.setdefault(what, Noticed(0, place))
        found.count += 1

    def leave_unused(self, name: str) -> None:
        """Count one more row whose field ``name`` has content and is not used."""
        self.unused[name] = self.unused.get(name, 0) + 1

    def notes(self, with_parameters: bool = True) -> Iterator[str]:
        """Yield everything noticed, as notes; ``with_parameters`` names the parameters of the dataset that change it."""
        yield from self.form
        for what, found in self.noticed.items():
            parameter = f"; {PARAMETERS[what]}" if with_parameters and what in PARAMETERS else ""
            yield f"{what}: {found.count} (the first: {found.first}){parameter}"
        if self.unused:
            fields = ", ".join(f"{name} ({count} rows)" for name, count in self.unused.items())
            yield f"fields that are not used: {fields}"
