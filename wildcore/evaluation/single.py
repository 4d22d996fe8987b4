"""Single edits: they are independent of each other, which allows solving and evaluating many together."""

import time
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from wildcore.errors import Refused, map_or_refuse
from wildcore.evaluation.examiner import Examiner, shares_a_batch
from wildcore.evaluation.groups import OnCase, evaluate_edits, run_in_groups
from wildcore.interfaces import Editor, Environment, Patch
from wildcore.models.loaded import LoadedModel
from wildcore.models.tokens import require_fits_context
from wildcore.patches.routed import find_routed
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome
from wildcore.records.trace_files import write_case_traces
from wildcore.types import EditCase

NOT_STACKED = "evaluated alone: its patch cannot share a batch"


def run(
    editor: Editor,
    examiner: Examiner,
    cases: Iterable[EditCase],
    environment: Environment,
    folder: RunFolder,
    on_case: OnCase,
    group_size: int = 1,
    finished: Collection[str] = (),
    after_edits: int = 1,
) -> None:
    """Run every case as a single edit, evaluated right after it is made, and append its record to the run's journal.

    ``group_size`` edits are solved and evaluated at a time. If ``environment`` has a trace, each case's trace is saved in the
    folder. ``after_edits`` is recorded as the number of edits under which each case is evaluated: 1, or all those of a patch that
    was made before. The other arguments are those of ``run_in_groups``. The model is unedited before and after.
    """
    editor.reset()
    editor.prepare(examiner.model, environment)

    def carry_out(group: Sequence[EditCase]) -> list[CaseRecord]:
        records = run_cases(editor, examiner, group, after_edits)
        write_case_traces(folder.path, environment.trace, group)
        return records

    run_in_groups(carry_out, cases, folder, on_case, environment.progress, group_size, finished)


def run_cases(editor: Editor, examiner: Examiner, cases: Sequence[EditCase], after_edits: int = 1) -> list[CaseRecord]:
    """Make independent edits and evaluate them; ``after_edits`` as in ``run``."""
    results, seconds = make_edits(editor, examiner.model, cases)
    patches = [None if isinstance(result, Refused) else result for result in results]
    return evaluate_edits(examiner, cases, [_outcome(result, seconds) for result in results], patches, after_edits)


def make_edits(editor: Editor, model: LoadedModel, cases: Sequence[EditCase]) -> tuple[list[Patch | Refused], float]:
    """Return the editor's patch or refusal for each case, and the seconds for each edit. A refusal is an outcome, not an
    error. Edits made together share the time equally.
    """
    start = time.perf_counter()
    asked = map_or_refuse(partial(require_fits_context, model), [case.request for case in cases])
    readable = [request for request in asked if not isinstance(request, Refused)]
    made = iter(editor.edit_each(model, readable) if readable else ())
    results = [one if isinstance(one, Refused) else next(made) for one in asked]
    return results, (time.perf_counter() - start) / len(cases)


def _outcome(result: Patch | Refused, seconds: float) -> EditOutcome:
    if isinstance(result, Refused):
        return EditOutcome(status="refused", reason=str(result), seconds=seconds)
    fallback = None if shares_a_batch(result) or find_routed([result]) else NOT_STACKED
    return EditOutcome(status="edited", seconds=seconds, patch=result.describe(), fallback=fallback)
