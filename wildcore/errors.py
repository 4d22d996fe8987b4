"""Errors that a user can fix."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, TypeAlias, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Option:
    """A choice of the job, named by its field, such as "model". Without a value it stands for the choice itself.

    The value of a flag is True.
    """

    name: str
    value: Any = None


@dataclass(frozen=True)
class Setting:
    """A way to set the parameter ``key`` ("editor.layer") of a module to ``value``."""

    key: str
    value: Any = None


@dataclass(frozen=True)
class Parameter:
    """The parameter ``key`` ("editor.layer") of a module with its value; it has the same name everywhere."""

    key: str
    value: Any = None


@dataclass(frozen=True)
class Place:
    """A file, or a line of it, counted from 1."""

    path: Path
    line: int | None = None


@dataclass(frozen=True)
class Module:
    """An offer of a plugin, such as the editor of a certain name."""

    kind: str
    name: str
    plugin: str


Part: TypeAlias = Option | Setting | Parameter | Place | Module
Message: TypeAlias = str | Part | tuple["Message", ...]
"""A text for the user, in pieces. A piece that names a choice of the job is put into words where the text is shown."""


class Naming:
    """How the choices of a job are named. This class names them neutrally; the command line and Python have their own."""

    def option(self, option: Option) -> str:
        """Return the name of a choice of the job."""
        return f"`{option.name}`" if is_named_only(option) else f"{option.name} {plainly(option.value)!r}"

    def setting(self, setting: Setting) -> str:
        """Return the name of a setting."""
        return setting.key if setting.value is None else f"{setting.key}={_as_yaml(setting.value)}"


NEUTRAL = Naming()


def render(text: Message, naming: Naming = NEUTRAL) -> str:
    """Return a text as it is shown to a user who names choices by ``naming``."""
    match text:
        case str():
            return text
        case tuple():
            return "".join(render(piece, naming) for piece in text)
        case Option():
            return naming.option(text)
        case Setting():
            return naming.setting(text)
        case Parameter():
            return text.key if text.value is None else f"{text.key}={text.value}"
        case Place():
            return str(text.path) if text.line is None else f"{text.path}, line {text.line}"
        case Module():
            return f"{text.kind} {text.name} (plugin {text.plugin})"


def joined(texts: Iterable[Message], between: str) -> Message:
    """Return ``texts`` joined by ``between``."""
    return tuple(piece for number, text in enumerate(texts) for piece in ([between, text] if number else [text]))


def is_named_only(option: Option) -> bool:
    """Return whether an option takes no value, or stands for the choice itself."""
    return option.value is None or option.value is True


def plainly(value: Any) -> Any:
    """Return a value as it is given to an option: a path as text."""
    return str(value) if isinstance(value, Path) else value


def command(*words: str | Path | Option | Setting) -> str:
    """Return a command to be typed in a shell. It is the same on the command line and in Python."""
    return " ".join(["wildcore", *map(_word, words)])


def _word(word: str | Path | Option | Setting) -> str:
    match word:
        case Option():
            return in_shell(word)
        case Setting():
            return in_shell(Option("set", NEUTRAL.setting(word)))
    return quote(str(word))


def _as_yaml(value: Any) -> str:
    """Return a value as it is typed on the command line, where it is read as YAML."""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, bool | list | tuple | dict) else str(value)


def in_shell(option: Option, name: str | None = None) -> str:
    """Return an option with its value as it is typed in a shell; ``name`` is the option's name if it differs from the
    choice's.
    """
    flag = "--" + (name or option.name).replace("_", "-")
    return flag if is_named_only(option) else f"{flag} {quote(str(option.value))}"


def in_one_line(text: str, most: int = 300) -> str:
    """Return text of unknown origin as it may be quoted in a message: in one line of at most ``most`` characters, with
    characters that a terminal would interpret written as escapes.
    """
    shown = escaped(" ".join(text[: 4 * most].split()))
    return shown if len(shown) <= most else f"{shown[:most]}..."


def escaped(text: str) -> str:
    """Return ``text`` with the characters that a terminal would interpret, except line ends, written as escapes."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


class UserError(Exception):
    """Bad input: the problem, what it is about, and the way out; the command line prints it and exits with code 2.

    The texts do not contain options of the command line: ``Option`` and ``Setting`` stand for them, and ``naming`` decides how
    ``str(error)`` names them. A ``problem`` alone may also be the whole message.
    """

    def __init__(self, problem: Message, about: Message | None = None, way_out: Message | None = None) -> None:
        super().__init__(problem, about, way_out)
        self.problem = problem
        self.about = about
        self.way_out = way_out
        self.naming = NEUTRAL

    def __str__(self) -> str:
        return self.rendered(self.naming)

    def rendered(self, naming: Naming) -> str:
        """Return the message for a user who names the choices of a job by ``naming``."""
        about = "" if self.about is None else f"{render(self.about, naming)}: "
        way_out = "" if self.way_out is None else f"; {render(self.way_out, naming)}"
        return f"{about}{render(self.problem, naming)}{way_out}"

    def renamed(self, names: Mapping[str, Callable[[Any], Message]]) -> "UserError":
        """Return the error with other names for options, settings and parameters; each new name is made from the former one's
        value.

        For callers that pass something on under another name, such as a table of facts that is read like a dataset.
        """
        about = None if self.about is None else _renamed(self.about, names)
        way_out = None if self.way_out is None else _renamed(self.way_out, names)
        return UserError(_renamed(self.problem, names), about, way_out)

    def within(self, what: str) -> "UserError":
        """Return an error about ``what`` that contains the former subject of this error."""
        return UserError(self.problem, what if self.about is None else (what, ": ", self.about), self.way_out)

    def _render_traceback_(self) -> list[str]:
        """Return only the message, which IPython then shows instead of a traceback."""
        return [f"UserError: {self}"]


def _renamed(text: Message, names: Mapping[str, Callable[[Any], Message]]) -> Message:
    if isinstance(text, tuple):
        return tuple(_renamed(piece, names) for piece in text)
    name = text.name if isinstance(text, Option) else text.key if isinstance(text, Setting | Parameter) else None
    return names[name](text.value) if name is not None and name in names else text  # type: ignore[union-attr]


class Refused(Exception):
    """Raised by an editor that cannot carry out a request, such as one whose subject is not in its prompt.

    The case is counted and shown as refused; the run goes on.
    """


def map_or_refuse(make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made | Refused]:
    """Return the result of ``make`` for each item; if ``make`` refuses an item, the refusal in its place."""
    return [_made_or_refusal(make, item) for item in items]


def _made_or_refusal(make: Callable[[Item], Made], item: Item) -> Made | Refused:
    try:
        return make(item)
    except Refused as refusal:
        return refusal


def suggestion(name: str, known: list[str]) -> str:
    """Return a hint for an unknown ``name``: the closest of ``known``, or all of them."""
    import difflib

    matches = difflib.get_close_matches(name, known, n=1)
    if matches:
        return f"did you mean {matches[0]!r}?"
    return f"known: {', '.join(sorted(known)) or 'none'}"
