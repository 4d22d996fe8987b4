"""Runs whose edits are written several in one update, or one upon the other, and evaluated afterwards."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import OutOfMemoryError

from wildcore.errors import Option, Place, UserError
from wildcore.evaluation.checkpoints import Checkpoint, PeriodicCheckpoint, SequenceState
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.groups import OnCase, evaluate_edits, run_in_groups
from wildcore.evaluation.judging import JudgingPoint
from wildcore.evaluation.measuring import ModelMeasurer, has_finite_logits
from wildcore.evaluation.refusals import RefusalWatch, Update, set_state, write_together
from wildcore.evaluation.schedules import SECONDS_BETWEEN_SAVES, Schedule
from wildcore.interfaces import Editor, Environment
from wildcore.models.loaded import LoadedModel
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, JudgingPointRecord
from wildcore.records.trace_files import write_case_traces
from wildcore.storage.sizes import format_bytes, free_space
from wildcore.types import EditCase, EditRequest

Group = Sequence[EditCase]
"""The cases that one update writes."""
Point = JudgingPoint[EditCase]
OnJudged = Callable[[int, Sequence[CaseRecord], JudgingPointRecord | None], None]
WORTH_SAYING = 64 << 20
"""Size of a checkpoint, in bytes, from which on it is said."""


@dataclass
class SequenceRunner:
    """Runs the sequences of a run. Each starts with the unedited model and an editor without state.

    A checkpoint is saved in the run's folder while a sequence is written, and before its last evaluation; a resumed run
    continues from there. The model is unedited before and after. ``label`` is printed before the progress; ``say`` prints a
    line; ``on_point`` is given the evaluations of each judging point. ``on_judged`` is called when a judging point is complete,
    with its number of edits, its evaluations and what was measured, and for the unedited model, if that is measured.
    ``measurer`` measures the model at judging points (None: it is not measured); ``stop_when_collapsed``: a sequence ends at a
    judging point with signs of a collapse. ``save_every`` is the least number of seconds between checkpoints (None: none is
    saved).
    """

    editor: Editor
    examiner: Examiner
    environment: Environment
    folder: RunFolder
    label: str
    say: Callable[[str], None]
    on_point: Callable[[Point, Sequence[CaseRecord]], None] = lambda point, records: None
    on_judged: OnJudged = lambda after_edits, records, measured: None
    measurer: ModelMeasurer | None = None
    stop_when_collapsed: bool = False
    save_every: float | None = SECONDS_BETWEEN_SAVES
    prepared: bool = False

    def run(self, schedule: Schedule, cases: Sequence[EditCase], on_case: OnCase, group_size: int) -> None:
        """Write and evaluate all cases and append their records to the run's journal, but for those that are in it;
        ``group_size`` as in ``run_in_groups``. Raises ``AllRefused`` if the first edits are all refused.
        """
        sequences = schedule.sequences(cases)
        self.watch = RefusalWatch(len(cases))
        self.finished = Finished.of(self.folder)
        if self.measurer is not None and self.finished.unedited is None:
            unedited = self.measurer.measure_unedited()
            self.folder.append_point(unedited)
            self.on_judged(0, (), unedited)
        for number, updates in enumerate(sequences):
            open_points = [point for point in schedule.judging_points(updates) if not self._is_finished(point)]
            if self.finished.stopped or not open_points:
                own = [case for update in updates for case in update]
                self.watch.remember(self.finished.outcomes[c.id] for c in own if c.id in self.finished.outcomes)
                continue
            if len(sequences) > 1:
                self.say(f"Batch {number + 1} of {len(sequences)}")
            self._run_sequence(number, updates, open_points, on_case, group_size)

    def _run_sequence(
        self, number: int, updates: Sequence[Group], points: Sequence[Point], on_case: OnCase, group_size: int
    ) -> None:
        """Make the updates of a sequence, and evaluate its ``points``, which are not finished."""
        if self.measurer is not None and self.finished.unedited is not None:
            self.measurer.resume(self.finished.unedited)
        file = Checkpoint(self.folder)
        written = self._written_before(file, number, points[0])
        self.watch.remember(_outcomes(written, updates).values())
        if known := len(_outcomes(written, updates)):
            self.say(f"{known} of {sum(map(len, updates))} edits were written before")
        keeper = PeriodicCheckpoint(file, written, self.save_every)
        try:
            for point in points:
                self._write(written, updates, point, keeper)
                if point is points[-1]:
                    keeper.save()
                if self._judge(written, updates, point, on_case, group_size):
                    self.say(f"Stopped after {point.after_edits} edits: the model has collapsed")
                    break
        finally:
            keeper.save()

    def _written_before(self, file: Checkpoint, number: int, point: Point) -> SequenceState:
        """Return what was written of a sequence, if that is not more than is written at ``point``."""
        written = file.load(number, self.examiner.model, self.editor)
        if len(written.outcomes) > point.update + 1:
            self.say(
                f"Answers after {point.after_edits} edits are missing, and the checkpoint is of a later moment; "
                "the edits are made again"
            )
            return SequenceState(number)
        return written

    def _is_finished(self, point: Point) -> bool:
        if any((case.id, point.after_edits) not in self.finished for case in point.cases):
            return False
        return self.measurer is None or point.after_edits in self.finished.points

    def _write(
        self, written: SequenceState, updates: Sequence[Group], point: Point, keeper: PeriodicCheckpoint
    ) -> None:
        """Make the remaining updates up to a judging point. Raises ``AllRefused`` if the first edits are all refused."""
        sizes = [len(update) for update in updates]
        known = len(written.outcomes)
        if known > point.update:
            return
        if not self.prepared:
            self.editor.prepare(self.examiner.model, self.environment)
            self.prepared = True
        set_state(self.editor, written.state)
        with self.environment.progress.track(f"{self.label}: writing", sum(sizes), sum(sizes[:known])) as advance:
            for update in updates[known : point.update + 1]:
                self._update(written, update)
                advance(len(update))
                if len(written.outcomes) == 1:
                    self._say_size(keeper)
                keeper.save_if_due()
                for outcome in _outcomes(written, updates, len(written.outcomes) - 1).values():
                    self.watch.take(outcome)

    def _say_size(self, keeper: PeriodicCheckpoint) -> None:
        """Say how much disk space a checkpoint takes, if it is much. Raises ``UserError`` if there is too little."""
        size, path = keeper.written.size, keeper.file.path
        if keeper.seconds is None or size < WORTH_SAYING:
            return
        free = free_space(path.parent)
        needed = (
            f"a checkpoint takes {format_bytes(size)}, twice that while it is replaced; {format_bytes(free)} are free"
        )
        if free < 2 * size:
            keeper.seconds = None  # what does not fit is not saved on the way out either
            raise UserError(
                needed,
                about=Place(path),
                way_out=("make room, or keep no checkpoint with ", Option("checkpoint_every", "never")),
            )
        self.say(f"{path}: {needed}")

    def _update(self, written: SequenceState, update: Group) -> None:
        """Make the next update upon those before it."""
        was_finite = written.finite
        start = time.perf_counter()
        result = edit_on_top_of(self.editor, self.examiner.model, [case.request for case in update], written)
        seconds = (time.perf_counter() - start) / len(update)
        write_case_traces(self.folder.path, self.environment.trace, update)
        if isinstance(result, EditOutcome):
            set_state(self.editor, written.state)
            written.add(result.model_copy(update={"seconds": seconds}), {}, None, written.state)
            self.say(f"  {_named(update)}: {result.reason}")
            return
        refused = {
            case.id: str(refusal) for case, refusal in zip(update, result.refusals, strict=True) if refusal is not None
        }
        for case in update:
            if case.id in refused:
                self.say(f"  {_named([case])}: refused: {refused[case.id]}")
        if result.patch is None:
            outcome = EditOutcome(status="refused", reason=next(iter(refused.values())), seconds=seconds)
            written.add(outcome, refused, None, written.state)
            return
        outcome = EditOutcome(status="edited", seconds=seconds, patch=result.patch.describe())
        written.add(outcome, refused, result.patch, getattr(self.editor, "state", None))
        if was_finite and not written.finite:
            self.say(f"  {_named(update)}: diverged: not finite; it is written as it is, and the sequence goes on")

    def _judge(
        self, written: SequenceState, updates: Sequence[Group], point: Point, on_case: OnCase, group_size: int
    ) -> bool:
        """Evaluate the cases of a judging point under everything that was written, and measure the model. Returns whether the
        sequence ends here.
        """
        outcomes = _outcomes(written, updates)
        finished = {case.id for case in point.cases if (case.id, point.after_edits) in self.finished}

        def carry_out(group: Sequence[EditCase]) -> list[CaseRecord]:
            own = [outcomes[case.id] for case in group]
            patches = [None if outcome.status == "refused" else written.patch for outcome in own]
            return evaluate_edits(self.examiner, group, own, patches, point.after_edits)

        progress = self.environment.progress
        label = f"{self.label}: evaluating after {point.after_edits} edits"
        records = list(self._recorded(point, finished))
        with progress.track(label, len(point.cases), len(finished)) as advance:

            def on_record(record: CaseRecord) -> None:
                records.append(record)
                on_case(record)
                advance(1)

            run_in_groups(carry_out, point.cases, self.folder, on_record, progress, group_size, finished)
        self.on_point(point, records)
        measured = None if self.measurer is None else self._measure(self.measurer, written, point, records)
        self.on_judged(point.after_edits, records, measured)
        return measured is not None and measured.stopped

    def _recorded(self, point: Point, finished: Collection[str]) -> Iterator[CaseRecord]:
        """Read the evaluations at a judging point that are in the journal already."""
        if finished:
            yield from (r for r in self.folder.records() if r.after_edits == point.after_edits and r.case in finished)

    def _measure(
        self, measurer: ModelMeasurer, written: SequenceState, point: Point, records: Sequence[CaseRecord]
    ) -> JudgingPointRecord:
        """Measure the model at a judging point, and append what was found. It says whether the sequence ends here."""
        found = measurer.measure(written, point.after_edits, point.cases, records)
        for sign in found.collapse:
            self.say(f"  after {point.after_edits} edits: {sign}")
        stopped = self.stop_when_collapsed and bool(found.collapse)
        recorded = found.model_copy(update={"stopped": stopped})
        self.folder.append_point(recorded)
        return recorded


@dataclass(frozen=True)
class Finished:
    """What the folder of a run holds already: evaluations of cases by case and number of edits, and measured points."""

    evaluations: frozenset[tuple[str, int | None]]
    outcomes: Mapping[str, EditOutcome]
    points: frozenset[int]
    unedited: JudgingPointRecord | None
    stopped: bool

    @classmethod
    def of(cls, folder: RunFolder) -> "Finished":
        """Read it from the folder."""
        outcomes, evaluations = {}, set()
        for record in folder.records():
            outcomes[record.case] = record.edit
            evaluations.add((record.case, record.after_edits))
        points = list(folder.points())
        unedited = next((point for point in points if point.after_edits == 0), None)
        return cls(
            frozenset(evaluations),
            outcomes,
            frozenset(point.after_edits for point in points),
            unedited,
            any(point.stopped for point in points),
        )

    def __contains__(self, key: tuple[str, int]) -> bool:
        """Whether a case was evaluated after a number of edits; an earlier version evaluated each once, at the end."""
        return key in self.evaluations or (key[0], None) in self.evaluations


def edit_on_top_of(
    editor: Editor, model: LoadedModel, requests: Sequence[EditRequest], written: SequenceState
) -> Update | EditOutcome:
    """Return the editor's patch for ``requests`` on a model that already carries ``written``, without the requests that it
    refuses, or an outcome saying why nothing was written.

    If the model's logits are no longer finite, an exception from the editor is recorded as that outcome instead of ending the
    run.
    """
    with written.patch.applied(model):
        try:
            return write_together(editor, model, requests, written.state)
        except OutOfMemoryError as error:
            if len(requests) == 1:
                raise
            raise UserError(
                f"out of memory while {len(requests)} edits were written in one update ({error})",
                way_out=(
                    "begin a run with fewer ",
                    Option("edits_per_update"),
                    ", or with ",
                    Option("dtype", "bfloat16"),
                ),
            ) from error
        except Exception as error:
            if isinstance(error, UserError) or has_finite_logits(model, requests[0].prompt):
                raise
            reason = f"nothing was written: the model gives no finite numbers, and the editor failed on it ({error})"
            return EditOutcome(status="edited", reason=reason, seconds=0, patch={"finite": False})


def _outcomes(written: SequenceState, updates: Sequence[Group], first: int = 0) -> dict[str, EditOutcome]:
    """Return the outcome of each case of the updates made so far, starting with the update ``first``, by the case's id."""
    made = zip(updates[first:], written.outcomes[first:], written.refused[first:], strict=False)
    return {
        case.id: _refused(outcome, refused[case.id]) if case.id in refused else outcome
        for update, outcome, refused in made
        for case in update
    }


def _refused(outcome: EditOutcome, reason: str) -> EditOutcome:
    return EditOutcome(status="refused", reason=reason, seconds=outcome.seconds)


def _named(update: Group) -> str:
    first = update[0]
    others = f" and {len(update) - 1} more" if len(update) > 1 else ""
    return f"case {first.id}{others} ({first.request.prompt} -> {first.request.target})"
