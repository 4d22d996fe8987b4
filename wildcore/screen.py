"""Where results and progress are printed: results to stdout, progress to stderr, and what comes from data as plain text."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

WIDTH_OF_A_FILE = 140
SECONDS_BETWEEN_LINES = 10.0


def out() -> Console:
    """Return the console for results."""
    return Console(
        file=sys.stdout, markup=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE
    )


def plain(text: str, limit: int | None = None) -> Text:
    """Return text of a model or a dataset as it may be shown: no markup, no control characters, cut to ``limit``."""
    shown = printable(text)
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return Text(shown)


def printable(text: str) -> str:
    """Return ``text`` with a sign in the place of each character that a terminal would act upon."""
    return "".join(char if char.isprintable() else "⏎" if char == "\n" else "·" for char in text)


def bytes_of(count: int) -> str:
    """Return a number of bytes for people: 512 B, 1.4 MiB."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


class CountColumn(MofNCompleteColumn):
    """The steps made of all; where nobody knows how many there are, only the steps made."""

    def render(self, task: Task) -> Text:
        """Return the count of a task."""
        return Text(str(int(task.completed))) if task.total is None else super().render(task)


@dataclass
class Pace:
    """A task of ``total`` steps (None: unknown), ``done`` of them made earlier and ``made`` since ``start``, in a line."""

    label: str
    total: int | None
    done: int
    made: int = 0
    start: float = field(default_factory=lambda: time.monotonic())

    @property
    def left(self) -> int | None:
        """Steps to be made; None where nobody knows."""
        return None if self.total is None else self.total - self.done - self.made

    @property
    def complete(self) -> bool:
        """Whether no step is left."""
        return self.left is not None and self.left <= 0

    def __str__(self) -> str:
        rate = self.made / max(time.monotonic() - self.start, 1e-9)
        of_total = "" if self.total is None else f"/{self.total}"
        left = f", {self.left / rate:.0f} s left" if self.left is not None and self.left > 0 and self.made else ""
        return f"{self.label}: {self.done + self.made}{of_total}, {rate:.2f}/s{left}"


class Reporter:
    """Progress on stderr: bars with rate and time left on a terminal, else a line now and then."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.console = Console(file=sys.stderr, markup=False, highlight=False, soft_wrap=True)
        self.notes: list[str] = []
        self._bars: Progress | None = None

    def note(self, message: str) -> None:
        """Tell the user something worth knowing; it is kept for the record too."""
        self.notes.append(message)
        self.line(f"Note: {message}")

    def line(self, message: str) -> None:
        """Print a line unless quiet."""
        if not self.quiet:
            self.console.print(plain(message))

    @contextmanager
    def track(self, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a task of ``total`` steps (None: unknown), ``done`` of them made earlier; the callable given advances it."""
        if self.quiet:
            yield lambda steps: None
        elif self.console.is_terminal:
            yield from self._bar(label, total, done)
        else:
            yield self._lines(label, total, done)

    def _bar(self, label: str, total: int | None, done: int) -> Iterator[Callable[[int], None]]:
        outermost = self._bars is None
        if self._bars is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                CountColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self._bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console)
            self._bars.start()
        bars = self._bars
        task = bars.add_task(label, total=total, completed=done, rate="")

        def advance(steps: int) -> None:
            bars.advance(task, steps)
            speed = bars.tasks[bars.task_ids.index(task)].speed
            bars.update(task, rate=f"{speed:.2f}/s" if speed else "")

        try:
            yield advance
        finally:
            bars.remove_task(task)
            if outermost:
                bars.stop()
                self._bars = None

    def _lines(self, label: str, total: int | None, done: int) -> Callable[[int], None]:
        pace = Pace(label, total, done)
        last = pace.start

        def advance(steps: int) -> None:
            nonlocal last
            pace.made += steps
            now = time.monotonic()
            if now - last >= SECONDS_BETWEEN_LINES or pace.complete:
                last = now
                self.line(str(pace))

        return advance
