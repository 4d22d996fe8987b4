"""``wildcore cache``: lists, verifies and removes the artifacts that editors prepared and kept."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from pydantic import AwareDatetime
from rich.table import Table

from wildcore.cli.pages import CoreGroup
from wildcore.errors import UserError
from wildcore.help_pages import LOOK_UP
from wildcore.json_documents import JsonDocument
from wildcore.reporting.console import results_console, safe_text
from wildcore.storage.artifact_entries import Entry, chosen, damage, entries, remove, store_folder
from wildcore.storage.cache import cache_folder
from wildcore.storage.checked_rows import damaged_rows, row_files
from wildcore.storage.sizes import format_bytes
from wildcore.types import FrozenData

DAMAGED = 1
LIST = JsonDocument("cache-list", 1, "wildcore.cli.cache:CacheList")
CHECK = JsonDocument("cache-verify", 1, "wildcore.cli.cache:CacheCheck")
AGE = re.compile(r"(\d+)([hdw])")
WHICH = ("kinds", "models", "older_than", "unfinished", "everything")
UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Artifact(FrozenData):
    """A kept file.

    ``size`` is in bytes, ``created`` a time with its zone. ``state`` is "whole", "unfinished" (it can be resumed), "writing" (not
    finished writing) or "damaged". Of a file that cannot be read, ``model``, ``dtype`` and ``facts`` are None.
    """

    path: Path
    kind: str
    state: Literal["whole", "unfinished", "writing", "damaged"]
    size: int
    created: AwareDatetime
    model: str | None
    dtype: str | None
    facts: Mapping[str, Any] | None


class CacheList(FrozenData):
    """What editors prepared and kept in ``folder``, and its ``size`` in bytes."""

    folder: Path
    size: int
    artifacts: tuple[Artifact, ...]


class CacheCheck(FrozenData):
    """The result of reading everything: ``files`` counts what editors prepared, ``stores`` files of answers and verdicts.

    ``problems`` has one text for each damaged file, or store with damaged entries.
    """

    folder: Path
    files: int
    stores: int
    problems: tuple[str, ...]


def _age(ctx: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    matched = AGE.fullmatch(value)
    try:
        return timedelta(**{UNITS[matched[2]]: int(matched[1])}) if matched else _refuse_age(value)
    except OverflowError:
        return _refuse_age(value)


def _refuse_age(value: str) -> NoReturn:
    raise click.BadParameter(f"{value!r} is not an age; write 12h, 30d or 8w")


@click.group("cache", cls=CoreGroup, section=LOOK_UP, short_help="List, verify and remove what editors prepared.")
def cache_command() -> None:
    """Show, verify and remove what editors prepared for models, such as second moments."""


@cache_command.command("list", short_help="List what is kept.", documents=(LIST,))
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_command(as_json: bool) -> None:
    """List what is kept: kind, model, facts, size, date and file of each artifact."""
    found = entries(cache_folder())
    if as_json:
        click.echo(LIST.text(_listed(found)))
        return
    if found:
        table = Table("kind", "model", "facts", "size", "created")
        table.add_column("file", no_wrap=True)
        for entry in found:
            table.add_row(*(safe_text(text) for text in _row(entry)))
        results_console().print(table)
    _print_total(found)


@cache_command.command("verify", short_help="Read everything and name what is damaged.", documents=(CHECK,))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def verify_command(ctx: click.Context, as_json: bool) -> None:
    """Read every file completely and name those that are damaged. The exit code is 1 if any is.

    Answers of unedited models and verdicts are checked too, one by one; damaged ones are made anew when they are needed.
    """
    found, stores = entries(cache_folder()), row_files(cache_folder())
    problems = [problem for entry in found if (problem := damage(entry))]
    problems += [problem for path in stores if (problem := _damage_of_rows(path))]
    if as_json:
        place = store_folder(cache_folder())
        checked = CacheCheck(folder=place, files=len(found), stores=len(stores), problems=tuple(problems))
        click.echo(CHECK.text(checked))
    else:
        for problem in problems:
            _print(problem)
        _print_total(found)
        _print(f"Answers and verdicts: {_count(len(stores))}")
        _print(f"Damaged: {len(problems)}")
    if problems:
        ctx.exit(DAMAGED)


@cache_command.command("prune", short_help="Remove what is kept.", groups={"What to remove": WHICH})
@click.option("--kind", "kinds", multiple=True, help="Only this kind, such as second-moments; several allowed.")
@click.option("--model", "models", multiple=True, help="Only what was made for this model, by name or fingerprint.")
@click.option("--older-than", callback=_age, metavar="AGE", help="Only what was made longer ago: 12h, 30d, 8w.")
@click.option("--unfinished", is_flag=True, help="Only unfinished work.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune_command(yes: bool, **options: Any) -> None:
    """Remove artifacts, including unfinished work. If several options are given, an artifact must match all of them."""
    doomed = _doomed(**options)
    for entry in doomed:
        _print(f"{entry.kind}, {format_bytes(entry.size)}: {entry.path}")
    if not doomed:
        _print("Nothing to remove.")
        return
    total = format_bytes(sum(entry.size for entry in doomed))
    if not yes:
        click.confirm(f"Remove {_files(doomed)} and free {total}?", abort=True)
    _print(f"Freed {format_bytes(remove(doomed))}.")


def _doomed(
    kinds: Sequence[str], models: Sequence[str], older_than: timedelta | None, unfinished: bool, everything: bool
) -> list[Entry]:
    narrowed = bool(kinds or models or unfinished) or older_than is not None
    if narrowed == everything:
        raise UserError("say what to remove: --kind, --model, --older-than, --unfinished, or --all alone")
    return chosen(entries(cache_folder()), kinds, models, older_than, unfinished)


def _listed(found: Sequence[Entry]) -> CacheList:
    size = sum(entry.size for entry in found)
    return CacheList(folder=store_folder(cache_folder()), size=size, artifacts=tuple(map(_artifact, found)))


def _artifact(entry: Entry) -> Artifact:
    manifest = entry.manifest
    unreadable: Literal["damaged", "writing"] = "damaged" if entry.problem else "writing"
    return Artifact(
        path=entry.path,
        kind=entry.kind,
        state=unreadable if manifest is None else "whole" if entry.whole else "unfinished",
        size=entry.size,
        created=entry.created,
        model=manifest and manifest.model,
        dtype=manifest and manifest.dtype,
        facts=manifest and manifest.facts,
    )


def _row(entry: Entry) -> tuple[str, ...]:
    model = f"{entry.manifest.model} ({entry.manifest.dtype})" if entry.manifest else "?"
    created = f"{entry.created.astimezone():%Y-%m-%d %H:%M}"
    return entry.kind, model, _facts(entry), format_bytes(entry.size), created, entry.path.name


def _facts(entry: Entry) -> str:
    if entry.manifest is None:
        return "DAMAGED" if entry.problem else "not finished writing"
    facts = ", ".join(f"{name}={_value(value)}" for name, value in entry.manifest.facts.items())
    return facts if entry.whole else f"UNFINISHED {facts}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _damage_of_rows(path: Path) -> str | None:
    try:
        damaged, count = damaged_rows(path)
    except UserError as error:
        return str(error)
    return f"{path}: {damaged} of {count} entries damaged; they are made anew when they are needed" if damaged else None


def _print_total(found: Sequence[Entry]) -> None:
    size = format_bytes(sum(entry.size for entry in found))
    _print(f"Total: {_files(found)}, {size}, in {store_folder(cache_folder())}")


def _files(found: Sequence[Entry]) -> str:
    return _count(len(found))


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


def _print(line: str) -> None:
    results_console().print(safe_text(line), soft_wrap=True)  # a path that is broken over lines cannot be copied
