"""Runs whose edits are written several in one update, or one upon the other, and evaluated afterwards."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import OutOfMemoryError

from wildcore.errors import Option, UserError
from wildcore.evaluation.checkpoints import Checkpoint, PeriodicCheckpoint, SequenceState
from wildcore.evaluation.examiner import Examiner
from wildcore.evaluation.groups import OnCase, evaluate_edits, run_in_groups
from wildcore.evaluation.refusals import RefusalWatch, Update, set_state, write_together
from wildcore.evaluation.schedules import Schedule
from wildcore.interfaces import Editor, Environment
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import encode
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome
from wildcore.records.trace_files import write_case_traces
from wildcore.types import EditCase, EditRequest, Prompt

Group = Sequence[EditCase]
"""The cases that one update writes."""


@dataclass
class SequenceRunner:
    """Runs the sequences of a run. Each starts with the unedited model and an editor without state.

    A checkpoint is saved in the run's folder while a sequence is written, and before it is evaluated; a resumed run continues
    from there. The model is unedited before and after. ``say`` prints a line; ``label`` is printed before the progress.
    """

    editor: Editor
    examiner: Examiner
    environment: Environment
    folder: RunFolder
    label: str
    say: Callable[[str], None]
    prepared: bool = False

    def run(
        self, schedule: Schedule, cases: Sequence[EditCase], on_case: OnCase, group_size: int, finished: Collection[str]
    ) -> None:
        """Write and evaluate all cases and append their records to the run's journal; ``group_size`` and ``finished`` as in
        ``run_in_groups``.
        """
        file = Checkpoint(self.folder)
        sequences = schedule.sequences(cases)
        watch = RefusalWatch(len(cases))
        recorded = {record.case: record.edit for record in self.folder.cases()}
        for number, updates in enumerate(sequences):
            own = [case for update in updates for case in update]
            if all(case.id in finished for case in own):
                watch.remember(recorded[case.id] for case in own)
                continue
            if len(sequences) > 1:
                self.say(f"Batch {number + 1} of {len(sequences)}")
            written = file.load(number, self.examiner.model, self.editor)
            watch.remember(_outcomes(written, updates).values())
            self._write(written, updates, file, watch)
            self._evaluate(written, updates, on_case, group_size, finished)

    def _write(self, written: SequenceState, updates: Sequence[Group], file: Checkpoint, watch: RefusalWatch) -> None:
        """Make the remaining updates. Raises ``AllRefused`` if ``watch`` does."""
        sizes = [len(update) for update in updates]
        known = len(written.outcomes)
        if known:
            self.say(f"{sum(sizes[:known])} of {sum(sizes)} edits were written before")
        if known == len(updates):
            return
        if not self.prepared:
            self.editor.prepare(self.examiner.model, self.environment)
            self.prepared = True
        set_state(self.editor, written.state)
        keeper = PeriodicCheckpoint(file, written)
        with self.environment.progress.track(f"{self.label}: writing", sum(sizes), sum(sizes[:known])) as advance:
            try:
                for update in updates[known:]:
                    self._update(written, update)
                    advance(len(update))
                    keeper.save_if_due()
                    for outcome in _outcomes(written, updates, len(written.outcomes) - 1).values():
                        watch.take(outcome)
            finally:
                keeper.save()

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

    def _evaluate(
        self,
        written: SequenceState,
        updates: Sequence[Group],
        on_case: OnCase,
        group_size: int,
        finished: Collection[str],
    ) -> None:
        """Evaluate all cases under everything that was written."""
        outcomes = _outcomes(written, updates)

        def carry_out(group: Sequence[EditCase]) -> list[CaseRecord]:
            own = [outcomes[case.id] for case in group]
            patches = [None if outcome.status == "refused" else written.patch for outcome in own]
            return evaluate_edits(self.examiner, group, own, patches)

        progress = self.environment.progress
        known = sum(case in finished for case in outcomes)
        with progress.track(f"{self.label}: evaluating", len(outcomes), known) as advance:

            def on_record(record: CaseRecord) -> None:
                on_case(record)
                advance(1)

            cases = [case for update in updates for case in update]
            run_in_groups(carry_out, cases, self.folder, on_record, progress, group_size, finished)


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


def has_finite_logits(model: LoadedModel, prompt: str) -> bool:
    """Return whether the model's logits after ``prompt`` are finite."""
    ids = torch.tensor([encode(model.tokenizer, Prompt(text=prompt))], device=model.device)
    positions = torch.arange(ids.shape[1], device=model.device)[None]
    with torch.no_grad():
        logits, _ = model.forward(ids, torch.ones_like(ids), positions, logits_to_keep=1)
    return bool(logits.isfinite().all())


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
