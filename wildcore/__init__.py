"""wildcore finds out whether a model edit really works.

The names that plugin authors need are those of ``wildcore.public``; importing them loads neither torch nor transformers.
``wildcore.models``, ``wildcore.patches`` and ``wildcore.inference`` work on a loaded model, ``wildcore.datasets`` reads tables,
``wildcore.storage`` keeps what editors prepare, and ``wildcore.testing`` checks plugins. Plugins import from nowhere else.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wildcore.public import *  # noqa: F403
else:
    # imported at the first use, not here: the command line handles Ctrl-C first, and only then imports what takes time

    def __getattr__(name):
        """Return a public name."""
        from importlib import import_module

        public = import_module("wildcore.public")
        if name == "__all__" or name in public.__all__:
            return getattr(public, name)
        raise AttributeError(f"module 'wildcore' has no attribute {name!r}")

    def __dir__():
        """List the public names too."""
        from importlib import import_module

        return sorted({*globals(), *import_module("wildcore.public").__all__})
