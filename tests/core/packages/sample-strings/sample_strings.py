"""Returns names instead of offers."""

from wildcore import hookimpl


@hookimpl
def wildcore_editors():
    return ["strings-editor"]
