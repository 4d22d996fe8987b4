"""``wildcore leaderboard``: build a site from run folders, and check a submission."""

from pathlib import Path

import click

from wildcore.completion import complete_runs
from wildcore.help_pages import OUTPUT, RESULTS, Example, HelpfulCommand, HelpfulGroup
from wildcore.json_documents import JsonDocument
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter, printable

Folder = click.Path(path_type=Path)
INVALID = 1
"""Exit code of ``check`` if the run is not a valid submission."""
VERDICT = JsonDocument("leaderboard-check", 1, "wildcore_leaderboard.findings:Verdict")


class LeaderboardGroup(HelpfulGroup):
    """The commands of ``leaderboard``. A folder, or an option, in place of a command builds the site."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take anything that is neither a command nor a call for help as the arguments of ``build``."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["build", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=LeaderboardGroup,
    section=RESULTS,
    short_help="Rank comparable runs on a static site, and check submissions.",
    examples=(
        Example("wildcore leaderboard runs --out site", "Rank all finished runs in the folder runs."),
        Example("wildcore leaderboard check runs/first", "Check that a run may be submitted."),
    ),
)
def leaderboard() -> None:
    """Rank comparable runs on a static site, and check submissions to it.

    `wildcore leaderboard DIR --out SITE` is short for `wildcore leaderboard build DIR --out SITE`.
    """


@leaderboard.command(
    cls=HelpfulCommand,
    short_help="Write a site that ranks the runs in a folder.",
    groups={OUTPUT: ("title", "no_reports")},
    examples=(
        Example("wildcore leaderboard build runs --out site", "Write the site with a report of each run."),
        Example("wildcore leaderboard build runs --out site --no-reports", "Write the tables alone, which is faster."),
    ),
)
@click.argument("folder", type=Folder, metavar="DIR", shell_complete=complete_runs)
@click.option(
    "--out", type=Folder, required=True, metavar="SITE", help="Folder of the site: new, empty, or an earlier site."
)
@click.option("--title", default="Leaderboard", show_default=True, help="Heading of the site.")
@click.option("--no-reports", is_flag=True, help="Leave out the reports of the runs, which wildcore-report makes.")
@click.pass_context
def build(ctx: click.Context, /, folder: Path, out: Path, title: str, no_reports: bool) -> None:
    """Write a static site to SITE that ranks all finished runs in DIR, at any depth.

    Only what is comparable is ranked together: the same cases, model, dtype, schedule, judging point, protocol and metric.
    Needs no model and no network. The same runs give the same site, byte for byte.
    """
    from wildcore_leaderboard.build import build_site
    from wildcore_leaderboard.reports import report_writer

    registry: Registry = ctx.find_root().obj
    report = None if no_reports else report_writer(ctx, registry)
    if report is None and not no_reports:
        click.echo("Note: reports are left out, because the plugin wildcore-report is not installed", err=True)
    built = build_site(registry, folder, out, title, report, Reporter(quiet=False))
    for note in built.notes:
        click.echo(printable(f"Note: {note}"), err=True)
    click.echo(printable(built.in_a_sentence()))


@leaderboard.command(
    cls=HelpfulCommand,
    short_help="Check that a run is a valid submission.",
    documents=(VERDICT,),
    groups={"Check": ("dataset_file", "unchecked", "revisions")},
    examples=(
        Example("wildcore leaderboard check runs/first", "Say in one sentence whether the run may be submitted."),
        Example("wildcore leaderboard check runs/first --json", "List every problem for a program."),
    ),
)
@click.argument("run", type=Folder, shell_complete=complete_runs)
@click.option(
    "--dataset-file",
    type=Folder,
    metavar="FILE",
    help="The file of the dataset that the run names: also compare every fact with it.",
)
@click.option(
    "--allow-unchecked",
    "unchecked",
    multiple=True,
    metavar="METRIC",
    help="Let a metric pass that cannot be computed again here; `dataset` lets facts pass that the hash does not confirm.",
)
@click.option(
    "--allow-revision",
    "revisions",
    multiple=True,
    metavar="COMMIT",
    help="Let a run pass that was made by this source revision of wildcore, unchanged; at least 7 digits.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict with all problems as JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    /,
    run: Path,
    dataset_file: Path | None,
    unchecked: tuple[str, ...],
    revisions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check that RUN is a valid submission: whole, unchanged, with the scores that its answers give, from released versions.

    Says in one sentence what is wrong, and exits with code 1. No model is loaded and no service is asked.
    """
    from wildcore_leaderboard.check import Allowed, checked

    with Reporter(quiet=False).track("checking", None):
        verdict = checked(ctx.find_root().obj, run, Allowed(unchecked, revisions), dataset_file)
    if as_json:
        click.echo(VERDICT.text(verdict))
    else:
        click.echo(printable(verdict.in_a_sentence()))
        for named in verdict.named:
            click.echo(printable(f"Named: {named}"))
    if not verdict.valid:
        ctx.exit(INVALID)
