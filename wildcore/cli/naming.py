"""Names for the choices of a job in messages of the command line: its options."""

from collections.abc import Mapping
from shlex import quote

from wildcore.errors import Naming, Option, Setting, in_shell

OPTIONS = {"protocols": "protocol", "own_protocols": "protocol-file", "metrics": "metric", "measurements": "measure"}
"""Options whose name differs from that of the job's field; each is given once for each value."""


class CommandLine(Naming):
    """Names a choice by the option that makes it, as it is typed in a shell."""

    def option(self, option: Option) -> str:
        """Return the option with its value, quoted for a shell if needed."""
        if isinstance(option.value, Mapping):
            each = [Option(option.name, f"{key}={value}") for key, value in option.value.items()]
            return " ".join(map(self.option, each))
        return in_shell(option, OPTIONS.get(option.name))

    def setting(self, setting: Setting) -> str:
        """Return the option that sets the parameter."""
        return f"--set {quote(super().setting(setting))}"


COMMAND_LINE = CommandLine()
