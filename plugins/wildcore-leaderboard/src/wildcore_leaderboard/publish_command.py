"""``wildcore publish``: a run as a data set of the Hugging Face hub, and its numbers in the card of an edited model."""

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from wildcore import Option, UserError, command
from wildcore.completion import complete_runs
from wildcore.help_pages import OUTPUT, RESULTS, Example, HelpfulCommand
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import printable
from wildcore.storage import write_durably
from wildcore_leaderboard.hub import address, require_repository_name, send

Folder = click.Path(path_type=Path)
MOST_LISTED = 12


@click.command(
    cls=HelpfulCommand,
    section=RESULTS,
    short_help="Publish a run on the Hugging Face hub.",
    groups={OUTPUT: ("to_hub", "public", "licence", "model_card", "yes")},
    examples=(
        Example("wildcore publish runs/first --to-hub me/my-run", "Say what would be sent, and where."),
        Example("wildcore publish runs/first --to-hub me/my-run --yes", "Send it as a private data set."),
    ),
)
@click.argument("run", type=Folder, shell_complete=complete_runs)
@click.option(
    "--to-hub", metavar="OWNER/NAME", required=True, help="Data set on the hub; created if it does not exist."
)
@click.option("--public", is_flag=True, help="Create a public data set. Without this it is private.")
@click.option(
    "--license", "licence", metavar="ID", help="Licence of the data set as the hub names it, such as cc-by-4.0."
)
@click.option(
    "--model-card",
    type=Folder,
    metavar="FOLDER",
    help="Also write the numbers into the card of the edited model in FOLDER, which `wildcore apply` wrote.",
)
@click.option("--yes", is_flag=True, help="Send. Without this, only say what would be sent, and where.")
def publish(run: Path, to_hub: str, public: bool, licence: str | None, model_card: Path | None, yes: bool) -> None:
    """Publish the finished RUN on the Hugging Face hub: a card, tables of cases and scores, and the run folder.

    Nothing is sent or written without --yes. Paths of this machine are shortened to file names. The token is read from the
    environment variable HF_TOKEN.
    """
    require_repository_name(to_hub)
    folder = RunFolder.finished(run, lambda note: click.echo(printable(f"Note: {note}"), err=True))
    if model_card is not None:
        _require_card(folder, model_card)
    with TemporaryDirectory() as name:
        place = Path(name)
        files, shortened = _prepare(folder, place, licence)
        _require_private(place, files)
        _describe(place, files, shortened, to_hub, public)
        if not yes:
            if model_card is not None:
                click.echo(printable(f"Its numbers would be written into {model_card / 'README.md'}"))
            chosen = [Option("to_hub", to_hub), *([Option("public")] if public else [])]
            chosen += [
                Option(name, value) for name, value in (("license", licence), ("model_card", model_card)) if value
            ]
            click.echo(printable(f"Nothing was sent. Send it with: {command('publish', run, *chosen, Option('yes'))}"))
            return
        click.echo(f"Sent: {send(to_hub, place, files, public, f'wildcore run {folder.path.name}')}")
    if model_card is not None:
        for file in _write_card(folder, model_card, address(to_hub)):
            click.echo(printable(f"Written: {file}"))


def _prepare(folder: RunFolder, place: Path, licence: str | None) -> tuple[list[str], list[str]]:
    """Write what is to be sent to ``place``; return the names of the files, and the fields in which paths were shortened."""
    from wildcore_leaderboard.copies import shareable_copy
    from wildcore_leaderboard.hub_files import CARD, RUN, card_text, write_tables

    shortened = shareable_copy(folder, place / RUN)
    copy = RunFolder.open(place / RUN)
    rows = write_tables(copy, place)
    (place / CARD).write_text(card_text(copy, rows, licence), encoding="utf-8")
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()), shortened


def _require_private(place: Path, files: Sequence[str]) -> None:
    """Raise ``UserError`` if a file still names the home folder of this machine's user, or this machine."""
    home = Path.home()
    marks = [f"{home}/".encode()] if home != Path("/") else []
    host = socket.gethostname()
    marks += [host.encode()] if len(host) > 5 and host != "localhost" else []
    for file in files:
        if file.endswith((".parquet", "journal.jsonl")):
            continue  # these hold what the dataset and the model say; what wildcore says in them was shortened
        content = (place / file).read_bytes()
        found = next((mark.decode() for mark in marks if mark in content), None)
        if found is not None:
            raise UserError(
                f"{file} names {found!r}, which tells who made the run", "publish", "remove it from the run"
            )


def _describe(place: Path, files: Sequence[str], shortened: Sequence[str], name: str, public: bool) -> None:
    sizes = {file: (place / file).stat().st_size for file in files}
    click.echo(f"Data set {address(name)} ({'public: everyone can see it' if public else 'private'})")
    for file, size in sizes.items():
        click.echo(printable(f"  {file}  {in_units(size)}"))
    click.echo(f"  {len(sizes)} files, {in_units(sum(sizes.values()))}")
    if shortened:
        more = f" and {len(shortened) - MOST_LISTED} more" if len(shortened) > MOST_LISTED else ""
        click.echo(printable(f"Paths shortened to names in {', '.join(shortened[:MOST_LISTED])}{more}"))
    else:
        click.echo("The run names no path of this machine; its files are sent as they are")


def in_units(size: int) -> str:
    """Return a size in bytes for people."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} bytes"


def _require_card(folder: RunFolder, model: Path) -> None:
    from wildcore_leaderboard.model_results import model_card, require_model_folder, require_one_model, results

    require_model_folder(model)
    require_one_model(folder)
    model_card(model, results(folder, ""))  # raises for a card that cannot be read, before anything is sent


def _write_card(folder: RunFolder, model: Path, source: str) -> Iterator[Path]:
    """Write the numbers of a run into the card of the edited model, and beside it for the dataset's page; yield the files."""
    from wildcore_leaderboard.model_results import CARD, model_card, results, results_file

    try:
        write_durably(model / CARD, str(model_card(model, results(folder, source))))
        yield model / CARD
        if (found := results_file(folder, source)) is not None:
            name, text = found
            (model / name).parent.mkdir(exist_ok=True)
            write_durably(model / name, text)
            yield model / name
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", Option("model_card", model)) from error
