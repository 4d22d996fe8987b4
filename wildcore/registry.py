"""Finds plugins by entry point, sets broken ones aside, and looks up offers by name.

Knows nothing about models. A plugin that cannot be loaded is set aside with its traceback. This stops only a user who asks for
something that the plugin would have offered.
"""

import io
import re
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from typing import Any, Generic, TypeVar

import click
import pluggy

from wildcore import hookspecs
from wildcore.architectures import Family, built_in_families
from wildcore.errors import Option, UserError, command, escaped, in_one_line, suggestion
from wildcore.guarded import Watch, guarded, problem_of, shown
from wildcore.interfaces import Offer, Shortcut
from wildcore.params import Params
from wildcore.types import EvalProtocol

T = TypeVar("T")

GROUP = "wildcore"
NAME = re.compile(r"\w[\w.-]*")
"""What the name of an offer looks like: it is typed on the command line, where / and + separate names."""
ALIAS = re.compile(r"(\w[\w.@-]*/)?\w[\w.-]*")
MOST_OFFERS = 1_000
"""Most offers of one kind by one plugin."""
OWN_PROTOCOLS = "your file"
OFFER_HOOKS = {
    "editor": "wildcore_editors",
    "transform": "wildcore_transforms",
    "dataset": "wildcore_datasets",
    "model": "wildcore_models",
    "context": "wildcore_contexts",
    "generator": "wildcore_generators",
    "truncator": "wildcore_truncators",
    "metric": "wildcore_metrics",
    "measurement": "wildcore_measurements",
    "segmenter": "wildcore_segmenters",
    "executor": "wildcore_executors",
    "tracker": "wildcore_trackers",
}
KINDS = (*OFFER_HOOKS, "protocol")
"""The kinds of things that plugins offer by name."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: its name, its distribution, and why it is set aside, if it is. ``printed`` is what it printed
    while it was loaded.
    """

    name: str
    distribution: str
    version: str
    problem: str | None = None
    trace: str | None = None
    printed: str = ""

    @property
    def warning(self) -> str:
        """The warning about a plugin that is set aside."""
        return f"plugin {self.name!r} ({self.distribution} {self.version}) is broken: {self.problem}"


@dataclass(frozen=True)
class Found(Generic[T]):
    """Something a plugin offers, with the plugin's name."""

    plugin: str
    offer: T


class BadPlugin(Exception):
    """What is wrong with a plugin, in one sentence."""


def _warn(message: str) -> None:
    warnings.warn(message, FutureWarning, stacklevel=2)


