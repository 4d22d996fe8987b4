"""Progress of a call: in a terminal as on the command line, in a notebook as one output that is updated in place."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console

from wildcore.api.naming import PYTHON
from wildcore.reporting.console import Pace, Reporter, printable

SECONDS_BETWEEN_UPDATES = 0.2
CELLS_OF_A_BAR = 30


def reporter_for(progress: bool) -> Reporter:
    """Return the reporter for the progress of a call; without ``progress`` nothing is shown."""
    return NotebookReporter(progress) if Console().is_jupyter else Reporter(not progress, PYTHON)


class NotebookReporter(Reporter):
    """Progress in a notebook. Every task has its own output, which keeps its last state; lines are shown below its bar.

    Tasks of one label inside the outermost task share an output, such as the steps of each edit of a sequence.
    """

    def __init__(self, progress: bool) -> None:
        super().__init__(not progress, PYTHON)
        self._tasks: list[_Task] = []
        self._outputs: dict[str, Any] = {}
        """The outputs of the tasks inside the outermost one, by label."""

    def line(self, message: str) -> None:
        """Show a line until the next one, or print it if no task is active."""
        if self._tasks:
            self._tasks[-1].show(message)
        elif not self.quiet:
            print(printable(message))

    def latest(self, message: str) -> None:
        """Show a message until the next one, if a task is active."""
        if self._tasks:
            self._tasks[-1].show(message)

    @contextmanager
    def track(self, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show a task of ``total`` steps (None: unknown), of which ``done`` were made earlier, and yield a function
        ``advance(n)``.
        """
        if self.quiet:
            yield lambda steps: None
            return
        inside = bool(self._tasks)
        task = _Task(Pace(label, total, done), self._outputs.get(label))
        if inside:
            self._outputs[label] = task.output
        self._tasks.append(task)
        try:
            with nullcontext() if inside else self._looking():
                yield task.advance
        finally:
            self._tasks.remove(task)
            task.close()
            if not inside:
                self._outputs.clear()

    def say_if_due(self) -> None:
        """Update the innermost task, so that the display moves while no step is made."""
        for task in self._tasks[-1:]:
            task.show(task.message)


class _Task:
    """A task shown in the notebook, in an output of its own or in a given one."""

    def __init__(self, pace: Pace, output: Any = None) -> None:
        from IPython.display import display

        self.pace = pace
        self.message = ""
        self._updated = time.monotonic()
        self.output = display(self._shown(), raw=True, display_id=True) if output is None else output

    def advance(self, steps: int) -> None:
        """Count steps."""
        self.pace.advance(steps)
        self._update()

    def show(self, message: str) -> None:
        """Show a line below the bar."""
        self.message = printable(message)
        self._update()

    def close(self) -> None:
        """Keep the last state on display."""
        self.message = ""
        self._update(now=True)

    def _update(self, now: bool = False) -> None:
        """Update the output, unless it was updated a moment ago."""
        if now or time.monotonic() - self._updated >= SECONDS_BETWEEN_UPDATES:
            self._updated = time.monotonic()
            self.output.update(self._shown(), raw=True)

    def _shown(self) -> dict[str, str]:
        total = self.pace.total
        share = min(1.0, (self.pace.done + self.pace.made) / total) if total else 0.0
        bar = "█" * round(share * CELLS_OF_A_BAR)
        drawn = f"{bar:░<{CELLS_OF_A_BAR}} " if total else ""
        return {"text/plain": f"{drawn}{printable(str(self.pace))}\n{self.message}".rstrip()}
