"""``wildcore eval``: edit a model, ask it before and after, and print the results of the edits."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from pydantic import ValidationError

from wildcore.cli import shortcuts
from wildcore.cli.exit_codes import ALL_REFUSED
from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.options import (
    AS_PUBLISHED,
    BATCH_SIZE,
    CONTEXT,
    DEVICE,
    DEVICE_MAP,
    DTYPE,
    GENERATOR,
    HARD_LOCALITY,
    LIMIT,
    MERGE_ADAPTER,
    METRICS,
    MODEL,
    PROTOCOL_FILES,
    QUIET,
    REVISION,
    SAMPLE,
    SAMPLE_SEED,
    SEED,
    SETTINGS,
    SKIP_MALFORMED,
    TARGET_SEPARATOR,
    THREADS,
    TRACE,
    TRUNCATOR,
    TRUST_REMOTE_CODE,
    WHERE,
    auto_or_number,
    of_job,
    parse_where,
    seconds_or_never,
    with_options,
)
from wildcore.cli.pages import CoreCommand
from wildcore.cli.startup import loading_libraries, torch_loaded
from wildcore.completion import complete_editors, complete_offers, complete_runs
from wildcore.datasets.selection import require_one_choice
from wildcore.defaults import BOTH_PROTOCOLS, EMBEDDED_DATASET, MEASUREMENTS
from wildcore.errors import UserError, command
from wildcore.evaluation.schedules import FIRST_EDITS, SCHEDULES, SECONDS_BETWEEN_SAVES, require_fitting_schedule
from wildcore.help_pages import EDIT
from wildcore.jobs.build import (
    NO_MEASUREMENTS,
    WILD_OR_FIRST,
    chosen_measurements,
    filter_protocol,
    find_editor,
    require_offered,
)
from wildcore.jobs.protocol_files import read_protocol
from wildcore.jobs.resume import mended, with_later_fields
from wildcore.jobs.spec import CONTINUATION, JobSpec
from wildcore.jobs.tracking import Trackers, tracking, without_trackers
from wildcore.records.run_folder import RunFolder, require_free, resume_command
from wildcore.registry import Registry
from wildcore.reporting.comparison import print_comparison
from wildcore.reporting.console import Reporter, is_plain, print_whole, printable, results_console
from wildcore.reporting.run import all_refused, nothing_measured, print_edits_of, print_run, print_runs
from wildcore.scoring.summary import ONE_RUN, SEVERAL_RUNS, summary

PREPARING = "reading data and model"

Folder = click.Path(path_type=Path)
Begun = tuple[RunFolder, str | None]
"""A run that was carried out, and the reason of the refusals if it was stopped because its first edits were all refused
(None: it was not stopped)."""


@click.command(
    "eval",
    cls=CoreCommand,
    section=EDIT,
    short_help="Edit a model, ask it before and after, show what held.",
    documents=(ONE_RUN, SEVERAL_RUNS),
)
@click.option(
    "--editor",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_editors,
    help="Editing method, or METHOD+TRANSFORM; give several for several runs.",
)
@click.option(
    "--patch",
    type=Folder,
    metavar="FILE",
    help="Evaluate this patch file, or what this run wrote, instead of making edits: on its own facts, or on --dataset.",
)
@with_options(MODEL, REVISION, DTYPE, DEVICE, DEVICE_MAP, TRUST_REMOTE_CODE, MERGE_ADAPTER)
@click.option(
    "--dataset",
    default=EMBEDDED_DATASET,
    show_default=True,
    shell_complete=complete_offers("dataset"),
    help="Where the edits come from.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    shell_complete=complete_offers("protocol"),
    help="How to ask and score; several allowed. [default: synthetic, wild]",
)
@with_options(PROTOCOL_FILES, CONTEXT, GENERATOR, TRUNCATOR, METRICS)
@click.option(
    "--add-metric",
    "added_metrics",
    multiple=True,
    shell_complete=complete_offers("metric"),
    help="Score by this metric too; several allowed.",
)
@with_options(SETTINGS, AS_PUBLISHED, TRACE, WHERE, LIMIT, SAMPLE, SAMPLE_SEED, SKIP_MALFORMED)
@click.option(
    "--only-failures",
    is_flag=False,
    flag_value=WILD_OR_FIRST,
    metavar="[PROTOCOL]",
    shell_complete=complete_offers("protocol"),
    help="Use only cases that the unedited model gets wrong under PROTOCOL. [default: wild, else the first]",
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    default="single",
    show_default=True,
    help="Write each edit alone, in batches, or one upon the other.",
)
@click.option(
    "--edits-per-update",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of edits that one update of the model writes. [default: batch all, sequential 1]",
)
@click.option(
    "--judge-at",
    metavar="POINTS",
    default="end",
    show_default=True,
    help="When the cases of a sequence are evaluated: end; each (each update's cases right after it); matrix (all cases so "
    "far, after each update); every:K; or numbers of edits such as 1,10,100.",
)
@click.option(
    "--edit-order",
    "edit_orders",
    multiple=True,
    type=click.IntRange(min=0, max=2**63 - 1),
    metavar="SEED",
    help="Shuffle the order in which edits are written together; give several for several runs. [default: the dataset's]",
)
@click.option(
    "--measure",
    "measurements",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_offers("measurement"),
    help=f"Measure the model at judging points; several allowed, or none. [default: {', '.join(MEASUREMENTS)}, unless "
    "judged at each]",
)
@click.option(
    "--stop-when-collapsed", is_flag=True, help="End a sequence at a judging point at which the model has collapsed."
)
@click.option(
    "--checkpoint-every",
    metavar="SECONDS|never",
    default=f"{SECONDS_BETWEEN_SAVES:.0f}",
    show_default=True,
    callback=seconds_or_never,
    help="Save a sequence at most this often, so that a killed run can be resumed. never: a resumed run makes its edits again.",
)
@click.option(
    "--track",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_offers("tracker"),
    help="Show the numbers in this tracker while the run is going on; several allowed. It changes nothing in the run.",
)
@with_options(SEED, BATCH_SIZE)
@click.option(
    "--parallel",
    metavar="auto|N",
    default="auto",
    show_default=True,
    callback=auto_or_number,
    help="Number of single edits to solve and evaluate at once; with other schedules, of cases to evaluate. A killed run "
    "loses at most these.",
)
@with_options(THREADS)
@click.option(
    "--continuation",
    type=click.IntRange(min=0),
    default=CONTINUATION,
    show_default=True,
    metavar="N",
    help="Continue a cut answer to an edit prompt for N characters, to show what follows; no score depends on it. 0: off.",
)
@with_options(HARD_LOCALITY, TARGET_SEPARATOR)
@click.option(
    "--out", "destination", type=Folder, help="Run folder to create; with several editors, the folder for their runs."
)
@click.option("--resume", type=Folder, metavar="RUN", shell_complete=complete_runs, help="Resume an interrupted run.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON; of several runs, all summaries.")
@click.option("--edits", "list_edits", is_flag=True, help="Print the edits one by one too.")
@with_options(QUIET)
@click.pass_context
def eval_command(ctx: click.Context, /, **options: Any) -> None:
    """Edit a model fact by fact, and evaluate each edit under one or more protocols.

    A run stops early if its first hundred edits are all refused for one reason. The exit code is 3 if a run was stopped early,
    or all its edits were refused.
    """
    registry: Registry = ctx.obj
    reporter = Reporter(options["quiet"], COMMAND_LINE)
    if options["as_json"] and options["list_edits"]:
        raise UserError("--edits: the summary in --json has no edits; leave it out, and use show RUN --edits --json")
    with tracking(registry, options["track"], shortcuts.settings(ctx, registry), reporter) as trackers:
        if options["resume"]:
            begun = [_resume(ctx, registry, options["resume"], reporter, trackers)]
        else:
            specs = _specs(ctx, registry, reporter)
            registry.add_protocols(specs[0].own_protocols)
            _say_what_is_embedded(ctx, reporter)
            begun = _start(ctx, registry, specs, reporter, trackers)
    folders = [folder for folder, stopped in begun if stopped is None]
    if folders:
        _print(registry, folders, reporter, options["as_json"], options["list_edits"])
    stopped = [_stopped(folder, reason) for folder, reason in begun if reason is not None]
    refused = [folder for folder in folders if all_refused(list(folder.cases()))]
    for line in (*stopped, *(_refused(folder) for folder in refused if options["as_json"]), *trackers.problems()):
        click.echo(printable(line), err=True)
    if stopped or refused:
        ctx.exit(ALL_REFUSED)


def _stopped(folder: RunFolder, reason: str) -> str:
    """Return the message for a run that was stopped because its first edits were all refused."""
    return (
        f"Nothing was measured: the first {FIRST_EDITS} edits were all refused for one reason, the last of them: {reason}. "
        "Correct the edits, or choose another editor. The refusals are kept; to continue with the remaining edits anyway: "
        f"{resume_command(folder.path)}"
    )


def _refused(folder: RunFolder) -> str:
    return f"{folder.path}: {nothing_measured(list(folder.cases()))}"


def _specs(ctx: click.Context, registry: Registry, reporter: Reporter) -> list[JobSpec]:
    """Return one job for each editor named."""
    options = ctx.params
    if options["patch"] and options["editor"]:
        raise UserError("--patch evaluates an existing patch, and --editor makes patches; give one of them")
    if not options["patch"] and not options["editor"]:
        raise UserError("no editor named; give --editor NAME (wildcore plugins lists them)")
    if len(set(options["editor"])) < len(options["editor"]):
        raise UserError("--editor: an editor is named twice")
    for flag in ("as_published", "trace"):
        if options["patch"] and options[flag]:
            name = flag.replace("_", "-")
            raise UserError(
                f"--{name}: cannot be combined with --patch, whose edits are already made; leave --{name} out"
            )
    require_one_choice(options["limit"], options["sample"])
    files = tuple(read_protocol(file) for file in options["protocol_files"])
    protocols = (*options["protocols"], *(protocol.name for protocol in files)) or BOTH_PROTOCOLS
    chosen = _job_options(ctx, registry) | {"protocols": protocols, "own_protocols": files}
    orders = options["edit_orders"] or (None,)
    if len(set(orders)) < len(orders):
        raise UserError("--edit-order: an order of edits is named twice")
    require_fitting_schedule(
        chosen["schedule"], chosen["edits_per_update"], chosen["patch"], chosen["judge_at"], orders[0]
    )
    added = shortcuts.added_measurements(ctx, registry)
    chosen["measurements"] = chosen_measurements(
        registry, chosen["schedule"], chosen["judge_at"], chosen["measurements"], added, bool(chosen["patch"])
    )
    chosen["only_failures"] = filter_protocol(chosen["only_failures"], protocols)
    if options["patch"]:
        own = {} if _is_given(ctx, "dataset") else {"dataset": ""}
        return [JobSpec(**{**chosen, **own, "editor": _editor_of(options["patch"], reporter)})]
    return [
        JobSpec(**{**chosen, "editor": editor, "edit_order": order}) for editor in options["editor"] for order in orders
    ]


def _editor_of(patch: Path, reporter: Reporter) -> str:
    """Return the name of the editor that made a patch file. Raises ``UserError`` if the file is not a patch."""
    with loading_libraries(reporter):
        from wildcore.evaluation.checkpoints import read_patch_or_run  # heavy

    return read_patch_or_run(patch).manifest.editor_name


def _job_options(ctx: click.Context, registry: Registry) -> dict[str, Any]:
    chosen = of_job(JobSpec, ctx.params)
    return chosen | {
        "patch": str(ctx.params["patch"]) if ctx.params["patch"] else None,
        "settings": without_trackers(shortcuts.settings(ctx, registry)),
        "added_metrics": shortcuts.added_metrics(ctx, registry, ctx.params["added_metrics"]),
        "where": parse_where(ctx.params["where"]),
    }


def _say_what_is_embedded(ctx: click.Context, reporter: Reporter) -> None:
    for name in ("model",) if ctx.params["patch"] else ("model", "dataset"):
        if not _is_given(ctx, name):
            reporter.note(f"no --{name} given, so this uses the embedded {name} {ctx.params[name]!r}")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT


def _start(
    ctx: click.Context, registry: Registry, specs: list[JobSpec], reporter: Reporter, trackers: Trackers
) -> list[Begun]:
    paths = list(run_paths(specs, ctx.params["destination"]))
    for spec, path in paths:
        require_free(path)
        if not spec.patch:
            find_editor(registry, spec.editor)
        require_offered(registry, spec)
    with torch_loaded(reporter, ctx.params["threads"]):
        from wildcore.jobs.eval import open_evaluation  # heavy: imported only after the names have been checked
        from wildcore.jobs.eval_plan import plan_evaluation

    with reporter.track(PREPARING, None):
        evaluation = open_evaluation(plan_evaluation(registry, specs, reporter, trackers=trackers))
        folders = [evaluation.create(spec, path) for spec, path in paths]
    return [
        (folder, _carry_out(evaluation, spec, folder, reporter, folders[number:]))
        for number, (spec, folder) in enumerate(zip(specs, folders, strict=True), start=1)
    ]


def run_paths(specs: Sequence[JobSpec], destination: Path | None) -> Iterator[tuple[JobSpec, Path]]:
    """Return the folder of each run: ``destination`` itself for one run, for several a folder in it for each editor, and for
    each order of edits.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for spec in specs:
        editor = spec.editor.replace("/", "-")
        if destination is None:
            data = spec.dataset.replace("/", "-") or "patch"
            order = "" if spec.edit_order is None else f"-order-{spec.edit_order}"
            yield spec, _free(Path("runs") / f"{stamp}-{editor}-{data}{order}")
        else:
            several_editors = len({one.editor for one in specs}) > 1
            several_orders = len({one.edit_order for one in specs}) > 1
            names = [editor] * several_editors + [f"order-{spec.edit_order}"] * several_orders
            yield spec, destination.joinpath(*names)


