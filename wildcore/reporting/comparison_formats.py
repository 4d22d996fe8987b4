"""A comparison of runs for programs and papers: JSON, CSV, Markdown and LaTeX."""

from collections.abc import Callable
from typing import Literal

from wildcore.json_documents import JsonDocument
from wildcore.reporting.compared import Comparison
from wildcore.reporting.distinctions import numbered
from wildcore.reporting.numbers import interval_of, number, p_value, signed, signed_interval
from wildcore.reporting.ranking import STANDS, Ranking, first_in_words, price_in_words, rank, title
from wildcore.reporting.tables import Bold, Cell, as_csv, as_latex, as_markdown, in_markdown
from wildcore.scoring.differences import RunDifference, table_order
from wildcore.scoring.paired import PairedDifference

Format = Literal["json", "csv", "markdown", "latex"]
DOCUMENT = JsonDocument("compare", 2, "wildcore.reporting.compared:Comparison")

KEY = ("protocol", "probe", "metric")
COLUMNS = (
    "protocol", "kind", "metric", "run", "run_label", "run_path", "baseline", "baseline_label", "baseline_path", "run_mean",
    "baseline_mean", "difference", "low", "high", "interval", "p", "test", "p_holm", "family_size", "detectable", "cases",
    "clusters", "left_out", "note", "run_rank_best", "run_rank_worst", "baseline_rank_best", "baseline_rank_worst",
)  # fmt: skip
RANKING = ("rank", "run", "before", "mean", "95 % interval", "minus first", "95 % interval")


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
    runs = {run.run: run for run in comparison.runs}
    ranks = {
        (ranking.protocol, ranking.kind, ranking.metric, run.run): (run.best, run.worst)
        for ranking in comparison.all_rankings or comparison.rankings
        for run in ranking.runs
    }
    rows = []
    for one in comparison.differences:
        row = {
            **one.paired.model_dump(exclude={"first", "second"}),
            **one.model_dump(include={"protocol", "kind", "metric", "run", "baseline", "p_holm", "family_size"}),
            "run_mean": one.paired.first,
            "baseline_mean": one.paired.second,
        }
        for name, run in (("run", one.run), ("baseline", one.baseline)):
            best, worst = ranks.get((one.protocol, one.kind, one.metric, run), (None, None))
            row |= {f"{name}_label": runs[run].label, f"{name}_path": runs[run].path}
            row |= {f"{name}_rank_best": best, f"{name}_rank_worst": worst}
        rows.append(row)
    return as_csv(COLUMNS, rows)


def _as_markdown(comparison: Comparison) -> str:
    columns = _columns(comparison)
    parts = [
        as_markdown(columns, _rows(comparison), range(len(KEY), len(columns))),
        in_markdown(_caption(comparison)),
    ]
    for ranking in comparison.rankings:
        head, rows = _ranking(ranking)
        table = as_markdown(head, rows, range(2, len(head)))
        parts += [in_markdown(title(ranking)), table, in_markdown(_in_words(ranking))]
    return "\n\n".join(parts)


def _as_latex(comparison: Comparison) -> str:
    columns = _columns(comparison)
    parts = [
        "% needs \\usepackage{booktabs}",
        as_latex(columns, _rows(comparison), range(len(KEY), len(columns))),
        _comment(_caption(comparison)),
    ]
    for ranking in comparison.rankings:
        head, rows = _ranking(ranking)
        parts += [_comment(title(ranking)), as_latex(head, rows, range(2, len(head))), _comment(_in_words(ranking))]
    return "\n".join(parts)


def _comment(text: str) -> str:
    """Return ``text`` as a comment of LaTeX, in one line."""
    return f"% {' '.join(text.split())}"


def _ranking(ranking: Ranking) -> tuple[list[str], list[list[Cell]]]:
    """Return the head and the rows of the table of a ranking. The first mean is bold if no other run can be first."""
    other = [f"{ranking.price.protocol}.{ranking.price.kind}"] if ranking.price else []
    rows: list[list[Cell]] = []
    for run in ranking.runs:
        mean, paired = number(run.mean), run.minus_first
        rows.append(
            [
                rank(run), numbered(run.run, run.label), number(run.before), Bold(mean) if run.worst == 1 else mean,
                interval_of(run.low, run.high), *(["", ""] if paired is None else _signed(paired)),
                *([number(run.other)] if other else []),
            ]
        )  # fmt: skip
    return [*RANKING, *other], rows


def _signed(paired: PairedDifference) -> list[str]:
    return [signed(paired.difference), signed_interval(paired.low, paired.high)]


def _in_words(ranking: Ranking) -> str:
    return " ".join(filter(None, (first_in_words(ranking), price_in_words(ranking))))


def _columns(comparison: Comparison) -> list[str]:
    return [*KEY, *(f"{run.run}: {run.label}" for run in comparison.runs)]


def _rows(comparison: Comparison) -> list[list[Cell]]:
    """Return the rows of the table: for each run its mean, and its difference from the baseline."""
    numbers = [{(row.protocol, row.kind, row.metric): row for row in run.numbers} for run in comparison.runs]
    differences = {(one.protocol, one.kind, one.metric, one.run): one for one in comparison.differences}
    best = comparison.best
    rows: list[list[Cell]] = []
    for key in table_order(numbers):
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
    said = "".join(f" {sentence}" for sentence in (*comparison.incomparable, *comparison.meaning))
    return (
        f"Means over cases; in brackets the difference from run {comparison.baseline}, paired by case, with its 95 % interval "
        f"and its p-value, adjusted by Holm for all differences under one protocol by one probe kind ({family}). Bold: better "
        f"than every other run that differs in its editor alone. {STANDS}{said}{differs}"
    )
