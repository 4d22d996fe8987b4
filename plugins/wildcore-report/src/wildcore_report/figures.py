"""What each figure of a report shows, as drawings that know nothing of runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from wildcore_report.drawing import (
    LINES,
    MARKERS,
    Theme,
    label,
    legend,
    legend_height,
    rows_axis,
    share_axis,
    with_interval,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, FOOT, PANEL = 24, 44, 190
"""Heights of a row, of an axis with its label, and of a panel of curves, in CSS pixels."""
MOST_ROWS = 24
"""Most rows or lines in one figure; the table has all."""
MOST_SERIES = 6
RATIO_FOR_LOGARITHMS = 8.0
Draw = Callable[["Figure", Theme], None]


@dataclass(frozen=True)
class Dot:
    """A value with its interval. None: there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DotRow:
    """A row of dots: one for each series."""

    name: str
    dots: tuple[Dot | None, ...]


@dataclass(frozen=True)
class Line:
    """A line through points: x, and the value there."""

    name: str
    points: tuple[tuple[float, Dot], ...]


def height_of_rows(panels: Sequence[int], series: Sequence[str]) -> int:
    """Return the height of a figure with panels of this many rows, and a legend of these ``series``."""
    return legend_height(series) + sum(ROW * rows + 30 for rows in panels) + FOOT


def height_of_curves(panels: int, series: Sequence[str]) -> int:
    """Return the height of a figure with this many panels of curves."""
    return legend_height(series) + PANEL * panels + FOOT


def dumbbells(
    rows: Sequence[DotRow], series: Sequence[str], text: str, hollow: Sequence[DotRow] = (), hollow_name: str = ""
) -> Draw:
    """Draw two dots for each row, with a line from one to the other. ``hollow``: dots of the same rows that are drawn hollow."""

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.subplots()
        rows_axis(axes, [row.name for row in rows])
        for place, row in enumerate(rows):
            ends = [dot.value for dot in row.dots if dot is not None and dot.value is not None]
            if len(ends) > 1:
                axes.plot([min(ends), max(ends)], [place, place], color=theme.faint, linewidth=5, zorder=1,
                          solid_capstyle="round")  # fmt: skip
        for filled, group in ((False, hollow), (True, rows)):
            for place, row in enumerate(group):
                for number, dot in enumerate(row.dots):
                    if dot is not None and dot.value is not None:
                        offset = (number - (len(row.dots) - 1) / 2) * 0.22
                        with_interval(
                            axes, dot.value, place + offset, dot.low, dot.high, theme.colour(number), MARKERS[number],
                            filled=filled,
                        )  # fmt: skip
        share_axis(axes, text)
        entries = [(name, theme.colour(n), MARKERS[n]) for n, name in enumerate(series)]
        legend(figure, entries + ([(hollow_name, "", "o")] if hollow else []), theme)

    return draw


def dot_panels(
    panels: Sequence[tuple[str, Sequence[DotRow]]], series: Sequence[str], text: str, hollow: str | None = None,
    share: bool = True, reference: float | None = None,
) -> Draw:  # fmt: skip
    """Draw panels of rows of dots above each other. ``hollow`` names the second dot of each series, which is drawn hollow: rows
    then have two dots for each series. ``reference`` is a value with a vertical line.
    """

    def draw(figure: "Figure", theme: Theme) -> None:
        each = 2 if hollow else 1
        all_axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, height_ratios=[max(1, len(rows)) + 0.6 for _, rows in panels]
        )[:, 0]
        for axes, (title, rows) in zip(all_axes, panels, strict=True):
            axes.set_title(label(title, 50))
            rows_axis(axes, [row.name for row in rows])
            if reference is not None:
                axes.axvline(reference, color=theme.text, linewidth=0.8, zorder=1)
            for place, row in enumerate(rows):
                for number in range(len(series)):
                    offset = (number - (len(series) - 1) / 2) * (0.6 / max(2, len(series)))
                    for index in range(each):
                        dot = row.dots[number * each + index]
                        if dot is not None and dot.value is not None:
                            with_interval(
                                axes, dot.value, place + offset, dot.low, dot.high, theme.colour(number),
                                MARKERS[number % len(MARKERS)], filled=index == 0,
                            )  # fmt: skip
        if share:
            share_axis(all_axes[-1], text)
        else:
            all_axes[-1].set_xlabel(text)
        entries = [(name, theme.colour(n), MARKERS[n % len(MARKERS)]) for n, name in enumerate(series)]
        entries += [(hollow, "", "o")] if hollow else []
        if len(entries) > 1:
            legend(figure, entries, theme)

    return draw


