"""Figures by matplotlib: for a light and a dark page, small enough for a phone, the same bytes for the same numbers.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart; shapes differ as well. Text stays text:
a browser draws it with its own font, so that every script is shown and nothing is loaded.
"""

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wildcore.reporting.console import printable
from wildcore_report.payload import FigureData, Pictures, TableData
from wildcore_report.texts import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 420
"""Width of every figure in CSS pixels: a phone shows it at its own size."""
PIXELS_PER_INCH = 96
POINTS_PER_PIXEL = 72 / PIXELS_PER_INCH
PNG_SCALE = 2
TEXT, SMALL = 11.5, 10.0
"""Sizes of text in CSS pixels."""
LABEL_CHARACTERS = 30
LEGEND_CHARACTERS = 44
ALT_CHARACTERS = 800
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
LINES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Theme:
    """The colours of a page: its background, text, faint lines, and those of series."""

    name: str
    background: str
    text: str
    faint: str
    series: tuple[str, ...]
    map_low: str
    map_high: str

    def colour(self, number: int) -> str:
        """Return the colour of a series; they repeat with other markers."""
        return self.series[number % len(self.series)]


LIGHT = Theme(
    "light", "#ffffff", "#1c1c1e", "#d4d4d8", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#1c1c1e"),
    "#f4f4f5", "#0072b2",
)  # fmt: skip
DARK = Theme(
    "dark", "#17181a", "#ececee", "#4a4b50", ("#56b4e9", "#e69f00", "#2fc597", "#e59cc4", "#f0e442", "#ececee"),
    "#26272b", "#56b4e9",
)  # fmt: skip
COLOUR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn: what it says in words, its numbers, its height in CSS pixels, and how it is drawn.

    ``mixes_colours``: it has colours between those of the theme, so that one theme's picture cannot be made from the other's.
    """

    id: str
    section: str
    title: str
    caption: str
    alt: str
    table: TableData
    height: int
    draw: Callable[["Figure", Theme], None]
    mixes_colours: bool = False


def figure_data(drawing: Drawing) -> FigureData:
    """Return the figure for the page, drawn for both themes."""
    light = picture(drawing, LIGHT, "svg")
    dark = picture(drawing, DARK, "svg") if drawing.mixes_colours else recoloured(light)
    return FigureData(
        id=drawing.id,
        section=drawing.section,
        title=drawing.title,
        caption=drawing.caption,
        alt=cut(drawing.alt, ALT_CHARACTERS),
        svg=Pictures(light=_address(light), dark=_address(dark)),
        width=WIDTH,
        height=drawing.height,
        table=drawing.table,
    )


def picture(drawing: Drawing, theme: Theme, form: Literal["svg", "png"]) -> bytes:
    """Return the figure as a file of this form; the background of an SVG is clear."""
    from matplotlib.figure import Figure

    with _style(theme):
        figure = Figure(figsize=(WIDTH / PIXELS_PER_INCH, drawing.height / PIXELS_PER_INCH), dpi=PIXELS_PER_INCH)
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03)
        drawing.draw(figure, theme)
        stream = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the PNG's font lacks some scripts; the SVG is drawn by the browser's
            figure.savefig(
                stream,
                format=form,
                dpi=PNG_SCALE * PIXELS_PER_INCH if form == "png" else PIXELS_PER_INCH,
                transparent=form == "svg",
                metadata=metadata,
            )
    return stream.getvalue()


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    """Draw in this context with the theme, whatever the user's own settings of matplotlib are."""
    import matplotlib

    ours: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "wildcore", "text.parse_math": False, "text.usetex": False,
        "font.family": "DejaVu Sans", "font.size": TEXT * POINTS_PER_PIXEL, "axes.titlesize": TEXT * POINTS_PER_PIXEL,
        "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": SMALL * POINTS_PER_PIXEL,
        "xtick.labelsize": SMALL * POINTS_PER_PIXEL, "ytick.labelsize": SMALL * POINTS_PER_PIXEL,
        "legend.fontsize": SMALL * POINTS_PER_PIXEL, "legend.frameon": False, "legend.handlelength": 1.2,
        "text.color": theme.text, "axes.labelcolor": theme.text, "axes.titlecolor": theme.text,
        "xtick.color": theme.text, "ytick.color": theme.text, "axes.edgecolor": theme.faint, "axes.facecolor": "none",
        "figure.facecolor": theme.background, "savefig.facecolor": theme.background, "grid.color": theme.faint,
        "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "xtick.major.size": 0, "ytick.major.size": 0, "lines.markersize": 4.5,
        "lines.linewidth": 1.3, "axes.unicode_minus": False,
    }  # fmt: skip
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(ours)
        yield


def label(text: str, most: int = LABEL_CHARACTERS) -> str:
    """Return text from data as a label: in one line, short, without characters that an SVG cannot hold."""
    return cut(printable(text.encode(errors="replace").decode()), most)


def with_interval(
    axes: "Axes", x: float, y: float, low: float | None, high: float | None, colour: str, marker: str = "o",
    filled: bool = True,
) -> None:  # fmt: skip
    """Draw a value and its interval in a row."""
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="round", zorder=2)
    axes.plot(
        [x], [y], marker=marker, linestyle="", color=colour, zorder=3, markeredgecolor=colour,
        markerfacecolor=colour if filled else "none",
    )  # fmt: skip


def rows_axis(axes: "Axes", names: Sequence[str]) -> None:
    """Give an axis one row for each name, the first on top."""
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def share_axis(axes: "Axes", text: str, vertical: bool = False) -> None:
    """Let an axis go from 0 to 1."""
    set_limits, set_label = (axes.set_ylim, axes.set_ylabel) if vertical else (axes.set_xlim, axes.set_xlabel)
    set_limits(-0.03, 1.03)
    set_label(text)


def legend_columns(names: Sequence[str]) -> int:
    """Return how many entries of a legend stand side by side."""
    longest = max((len(label(name, LEGEND_CHARACTERS)) for name in names), default=1)
    return max(1, min(len(names), WIDTH // int(longest * SMALL * 0.62 + 34)))


def legend_height(names: Sequence[str]) -> int:
    """Return the height of a legend in CSS pixels."""
    return 8 + 17 * -(-len(names) // legend_columns(names))


def legend(figure: "Figure", entries: Sequence[tuple[str, str, str]], theme: Theme) -> None:
    """Draw a legend above everything: name, colour and marker of each entry; a hollow marker for a colour of ""."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour or theme.text,
               markerfacecolor=colour or "none", label=label(name, LEGEND_CHARACTERS))
        for name, colour, marker in entries
    ]  # fmt: skip
    columns = legend_columns([name for name, *_ in entries])
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.2, handletextpad=0.3,
                  borderpad=0.2)  # fmt: skip


def recoloured(light: bytes) -> bytes:
    """Return an SVG for a dark page from that for a light one, without laying it out again."""
    pairs = {
        getattr(LIGHT, name): getattr(DARK, name) for name in ("background", "text", "faint", "map_low", "map_high")
    } | dict(zip(LIGHT.series, DARK.series, strict=True))
    return COLOUR.sub(lambda found: pairs.get(found[0], found[0]), light.decode()).encode()


def _address(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
