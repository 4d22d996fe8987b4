"""What a run tells its trackers: which are chosen, and the numbers at each judging point.

Nothing here changes the run or its files, and no failure of a tracker stops it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any

from wildcore.errors import Option, UserError
from wildcore.evaluation.schedules import Schedule
from wildcore.guarded import problem_of
from wildcore.jobs.modules import validated
from wildcore.jobs.spec import refuse_unused_settings, settings_for
from wildcore.params import TrackerParams
from wildcore.protocols import Metrics
from wildcore.records.run_folder import MANIFEST, RunFolder
from wildcore.records.schema import CaseRecord, JudgingPointRecord, ScoreRecord
from wildcore.registry import Registry
from wildcore.tracking.process import Chosen, TrackerProcess, seconds_allowed
from wildcore.types import EditCase

if TYPE_CHECKING:
    from wildcore.jobs.eval_plan import Reporting

SECTION = "tracker"
POINTS_OF_SINGLE_EDITS = 10
"""How many points a run of single edits has, which has no judging points: each tenth of its cases is one."""
SECONDS_AFTER_INTERRUPTION = 5.0
"""Most seconds for which an interrupted run waits for its trackers."""


@dataclass
class Trackers:
    """The trackers of one call. They see its runs one after the other."""

    processes: Sequence[TrackerProcess] = ()
    reporter: "Reporting | None" = None
    _feed_problem: str | None = None
    _noted: list[TrackerProcess] = field(default_factory=list)

    def start(self) -> None:
        """Make the trackers, each in a process of its own."""
        for process in self.processes:
            process.start()

    def require_ready(self) -> None:
        """Raise ``UserError`` if a tracker cannot be made without the user, for example because its package is missing."""
        for process in self.processes:
            process.require_ready()

    @contextmanager
    def of_run(self, feed: "RunFeed") -> Iterator["RunFeed"]:
        """Let the trackers see a run: it begins now, and was interrupted unless ``feed.finish`` is called."""
        if self.processes:
            feed.connect(self.send, any(process.chosen.cases for process in self.processes), self._guarded)
        try:
            yield feed
        finally:
            feed.leave()

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request to each tracker; the rows of the table of cases only to those that ask for them."""
        for process in self.processes:
            if "cases" in request.get("end", ()) and not process.chosen.cases:
                without = {name: value for name, value in request["end"].items() if name != "cases"}
                process.send({**request, "end": without})
            else:
                process.send(request)
        self._note_problems()

    def close(self, seconds: float) -> None:
        """Wait for the trackers, at most ``seconds``, end their processes, and say where the runs are seen."""
        if self.reporter is None or not self.processes:
            return
        for process in self.processes:
            process.end_requests()
        deadline = monotonic() + seconds
        with self.reporter.track("sending to trackers", None):
            for process in self.processes:
                process.wait(deadline)
        for process in self.processes:
            for place in process.places:
                self.reporter.line(f"Tracked by {process.chosen.name}: {place}")

    def _note_problems(self) -> None:
        """Say once of each tracker that it fails. The notes of a run do not contain it, because its files do not change."""
        for process in self.processes:
            if process.problem is not None and process not in self._noted and self.reporter is not None:
                self._noted.append(process)
                self.reporter.line(f"Note: tracker {process.chosen.name}: {process.problem}; the run goes on")

    def problems(self) -> list[str]:
        """Return which trackers failed, in sentences."""
        failed = [
            f"tracker {one.chosen.name}: {one.problem} ({one.sent - one.done} of {one.sent} messages were not stored; the run "
            "and its files are complete without them)"
            for one in self.processes
            if one.problem is not None
        ]
        return [*failed, *([f"trackers: {self._feed_problem}"] if self._feed_problem else [])]

    def _guarded(self, tell: Callable[[], None]) -> None:
        """Call ``tell``; what goes wrong in it, such as in a metric, is a problem of the trackers and none of the run."""
        try:
            tell()
        except Exception as error:
            self._feed_problem = self._feed_problem or problem_of(error)


