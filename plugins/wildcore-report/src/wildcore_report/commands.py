"""``wildcore report`` and ``wildcore view``."""

from pathlib import Path

import click

from wildcore.completion import complete_runs
from wildcore.help_pages import OUTPUT, RESULTS, Example, HelpfulCommand
from wildcore.reporting.console import Reporter, printable
from wildcore.reporting.headline import counted

Folder = click.Path(path_type=Path)


@click.command(
    cls=HelpfulCommand,
    section=RESULTS,
    groups={OUTPUT: ("figures", "force")},
    examples=(
        Example("wildcore report runs --out report.html", "Write all finished runs in a folder as one file."),
        Example(
            "wildcore report runs/first runs/second --out both.html --figures figures",
            "Write two runs, and each figure as PNG, SVG and CSV.",
        ),
    ),
)
@click.argument("runs", nargs=-1, required=True, type=Folder, metavar="RUN...", shell_complete=complete_runs)
@click.option("--out", required=True, type=Folder, metavar="FILE.html", help="Write the report to this file.")
@click.option(
    "--figures", type=Folder, metavar="DIR", help="Also write each figure as PNG, SVG and CSV into this folder."
)
@click.option("--force", is_flag=True, help="Replace the file, and figures of the same names, if they exist.")
@click.option("--quiet", is_flag=True, help="Show no progress, only the result.")
def report(runs: tuple[Path, ...], out: Path, figures: Path | None, force: bool, quiet: bool) -> None:
    """Write finished runs as one HTML file, which opens offline.

    RUN is a run, a folder with runs in it, or a study's folder.
    """
    from wildcore_report import writing
    from wildcore_report.building import build
    from wildcore_report.finding import find_runs

    reporter = Reporter(quiet)
    writing.require_writable(out, force)
    if figures is not None:
        writing.require_free_for_figures(figures, force)
    with reporter.track("finding runs", None):
        found = find_runs(runs)
    for note in found.notes:
        reporter.line(f"Note: {note}")
    made = build(found, reporter)
    size = writing.write_page(made, out)
    click.echo(
        f"{counted(len(made.summary.runs), 'run')}, {counted(made.summary.case_count, 'case record')}, "
        f"{counted(len(made.drawings), 'figure')}: {out} ({size / 1e6:.1f} MB)"
    )
    if figures is not None:
        count = writing.write_figures(made.drawings, figures, reporter)
        click.echo(f"{count} files of figures: {figures}")


@click.command(
    cls=HelpfulCommand,
    section=RESULTS,
    groups={OUTPUT: ("port", "no_open")},
    examples=(
        Example("wildcore view", "Open all runs in the folder runs, and follow those that are being made."),
        Example("wildcore view runs/first --no-open --port 8000", "Serve one run at a port, and open no browser."),
    ),
)
@click.argument("folder", type=Folder, default=Path("runs"), metavar="[DIR]", shell_complete=complete_runs)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    show_default="a free one",
    help="Port on this machine to listen on.",
)
@click.option("--no-open", is_flag=True, help="Only print the address; open no browser.")
@click.option("--quiet", is_flag=True, help="Show no progress, only the address.")
def view(folder: Path, port: int, no_open: bool, quiet: bool) -> None:
    """Show runs in the browser, live while they are made.

    DIR is a run or a folder of runs (default: runs). Only this machine can open the page, at an address with a random token.
    Nothing is written. Ctrl-C ends it.
    """
    import secrets
    import webbrowser

    from wildcore_report.live import LiveReport
    from wildcore_report.server import ReportServer

    live = LiveReport(folder)
    with ReportServer(live, port, secrets.token_urlsafe(24)) as server:
        made = live.read(Reporter(quiet))
        for note in made.summary.notes:
            click.echo(printable(f"Note: {note}"), err=True)
        runs, cases = counted(len(made.summary.runs), "run"), counted(made.summary.case_count, "case record")
        click.echo(f"{runs}, {cases}: {server.address}")
        click.echo("Ctrl-C ends it.", err=True)
        if not no_open:
            webbrowser.open(server.address)
        server.serve_forever()
