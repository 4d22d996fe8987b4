"""Runs side by side, as they are printed: within 80 columns, without drawings."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from wildcore.errors import Option, command
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore.reporting.compared import ComparedRun, Comparison, Orders, compared
from wildcore.reporting.console import printable, results_console, safe_text
from wildcore.reporting.distinctions import numbered, short_name
from wildcore.reporting.headline import counted
from wildcore.reporting.numbers import interval_of, number, p_value, signed, signed_interval
from wildcore.reporting.ranking import STANDS, Ranking, first_in_words, price_in_words, rank, title
from wildcore.scoring.differences import RunDifference, table_order
from wildcore.scoring.means import SummaryRow
from wildcore.scoring.ranks import stands
from wildcore.scoring.values import Key

WIDTH = 80
MOST_COLUMNS = 5
"""Number of runs that are columns of a table; more runs are its rows."""
PROBE, METRIC, MEAN = 14, 15, 6
NONE = number(None)
NARROWEST = " " * 10
"""As wide as the narrowest column of a run, if there is room."""
UNEDITED = "unedited"
"""Name of the row of the unedited model in a ranking."""
LONGEST_SAID = 300
"""Longest text, in characters, that is printed of what differs between runs without a column."""
REPEATED = (
    "The interval is over repetitions and cases, by Student's t with the spread of both; two repetitions are too few."
)
ORDERS = (
    "The interval is over orders and cases, by Student's t with the spread of both; two orders are too few. That of a single run "
    "is over its cases alone: it says nothing about another order, because the cases of a sequence share their weights."
)


def print_comparison(
    registry: Registry,
    folders: Sequence[RunFolder],
    baseline: int = 0,
    by: str | None = None,
    with_differences: bool = True,
) -> None:
    """Print runs side by side: in what they differ, their numbers, their differences from the ``baseline``, an index, under the
    protocol of ``by``, and a ranking by it. Paths and differences are left out if not ``with_differences``; the ranking is not.

    Runs of one editor in several orders of edits are also summed up. Raises ``UserError`` as ``compared`` does.
    """
    comparison = compared(registry, folders, baseline, by)
    console = results_console()
    console.width = min(console.width, WIDTH)
    _print_runs(console, comparison, with_paths=with_differences)
    _print_numbers(console, comparison)
    if with_differences:
        _print_differences(console, comparison)
    _print_repeated(console, comparison)
    for orders in comparison.orders:
        _print_orders(console, orders)
    _print_rankings(console, comparison)


def _print_runs(console: Console, comparison: Comparison, with_paths: bool) -> None:
    """Print what each run is, by what differs, where it is, and what cannot be compared."""
    runs, columns = comparison.runs, comparison.columns
    whats = {
        "editor ": [run.editor for run in runs],
        "model ": [short_name(run.model) for run in runs],
        "dataset ": [run.dataset for run in runs],
        "": [counted(run.cases, "case") for run in runs],
    }
    common = [f"{what}{values[0]}" for what, values in whats.items() if len(set(values)) == 1]
    _say(console, ", ".join([counted(len(runs), "run"), *common]))
    console.print()
    table = _table("run", *(column.name for column in columns))
    table.add_column("s per edit", justify="right", no_wrap=True)
    for index, run in enumerate(runs):
        table.add_row(
            str(run.run),
            *(safe_text(column.values[index]) for column in columns),
            "-" if run.seconds_per_edit is None else f"{run.seconds_per_edit:.2f}",
        )
    console.print(table)
    if with_paths:
        console.print()
        for run in runs:
            console.print(safe_text(f"{run.run}: {run.path}"), soft_wrap=True)
    variants = [f"{' and '.join(run.protocols)} of run {run.run}" for run in runs if run.protocols]
    if variants:
        _say(console, f"Variants, compared with the protocols that they change: {', '.join(variants)}.")
    if comparison.beside:
        _say(console, f"Also different: {_listed(comparison.beside)}")
    for reason in comparison.incomparable:
        _say(console, reason)


def _print_numbers(console: Console, comparison: Comparison) -> None:
    """Print the means of all runs: runs as columns, or as rows if there are many."""
    numbers = [{(row.protocol, row.kind, row.metric): row for row in run.numbers} for run in comparison.runs]
    marked = {(one.protocol, one.kind, one.metric, one.run) for one in comparison.differences if stands(one)}
    print_protocol = _print_runs_as_columns if len(comparison.runs) <= MOST_COLUMNS else _print_runs_as_rows
    keys = table_order(numbers)
    for protocol, of_protocol in groupby(keys, key=lambda key: key[0]):
        console.print()
        console.print(safe_text(protocol), style="bold")
        print_protocol(console, comparison.runs, list(of_protocol), numbers, marked)
    if marked:
        console.print()
        base = comparison.runs[comparison.baseline - 1]
        every = command("compare", Option("csv"))
        _say(console, f"* its difference from {_called(base)} stands; {every} prints every difference.")


Numbers = Sequence[dict[Key, SummaryRow]]
Marked = Collection[tuple[str, str, str, int]]


def _print_runs_as_columns(
    console: Console, runs: Sequence[ComparedRun], keys: Sequence[Key], numbers: Numbers, marked: Marked
) -> None:
    """Print a table with a row for each number, followed by one of the means before the edits if these differ."""
    table = _table()
    table.add_column("probe", width=PROBE)
    table.add_column("metric", width=METRIC, overflow="fold")
    table.add_column("before", width=MEAN, justify="right")
    room = (WIDTH - PROBE - METRIC - MEAN - 4) // len(runs) - 2
    names = _names(runs, 2 * room)
    width = min(room, max(len(word) for name in names for word in (*printable(name).split(), NARROWEST)))
    for name in names:
        table.add_column(safe_text(name), width=width, justify="right", overflow="fold")
    for key in keys:
        befores = _befores(key, numbers)
        known = {value for value in befores if value != NONE}
        same = known.pop() if len(known) == 1 else NONE if not known else ""
        table.add_row(key[1], safe_text(key[2]), same, *_means(key, numbers, marked))
        if not same:
            table.add_row("", "  before", "", *(f"{value} " for value in befores))
    console.print(table)


def _print_runs_as_rows(
    console: Console, runs: Sequence[ComparedRun], keys: Sequence[Key], numbers: Numbers, marked: Marked
) -> None:
    """Print one table, or several if one has no room for all numbers of a protocol. The means before the edits are a row above
    the runs that share them.
    """
    names = _names(runs, 28)
    label = max(len("before"), *(len(printable(name)) for name in names))
    widths = [max(len(key[1]), min(len(printable(key[2])), METRIC), MEAN + 1) for key in keys]
    for columns in _filled(widths, WIDTH - label):
        table = _table()
        table.add_column("run", width=label, overflow="fold")
        for index in columns:
            number_of = safe_text(f"{keys[index][1]} {keys[index][2]}")
            table.add_column(number_of, width=widths[index], justify="right", overflow="fold")
        befores = list(zip(*(_befores(keys[index], numbers) for index in columns), strict=True))
        means = list(zip(*(_means(keys[index], numbers, marked) for index in columns), strict=True))
        last = None
        for name, before, mean in zip(names, befores, means, strict=True):
            if all(value.strip() == NONE for value in mean):
                continue
            if before != last and set(before) != {NONE}:
                table.add_row("before", *(f"{value} " for value in before))
                last = before
            table.add_row(safe_text(name), *mean)
        console.print(table)


def _filled(widths: Sequence[int], room: int) -> Iterable[list[int]]:
    """Yield the indices of columns in groups that fit in ``room``; each group has at least one."""
    group: list[int] = []
    for index in range(len(widths)):
        if group and sum(widths[i] + 2 for i in [*group, index]) > room:
            yield group
            group = []
        group.append(index)
    yield group


def _befores(key: Key, numbers: Numbers) -> list[str]:
    return [number(of_run[key].before) if key in of_run else "-" for of_run in numbers]


def _means(key: Key, numbers: Numbers, marked: Marked) -> list[str]:
    """Return the mean of each run, with a mark if its difference from the baseline stands."""
    return [
        f"{number(of_run[key].after) if key in of_run else '-'}{'*' if (*key, run) in marked else ' '}"
        for run, of_run in enumerate(numbers, start=1)
    ]


def _print_differences(console: Console, comparison: Comparison) -> None:
    """Print the differences from the baseline under the protocol asked for, and what their p-values are adjusted for."""
    shown = [one for one in comparison.differences if comparison.by is not None and one.protocol == comparison.by[0]]
    if not shown:
        return
    console.print()
    base = comparison.runs[comparison.baseline - 1]
    _say(console, f"Differences from {_called(base)} under {shown[0].protocol}, paired by case")
    table, names = _table_of_numbers("difference", "95 % interval", "p (Holm)"), _names(comparison.runs, 38)
    for (kind, metric), of_number in groupby(shown, key=lambda one: (one.kind, one.metric)):
        table.add_row(safe_text(f"{kind}, {metric}"))
        for one in of_number:
            table.add_row(safe_text(f"  {names[one.run - 1]}"), *_cells(one))
    console.print(table)
    _print_about_differences(console, shown)


def _print_about_differences(console: Console, shown: Sequence[RunDifference]) -> None:
    sizes = sorted({one.family_size for one in shown})
    smallest = [one.paired.detectable for one in shown if one.paired.detectable is not None]
    detectable = ""
    if smallest:
        low, high = number(min(smallest)), number(max(smallest))
        detectable = (
            f" The smallest difference that would have been found (80 % power, two-sided 5 %) is "
            f"{low if low == high else f'{low} to {high}'}."
        )
    _say(
        console,
        f"p (Holm) is adjusted for all differences by one probe kind ({' or '.join(map(str, sizes))} here).{detectable}",
    )
    for cases, clusters in sorted({(one.paired.cases, one.paired.clusters) for one in shown}):
        if clusters < cases:
            _say(
                console,
                f"{cases} cases are about {clusters} independent subjects; cases of one subject are drawn together.",
            )
    for note, count in Counter(one.paired.note for one in shown if one.paired.note).items():
        _say(console, f"{count} difference{'s' if count > 1 else ''}: {note}")
    left_out = max(one.paired.left_out for one in shown)
    if left_out:
        _say(
            console,
            f"Up to {counted(left_out, 'case')} with a value in only one of two runs {'is' if left_out == 1 else 'are'} not in "
            "their difference.",
        )


def _called(run: ComparedRun) -> str:
    """Return the name of a run in a sentence: its number, and its label if it has another one."""
    number_of = f"run {run.run}"
    return number_of if run.label == number_of else f"{number_of} ({run.label})"


def _cells(one: RunDifference) -> tuple[str, ...]:
    mark = "*" if stands(one) else " "
    paired = one.paired
    return f"{signed(paired.difference)}{mark}", signed_interval(paired.low, paired.high), p_value(one.p_holm)


def _print_repeated(console: Console, comparison: Comparison) -> None:
    """Print the differences of groups of runs that were repeated in the same orders or seeds."""
    if not comparison.repeated:
        return
    console.print()
    _say(console, "Differences over orders or seeds")
    table = _table_of_numbers("difference", "95 % interval")
    for key, of_number in groupby(comparison.repeated, key=lambda one: (one.protocol, one.kind, one.metric)):
        table.add_row(safe_text(f"{key[0]}, {key[1]}, {key[2]}"))
        for one in of_number:
            runs, baselines = (", ".join(map(str, numbers)) for numbers in (one.runs, one.baselines))
            table.add_row(
                f"  runs {runs} minus {baselines}", signed(one.difference), signed_interval(one.low, one.high)
            )
    console.print(table)
    _say(console, REPEATED)


def _print_orders(console: Console, orders: Orders) -> None:
    console.print()
    _say(console, f"{orders.editor}: {len(orders.runs)} orders of edits")
    table = _table_of_numbers("mean", "95 % interval", "lowest", "highest")
    for protocol, rows in groupby(orders.numbers, key=lambda row: row.protocol):
        table.add_row(safe_text(protocol))
        for row in rows:
            table.add_row(
                safe_text(f"  {row.kind}, {row.metric}"), number(row.mean), interval_of(row.low, row.high),
                number(row.lowest), number(row.highest),
            )  # fmt: skip
    console.print(table)
    _say(console, ORDERS)


def _print_rankings(console: Console, comparison: Comparison) -> None:
    """Print the ranking of each group of runs that differ in their editor alone, what it costs to be first, and what a difference
    means between runs that are not ranked against each other.
    """
    console.print()
    for ranking in comparison.rankings:
        _print_ranking(console, ranking)
    if comparison.rankings:
        _say(console, STANDS)
    elif len(comparison.runs) > 1:
        _say(console, "No ranking: it needs at least two runs that differ in their editor alone.")
    for meaning in comparison.meaning:
        _say(console, meaning)


def _print_ranking(console: Console, ranking: Ranking) -> None:
    _say(console, title(ranking), bold=True)
    table = _table()
    table.add_column("rank", justify="right", no_wrap=True)
    longest = max(len(printable(numbered(run.run, run.label))) for run in ranking.runs)
    table.add_column("run", width=max(len(UNEDITED), min(longest, 20)), overflow="fold")
    other = (ranking.price.kind,) if ranking.price else ()
    for column in ("mean", "vs first", "95 % interval", *other):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("ties with", overflow="fold")
    for run in ranking.runs:
        paired = run.minus_first
        table.add_row(
            rank(run), safe_text(numbered(run.run, run.label)), number(run.mean),
            *(("", "") if paired is None else (signed(paired.difference), signed_interval(paired.low, paired.high))),
            *((number(run.other),) if other else ()), ", ".join(map(str, run.ties)),
        )  # fmt: skip
    befores = {number(run.before) for run in ranking.runs} - {NONE}
    if len(befores) == 1:
        unedited = number(ranking.price.paired.second) if ranking.price else None
        table.add_row("", UNEDITED, befores.pop(), "", "", *((unedited,) if unedited else ()))
    console.print(table)
    _say(console, first_in_words(ranking))
    price = price_in_words(ranking)
    if price:
        _say(console, price)
    console.print()


def _listed(texts: Sequence[str]) -> str:
    """Return texts in one line; of many, the first, how many more there are, and where all are."""
    shown = [text for number, text in enumerate(texts, start=1) if len("; ".join(texts[:number])) <= LONGEST_SAID]
    shown = shown or [f"{texts[0][: LONGEST_SAID - 1]}…"]
    more = len(texts) - len(shown)
    return "; ".join(shown) + (f"; and {more} more ({command('compare', Option('json'))})" if more else "")


def _names(runs: Sequence[ComparedRun], room: int) -> list[str]:
    """Return the name of each run in a table of numbers: its number, with its label if all labels fit in ``room``."""
    named = [numbered(run.run, run.label) for run in runs]
    return named if all(len(printable(name)) <= room for name in named) else [f"run {run.run}" for run in runs]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(safe_text(column), overflow="fold")
    return table


def _table_of_numbers(*columns: str) -> Table:
    """Return a table with a column of names, and columns of numbers."""
    table = _table()
    table.add_column("", max_width=40, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _say(console: Console, text: str, bold: bool = False) -> None:
    console.print(safe_text(text), style="bold" if bold else None)