@dataclass
class RunFeed:
    """Tells the trackers about one run. Unless it is connected to trackers, it does nothing.

    ``metrics`` are those of the run, by protocol. ``after_patch`` is how many edits the existing patch makes that the run
    evaluates (None: it makes edits).
    """

    folder: RunFolder
    metrics: Mapping[str, Metrics]
    schedule: Schedule
    cases: Sequence[EditCase]
    after_patch: int | None = None
    _send: Callable[[Mapping[str, Any]], None] | None = None
    _wants_cases: bool = False
    _guarded: Callable[[Callable[[], None]], None] = lambda tell: tell()
    _finished: bool = False
    _evaluated: int = 0
    _scores: list[ScoreRecord] = field(default_factory=list)

    def connect(
        self,
        send: Callable[[Mapping[str, Any]], None],
        wants_cases: bool,
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        """Begin the run for the trackers, and tell them what the run's folder holds already, if it is resumed."""
        self._send, self._wants_cases, self._guarded = send, wants_cases, guarded
        self._guarded(self._begin)

    def case(self, record: CaseRecord) -> None:
        """Take the evaluation of a single edit into account."""
        if self._send is not None and self.after_patch is None:
            self._guarded(lambda: self._add_single(record))

    def judged(self, after_edits: int, records: Sequence[CaseRecord], measured: JudgingPointRecord | None) -> None:
        """Tell of a judging point of a sequence, with its evaluations and what was measured there."""
        if self._send is not None:
            self._guarded(lambda: self._point(after_edits, self._scored(records), measured))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Tell that the run is finished."""
        if self._send is not None:
            self._guarded(lambda: self._end(summary))

    def leave(self) -> None:
        """Tell that the work on the run ended, unless it is finished."""
        if self._send is not None and not self._finished:
            self._send({"call": "finish", "end": {"status": "interrupted"}})

    def _begin(self) -> None:
        manifest = self.folder.manifest.model_dump(mode="json", by_alias=True)
        path = self.folder.path.resolve()
        content = (self.folder.path / MANIFEST).read_bytes()
        run = {
            "id": sha256(str(path).encode(errors="surrogateescape") + b"\n" + content).hexdigest()[:16],
            "name": path.name,
            "folder": str(path),
            "manifest": manifest,
        }
        self._tell({"call": "start", "run": run})
        if self.schedule.name == "single":
            for record in self.folder.records():
                self.case(record)
        else:
            self._tell_again()

    def _tell_again(self) -> None:
        """Tell of the judging points that are complete in the folder."""
        scores: dict[tuple[str, int | None], list[ScoreRecord]] = {}
        for record in self.folder.records():
            scores[record.case, record.after_edits] = self._scored([record])
        measured = {point.after_edits: point for point in self.folder.points()}
        if 0 in measured:
            self._point(0, [], measured[0])
        for updates in self.schedule.sequences(self.schedule.ordered(self.cases)):
            for point in self.schedule.judging_points(updates):
                keys = [(case.id, point.after_edits) for case in point.cases]
                if all(key in scores for key in keys) and (not measured or point.after_edits in measured):
                    of_point = [score for key in keys for score in scores[key]]
                    self._point(point.after_edits, of_point, measured.get(point.after_edits))

    def _add_single(self, record: CaseRecord) -> None:
        self._evaluated += 1
        self._scores += self._scored([record])
        count = len(self.cases)
        tenth = self._evaluated * POINTS_OF_SINGLE_EDITS // count
        if tenth > (self._evaluated - 1) * POINTS_OF_SINGLE_EDITS // count:
            self._point(self._evaluated, self._scores, None)

    def _point(self, edits: int, scores: Sequence[ScoreRecord], measured: JudgingPointRecord | None) -> None:
        from wildcore.jobs.tracked_numbers import means, of_model, signs_without_answers  # heavy

        batch = self._edits_before(scores) if self.schedule.name == "batch" else 0
        point = {
            "edits": batch + edits,
            "numbers": means(scores) | (of_model(measured) if measured else {}),
            "collapse": signs_without_answers(measured) if measured else (),
        }
        self._tell({"call": "point", "point": point})

    def _edits_before(self, scores: Sequence[ScoreRecord]) -> int:
        """Return how many edits the batches before that of these scores made: each began with the unedited model."""
        order = {case.id: number for number, case in enumerate(self.schedule.ordered(self.cases))}
        return min((order[score.case] for score in scores), default=0)

    def _end(self, summary: Mapping[str, Any]) -> None:
        from wildcore.jobs.tracked_numbers import of_summary  # heavy

        if self.after_patch is not None:
            self._tell_patch(self.after_patch)
        end: dict[str, Any] = {"status": "finished", "numbers": of_summary(summary)}
        if self._wants_cases:
            from wildcore.scoring.rows import rows

            end["cases"] = [_as_unicode(row) for row in rows(self.folder)]
        self._tell({"call": "finish", "end": end})
        self._finished = True

    def _tell_patch(self, edits: int) -> None:
        """Tell of an existing patch, under which all cases are evaluated at once."""
        measured = {point.after_edits: point for point in self.folder.points()}
        if 0 in measured:
            self._point(0, [], measured[0])
        self._point(edits, self._scored(list(self.folder.records())), measured.get(edits))

    def _scored(self, records: Sequence[CaseRecord]) -> list[ScoreRecord]:
        """Score by the metrics that are cheap enough to be used while the run is going on."""
        from wildcore.scoring.scores import score_case

        cheap = {
            protocol: {kind: tuple(one for one in named if not one[1].expensive) for kind, named in kinds.items()}
            for protocol, kinds in self.metrics.items()
        }
        return [score for record in records for score in score_case(record, cheap)]

    def _tell(self, request: Mapping[str, Any]) -> None:
        if self._send is not None:
            self._send(request)


def _as_unicode(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with a question mark for what no file can hold: half of a surrogate pair."""
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def without_trackers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a job without those of its trackers, which are no part of it."""
    return {key: value for key, value in settings.items() if not _is_of_tracker(key)}


def _is_of_tracker(key: str) -> bool:
    return key.split(".")[0] == SECTION


@contextmanager
def tracking(
    registry: Registry, names: Sequence[str], settings: Mapping[str, Any], reporter: "Reporting"
) -> Iterator[Trackers]:
    """Yield the trackers called ``names``, with those of the ``settings`` that are theirs, not started yet. At the end they are
    waited for, but not long.

    Raises ``UserError`` for a name that is unknown or given twice, and for settings that do not suit.
    """
    own = {key: value for key, value in settings.items() if _is_of_tracker(key)}
    refuse_unused_settings(own, {SECTION: {one for name in names for one in registry.names(SECTION, name)}})
    trackers = Trackers([TrackerProcess(_chosen(registry, name, own)) for name in names], reporter)
    chosen = [(process.chosen.plugin, process.chosen.name) for process in trackers.processes]
    if len(set(chosen)) < len(chosen):
        raise UserError("a tracker is named twice", about=Option("track"))
    try:
        yield trackers
    except BaseException:
        trackers.close(min(SECONDS_AFTER_INTERRUPTION, seconds_allowed()))
        raise
    trackers.close(seconds_allowed())


def _chosen(registry: Registry, name: str, settings: Mapping[str, Any]) -> Chosen:
    found = registry.find(SECTION, name)
    params = validated(SECTION, found, settings_for(settings, SECTION, found.offer.names))
    cases = isinstance(params, TrackerParams) and params.cases
    return Chosen(found.offer.name, found.plugin, params.model_dump(mode="json"), cases)
