"""What a shell offers when a value of the command line is completed: names of offers, models and run folders.

Used as ``shell_complete`` of an option or an argument, of a plugin's command too. Nothing here loads a model or torch.
"""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from wildcore.registry import KINDS, Registry

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

MOST_FOLDERS = 500
"""At most this many entries of a folder are looked at."""


def registry_of(ctx: click.Context) -> Registry:
    """Return the loaded plugins."""
    found = ctx.find_root().obj
    return found if isinstance(found, Registry) else Registry()


def complete_offers(kind: str) -> Complete:
    """Return the function that completes the name of an offer of ``kind``, such as "dataset"."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _beginning(incomplete, registry_of(ctx).summaries(kind))

    return complete


def complete_editors(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of an editor, or after a ``+`` that of a transform."""
    written, plus, _ = incomplete.rpartition("+")
    registry = registry_of(ctx)
    if not plus:
        return _beginning(incomplete, registry.summaries("editor"))
    used = written.split("+")[1:]
    left = {f"{written}+{name}": said for name, said in registry.summaries("transform").items() if name not in used}
    return _beginning(incomplete, left)


def complete_models(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a bundled model, or a model's folder."""
    found = _beginning(incomplete, registry_of(ctx).summaries("model"))
    return [*found, *_folders(incomplete, "config.json", is_only=not found)]


def complete_runs(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the folder of a run."""
    return _folders(incomplete, "manifest.json")


def complete_kinds_and_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a kind of offers, or the name of any offer."""
    registry = registry_of(ctx)
    everything = {name: f"{kind}: {said}" for kind in KINDS for name, said in registry.summaries(kind).items()}
    return _beginning(incomplete, dict.fromkeys(KINDS, "a kind of offers") | everything)


def complete_names_of_kind(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a name of the kind that the argument before it names."""
    kind = next((value for value in ctx.params.values() if value in KINDS), None)
    if kind == "model":
        return complete_models(ctx, parameter, incomplete)
    return [] if kind is None else _beginning(incomplete, registry_of(ctx).summaries(kind))


def _beginning(incomplete: str, known: dict[str, str]) -> list[CompletionItem]:
    return [CompletionItem(name, help=known[name]) for name in sorted(known) if name.startswith(incomplete)]


def _folders(incomplete: str, marked_by: str, is_only: bool = True) -> list[CompletionItem]:
    """Complete a folder that contains the file ``marked_by``, one level further down too.

    If there is none, and nothing else is offered (``is_only``), the shell completes any folder.
    """
    found = list(_marked(incomplete, marked_by))
    if found or not is_only:
        return [CompletionItem(path) for path in found]
    return [CompletionItem(incomplete, type="dir")]


def _marked(incomplete: str, marked_by: str) -> Iterator[str]:
    prefix = incomplete[: incomplete.rfind("/") + 1]
    for name in _folders_in(prefix or ".", incomplete[len(prefix) :]):
        place = prefix + name
        inner = (f"{place}/{one}" for one in _folders_in(place))
        for path in [place] if Path(place, marked_by).is_file() else inner:
            if Path(path, marked_by).is_file() and path.isprintable():
                yield path


def _folders_in(folder: str, beginning: str = "") -> list[str]:
    """Return the names of folders that start with ``beginning``, sorted; hidden ones only if it starts with a dot."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in islice(entries, MOST_FOLDERS) if entry.is_dir()]
    except OSError:
        return []
    hidden = beginning.startswith(".")
    return sorted(name for name in found if name.startswith(beginning) and (hidden or not name.startswith(".")))