def _free(path: Path) -> Path:
    """Return ``path``, with a number added to its name if another run of the same second has it."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(found for found in chain([path], numbered) if not found.exists())


def _resume(ctx: click.Context, registry: Registry, run: Path, reporter: Reporter, trackers: Trackers) -> Begun:
    folder = RunFolder.open(run)
    spec = _spec_to_resume(ctx, registry, folder)
    registry.add_protocols(spec.own_protocols)
    for note in mended(folder):
        reporter.note(note)
    with torch_loaded(reporter, ctx.params["threads"]):
        from wildcore.jobs.eval import open_evaluation  # heavy: imported only after the folder has been checked
        from wildcore.jobs.eval_plan import plan_evaluation

    with reporter.track(PREPARING, None):
        evaluation = open_evaluation(
            plan_evaluation(registry, [spec], reporter, started=folder.started, trackers=trackers), resumed=folder
        )
        evaluation.check_same(spec, folder)
    return folder, _carry_out(evaluation, spec, folder, reporter)


def _spec_to_resume(ctx: click.Context, registry: Registry, folder: RunFolder) -> JobSpec:
    """Return the run's own job, changed by the command line; a change that matters is refused later."""
    options, job = _job_options(ctx, registry), with_later_fields(folder.manifest.job)
    given: dict[str, Any] = {n: v for n, v in options.items() if _is_given(ctx, n)}
    if shortcuts.any_given(ctx, registry):
        given |= {name: options[name] for name in ("settings", "added_metrics")}
        added = shortcuts.added_measurements(ctx, registry)
        given["measurements"] = tuple(dict.fromkeys([*job.get("measurements", ()), *added]))
    if ctx.params["protocol_files"]:
        raise UserError("--protocol-file: a resumed run keeps the protocols that it was begun with; leave it out")
    if ctx.params["destination"]:
        raise UserError("--out: a resumed run stays in its own folder; leave --out out")
    if "editor" in given:
        if len(given["editor"]) != 1:
            raise UserError("--resume resumes one run, which has one editor")
        given["editor"] = given["editor"][0]
    orders: tuple[int, ...] = ctx.params["edit_orders"]
    if orders:
        if len(orders) != 1:
            raise UserError("--resume resumes one run, which has one order of edits")
        given["edit_order"] = orders[0]
    if "measurements" in given:
        given["measurements"] = tuple(name for name in given["measurements"] if name != NO_MEASUREMENTS)
    given["settings"] = {**job.get("settings", {}), **given.get("settings", {})}
    given["added_metrics"] = tuple(dict.fromkeys([*job.get("added_metrics", ()), *given.get("added_metrics", ())]))
    if "only_failures" in given:
        given["only_failures"] = filter_protocol(given["only_failures"], job.get("protocols", BOTH_PROTOCOLS))
    resumed = {**job, **given}
    require_fitting_schedule(
        resumed.get("schedule", "single"),
        given.get("edits_per_update"),
        job.get("patch"),
        given.get("judge_at", "end"),
        given.get("edit_order"),
    )
    try:
        return JobSpec.model_validate(resumed)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise UserError(
            f"--resume {folder.path}: its manifest.json does not hold a job as this version writes it ({wrong}); go on with the "
            "version that began it"
        ) from error