def curves(
    panels: Sequence[tuple[str, Sequence[Line]]], x_text: str, y_text: str, share: bool = True,
    names: Sequence[str] | None = None,
) -> Draw:  # fmt: skip
    """Draw panels of lines above each other, with bands for intervals. ``names`` replaces the numbers on the x axis."""

    def draw(figure: "Figure", theme: Theme) -> None:
        all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        series = list(dict.fromkeys(line.name for _, lines in panels for line in lines))
        for axes, (title, lines) in zip(all_axes, panels, strict=True):
            axes.set_title(label(title, 50))
            for line in lines:
                number = series.index(line.name)
                known = [(x, dot) for x, dot in line.points if dot.value is not None and isfinite(dot.value)]
                colour = theme.colour(number)
                axes.plot(
                    [x for x, _ in known], [dot.value for _, dot in known], color=colour,
                    marker=MARKERS[number % len(MARKERS)], linestyle=LINES[number // len(theme.series) % len(LINES)],
                )  # fmt: skip
                band = [(x, dot.low, dot.high) for x, dot in known if dot.low is not None and dot.high is not None]
                if len(band) > 1:
                    x, low, high = zip(*band, strict=True)
                    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                else:
                    for x_of_one, low_end, high_end in band:
                        axes.plot([x_of_one, x_of_one], [low_end, high_end], color=colour)
            if share:
                share_axis(axes, y_text, vertical=True)
            else:
                _scaled(axes, lines, y_text)
        if names is not None:
            all_axes[-1].set_xticks(range(len(names)), [label(name, 14) for name in names])
        all_axes[-1].set_xlabel(x_text)
        if len(series) > 1:
            legend(figure, [(name, theme.colour(n), MARKERS[n % len(MARKERS)]) for n, name in enumerate(series)], theme)

    return draw


def heat_map(values: Sequence[Sequence[float | None]], rows: Sequence[str], columns: Sequence[str]) -> Draw:
    """Draw a matrix of shares: darker is less on a dark page, more on a light one; each field has its number if they are few."""

    def draw(figure: "Figure", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        axes = figure.subplots()
        axes.grid(visible=False)
        colours = LinearSegmentedColormap.from_list("share", [theme.map_low, theme.map_high])
        numbers = [[float("nan") if value is None else value for value in row] for row in values]
        mesh = axes.pcolormesh(numbers, cmap=colours, vmin=0, vmax=1, edgecolors=theme.background, linewidth=0.8)
        axes.invert_yaxis()
        axes.set_aspect("auto")
        for spine in axes.spines.values():
            spine.set_visible(False)
        step_x, step_y = _step(len(columns), 10), _step(len(rows), 16)
        axes.set_xticks([i + 0.5 for i in range(0, len(columns), step_x)], columns[::step_x])
        axes.set_yticks([i + 0.5 for i in range(0, len(rows), step_y)], rows[::step_y])
        axes.set_xlabel("evaluated after this many edits")
        axes.set_ylabel("edits")
        if len(columns) <= 8 and len(rows) <= 12:
            for i, row in enumerate(values):
                for j, value in enumerate(row):
                    if value is not None:
                        axes.text(j + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=7,
                                  color=_readable(theme, value))  # fmt: skip
        figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.02, label="reliability").outline.set_visible(False)

    return draw


def bars_of_shares(rows: Sequence[tuple[str, Sequence[float]]], series: Sequence[str], text: str) -> Draw:
    """Draw one bar for each row, divided into shares; the parts differ in hatching too."""

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.subplots()
        rows_axis(axes, [name for name, _ in rows])
        for place, (_, shares) in enumerate(rows):
            start = 0.0
            for number, share in enumerate(shares):
                axes.barh(place, share, left=start, height=0.62, color=theme.colour(number), linewidth=0.8,
                          edgecolor=theme.background, hatch=("", "///", "...")[number % 3])  # fmt: skip
                start += share
        axes.set_xlim(0, 1)
        axes.set_xlabel(text)
        legend(figure, [(name, theme.colour(n), "s") for n, name in enumerate(series)], theme)

    return draw


def _scaled(axes: "Axes", lines: Sequence[Line], text: str) -> None:
    """Scale an axis by logarithms if values differ by orders of magnitude."""
    values = [dot.value for line in lines for _, dot in line.points if dot.value is not None and isfinite(dot.value)]
    if values and min(values) > 0 and max(values) / min(values) > RATIO_FOR_LOGARITHMS:
        from matplotlib.ticker import NullFormatter, StrMethodFormatter

        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        text = f"{text} (logarithmic)"
    axes.set_ylabel(text)


def _step(count: int, most: int) -> int:
    return max(1, -(-count // most))


def _readable(theme: Theme, value: float) -> str:
    """Return the colour of a number on a field of the map."""
    return theme.background if value > 0.55 else theme.text
