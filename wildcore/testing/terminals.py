"""Commands called in this process as on a terminal: a pipe gets another form of their output."""

from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result

from wildcore.cli import main


def call_on_terminal(arguments: Sequence[object]) -> Result:
    """Return the result of ``wildcore`` with ``arguments`` on a terminal of 80 columns without colours."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("click.testing._NamedTextIOWrapper.isatty", lambda stream: True)
        patched.setenv("COLUMNS", "80")
        patched.setenv("TERM", "dumb")
        return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
