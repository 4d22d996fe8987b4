"""The report of a run, by the command ``report`` of whichever plugin has it."""

import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from io import StringIO
from pathlib import Path

import click

from wildcore import UserError
from wildcore.registry import Registry

COMMAND = "report"
FILE = "report.html"

ReportWriter = Callable[[Path, Path, datetime], str | None]
"""Writes the report of a run folder to a file, as of a time. Returns why there is none, or None."""


def report_writer(context: click.Context, registry: Registry) -> ReportWriter | None:
    """Return what writes reports. None: no plugin offers the command ``report``."""
    found = registry.commands.get(COMMAND)
    if found is None:
        return None
    command = found.offer

    def write(run: Path, file: Path, time: datetime) -> str | None:
        arguments = [str(run.resolve()), "--out", str(file.resolve())]
        said = StringIO()
        try:
            with (
                redirect_stdout(said),
                redirect_stderr(said),
                _epoch(time),
                command.make_context(COMMAND, arguments, parent=context.find_root()) as inner,
            ):
                command.invoke(inner)
        except (UserError, click.ClickException, click.exceptions.Exit, OSError) as error:
            return f"the report cannot be made: {error}"
        return None if file.is_file() else "the report was not written"

    return write


class _epoch:
    """Sets the time that reproducible builds use as the present, while a report is written."""

    NAME = "SOURCE_DATE_EPOCH"

    def __init__(self, time: datetime) -> None:
        self.time, self.before = time, os.environ.get(self.NAME)

    def __enter__(self) -> None:
        os.environ[self.NAME] = str(int(self.time.timestamp()))

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            os.environ.pop(self.NAME, None)
        else:
            os.environ[self.NAME] = self.before
