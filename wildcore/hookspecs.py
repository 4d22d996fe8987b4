"""Every extension point of wildcore. A plugin is a module named by an entry point of the group ``wildcore``.

Each hook returns the plugin's offers: a name, how to make the thing, and its parameters. Loading a plugin must stay cheap;
``Offer.make`` is the place for heavy imports. Usage::

    from wildcore import Offer, hookimpl

    @hookimpl
    def wildcore_editors():
        return [Offer("my-editor", make=_make, params=MyParams, summary="...", cites="...")]
"""

from collections.abc import Iterable

import click
import pluggy

from wildcore.architectures import Family
from wildcore.interfaces import (
    Context,
    Dataset,
    Editor,
    Executor,
    Generator,
    Measurement,
    Metric,
    ModelSource,
    Offer,
    Segmenter,
    Shortcut,
    Tracker,
    Transform,
    Truncator,
)
from wildcore.types import EvalProtocol

PROJECT = "wildcore"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def wildcore_editors() -> Iterable[Offer[Editor]]:  # type: ignore[empty-body]
    """Offer methods that write facts into a model.

    A method may use a resource that its parameters do not determine, such as a trained network. It then describes the
    resource in ``Editor.pin_resources``. The description is recorded, and a run or patch is continued only with the same
    resource.
    """


@hookspec
def wildcore_transforms() -> Iterable[Offer[Transform]]:  # type: ignore[empty-body]
    """Offer changes to what closed-form editors write. Users select them as EDITOR+TRANSFORM."""


@hookspec
def wildcore_datasets() -> Iterable[Offer[Dataset]]:  # type: ignore[empty-body]
    """Offer sources of edit cases."""


@hookspec
def wildcore_models() -> Iterable[Offer[ModelSource]]:  # type: ignore[empty-body]
    """Offer models that are bundled with the plugin as ordinary model folders."""


@hookspec
def wildcore_families() -> Iterable[Family]:  # type: ignore[empty-body]
    """Offer model families: the module paths of an architecture, by its ``config.model_type``."""


@hookspec
def wildcore_contexts() -> Iterable[Offer[Context]]:  # type: ignore[empty-body]
    """Offer ways to render a question as a prompt (module 1, input)."""


@hookspec
def wildcore_generators() -> Iterable[Offer[Generator]]:  # type: ignore[empty-body]
    """Offer generation strategies (module 2)."""


@hookspec
def wildcore_truncators() -> Iterable[Offer[Truncator]]:  # type: ignore[empty-body]
    """Offer rules for where an answer ends (module 3)."""


@hookspec
def wildcore_metrics() -> Iterable[Offer[Metric]]:  # type: ignore[empty-body]
    """Offer ways to score a stored answer (module 4)."""


@hookspec
def wildcore_measurements() -> Iterable[Offer[Measurement]]:  # type: ignore[empty-body]
    """Offer numbers of a whole model, which are measured at the judging points of a sequence: perplexity, capability."""


@hookspec
def wildcore_segmenters() -> Iterable[Offer[Segmenter]]:  # type: ignore[empty-body]
    """Offer ways to find the words of texts in scripts without spaces. Metrics on words have a parameter that names one."""


@hookspec
def wildcore_executors() -> Iterable[Offer[Executor]]:  # type: ignore[empty-body]
    """Offer ways to spread the cells of a study over devices or machines."""


@hookspec
def wildcore_trackers() -> Iterable[Offer[Tracker]]:  # type: ignore[empty-body]
    """Offer services that show the numbers of a run while it is going on. No number of a run depends on them."""


@hookspec
def wildcore_protocols() -> Iterable[EvalProtocol]:  # type: ignore[empty-body]
    """Offer evaluation protocols: pure data made of the names above and their parameters."""


@hookspec
def wildcore_options() -> Iterable[Shortcut]:  # type: ignore[empty-body]
    """Offer options of ``eval`` and ``score`` that stand for settings of the plugin's modules."""


@hookspec
def wildcore_commands(cli: click.Group) -> None:
    """Add the plugin's own sub-commands to ``cli``."""
