"""Names for the choices of a job in messages of the Python interface: the parameters of the functions."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from wildcore.errors import Naming, Option, Setting, UserError, plainly

P = ParamSpec("P")
R = TypeVar("R")

PARAMETERS = {"protocol_file": "path", "own_protocols": "protocols"}
"""Parameters whose name differs from that of the job's field."""


class Python(Naming):
    """Names a choice by the keyword argument that makes it."""

    def option(self, option: Option) -> str:
        """Return the keyword argument."""
        name = PARAMETERS.get(option.name, option.name)
        return name if option.value is None else f"{name}={plainly(option.value)!r}"

    def setting(self, setting: Setting) -> str:
        """Return the keyword argument that sets the parameter."""
        given = plainly(setting.value)
        return f"settings[{setting.key!r}]" if given is None else f"settings={ {setting.key: given}!r}"


PYTHON = Python()


def errors_in_python(function: Callable[P, R]) -> Callable[P, R]:
    """Make each ``UserError`` raised by ``function`` name its parameters."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            error.naming = PYTHON
            raise

    return called
