"""The report of a run, by the command ``report`` of whichever plugin has it."""

from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry
from wildcore_leaderboard.copies import shareable_copy

COMMAND = "report"
FILE = "report.html"

ReportWriter = Callable[[RunFolder, str, Path], str | None]
"""Writes the report of a run, which it calls by a name, to a file. Returns why there is none, or None."""


def report_writer(context: click.Context, registry: Registry) -> ReportWriter | None:
    """Return what writes reports. None: no plugin offers the command ``report``.

    A report is made of a copy without paths of the machine, and names the run's folder by its name alone.
    """
    found = registry.commands.get(COMMAND)
    if found is None:
        return None
    command = found.offer

    def write(run: RunFolder, name: str, file: Path) -> str | None:
        arguments = [name, "--out", str(file.resolve())]
        said = StringIO()
        with TemporaryDirectory() as place, redirect_stdout(said), redirect_stderr(said):
            shareable_copy(run, Path(place) / name)
            try:
                with chdir(place), command.make_context(COMMAND, arguments, parent=context.find_root()) as inner:
                    command.invoke(inner)
            except Exception as error:  # another plugin's code: without its report the site is still whole
                return f"the report cannot be made: {type(error).__name__}: {error}"
        return None if file.is_file() else "the report was not written"

    return write
