"""Paired differences of a table, between its columns and between its editors, with p-values adjusted within families.

Between two columns, such as two protocols, a family is the editors compared under this pair. Between editors, a family is all
pairs of editors in one column. A table has one probe, so no family has two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from wildcore.scoring.paired import PairedDifference, holm
from wildcore.types import FrozenData
from wildcore_study.decomposition import effects
from wildcore_study.measured import Measured
from wildcore_study.repeats import compare_measured

SETTING = ("context", "generator", "truncator", "metric")
Found = Mapping[tuple[str, str], Measured]
"""The numbers of a table by row and column."""


class DifferenceRow(FrozenData):
    """A difference of two columns for one editor, or of two editors in one column, which is then the ``label``.

    ``p_holm`` is adjusted over the ``family_size`` differences of ``family`` that have a p-value. ``is_shown`` is whether
    tables for people have it, and not JSON and CSV alone.
    """

    editor: str
    label: str
    probe: str
    paired: PairedDifference
    family: str
    p_holm: float | None
    family_size: int
    is_shown: bool = True

    @property
    def stands(self) -> bool:
        """Whether the difference is significant at the 5 % level after the adjustment."""
        return self.p_holm is not None and self.p_holm < 0.05


@dataclass(frozen=True)
class Compared:
    """A difference whose p-value is not adjusted yet."""

    editor: str
    label: str
    family: str
    probe: str
    paired: PairedDifference
    is_shown: bool = True


def between_columns(
    rows: Sequence[str], columns: Sequence[str], found: Found, layout: str
) -> tuple[DifferenceRow, ...]:
    """Return the differences of each editor between the columns that ``layout`` compares."""
    made: list[Compared] = []
    for editor in rows:
        of_editor = {column: found[editor, column] for column in columns if (editor, column) in found}
        if layout == "decomposition":
            made += [
                Compared(editor, one.label, f"all editors, {one.label}", one.probe, one.paired)
                for one in effects(list(of_editor.values()))
            ]
            continue
        for (name, base), (other, variant) in combinations(of_editor.items(), 2):
            if comparable(base, variant, layout):
                label = f"{name} minus {other}"
                paired = compare_measured(base, variant)
                made.append(Compared(editor, label, f"all editors, {label}", base.probe, paired))
    return adjusted(made)


def between_editors(
    rows: Sequence[str], columns: Sequence[str], found: Found, layout: str
) -> tuple[DifferenceRow, ...]:
    """Return the differences of all pairs of editors in each column, the better one first.

    Those with the best editor of a column are shown, except in a decomposition, whose columns are many.
    """
    if layout == "judging-points":  # its rows are batch sizes
        return ()
    made: list[Compared] = []
    for column in columns:
        measured = [(row, found[row, column]) for row in rows if (row, column) in found]
        ordered = sorted(measured, key=lambda one: -one[1].mean)
        for (name, first), (other, second) in combinations(ordered, 2):
            is_shown = name == ordered[0][0] and layout != "decomposition"
            family = f"all pairs of editors under {column}"
            paired = compare_measured(first, second)
            made.append(Compared(f"{name} minus {other}", column, family, first.probe, paired, is_shown))
    return adjusted(made)


def adjusted(made: Sequence[Compared]) -> tuple[DifferenceRow, ...]:
    """Return the differences with their p-values adjusted by Holm within each family."""
    families: dict[str, list[int]] = {}
    for index, one in enumerate(made):
        families.setdefault(one.family, []).append(index)
    p_holm: dict[int, float | None] = {}
    sizes: dict[str, int] = {}
    for family, indices in families.items():
        known = [made[index].paired.p for index in indices]
        p_holm |= dict(zip(indices, holm(known), strict=True))
        sizes[family] = sum(p is not None for p in known)
    return tuple(
        DifferenceRow(
            editor=one.editor, label=one.label, probe=one.probe, paired=one.paired, family=one.family,
            p_holm=p_holm[index], family_size=sizes[one.family], is_shown=one.is_shown,
        )
        for index, one in enumerate(made)
    )  # fmt: skip


def comparable(base: Measured, variant: Measured, layout: str) -> bool:
    """Return whether a table compares two of its columns.

    By protocol: two protocols, each by its own metric or both by one. By a module: two settings that differ in it alone.
    """
    if layout == "judging-points" or (base.edits, base.edits_per_update) != (variant.edits, variant.edits_per_update):
        return False
    if layout == "protocol":
        return base.protocol != variant.protocol
    varying = [name for name in SETTING if getattr(base.setting, name) != getattr(variant.setting, name)]
    return varying == [layout]


def statistics_notes(columns: Sequence[DifferenceRow], editors: Sequence[DifferenceRow]) -> Iterable[str]:
    """Return what a reader must know about the differences of a table."""
    if not columns and not editors:
        return
    yield (
        "Differences are paired by case and in points, with a 95 % interval (by the bootstrap, if no seed or order is repeated). "
        "Detectable: the smallest difference that would have been detected with 80 % power."
    )
    if size := max((row.family_size for row in columns), default=0):
        yield (
            "Between columns, p is adjusted by Holm over the editors compared under the same pair of columns, by the probe of "
            f"this table (editors: at most {size})."
        )
    if size := max((row.family_size for row in editors), default=0):
        yield (
            "Between editors, p is adjusted by Holm over all pairs of editors in the same column, by the probe of this table "
            f"(pairs: at most {size})."
        )
    if any(not row.is_shown for row in editors):
        shown = (
            "The best editor of each column is compared"
            if any(row.is_shown for row in editors)
            else "No editors are compared"
        )
        yield f"{shown} here; JSON and CSV have all pairs of editors."
