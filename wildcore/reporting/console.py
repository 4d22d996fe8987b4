"""The console: results go to stdout, progress to stderr, and text from data is shown without markup."""

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from wildcore.errors import NEUTRAL, Message, Naming, render
from wildcore.reporting.plain import cells_of, plain_lines

WIDTH_OF_PROSE = 80
"""Most columns of a line of text on a terminal; tables may be as wide as the window."""
WIDTH_OF_A_NOTEBOOK = 140
UNLIMITED = 10_000
"""Columns of a window that any table fits into."""
SECONDS_TO_THE_FIRST_LINE = 2.0
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_AN_INNER_BAR = 1.0
"""A task inside another is shown once it has taken this long, so that many short ones do not flicker."""
ONE_BUNCH = 1.0
"""Steps less than this many seconds apart count as one bunch: they were computed in the time before the first of them."""


class ResultsConsole(Console):
    """The console for results on stdout: with drawings and colours on a terminal and in a notebook, else plain.

    Plain text does not depend on the window or on the environment. Every table is then printed as ``plain_lines`` returns it,
    and no line is wrapped. If the output is closed, ``BrokenPipeError`` is raised, instead of ending the process without a
    word.
    """

    def __init__(self) -> None:
        on_terminal = sys.stdout.isatty()
        self.plain = not (on_terminal or Console().is_jupyter)
        super().__init__(
            file=sys.stdout,
            markup=False,
            highlight=False,
            soft_wrap=self.plain,
            force_terminal=False if self.plain else None,
            width=None if on_terminal else WIDTH_OF_A_NOTEBOOK,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render an object; a table in plain text if the console is plain."""
        if self.plain and isinstance(renderable, Table):
            return [Segment(f"{line}\n") for line in plain_lines(renderable, self)]
        if isinstance(renderable, Table) and renderable.show_header:
            given = options or self.options
            if Measurement.get(self, given.update(max_width=UNLIMITED), renderable).minimum > given.max_width:
                return self._row_by_row(renderable, given.max_width)
            for column in renderable.columns:
                column.overflow = "fold"  # a column may still become narrower than its longest word, which is not cut
        return super().render(renderable, options)

    def _row_by_row(self, table: Table, width: int) -> Iterator[Segment]:
        """Yield a table whose words do not fit beside each other: each row as a paragraph that names the columns."""
        if table.title is not None:
            yield Segment(f"{table.title}\n")
        names, *rows = cells_of(table, self)
        for row in rows:
            said = "; ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=True))
            for line in wrapped(self, Text(said), min(width, WIDTH_OF_PROSE)):
                yield Segment(f"{line}\n")

    def on_broken_pipe(self) -> None:
        """Raise the error that led here."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def results_console() -> Console:
    """Return the console for results."""
    return ResultsConsole()


def is_plain(console: Console) -> bool:
    """Return whether a console prints plain text, without drawings and colours, each table in one form at every width."""
    return isinstance(console, ResultsConsole) and console.plain


def print_line(console: Console, text: str, limit: int | None = None, indent: int = 0, hanging: int = 2) -> None:
    """Print text of any origin, cut to ``limit`` characters, ``indent`` columns from the left.

    On a terminal it is wrapped to at most 80 columns, further lines ``hanging`` columns further to the right. Plain text is
    not wrapped.
    """
    shown = safe_text(text, limit)
    if is_plain(console):
        console.print(Text(" " * indent) + shown)
        return
    for line in wrapped(console, shown, min(WIDTH_OF_PROSE, console.width) - indent, hanging):
        console.print(Text(" " * indent + line), soft_wrap=True)


def wrapped(console: Console, text: Text, width: int, hanging: int = 2) -> Iterator[str]:
    """Yield the lines of ``text``, of at most ``width`` columns, those after the first ``hanging`` columns to the right."""
    first, *_ = text.wrap(console, max(1, width)) or [Text()]
    rest = Text(text.plain[len(first.plain) :].lstrip())
    yield first.plain.rstrip()
    for line in rest.wrap(console, max(1, width - hanging)) if rest else ():
        yield " " * hanging + line.plain.rstrip()


def print_whole(console: Console, text: str) -> None:
    """Print text of any origin in one line that is not broken, such as a path or a command, so that it can be copied."""
    console.print(safe_text(text), soft_wrap=True)


def safe_text(text: str, limit: int | None = None) -> Text:
    """Return text of a model or a dataset in a form that is safe to show: no markup, no control characters, cut to ``limit``."""
    shown = printable(text if limit is None else text[: limit + 1])
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return Text(shown)


def printable(text: str) -> str:
    """Return ``text`` with each character that a terminal would interpret replaced by a visible sign."""
    return "".join(char if char.isprintable() else "⏎" if char == "\n" else "·" for char in text)


def duration(seconds: float) -> str:
    """Return a time for people: 50 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@dataclass
class Pace:
    """A task of ``total`` steps (None: unknown), of which ``done`` were made earlier and ``made`` since ``start``, shown in a
    line.

    Steps may arrive in bunches, such as edits that were solved together. While a bunch arrives, the rate is that of the
    bunches before it, because the part that has arrived does not show how long the bunch took.
    """

    label: str
    total: int | None = None
    done: int = 0
    made: int = 0
    start: float = field(default_factory=lambda: time.monotonic())
    _bunch: float | None = None
    """When the latest bunch began to arrive."""
    _last: float = 0.0
    """When the latest step arrived."""
    _before: tuple[int, float] = (0, 0.0)
    """The steps made before that bunch, and the seconds that they took."""

    def advance(self, steps: int) -> None:
        """Count steps."""
        if not steps:
            return
        now = time.monotonic()
        if self._bunch is None or now - self._last >= ONE_BUNCH:
            self._before = (self.made, self._last - self.start)
            self._bunch = now
        self._last = now
        self.made += steps

    @property
    def left(self) -> int | None:
        """Steps left (None: unknown)."""
        return None if self.total is None else self.total - self.done - self.made

    @property
    def complete(self) -> bool:
        """Whether no step is left."""
        return self.left is not None and self.left <= 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def rate(self) -> float | None:
        """Steps per second made in this call. None: not known yet."""
        steps, seconds = self._counted()
        return steps / seconds if steps and seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last step, estimated from the rate. None: not known yet."""
        steps, seconds = self._counted()
        if self.total is None or self.complete or not steps or seconds <= 0:
            return None
        left = (self.total - self.done - steps) * seconds / steps - (self.elapsed - seconds)
        return left if left > 0 else None

    def _counted(self) -> tuple[int, float]:
        """Return the number of steps from which the rate is computed, and the seconds that they took."""
        if self._bunch is None:
            return 0, 0.0
        now = time.monotonic()
        comes_in = now - self._last < ONE_BUNCH and self._last - self._bunch < 2 * ONE_BUNCH
        return self._before if comes_in and not self.complete else (self.made, self._last - self.start)

    @property
    def count(self) -> str:
        """The steps made, with the total if it is known; empty if there is nothing to count yet."""
        made = self.done + self.made
        return f"{made}/{self.total}" if self.total is not None else str(made) if made else ""

    @property
    def speed(self) -> str:
        """The rate and the time left, as far as they are known."""
        rate, left = self.rate, self.seconds_left
        said = [] if rate is None else [f"{rate:.2f}/s"]
        return ", ".join(said if left is None else [*said, f"{duration(left)} left"])

    def __str__(self) -> str:
        facts = [fact for fact in (self.count, self.speed or duration(self.elapsed)) if fact]
        return f"{self.label}: {', '.join(facts)}"


class _Bars(Progress):
    """Bars of the tasks that are active, and the ``latest`` message; a task inside another is shown once it has taken some
    time.
    """

    latest = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield what to show now."""
        yield from super().get_renderables()
        if self.latest:
            yield safe_text(self.latest, max(1, self.console.width - 1))

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Return the bars to show now."""
        every = list(tasks)
        long = [task for task in every[1:] if task.fields["pace"].elapsed >= SECONDS_TO_AN_INNER_BAR]
        return super().make_tasks_table([*every[:1], *long])


class Reporter:
    """Progress on stderr: bars with rate and time left on a terminal, else a line after 2 s and then every 10 s."""

    def __init__(self, quiet: bool, naming: Naming = NEUTRAL) -> None:
        """Show nothing if ``quiet``; notes name the choices of a job by ``naming``."""
        self.quiet = quiet
        self.naming = naming
        self.console = Console(file=sys.stderr, markup=False, highlight=False, soft_wrap=True)
        self.notes: list[str] = []
        self._bars: _Bars | None = None
        self._paces: list[Pace] = []
        self._next_line = 0.0

    def note(self, message: Message) -> None:
        """Show the user a note, and keep it for the files of the run."""
        self.notes.append(render(message, self.naming))
        self.line(f"Note: {self.notes[-1]}")

    def line(self, message: str) -> None:
        """Print a line unless quiet; a terminal gets it wrapped between words, so that paths and options stay whole."""
        if not self.quiet:
            shown = safe_text(message)
            width = min(WIDTH_OF_PROSE, self.console.width)
            if self.console.is_terminal and len(shown) > width:
                lines = wrap(shown.plain, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
                shown = Text("\n".join(lines))
            self.console.print(shown)

    def latest(self, message: str) -> None:
        """Show a message until the next one, below the bars of a terminal; elsewhere it is not shown."""
        if self._bars is not None:
            self._bars.latest = message

    @contextmanager
    def track(self, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a task of ``total`` steps (None: unknown), of which ``done`` were made earlier, and yield a function
        ``advance(n)``.

        The display moves for as long as the task takes, even while no step is made.
        """
        if self.quiet:
            yield lambda steps: None
            return
        pace = Pace(label, total, done)
        shown = self._bar(pace) if self.console.is_terminal else self._lines(pace)
        with shown as advance:
            yield advance

    @contextmanager
    def _bar(self, pace: Pace) -> Iterator[Callable[[int], None]]:
        outermost = self._bars is None
        if self._bars is None:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[pace].count}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[pace].speed}"),
            )
            # stderr is left as it is, because downloads draw their own bars there
            self._bars = _Bars(*columns, console=self.console, redirect_stderr=False)
            self._bars.start()
        bars = self._bars
        task = bars.add_task(pace.label, total=pace.total, completed=pace.done, pace=pace)

        def advance(steps: int) -> None:
            pace.advance(steps)
            bars.advance(task, steps)

        try:
            yield advance
        finally:
            bars.remove_task(task)
            if outermost:
                bars.latest = ""
                bars.stop()
                self._bars = None

    @contextmanager
    def _lines(self, pace: Pace) -> Iterator[Callable[[int], None]]:
        outermost = not self._paces
        self._paces.append(pace)

        def advance(steps: int) -> None:
            pace.advance(steps)
            if pace.complete and (outermost or pace.elapsed >= SECONDS_BETWEEN_LINES):
                self._say_pace(pace)

        try:
            if outermost:
                self._next_line = pace.start + SECONDS_TO_THE_FIRST_LINE
                with self._looking():
                    yield advance
            else:
                yield advance
        finally:
            self._paces.remove(pace)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Check from time to time, in a thread, whether a line is due."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                self.say_if_due()

        thread = threading.Thread(target=look, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def say_if_due(self) -> None:
        """Print the progress of the innermost task, unless a line was printed recently."""
        innermost = self._paces[-1:]
        if innermost and time.monotonic() >= self._next_line:
            self._say_pace(innermost[0])

    def _say_pace(self, pace: Pace) -> None:
        """Print the progress of a task, after that of the outermost task if that one counts steps."""
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        outermost = self._paces[0]
        counted_inside = pace is not outermost and outermost.total is not None
        self.line(f"{outermost} ({pace})" if counted_inside else str(pace))
