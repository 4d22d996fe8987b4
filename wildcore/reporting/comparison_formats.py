"""A comparison of runs for programs and papers: JSON, CSV, Markdown and LaTeX."""

from collections.abc import Callable
from typing import Literal

from wildcore.json_documents import JsonDocument
from wildcore.reporting.compared import Comparison
from wildcore.reporting.numbers import number, p_value, signed, signed_interval
from wildcore.reporting.tables import Bold, Cell, as_csv, as_latex, as_markdown, in_markdown
from wildcore.scoring.differences import RunDifference
from wildcore.types import PROBE_KINDS

Format = Literal["json", "csv", "markdown", "latex"]
DOCUMENT = JsonDocument("compare", 1, "wildcore.reporting.compared:Comparison")

KEY = ("protocol", "probe", "metric")
COLUMNS = (
    "protocol", "kind", "metric", "run", "run_path", "baseline", "baseline_path", "run_mean", "baseline_mean", "difference",
    "low", "high", "interval", "p", "test", "p_holm", "family_size", "detectable", "cases", "clusters", "left_out", "note",
)  # fmt: skip


def formatted(comparison: Comparison, form: Format) -> str:
    """Return a comparison as text in a format, without a line end at its end."""
    makers: dict[Format, Callable[[Comparison], str]] = {
        "json": _as_json,
        "csv": _as_csv,
        "markdown": _as_markdown,
        "latex": _as_latex,
    }
    return makers[form](comparison)


def _as_json(comparison: Comparison) -> str:
    return DOCUMENT.text(comparison)


def _as_csv(comparison: Comparison) -> str:
    """Return one row for each difference from the baseline. A value that does not exist is empty."""
    paths = {run.run: run.path for run in comparison.runs}
    rows = (
        {
            **one.paired.model_dump(exclude={"first", "second"}),
            **one.model_dump(include={"protocol", "kind", "metric", "run", "baseline", "p_holm", "family_size"}),
            "run_path": paths[one.run],
            "baseline_path": paths[one.baseline],
            "run_mean": one.paired.first,
            "baseline_mean": one.paired.second,
        }
        for one in comparison.differences
    )
    return as_csv(COLUMNS, rows)


def _as_markdown(comparison: Comparison) -> str:
    columns = _columns(comparison)
    table = as_markdown(columns, _rows(comparison), range(len(KEY), len(columns)))
    return f"{table}\n\n{in_markdown(_caption(comparison))}"


def _as_latex(comparison: Comparison) -> str:
    columns = _columns(comparison)
    table = as_latex(columns, _rows(comparison), range(len(KEY), len(columns)))
    return f"% needs \\usepackage{{booktabs}}\n{table}\n% {' '.join(_caption(comparison).split())}"


def _columns(comparison: Comparison) -> list[str]:
    return [*KEY, *(f"{run.run}: {run.editor}" for run in comparison.runs)]


def _rows(comparison: Comparison) -> list[list[Cell]]:
    """Return the rows of the table: for each run its mean, and its difference from the baseline."""
    numbers = [{(row.protocol, row.kind, row.metric): row for row in run.numbers} for run in comparison.runs]
    differences = {(one.protocol, one.kind, one.metric, one.run): one for one in comparison.differences}
    keys = sorted(
        {key for of_run in numbers for key in of_run}, key=lambda key: (key[0], PROBE_KINDS.index(key[1]), key[2])
    )
    best = set(comparison.best or ())
    rows: list[list[Cell]] = []
    for key in keys:
        cells: list[Cell] = []
        for run, of_run in enumerate(numbers, start=1):
            mean = number(of_run[key].after) if key in of_run else "-"
            rest = _beside(differences.get((*key, run)))
            cells.append(Bold(mean, rest) if (*key, run) in best else mean + rest)
        rows.append([*key, *cells])
    return rows


def _beside(one: RunDifference | None) -> str:
    if one is None or one.paired.difference is None:
        return ""
    parts = [signed(one.paired.difference)]
    if one.paired.low is not None:
        parts.append(f"[{signed_interval(one.paired.low, one.paired.high)}]")
    if one.p_holm is not None:
        parts.append(f"p {'' if one.p_holm < 0.001 else '= '}{p_value(one.p_holm)}")
    return f" ({', '.join(parts)})"


def _caption(comparison: Comparison) -> str:
    sizes = sorted({one.family_size for one in comparison.differences})
    family = " or ".join(map(str, sizes)) or "0"
    differs = f" The runs differ: {'; '.join(comparison.differs)}." if comparison.differs else ""
    judged = f" Sequences after {comparison.judged_after} edits." if comparison.judged_after is not None else ""
    return (
        f"Means over cases; in brackets the difference from run {comparison.baseline}, paired by case, with its 95 % interval "
        f"and its p-value, adjusted by Holm for all differences under one protocol by one probe kind ({family}). Bold: better "
        f"than the second-best run (p < 0.05, by Holm over all pairs of runs).{judged}{differs}"
    )