@dataclass
class Registry:
    """All plugins and their offers. ``note`` tells the user about an offer that was asked for by an earlier name."""

    plugins: list[Plugin] = field(default_factory=list)
    offers: dict[str, list[Found[Offer[Any]]]] = field(default_factory=lambda: {kind: [] for kind in OFFER_HOOKS})
    protocols: list[Found[EvalProtocol]] = field(default_factory=list)
    families: dict[str, Family] = field(default_factory=dict)
    commands: dict[str, Found[click.Command]] = field(default_factory=dict)
    shortcuts: dict[str, Shortcut] = field(default_factory=dict)
    note: Callable[[str], None] = _warn
    _noted: set[str] = field(default_factory=set)

    @property
    def broken(self) -> list[Plugin]:
        """The plugins set aside."""
        return [plugin for plugin in self.plugins if plugin.problem]

    def find(self, kind: str, name: str, near: str | None = None) -> Found[Offer[Any]]:
        """Return the offer of ``kind`` called ``name`` or ``plugin/name``; among offers of the same name, that of the plugin
        ``near``.

        If no offer has this name now, one that had it earlier is returned, with one note. Raises ``UserError`` if none or
        several match.
        """
        known = {(found.plugin, found.offer.name): found for found in self.offers[kind]}
        earlier = {(found.plugin, alias): found for found in self.offers[kind] for alias in found.offer.aliases}
        if (near or "", name) in known:
            return known[near or "", name]
        if _matches(name, known) or not _matches(name, earlier):
            return self._find(kind, name, known)
        renamed = self._find(kind, name, earlier)
        self._note_once(f"{kind} {name!r} is now called {renamed.offer.name!r}; the earlier name still works")
        return renamed

    def called(self, kind: str, name: str) -> list[Found[Offer[Any]]]:
        """Return the offers of ``kind`` that are, or were earlier, called ``name`` or ``plugin/name``."""
        return [
            found
            for found in self.offers[kind]
            if any(name in (one, f"{found.plugin}/{one}") for one in found.offer.names)
        ]

    def summaries(self, kind: str) -> dict[str, str]:
        """Return the name under which each offer of ``kind``, or each protocol, is asked for, with its summary."""
        if kind == "protocol":
            return {found.offer.name: found.offer.summary for found in self.protocols}
        return {self.unambiguous_name(kind, found): found.offer.summary for found in self.offers[kind]}

    def names(self, kind: str, name: str) -> set[str]:
        """Return the names under which settings for the offer ``name`` may be given."""
        return {name.split("/")[-1], *(one for found in self.called(kind, name) for one in found.offer.names)}

    def _note_once(self, message: str) -> None:
        if message not in self._noted:
            self._noted.add(message)
            self.note(message)

    def unambiguous_name(self, kind: str, found: Found[Offer[Any]]) -> str:
        """Return the offer's name, or ``plugin/name`` if another plugin has an offer with that name."""
        namesakes = [other for other in self.offers[kind] if other.offer.name == found.offer.name]
        return found.offer.name if len(namesakes) == 1 else f"{found.plugin}/{found.offer.name}"

    def add_protocols(self, protocols: Iterable[EvalProtocol]) -> None:
        """Add protocols that a user wrote. Raises ``UserError`` for a name that another protocol has already."""
        for protocol in protocols:
            taken = [found.plugin for found in self.protocols if found.offer.name == protocol.name]
            if taken:
                raise UserError(
                    f"{protocol.name!r} is the name of a protocol of {taken[0]}",
                    about=Option("own_protocols"),
                    way_out="a changed protocol needs a name of its own",
                )
            self.protocols.append(Found(OWN_PROTOCOLS, protocol))

    def find_protocol(self, name: str) -> Found[EvalProtocol]:
        """Return the protocol called ``name`` or ``plugin/name``. Raises ``UserError`` if none or several match."""
        return self._find("protocol", name, {(found.plugin, found.offer.name): found for found in self.protocols})

    def _find(self, kind: str, name: str, known: dict[tuple[str, str], Found[T]]) -> Found[T]:
        matches = _matches(name, known)
        if len(matches) == 1:
            return next(iter(matches.values()))
        if matches:
            ways = " or ".join(f"{plugin}/{offered}" for plugin, offered in sorted(matches))
            raise UserError(f"{kind} {name!r} is offered by several plugins", way_out=f"ask for {ways}")
        hint = suggestion(name, [offered for _, offered in known])
        raise UserError(f"unknown {kind} {name!r}", way_out=f"{hint}{self._broken_hint()}")

    def _broken_hint(self) -> str:
        if not self.broken:
            return ""
        names = ", ".join(plugin.name for plugin in self.broken)
        return f" (set aside as broken: {names}; see: {command('plugins', Option('broken'))})"


def _matches(name: str, known: dict[tuple[str, str], Found[T]]) -> dict[tuple[str, str], Found[T]]:
    """Return the offers called ``name`` or ``plugin/name``."""
    return {key: found for key, found in known.items() if name in (key[1], f"{key[0]}/{key[1]}")}


def load_registry(
    only: Sequence[str] | None = None,
    reserved: Collection[str] = (),
    note: Callable[[str], None] = _warn,
    last_words: Callable[[Plugin], str] | None = None,
) -> Registry:
    """Load the installed plugins, or only those named in ``only``. No plugin may add a command whose name is in ``reserved``.

    ``note`` tells the user about offers that are asked for by an earlier name; the default is a ``FutureWarning``. A plugin
    whose loading cannot be stopped ends the process with the text that ``last_words`` makes of it; None: it is not ended. Raises
    ``UserError`` if a name in ``only`` is not installed.
    """
    registry = Registry(families={family.model_type: family for family in built_in_families()}, note=note)
    installed = named_entry_points()
    for name in only or ():
        if name not in installed:
            raise UserError(_not_installed(name, list(installed)), about=Option("plugins"))
    with _limits(last_words) as limit:
        for name, entry_point in installed.items():
            if only is None or name in only:
                registry.plugins.append(_load(registry, name, entry_point, reserved, limit))
    return registry


