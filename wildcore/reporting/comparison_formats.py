"""A comparison of runs for programs and papers: JSON, CSV, Markdown and LaTeX."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Literal

from wildcore.reporting.compared import Comparison
from wildcore.reporting.comparison import p_value, signed, signed_interval
from wildcore.reporting.run import number
from wildcore.scoring.differences import RunDifference
from wildcore.scoring.values import Key
from wildcore.types import PROBE_KINDS

Format = Literal["json", "csv", "markdown", "latex"]

COLUMNS = (
    "protocol", "kind", "metric", "run", "run_path", "baseline", "baseline_path", "run_mean", "baseline_mean", "difference",
    "low", "high", "interval", "p", "test", "p_holm", "family_size", "detectable", "cases", "clusters", "left_out", "note",
)  # fmt: skip
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
MARKDOWN_ESCAPES = {char: f"\\{char}" for char in "\\`*_[]|<>"}


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
    return json.dumps(comparison.model_dump(mode="json"), indent=2)


def _as_csv(comparison: Comparison) -> str:
    """Return one row for each difference from the baseline. A value that does not exist is empty."""
    paths = {run.run: run.path for run in comparison.runs}
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in comparison.differences:
        paired = one.paired.model_dump(exclude={"first", "second"})
        writer.writerow(
            {
                **paired,
                **one.model_dump(include={"protocol", "kind", "metric", "run", "baseline", "p_holm", "family_size"}),
                "run_path": paths[one.run],
                "baseline_path": paths[one.baseline],
                "run_mean": one.paired.first,
                "baseline_mean": one.paired.second,
            }
        )
    return stream.getvalue().rstrip("\n")


def _as_markdown(comparison: Comparison) -> str:
    names = [_escaped(f"{run.run}: {run.editor}", MARKDOWN_ESCAPES) for run in comparison.runs]
    lines = [
        _row(["protocol", "probe", "metric", *names]),
        _row(["---", "---", "---", *["---:"] * len(names)]),
    ]
    for key, cells in _table(comparison, lambda text: f"**{text}**").items():
        lines.append(_row([*(_escaped(part, MARKDOWN_ESCAPES) for part in key), *cells]))
    lines += ["", _escaped(_caption(comparison), MARKDOWN_ESCAPES)]
    return "\n".join(lines)


def _as_latex(comparison: Comparison) -> str:
    """Return a table for the package booktabs."""
    names = [_escaped(f"{run.run}: {run.editor}", LATEX_ESCAPES) for run in comparison.runs]
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{lll{'r' * len(names)}}}",
        r"\toprule",
        rf"protocol & probe & metric & {' & '.join(names)} \\",
        r"\midrule",
    ]
    for key, cells in _table(comparison, lambda text: rf"\textbf{{{text}}}").items():
        row = [*(_escaped(part, LATEX_ESCAPES) for part in key), *(_escaped_cell(cell) for cell in cells)]
        lines.append(rf"{' & '.join(row)} \\")
    lines += [r"\bottomrule", r"\end{tabular}", f"% {' '.join(_caption(comparison).split())}"]
    return "\n".join(lines)


def _escaped_cell(cell: str) -> str:
    """Return a cell, whose only special character in LaTeX is the one of a small p-value."""
    return cell.replace("<", r"\textless{}")


def _table(comparison: Comparison, bold: Callable[[str], str]) -> dict[Key, list[str]]:
    """Return the cells of each number of the table, one for each run: its mean, and its difference from the baseline."""
    numbers = [{(row.protocol, row.kind, row.metric): row for row in run.numbers} for run in comparison.runs]
    differences = {(one.protocol, one.kind, one.metric, one.run): one for one in comparison.differences}
    keys = sorted(
        {key for of_run in numbers for key in of_run}, key=lambda key: (key[0], PROBE_KINDS.index(key[1]), key[2])
    )
    best = set(comparison.best or ())
    table: dict[Key, list[str]] = {}
    for key in keys:
        table[key] = []
        for run, of_run in enumerate(numbers, start=1):
            mean = number(of_run[key].after) if key in of_run else "-"
            shown = bold(mean) if (*key, run) in best else mean
            table[key].append(shown + _beside(differences.get((*key, run))))
    return table


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


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(char, char) for char in " ".join(text.split()))
