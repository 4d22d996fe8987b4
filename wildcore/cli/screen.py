"""Where results and progress are printed: results to stdout, progress to stderr, and what comes from data as plain text."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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
    shown = "".join(char if char.isprintable() else "⏎" if char == "\n" else "·" for char in text)
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return Text(shown)


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
    def track(self, label: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a task of ``total`` steps, ``done`` of them made earlier; the callable given advances it."""
        if self.quiet:
            yield lambda steps: None
        elif self.console.is_terminal:
            yield from self._bar(label, total, done)
        else:
            yield self._lines(label, total, done)

    def _bar(self, label: str, total: int, done: int) -> Iterator[Callable[[int], None]]:
        outermost = self._bars is None
        if self._bars is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
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

    def _lines(self, label: str, total: int, done: int) -> Callable[[int], None]:
        start = last = time.monotonic()
        made = 0

        def advance(steps: int) -> None:
            nonlocal made, last
            made += steps
            now = time.monotonic()
            if now - last >= SECONDS_BETWEEN_LINES or done + made >= total:
                last = now
                rate = made / max(now - start, 1e-9)
                left = f", {(total - done - made) / rate:.0f} s left" if done + made < total else ""
                self.line(f"{label}: {done + made}/{total}, {rate:.2f}/s{left}")

        return advance