def _not_installed(name: str, installed: list[str]) -> str:
    namesakes = [known for known in installed if known.startswith(f"{name}@")]
    if namesakes:
        return f"several packages have a plugin {name!r}; ask for {' or '.join(namesakes)}"
    return f"no plugin {name!r} is installed; {suggestion(name, installed)}"


def named_entry_points() -> dict[str, EntryPoint]:
    """Return the installed entry points by plugin name, sorted. A name in two distributions becomes name@distribution."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _distribution(point)[0]))
    unique = {(point.name, point.value, _distribution(point)[0]): point for point in points}.values()
    uses = Counter(point.name for point in unique)
    return {p.name if uses[p.name] == 1 else f"{p.name}@{_distribution(p)[0]}": p for p in unique}


def _distribution(point: EntryPoint) -> tuple[str, str]:
    try:
        named = (point.dist.name, point.dist.version) if point.dist else ("", "")
    except Exception:  # the metadata of the distribution are damaged
        named = ("", "")
    return tuple(part if isinstance(part, str) and part else "unknown" for part in named)  # type: ignore[return-value]


@contextmanager
def _limits(last_words: Callable[[Plugin], str] | None) -> Iterator[Callable[[Plugin], AbstractContextManager[None]]]:
    """Yield a function that limits the time of a plugin which cannot be stopped. ``last_words`` None: it limits nothing."""
    if last_words is None:
        yield lambda plugin: nullcontext()
        return
    with Watch() as watch:
        yield lambda plugin: watch.limited(lambda: last_words(plugin))


def _load(
    registry: Registry,
    name: str,
    point: EntryPoint,
    reserved: Collection[str],
    limit: Callable[[Plugin], AbstractContextManager[None]],
) -> Plugin:
    """Load one plugin into the registry: completely, or not at all if anything about it is wrong."""
    plugin = Plugin(name, *_distribution(point))
    printed = io.StringIO()
    try:
        with limit(plugin), guarded(printed):
            module = point.load()
            _check_hook_names(module)
            manager = pluggy.PluginManager(hookspecs.PROJECT)
            manager.add_hookspecs(hookspecs)
            manager.register(module, name=name)
            found = _collect(registry, name, manager, reserved)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, even SystemExit, and must not stop the others
        problem = in_one_line(str(error), 500) if isinstance(error, BadPlugin) else problem_of(error)
        plugin = replace(plugin, problem=problem, trace=escaped(traceback.format_exc()))
    else:
        _add(registry, name, found)
    return replace(plugin, printed=in_one_line(printed.getvalue()))


def _check_hook_names(module: object) -> None:
    known = [name for name in vars(hookspecs) if name.startswith("wildcore_")]
    for name, value in vars(module).items():
        marked = getattr(value, f"{hookspecs.PROJECT}_impl", None)
        if (marked or (callable(value) and name.startswith("wildcore_"))) and name not in known:
            raise BadPlugin(f"implements the unknown hook {name!r}; {suggestion(name, known)}")
        if name in known and not marked:
            raise BadPlugin(f"defines {name!r} without the mark @hookimpl, so nothing would call it")


@dataclass(frozen=True)
class _Offered:
    """Everything that one plugin offers."""

    offers: dict[str, list[Offer[Any]]]
    protocols: list[EvalProtocol]
    families: list[Family]
    shortcuts: list[Shortcut]
    commands: dict[str, click.Command]


def _collect(registry: Registry, plugin: str, manager: pluggy.PluginManager, reserved: Collection[str]) -> _Offered:
    """Call the hooks of a plugin, and return what it offers. Raises ``BadPlugin`` if anything about it is wrong."""
    hook = manager.hook
    found = _Offered(
        {kind: _call(getattr(hook, name), Offer) for kind, name in OFFER_HOOKS.items()},
        _call(hook.wildcore_protocols, EvalProtocol),
        _call(hook.wildcore_families, Family),
        _call(hook.wildcore_options, Shortcut),
        _own_commands(hook.wildcore_commands),
    )
    for kind, listed in found.offers.items():
        _check_offers(kind, listed)
        _refuse_repeated(f"offers the {kind}", [name for offer in listed for name in offer.names])
    _check_names("offers the protocol", [protocol.name for protocol in found.protocols])
    _check_names("offers the family", [family.model_type for family in found.families])
    _check_names("adds the command", list(found.commands))
    _refuse_repeated("offers the protocol", [protocol.name for protocol in found.protocols])
    _refuse_repeated("offers the family", [family.model_type for family in found.families], registry.families)
    _refuse_repeated("adds the option", [shortcut.option for shortcut in found.shortcuts], registry.shortcuts)
    _refuse_repeated("adds the command", list(found.commands), {*reserved, *registry.commands})
    return found


def _add(registry: Registry, plugin: str, found: _Offered) -> None:
    for kind, listed in found.offers.items():
        registry.offers[kind] += [Found(plugin, offer) for offer in listed]
    registry.protocols += [Found(plugin, protocol) for protocol in found.protocols]
    registry.families.update({family.model_type: family for family in found.families})
    registry.shortcuts.update({shortcut.option: shortcut for shortcut in found.shortcuts})
    registry.commands.update({name: Found(plugin, command) for name, command in found.commands.items()})


def _check_offers(kind: str, offers: Sequence[Offer[Any]]) -> None:
    _check_names(f"offers the {kind}", [offer.name for offer in offers])
    for offer in offers:
        if not isinstance(offer.aliases, tuple):
            raise BadPlugin(f"offers the {kind} {offer.name!r} with aliases that are no tuple")
        _check_names(f"gives the {kind} {offer.name!r} the alias", offer.aliases, ALIAS)
        if not callable(offer.make) or not (isinstance(offer.params, type) and issubclass(offer.params, Params)):
            raise BadPlugin(
                f"offers the {kind} {offer.name!r}, whose make is no function or whose params are no Params"
            )
        if not isinstance(offer.summary, str) or not isinstance(offer.cites, str):
            raise BadPlugin(f"offers the {kind} {offer.name!r} with a summary or source that is not text")


def _check_names(what: str, names: Sequence[Any], form: re.Pattern[str] = NAME) -> None:
    for name in names:
        if not isinstance(name, str) or not form.fullmatch(name):
            raise BadPlugin(f"{what} {shown(name)}; a name consists of letters, digits, hyphens, dots and underscores")


def _refuse_repeated(what: str, names: Sequence[str], taken: Collection[str] = ()) -> None:
    for name, count in Counter(names).items():
        if name in taken:
            raise BadPlugin(f"{what} {name!r}, which is there already")
        if count > 1:
            raise BadPlugin(f"{what} {name!r} twice")


def _own_commands(hook: Any) -> dict[str, click.Command]:
    own = click.Group()
    hook(cli=own)
    return dict(own.commands)


def _call(hook: Any, expected: type[T]) -> list[T]:
    results: list[Any] = hook()
    if len(results) < len(hook.get_hookimpls()):
        raise BadPlugin(f"{hook.name} returned None instead of a list")
    offered: list[T] = []
    for result in results:
        if not isinstance(result, Iterable):
            raise BadPlugin(f"{hook.name} returned {shown(result)} instead of a list")
        for item in islice(result, MOST_OFFERS + 1):
            if not isinstance(item, expected):
                raise BadPlugin(f"{hook.name} returned {shown(item)}, which is no {expected.__name__}")
            offered.append(item)
    if len(offered) > MOST_OFFERS:
        raise BadPlugin(f"{hook.name} returned more than {MOST_OFFERS:,} offers")
    return offered
