"""Runs side by side, as they are printed."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.reporting.compared import ComparedRun, Comparison, Orders, compared
from wildcore.reporting.console import results_console, safe_text
from wildcore.reporting.numbers import interval_of, number, p_value, signed, signed_interval
from wildcore.scoring.differences import RunDifference
from wildcore.scoring.means import SummaryRow
from wildcore.types import PROBE_KINDS

REPEATED = (
    "The interval is over repetitions and cases, by Student's t with the spread of both; two repetitions are too few."
)


def print_comparison(registry: Registry, folders: Sequence[RunFolder], baseline: int = 0) -> None:
    """Print runs side by side, in what they differ besides the editor, and their differences from the ``baseline``, an index.

    Runs of one editor in several orders of edits are also summed up. Raises ``UserError`` as ``compared`` does.
    """
    comparison = compared(registry, folders, baseline)
    console = results_console()
    _print_judging_point(console, comparison)
    for difference in comparison.differs:
        console.print(safe_text(f"Not like for like: {difference}"))
    _print_numbers(console, comparison.runs)
    for run in comparison.runs:
        console.print(safe_text(f"{run.run}: {run.path}"))
    _print_differences(console, comparison)
    _print_repeated(console, comparison)
    for orders in comparison.orders:
        _print_orders(console, orders)


def _print_judging_point(console: Console, comparison: Comparison) -> None:
    after = comparison.judged_after
    if after is not None:
        console.print(
            safe_text(
                f"The sequences were evaluated at different judging points ({comparison.judged_differently}). They are compared "
                f"at the last point that they share, after {after} edit{'s' if after > 1 else ''}."
            )
        )


def _print_numbers(console: Console, runs: Sequence[ComparedRun]) -> None:
    tables = [{(row.protocol, row.kind, row.metric): row for row in run.numbers} for run in runs]
    table = Table("protocol", "probe", "metric")
    table.add_column("before", justify="right")
    for run in runs:
        table.add_column(safe_text(f"{run.run}: {run.editor}"), justify="right")
    keys = {key for of_run in tables for key in of_run}
    for key in sorted(keys, key=lambda key: (key[0], PROBE_KINDS.index(key[1]), key[2])):
        befores = {number(of_run[key].before) for of_run in tables if key in of_run}
        table.add_row(
            safe_text(key[0]), key[1], safe_text(key[2]), befores.pop() if len(befores) == 1 else "differs",
            *(_with_interval(of_run.get(key)) for of_run in tables),
        )  # fmt: skip
    table.add_section()
    seconds = (run.seconds_per_edit for run in runs)
    table.add_row("seconds per edit", "", "", "", *("-" if one is None else f"{one:.2f}" for one in seconds))
    console.print(table)


def _print_differences(console: Console, comparison: Comparison) -> None:
    """Print the differences from the baseline, paired by case, and what their p-values are adjusted for."""
    if not comparison.differences:
        return
    console.print()
    title = f"Differences from run {comparison.baseline}, paired by case"
    table = Table("run", "protocol", "probe", "metric", title=title)
    for column in ("difference", "95 % interval", "p", "p (Holm)", "detectable", "cases"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in comparison.differences:
        table.add_row(str(one.run), safe_text(one.protocol), one.kind, safe_text(one.metric), *_cells(one))
    console.print(table)
    sizes = Counter(one.family_size for one in comparison.differences)
    family = " or ".join(str(size) for size in sorted(sizes))
    console.print(
        f"p (Holm) is adjusted for all differences under one protocol by one probe kind ({family} here). Detectable: the "
        "smallest difference that would have been found with 80 % power at the two-sided 5 % level."
    )
    clusters = {(one.paired.cases, one.paired.clusters) for one in comparison.differences}
    for cases, count in sorted(pair for pair in clusters if pair[1] < pair[0]):
        console.print(f"{cases} cases are about {count} independent subjects; cases of one subject are drawn together.")
    for note, count in Counter(one.paired.note for one in comparison.differences if one.paired.note).items():
        console.print(safe_text(f"{count} difference{'s' if count > 1 else ''}: {note}"))
    left_out = max(one.paired.left_out for one in comparison.differences)
    if left_out:
        console.print(f"Up to {left_out} cases have a value in only one of two runs and are not in their difference.")


def _cells(one: RunDifference) -> tuple[str, ...]:
    paired = one.paired
    return (
        signed(paired.difference),
        signed_interval(paired.low, paired.high),
        p_value(paired.p),
        p_value(one.p_holm),
        number(paired.detectable),
        str(paired.cases),
    )


def _print_repeated(console: Console, comparison: Comparison) -> None:
    """Print the differences of groups of runs that were repeated in the same orders or seeds."""
    if not comparison.repeated:
        return
    console.print()
    table = Table("runs", "minus", "protocol", "probe", "metric", title="Differences over orders or seeds")
    for column in ("difference", "95 % interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in comparison.repeated:
        table.add_row(
            ", ".join(map(str, one.runs)), ", ".join(map(str, one.baselines)), safe_text(one.protocol), one.kind,
            safe_text(one.metric), signed(one.difference), signed_interval(one.low, one.high),
        )  # fmt: skip
    console.print(table)
    console.print(REPEATED)


def _print_orders(console: Console, orders: Orders) -> None:
    console.print()
    table = Table(
        "protocol", "probe", "metric", title=safe_text(f"{orders.editor}: {len(orders.runs)} orders of edits")
    )
    for column in ("mean", "95 % interval", "lowest", "highest"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in orders.numbers:
        table.add_row(
            safe_text(row.protocol), row.kind, safe_text(row.metric), number(row.mean),
            interval_of(row.low, row.high), number(row.lowest), number(row.highest),
        )  # fmt: skip
    console.print(table)
    console.print(
        "The interval is over orders and cases, by Student's t with the spread of both; two orders are too few. That of a "
        "single run is over its cases alone: it says nothing about another order, because the cases of a sequence share their "
        "weights."
    )


def _with_interval(row: SummaryRow | None) -> str:
    if row is None or row.after is None:
        return "-"
    interval = "" if row.low is None or row.high is None else f" ({row.low:.2f} to {row.high:.2f})"
    return f"{row.after:.3f}{interval}"
