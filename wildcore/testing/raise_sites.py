"""Where code makes errors that a user can cause, and which of these places a test reaches."""

import ast
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click

from wildcore.errors import UserError

POSITIONS = "_made_at"
"""Attribute of an error: the files and lines of the calls that made it, the innermost first."""

ERRORS = Path(__file__).parents[1] / "errors.py"
"""The module whose own functions make an error only from another."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Site:
    """A call that makes a ``UserError``: in ``function`` of ``module``, from line ``first`` to line ``last`` of ``file``."""

    module: str
    function: str
    first: int
    last: int
    file: Path

    @property
    def name(self) -> str:
        """The function, such as "models.hints:require_fetchable"."""
        return f"{self.module}:{self.function}"

    def __str__(self) -> str:
        return f"{self.name}, line {self.first}"


def makers(packages: Iterable[Path]) -> frozenset[str]:
    """Return the names of what makes such an error: ``UserError``, its subclasses, and the functions that return one."""
    found = {"UserError"}
    trees = [_tree(file) for package in packages for file in _files(package)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    found |= {
        node.name
        for node in nodes
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in found for base in node.bases)
    }
    return frozenset(found | {node.name for node in nodes if isinstance(node, Function) and _makes_one(node, found)})


def sites(package: Path, made_by: Collection[str]) -> list[Site]:
    """Return every call of one of ``made_by`` in the modules of ``package``, except those of ``wildcore.errors`` itself.

    A private function counts only in the modules that define one of its name: elsewhere the name is another's.
    """
    found = []
    for file in _files(package):
        module = ".".join(file.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        tree = _tree(file)
        private = {node.name for node in ast.walk(tree) if isinstance(node, Function) and _makes_one(node, made_by)}
        known = {name for name in made_by if not name.startswith("_") or name in private}
        for function, call in _calls(tree, ()):
            if _name(call) in known:
                found.append(Site(module, function, call.lineno, call.end_lineno or call.lineno, file))
    return found


@contextmanager
def positions_recorded(made_by: Collection[str]) -> Iterator[None]:
    """Let every ``UserError`` record where it is made: the call itself, and the calls of the ``made_by`` around it."""
    plain = UserError.__init__

    def recording(self: UserError, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        setattr(self, POSITIONS, list(_positions(sys._getframe(1), made_by)))

    UserError.__init__ = recording  # type: ignore[method-assign]
    try:
        yield
    finally:
        UserError.__init__ = plain  # type: ignore[method-assign]


def raised_by(call: Callable[[], Any]) -> UserError:
    """Return the error that ``call`` raises; of a command called without its standalone mode, the error behind click's."""
    try:
        call()
    except UserError as error:
        return error
    except click.ClickException as failure:
        if isinstance(failure.__cause__, UserError):
            return failure.__cause__
        raise
    raise AssertionError("no error was raised")


def reached(error: UserError, known: Iterable[Site]) -> set[Site]:
    """Return those of ``known`` that made ``error``, or an error that it was raised from."""
    positions = set(_chained(error))
    return {site for site in known for file, line in positions if site.file == file and site.first <= line <= site.last}


def _makes_one(function: Function, errors: Collection[str]) -> bool:
    """Return whether ``function`` returns one of ``errors``."""
    return function.returns is not None and ast.unparse(function.returns).strip("'") in errors


def _files(package: Path) -> list[Path]:
    """Return the modules of a package, except ``ERRORS`` and those of this folder."""
    here = Path(__file__).parent
    return [file for file in sorted(package.rglob("*.py")) if file != ERRORS and here not in file.parents]


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _calls(node: ast.AST, within: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield ".".join(within), child
        inner = (*within, child.name) if isinstance(child, Function | ast.ClassDef) else within
        yield from _calls(child, inner)


def _name(call: ast.Call) -> str | None:
    return getattr(call.func, "id", getattr(call.func, "attr", None))


def _positions(frame: FrameType | None, made_by: Collection[str]) -> Iterator[tuple[Path, int]]:
    while frame is not None:
        name, file = frame.f_code.co_name, Path(frame.f_code.co_filename)
        yield file, frame.f_lineno
        is_subclass = name == "__init__" and isinstance(frame.f_locals.get("self"), UserError)
        if name not in made_by and not is_subclass and file != ERRORS:
            return
        frame = frame.f_back


def _chained(error: BaseException | None) -> Iterator[tuple[Path, int]]:
    while isinstance(error, UserError):
        yield from getattr(error, POSITIONS, ())
        error = error.__cause__
