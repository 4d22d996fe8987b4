"""A plugin that adds an option which another plugin has added already."""

from wildcore import Shortcut, hookimpl


@hookimpl
def wildcore_options():
    return [Shortcut("--says", sets="metric.says.word", help="Look for this word.")]
