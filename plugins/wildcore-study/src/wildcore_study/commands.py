"""``wildcore study``: plan, run, status, collect; work and script for other machines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from wildcore import Option, UserError, command
from wildcore.completion import complete_editors, complete_models, complete_offers
from wildcore.help_pages import EDIT, Example, HelpfulGroup
from wildcore.jobs.spec import parse_settings
from wildcore.reporting.console import Reporter, results_console
from wildcore_study.choices import PresetChoice, chosen_study
from wildcore_study.collect_command import collect
from wildcore_study.documents import PLAN, STATUS
from wildcore_study.presets import complete_presets
from wildcore_study.script_command import script

Command = TypeVar("Command", bound=Callable[..., Any])
Folder = click.Path(path_type=Path)
SEEDS = click.IntRange(0, 2**63 - 1)
PRESETS = (
    "An experiment of the paper, instead of a study file: table3, input, generation, truncation, metric, extra-content, "
    "sequential, batch-size, retention or decomposition."
)
STUDY: dict[str, tuple[str, ...]] = {"Study": ("preset",)}
EXECUTION: dict[str, tuple[str, ...]] = {
    "Execution": ("executor", "devices", "device", "executor_pairs", "retry", "discard_unfinished", "hours")
}
"""Groups of options in the help."""
UNFINISHED = 1
"""Exit code of ``run`` and ``work`` if runs are left."""


class StudyGroup(HelpfulGroup):
    """The commands of ``study``. A study file, or an option, in place of a command runs the study."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, ``run`` for the name of a TOML file."""
        if args and self.get_command(ctx, args[0]) is None and args[0].endswith(".toml"):
            return super().resolve_command(ctx, ["run", *args])
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``--preset`` in place of a command for ``run --preset``."""
        if args and args[0].partition("=")[0] == "--preset":
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=StudyGroup,
    section=EDIT,
    short_help="Run a grid of evaluations, and show its tables.",
    examples=(
        Example("wildcore study plan example.toml", "Show every run of a study, and what is left to do."),
        Example(
            "wildcore study --preset table3 --model pocket --dataset pocketqa --limit 2",
            "Make a small version of an experiment of the paper.",
        ),
        Example("wildcore study collect runs/study-example", "Print the tables of finished runs."),
    ),
)
def study() -> None:
    """Run a grid of evaluations, described by a TOML file or a preset, and show its tables.

    A study combines models, editors, datasets and protocols. See what it would do with `plan`, make its runs with `run`, and
    print its tables with `collect`.

    `wildcore study FILE.toml` and `wildcore study --preset NAME` are short for `wildcore study run`.
    """


def with_study(command: Command) -> Command:
    """Add the argument and the options that say which study is meant."""
    options = (
        click.argument("file", required=False, type=Folder, metavar="[FILE.toml]"),
        click.option("--preset", metavar="NAME", shell_complete=complete_presets, help=PRESETS),
        click.option(
            "--model",
            "models",
            multiple=True,
            shell_complete=complete_models,
            help="With a preset: model to edit; several allowed.",
        ),
        click.option(
            "--editor",
            "editors",
            multiple=True,
            shell_complete=complete_editors,
            help="With a preset: editors instead of its own.",
        ),
        click.option(
            "--dataset",
            "datasets",
            multiple=True,
            shell_complete=complete_offers("dataset"),
            help="With a preset: datasets instead of its own.",
        ),
        click.option(
            "--protocol",
            "protocols",
            multiple=True,
            shell_complete=complete_offers("protocol"),
            help="With a preset: a further protocol.",
        ),
        click.option("--limit", type=click.IntRange(min=1), help="With a preset: use the first N cases of a dataset."),
        click.option("--sample", type=click.IntRange(min=1), help="With a preset: use N cases drawn at random."),
        click.option("--all-cases", is_flag=True, help="With a preset: also cases that the unedited model gets right."),
        click.option("--dtype", default="auto", show_default=True, help="With a preset: dtype of the weights."),
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            default=32,
            show_default=True,
            help="With a preset: the most prompts in one batch.",
        ),
        click.option(
            "--sample-seed",
            type=SEEDS,
            default=0,
            show_default=True,
            metavar="SEED",
            help="With a preset: seed by which cases are drawn.",
        ),
        click.option(
            "--seed",
            type=SEEDS,
            default=0,
            show_default=True,
            metavar="SEED",
            help="With a preset: seed of the editors.",
        ),
        click.option(
            "--add-metric",
            "added_metrics",
            multiple=True,
            shell_complete=complete_offers("metric"),
            help="With a preset: a further metric.",
        ),
        click.option(
            "--set",
            "pairs",
            multiple=True,
            metavar="SECTION.NAME.PARAMETER=VALUE",
            help="With a preset: set a parameter, such as editor.ft-m.layer=2.",
        ),
        click.option(
            "--out", type=Folder, help="The study's folder, which studies may share. [default: runs/study-NAME]"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def with_execution(command: Command) -> Command:
    """Add the options that say where runs are made."""
    options = (
        click.option(
            "--executor",
            default="local",
            show_default=True,
            shell_complete=complete_offers("executor"),
            help="Where runs are made: local, ray, submitit.",
        ),
        click.option(
            "--devices",
            default="auto",
            show_default=True,
            metavar="DEVICE,...",
            help="One worker for each, such as cuda:0,cuda:1; auto: every GPU, or else the CPU.",
        ),
        click.option(
            "--executor-set",
            "executor_pairs",
            multiple=True,
            metavar="PARAMETER=VALUE",
            help="Set a parameter of the executor; `wildcore describe executor NAME` lists them.",
        ),
        click.option("--retry", is_flag=True, help="Also make runs that were set aside after failures."),
        click.option(
            "--discard-unfinished",
            is_flag=True,
            help="Begin half-written runs again, and move what there is of them to the folder `discarded`.",
        ),
        click.option(
            "--hours",
            type=click.FloatRange(min=0, min_open=True),
            help="Do not begin if what is left takes longer, as far as its time is known.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@study.command(
    short_help="Show every run of a study and what is left.",
    documents=(PLAN,),
    groups=STUDY,
    examples=(
        Example("wildcore study plan example.toml", "Show the runs of a study file."),
        Example(
            "wildcore study plan --preset table3 --model pocket --dataset pocketqa --json",
            "Print the runs of an experiment of the paper for a program.",
        ),
    ),
)
@with_study
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plan(
    ctx: click.Context, /, file: Path | None, preset: str | None, out: Path | None, as_json: bool, **options: Any
) -> None:
    """Show every run of a study, its state, and what is left to do. Nothing is run."""
    from wildcore_study.execution import planned
    from wildcore_study.status import print_plan, study_state

    folder, made = planned(
        ctx.obj, chosen_study(file, preset, choice_of(options)), place(file, preset, out), Reporter(False)
    )
    if as_json:
        click.echo(PLAN.text(study_state(folder, made)))
    else:
        print_plan(results_console(), folder, made)


@study.command(
    short_help="Make the runs of a study that are missing.",
    groups=STUDY | EXECUTION,
    examples=(
        Example("wildcore study run example.toml --devices cpu", "Make the runs of a study file with one worker."),
        Example("wildcore study run example.toml --hours 8", "Begin only if the known time is at most eight hours."),
    ),
)
@with_study
@with_execution
@click.pass_context
def run(ctx: click.Context, /, file: Path | None, preset: str | None, out: Path | None, **options: Any) -> None:
    """Make the runs of a study that are missing, and resume half-written ones.

    Everything that they need is checked before the first edit. Repeat the command to go on after an interruption. The exit code
    is 1 if runs are left.
    """
    from wildcore_study.execution import Execution, execute, planned
    from wildcore_study.status import print_state

    execution = Execution(
        executor=options["executor"],
        devices=options["devices"],
        parameters=dict(_parameter(pair) for pair in options["executor_pairs"]),
        retry=options["retry"],
        discard_unfinished=options["discard_unfinished"],
        hours=options["hours"],
    )
    reporter = Reporter(False)
    folder, made = planned(ctx.obj, chosen_study(file, preset, choice_of(options)), place(file, preset, out), reporter)
    try:
        execute(ctx.obj, folder, made, execution, reporter)
    finally:
        left = print_state(results_console(), folder, made)
    if left:
        ctx.exit(UNFINISHED)
    reporter.line(f"Print the tables with: {command('study', 'collect', str(folder.path))}")


@study.command(
    short_help="Show how many runs of each study are finished.",
    documents=(STATUS,),
    examples=(
        Example("wildcore study status runs/study-example", "Count finished, begun and missing runs."),
        Example("wildcore study status runs/study-example --json", "Print the state of every run for a program."),
    ),
)
@click.argument("folder", type=Folder)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(folder: Path, as_json: bool) -> None:
    """Show how many runs of each study in FOLDER are finished, being made, begun, missing or set aside, and why."""
    from wildcore_study.folder import require_folder
    from wildcore_study.status import StudyStates, print_state, study_state

    found = require_folder(folder)
    plans = found.plans().values()
    if as_json:
        click.echo(STATUS.text(StudyStates(studies=tuple(study_state(found, made) for made in plans))))
        return
    for made in plans:
        print_state(results_console(), found, made)


@study.command(
    short_help="Make waiting runs, as one worker of several.",
    groups=EXECUTION,
    examples=(
        Example("wildcore study work runs/study-example PLAN", "Make runs on any device; PLAN is a file in studies/."),
        Example("wildcore study work runs/study-example PLAN --device cuda:1", "Do the same on the second GPU."),
    ),
)
@click.argument("folder", type=Folder)
@click.argument("plan_name", metavar="PLAN")
@click.option("--device", default="auto", show_default=True, help="Device of this worker.")
@click.pass_context
def work(ctx: click.Context, folder: Path, plan_name: str, device: str) -> None:
    """Make the waiting runs of PLAN in FOLDER until none is left, as one worker of several.

    Executors and job scripts start it. The exit code is 1 if a run is set aside.
    """
    from wildcore_study.execution import work_through

    if work_through(folder, plan_name, device):
        ctx.exit(UNFINISHED)


study.add_command(collect)
study.add_command(script)


def choice_of(options: dict[str, Any]) -> PresetChoice:
    """Return the choices that options made for a preset."""
    if options["limit"] is not None and options["sample"] is not None:
        raise UserError(("cannot be combined with ", Option("sample")), Option("limit"), "leave one of them out")
    fields = {name: options[name] for name in PresetChoice.model_fields if name in options}
    return PresetChoice(**fields, settings=parse_settings(options["pairs"]))


def place(file: Path | None, preset: str | None, out: Path | None) -> Path:
    """Return the study's folder: the one named, or else one that is called after the file or the preset."""
    return out or Path("runs") / f"study-{file.stem if file else preset or 'study'}"


def _parameter(pair: str) -> tuple[str, Any]:
    name, value = next(iter(parse_settings([f"editor.{pair}"]).items()))
    return name.partition(".")[2], value
