"""Whole evaluations, in a run folder as ``wildcore eval`` creates it, and further scores."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, overload

from wildcore.api.asking import Reply, answered_probes
from wildcore.api.editors import EditorChoice, chosen
from wildcore.api.jobs import (
    Names,
    Protocols,
    job,
    joined_settings,
    names,
    plugins,
    protocol_names,
)
from wildcore.api.naming import errors_in_python
from wildcore.api.patches import ModelPatch, fitting
from wildcore.api.progress import reporter_for
from wildcore.datasets.selection import require_one_choice
from wildcore.defaults import BOTH_PROTOCOLS, EMBEDDED_DATASET
from wildcore.errors import Option, UserError
from wildcore.evaluation.schedules import SECONDS_BETWEEN_SAVES, require_fitting_schedule
from wildcore.home import user_path
from wildcore.interfaces import Editor, Environment, Metric
from wildcore.jobs.build import (
    WILD_OR_FIRST,
    MadeEditor,
    chosen_measurements,
    filter_protocol,
    require_offered,
    segmenters,
)
from wildcore.jobs.in_use import require_unedited
from wildcore.jobs.protocols import added_metrics
from wildcore.jobs.score import add_scores
from wildcore.jobs.spec import CONTINUATION, JobSpec, refuse_unused_settings
from wildcore.jobs.tracking import Trackers, tracking, without_trackers
from wildcore.records.run_folder import RunFolder, require_free, resume_command
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter
from wildcore.reporting.run import print_edits_of, print_run
from wildcore.scoring.rows import rows
from wildcore.scoring.scores import mean_of_samples
from wildcore.scoring.summary import summary
from wildcore.scripts import SeparatorChoice
from wildcore.storage.cache import cache_folder
from wildcore.types import AnsweredProbe, Score

if TYPE_CHECKING:
    from pandas import DataFrame

    from wildcore.models.loaded import LoadedModel


class Result:
    """A finished run. ``wildcore show``, ``compare``, ``score`` and ``agreement`` read its ``folder`` too."""

    @errors_in_python
    def __init__(self, folder: str | Path) -> None:
        """Open a run folder. Raises ``UserError`` if it is not a run, or is unfinished."""
        self.run = RunFolder.finished(user_path(folder), reporter_for(True).note)

    @property
    def folder(self) -> Path:
        """The folder with everything that was asked, answered and scored."""
        return self.run.path

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers of the run and everything that they depend on, as printed by ``wildcore show --json``."""
        return summary(self.run)

    def table(self) -> None:
        """Print what was measured, as ``wildcore show`` does."""
        print_run(self.run)

    def edits(self) -> None:
        """Print each edit with its scores and answers, as ``wildcore show --edits`` does."""
        print_edits_of(self.run)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each score: the edit, the question, both answers and both values. Of several samples only the
        first is shown.
        """
        return rows(self.run)

    @errors_in_python
    def to_pandas(self) -> "DataFrame":
        """Return ``rows`` as a data frame. Raises ``UserError`` if pandas is not installed."""
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise UserError(
                f"it needs pandas, which cannot be imported ({error})", "to_pandas", "pip install pandas, or use rows()"
            ) from error
        return DataFrame(self.rows())

    def __repr__(self) -> str:
        return f"Result({str(self.folder)!r})"


@errors_in_python
def evaluate(
    model: "LoadedModel",
    editor: EditorChoice | Editor | str | None = None,
    *,
    patch: ModelPatch | str | Path | None = None,
    dataset: str | None = None,
    protocols: Protocols = BOTH_PROTOCOLS,
    limit: int | None = None,
    sample: int | None = None,
    sample_seed: int = 0,
    where: Mapping[str, str] | None = None,
    skip_malformed: bool = False,
    only_failures: bool | str = False,
    schedule: str = "single",
    edits_per_update: int | None = None,
    judge_at: str = "end",
    edit_order: int | None = None,
    measurements: Names = (),
    stop_when_collapsed: bool = False,
    checkpoint_every: float | None = SECONDS_BETWEEN_SAVES,
    context: str | None = None,
    generator: str | None = None,
    truncator: str | None = None,
    metrics: Names = (),
    added_metrics: Names = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    parallel: int | str = "auto",
    continuation: int = CONTINUATION,
    hard_locality: int = 0,
    target_separator: SeparatorChoice = "auto",
    trace: bool = False,
    track: Names = (),
    out: str | Path | None = None,
    progress: bool = True,
) -> Result:
    """Edit ``model`` fact by fact, and evaluate each edit under ``protocols``, as ``wildcore eval`` does: the numbers are the
    same.

    Parameters are the options of ``wildcore eval``; ``settings`` are those of ``--set``, such as {"dataset.path":
    "facts.json"}. ``dataset`` is the embedded one by default. Instead of an ``editor``, a ``patch`` can be evaluated, on its
    own facts or on a dataset that contains them. ``only_failures`` is True or the name of a protocol. ``seed`` is that of the
    editor; cases are drawn by ``sample_seed``. ``out`` is the run folder (None: a new temporary folder). An interrupted run
    keeps its finished cases, and ``wildcore eval --resume`` resumes it, unless its editor is an object of this program.
    ``track`` names trackers, which are shown the numbers while the run is going on; one that fails is a warning. Raises
    ``UserError`` for bad input, before anything is run, and for a run that is stopped because its first edits are all refused.
    """
    require_unedited(model)
    if (editor is None) == (patch is None):
        raise UserError(
            ("give either an ", Option("editor"), ", to make edits, or a ", Option("patch"), ", to evaluate it"),
            about="evaluate",
        )
    require_one_choice(limit, sample)
    require_fitting_schedule(schedule, edits_per_update, patch, judge_at, edit_order)
    named, own_protocols = protocol_names(protocols)
    choice, own = chosen(editor) if editor is not None else (EditorChoice(""), None)
    folder = Path(mkdtemp(prefix="wildcore-")) / "run" if out is None else user_path(out)
    require_free(folder)
    every_setting = joined_settings(choice.settings, settings)
    spec = job(
        JobSpec,
        model,
        editor=choice.name,
        dataset=(EMBEDDED_DATASET if patch is None else "") if dataset is None else dataset,
        protocols=named,
        own_protocols=own_protocols,
        limit=limit,
        sample=sample,
        sample_seed=sample_seed,
        where=where or {},
        skip_malformed=skip_malformed,
        only_failures=filter_protocol(WILD_OR_FIRST if only_failures is True else only_failures or None, named),
        schedule=schedule,
        edits_per_update=edits_per_update,
        judge_at=judge_at,
        edit_order=edit_order,
        stop_when_collapsed=stop_when_collapsed,
        checkpoint_every=checkpoint_every,
        context=context,
        generator=generator,
        truncator=truncator,
        metrics=names(metrics),
        added_metrics=names(added_metrics),
        settings=without_trackers(every_setting),
        seed=seed,
        batch_size=batch_size,
        parallel=str(parallel),
        continuation=continuation,
        hard_locality=hard_locality,
        target_separator=target_separator,
        as_published=choice.as_published,
        trace=trace,
    )
    registry = plugins(own_protocols)
    measured = chosen_measurements(registry, schedule, judge_at, names(measurements), patch=patch is not None)
    spec = spec.model_copy(update={"measurements": measured})
    require_offered(registry, spec)
    if patch is not None:
        spec = spec.model_copy(update=_of_patch(patch, fitting(patch, model)))
    reporter = reporter_for(progress)
    with tracking(registry, names(track), every_setting, reporter) as trackers:
        _carry_out(registry, spec, folder, model, own, reporter, trackers)
    for problem in trackers.problems():
        warnings.warn(problem, stacklevel=3)
    return Result(folder)


def _carry_out(
    registry: Registry,
    spec: JobSpec,
    folder: Path,
    model: "LoadedModel",
    own: MadeEditor | None,
    reporter: Reporter,
    trackers: Trackers,
) -> None:
    """Run a job in ``folder``. ``own`` is its editor if that is an object of the user's program.

    Raises ``UserError`` if the run is stopped because its first edits are all refused.
    """
    from wildcore.jobs.whole_runs import begin_run  # heavy

    try:
        begin_run(registry, spec, folder, model, reporter, own, trackers)
    except KeyboardInterrupt:
        if folder.is_dir():
            way_on = "" if own else f" Go on with: {resume_command(folder)}"
            reporter.line(f"Interrupted; what is finished is kept in {folder}.{way_on}")
        raise


@overload
def score(
    answers: str | Path | Result,
    metric: str,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> Result: ...


@overload
def score(
    answers: Sequence[Reply],
    metric: str,
    *,
    unedited: Sequence[Reply] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> list[Score]: ...


@errors_in_python
def score(
    answers: str | Path | Result | Sequence[Reply],
    metric: str,
    *,
    unedited: Sequence[Reply] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> Result | list[Score]:
    """Score stored answers by ``metric``, without a model.

    ``answers`` are a finished run or its folder; the scores are added to it as by ``wildcore score``, and the run's result is
    returned. Or they are replies of ``ask``; the score of each is returned, the mean over its samples. ``unedited`` are then
    the unedited model's replies to the same questions, for metrics that compare with them. ``settings`` are those of ``--set
    metric.NAME=VALUE``. ``seed`` None: that of the run, else 0. Raises ``UserError`` for bad input.
    """
    registry, chosen_settings, reporter = plugins(), joined_settings(settings), reporter_for(progress)
    if isinstance(answers, str | Path | Result):
        if unedited is not None:
            raise UserError("a run has the unedited model's answers", "unedited", "leave it out")
        run = answers.run if isinstance(answers, Result) else RunFolder.finished(user_path(answers), reporter.note)
        of_run = int(run.manifest.job["seed"]) if seed is None else seed
        add_scores(
            registry,
            run,
            [metric],
            chosen_settings,
            Environment(cache_folder(), of_run, reporter, segmenter=segmenters(registry), clock=run.started),
        )
        return Result(run.path)
    refuse_unused_settings(chosen_settings, {"metric": registry.names("metric", metric)})
    made = added_metrics(registry, [metric], chosen_settings)[0].metric
    groups = _compared(list(answers), unedited, made, metric)
    made.prepare(Environment(cache_folder(), seed or 0, reporter, segmenter=segmenters(registry)))
    return _scores(answers, groups, made)


def _compared(
    replies: list[Reply], unedited: Sequence[Reply] | None, metric: Metric, name: str
) -> list[list[AnsweredProbe]]:
    """Return each reply as the metric receives it. Raises ``UserError`` for replies that this metric cannot score."""
    for reply in [*replies, *(unedited or ())]:
        if not isinstance(reply, Reply):
            raise UserError(
                f"expected a run folder or what wildcore.api.ask returned, found {reply!r:.80}", about="answers"
            )
    if metric.reads_unedited and unedited is None:
        raise UserError(
            "it compares with the unedited model's answers",
            about=f"metric {name}",
            way_out="ask without a patch too, and hand those replies over (unedited=...)",
        )
    before: Sequence[Reply | None] = [None] * len(replies) if unedited is None else unedited
    if [reply.question for reply in replies] != [one.question for one in before if one] and unedited is not None:
        raise UserError("these replies are not to the same questions in the same order", about="unedited")
    return [answered_probes(reply, other) for reply, other in zip(replies, before, strict=True)]


def _scores(replies: Sequence[Reply], groups: Sequence[Sequence[AnsweredProbe]], metric: Metric) -> list[Score]:
    """Return one score for each reply: the mean over its samples, which are all scored in one call."""
    given = iter(metric.score([item for group in groups for item in group]))
    scores = []
    for reply, group in zip(replies, groups, strict=True):
        samples = tuple(next(given) for _ in group)
        value, reason = mean_of_samples(samples, reply.unanswered or "no answer")
        details = samples[0].details if len(samples) == 1 else {}
        scores.append(Score(value=value, reason=reason, details=details))
    return scores


def _of_patch(given: ModelPatch | str | Path, patch: ModelPatch) -> dict[str, str]:
    """Return the fields of a job that evaluates a patch. A patch without a file is written to a temporary one."""
    if isinstance(given, ModelPatch):
        given = given.save(Path(mkdtemp(prefix="wildcore-")) / "patch.safetensors")
    return {"editor": patch.manifest.editor_name, "patch": str(user_path(given))}
