"""How the numbers of a run changed by its edits, in the terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from wildcore.reporting.console import safe_text
from wildcore.reporting.numbers import number, p_value, signed, signed_interval
from wildcore.scoring.differences import ChangeByEdits

WIDTH_OF_ALL = 110
"""Width of a window, in columns, in which the p-values are shown too."""


def print_changes(console: Console, changes: Sequence[ChangeByEdits]) -> None:
    """Print after minus before for each number of the table that has both. In a narrow window the p-values are left out."""
    if not changes:
        return
    narrow = console.width < WIDTH_OF_ALL
    metrics = Counter((one.protocol, one.kind) for one in changes)
    several = max(metrics.values()) > 1
    table = Table("protocol", "probe", *(["metric"] if several else []), box=None, header_style="bold")
    for column in ("change", "95 % interval", *(() if narrow else ("p (Holm)",)), "detectable"):
        table.add_column(column, justify="right", no_wrap=True)
    last = None
    for one in changes:
        paired = one.paired
        table.add_row(
            safe_text("" if one.protocol == last else one.protocol),
            one.kind,
            *((safe_text(one.metric),) if several else ()),
            signed(paired.difference),
            signed_interval(paired.low, paired.high),
            *(() if narrow else (p_value(one.p_holm),)),
            number(paired.detectable),
        )
        last = one.protocol
    console.print()
    console.print("Change by the edits: after minus before, paired by case")
    console.print(table)
    if not narrow:
        family = " or ".join(str(size) for size in sorted({one.family_size for one in changes}))
        console.print(f"p (Holm) is adjusted for all changes under one protocol by one probe kind ({family} here).")
    console.print(
        "Detectable: the smallest change that would have been found with 80 % power at the two-sided 5 % level."
    )
    for note, count in Counter(one.paired.note for one in changes if one.paired.note).items():
        console.print(safe_text(f"{count} change{'s' if count > 1 else ''}: {note}"))
    console.print()
