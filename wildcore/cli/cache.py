"""``wildcore cache``: lists, verifies and removes the artifacts that editors prepared and kept."""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.table import Table

from wildcore.cli.pages import CoreGroup
from wildcore.errors import UserError
from wildcore.help_pages import LOOK_UP
from wildcore.reporting.console import results_console, safe_text
from wildcore.storage.artifact_entries import Entry, chosen, damage, entries, remove, store_folder
from wildcore.storage.cache import cache_folder
from wildcore.storage.checked_rows import damaged_rows, row_files
from wildcore.storage.sizes import format_bytes

DAMAGED = 1
AGE = re.compile(r"(\d+)([hdw])")
UNITS = {"h": "hours", "d": "days", "w": "weeks"}


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


@cache_command.command("list")
def list_command() -> None:
    """List what is kept: kind, model, facts, size, date and file of each artifact."""
    found = entries(cache_folder())
    if found:
        table = Table("kind", "model", "facts", "size", "created")
        table.add_column("file", no_wrap=True)
        for entry in found:
            table.add_row(*(safe_text(text) for text in _row(entry)))
        results_console().print(table)
    _print_total(found)


@cache_command.command("verify")
@click.pass_context
def verify_command(ctx: click.Context) -> None:
    """Read every file completely and name those that are damaged. The exit code is 1 if any is.

    Answers of unedited models and verdicts are checked too, one by one; damaged ones are made anew when they are needed.
    """
    found, stores = entries(cache_folder()), row_files(cache_folder())
    problems = [problem for entry in found if (problem := damage(entry))]
    problems += [problem for path in stores if (problem := _damage_of_rows(path))]
    for problem in problems:
        _print(problem)
    _print_total(found)
    _print(f"Answers and verdicts: {_count(len(stores))}")
    _print(f"Damaged: {len(problems)}")
    if problems:
        ctx.exit(DAMAGED)


@cache_command.command("prune")
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