def _carry_out(
    evaluation: Any, spec: JobSpec, folder: RunFolder, reporter: Reporter, later: Sequence[RunFolder] = ()
) -> str | None:
    """Carry a run out. Returns why it was stopped because its first edits were all refused (None: it was not stopped)."""
    from wildcore.evaluation.refusals import AllRefused  # heavy

    try:
        evaluation.carry_out(spec, folder)
        return None
    except AllRefused as stopped:
        return str(stopped)
    except KeyboardInterrupt:
        said = [f"Interrupted; what is finished is kept. Go on with: {resume_command(folder.path)}"]
        said += [f"Not begun yet: {resume_command(other.path)}" for other in later]
        raise KeyboardInterrupt("\n".join(said)) from None


def _print(registry: Registry, folders: list[RunFolder], reporter: Reporter, as_json: bool, list_edits: bool) -> None:
    if as_json:
        summaries = [summary(folder) for folder in folders]
        click.echo(ONE_RUN.text(summaries[0]) if len(summaries) == 1 else SEVERAL_RUNS.text({"runs": summaries}))
        return
    said = [] if is_plain(results_console()) else reporter.notes  # a file is complete by itself
    if list_edits:
        for folder in folders:
            print_edits_of(folder, said, reporter.quiet)
    if len(folders) == 1:
        print_run(folders[0], said, reporter.quiet)
        return
    print_runs(folders, said, reporter.quiet)
    results_console().print()
    print_comparison(registry, folders, with_differences=False)
    if not reporter.quiet:
        print_whole(results_console(), f"Next: {command('compare', *(folder.path for folder in folders))}")
