"""Runs whose edits are written several in one update, or one upon the other, and then judged together."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import OutOfMemoryError

from wildcore.errors import Refused, UserError
from wildcore.interfaces import Editor, Environment, Patch, Saved
from wildcore.models import LoadedModel
from wildcore.records import CaseRecord, EditOutcome, RunFolder
from wildcore.runner import Examiner, OnCase, in_groups, judge
from wildcore.schedules import Schedule
from wildcore.sequence_files import Keeper, SequenceFile, Written
from wildcore.tokens import encode, within_context
from wildcore.trace_files import write_case_traces
from wildcore.types import EditCase, EditRequest, Prompt

Update = Sequence[EditCase]
"""The cases that one update writes."""


@dataclass
class SequenceRunner:
    """Carries out the sequences of a run; each begins with the unedited model and an editor without state.

    What was written is kept in the run's folder while a sequence is written, and before it is judged, so that a run taken up
    again goes on from there. The model is the unedited one before and after. ``say`` prints a line; ``label`` stands before
    progress.
    """

    editor: Editor
    examiner: Examiner
    environment: Environment
    folder: RunFolder
    label: str
    say: Callable[[str], None]
    prepared: bool = False

    def run(
        self, schedule: Schedule, cases: Sequence[EditCase], on_case: OnCase, together: int, done: Collection[str]
    ) -> None:
        """Write and judge all cases and append each to the run's journal; ``together`` and ``done`` as in ``in_groups``."""
        file = SequenceFile(self.folder)
        sequences = schedule.sequences(cases)
        for number, updates in enumerate(sequences):
            own = [case for update in updates for case in update]
            if all(case.id in done for case in own):
                continue
            if len(sequences) > 1:
                self.say(f"Batch {number + 1} of {len(sequences)}")
            written = file.load(number, self.examiner.model, self.editor)
            self._write(written, updates, file)
            self._judge(written, updates, on_case, together, done)

    def _write(self, written: Written, updates: Sequence[Update], file: SequenceFile) -> None:
        """Make the updates that are left."""
        sizes = [len(update) for update in updates]
        known = len(written.outcomes)
        if known:
            self.say(f"{sum(sizes[:known])} of {sum(sizes)} edits were written before")
        if known == len(updates):
            return
        if not self.prepared:
            self.editor.prepare(self.examiner.model, self.environment)
            self.prepared = True
        _set_state(self.editor, written.state)
        keeper = Keeper(file, written)
        with self.environment.progress.track(f"{self.label}: writing", sum(sizes), sum(sizes[:known])) as advance:
            try:
                for update in updates[known:]:
                    self._update(written, update)
                    advance(len(update))
                    keeper.save_if_due()
            finally:
                keeper.save()

    def _update(self, written: Written, update: Update) -> None:
        """Make the next update upon those before it."""
        was_finite = written.finite
        start = time.perf_counter()
        result = write_upon(self.editor, self.examiner.model, [case.request for case in update], written)
        seconds = (time.perf_counter() - start) / len(update)
        write_case_traces(self.folder.path, self.environment.trace, update)
        if isinstance(result, EditOutcome):
            _set_state(self.editor, written.state)
            written.take(result.model_copy(update={"seconds": seconds}), None, written.state)
            self.say(f"  {_named(update)}: {result.reason}")
            return
        outcome = EditOutcome(status="edited", seconds=seconds, patch=result.describe())
        written.take(outcome, result, getattr(self.editor, "state", None))
        if was_finite and not written.finite:
            self.say(f"  {_named(update)}: diverged: not finite; it is written as it is, and the sequence goes on")

    def _judge(
        self, written: Written, updates: Sequence[Update], on_case: OnCase, together: int, done: Collection[str]
    ) -> None:
        """Judge all cases under everything that was written."""
        outcomes = {
            case.id: outcome for update, outcome in zip(updates, written.outcomes, strict=True) for case in update
        }

        def carry_out(group: Sequence[EditCase]) -> list[CaseRecord]:
            own = [outcomes[case.id] for case in group]
            patches = [None if outcome.status == "refused" else written.patch for outcome in own]
            return judge(self.examiner, group, own, patches)

        progress = self.environment.progress
        known = sum(case in done for case in outcomes)
        with progress.track(f"{self.label}: judging", len(outcomes), known) as advance:

            def judged(record: CaseRecord) -> None:
                on_case(record)
                advance(1)

            cases = [case for update in updates for case in update]
            in_groups(carry_out, cases, self.folder, judged, progress, together, done)


def write_upon(
    editor: Editor, model: LoadedModel, requests: Sequence[EditRequest], written: Written
) -> Patch | EditOutcome:
    """Ask the editor for the patch that writes ``requests`` upon what was ``written``, or return why there is none.

    Where the model gives no finite numbers any more, an editor that fails on it is what became of the edit, and no error.
    """
    with written.patch.applied(model):
        try:
            return editor.edit(model, [within_context(model, request) for request in requests])
        except Refused as refusal:
            return EditOutcome(status="refused", reason=_refusal(refusal, len(requests)), seconds=0)
        except OutOfMemoryError as error:
            if len(requests) == 1:
                raise
            raise UserError(
                f"out of memory while {len(requests)} edits were written in one update ({error}); begin a run with fewer "
                "--edits-per-update, or with --dtype bfloat16"
            ) from error
        except Exception as error:
            if isinstance(error, UserError) or gives_numbers(model, requests[0].prompt):
                raise
            reason = f"nothing was written: the model gives no finite numbers, and the editor failed on it ({error})"
            return EditOutcome(status="edited", reason=reason, seconds=0, patch={"finite": False})


def gives_numbers(model: LoadedModel, prompt: str) -> bool:
    """Say whether the model's logits after ``prompt`` are finite."""
    ids = torch.tensor([encode(model.tokenizer, Prompt(text=prompt))], device=model.device)
    positions = torch.arange(ids.shape[1], device=model.device)[None]
    with torch.no_grad():
        logits, _ = model.read(ids, torch.ones_like(ids), positions, logits_to_keep=1)
    return bool(logits.isfinite().all())


def _refusal(refusal: Refused, count: int) -> str:
    return str(refusal) if count == 1 else f"its update of {count} edits was refused: {refusal}"


def _named(update: Update) -> str:
    first = update[0]
    others = f" and {len(update) - 1} more" if len(update) > 1 else ""
    return f"case {first.id}{others} ({first.request.prompt} -> {first.request.target})"


def _set_state(editor: Editor, state: Saved | None) -> None:
    editor.reset()
    if state is not None:
        editor.restore(state)
