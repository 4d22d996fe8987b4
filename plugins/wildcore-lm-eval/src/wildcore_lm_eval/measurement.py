"""The measurement: the tasks are loaded and checked before the model, and asked whenever the model is measured."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from wildcore import Environment, Measured, Measurement, UserError
from wildcore_lm_eval.parameters import LmEvalParams

if TYPE_CHECKING:
    from wildcore.models import LoadedModel
    from wildcore_lm_eval.tasks import LoadedTasks

WARNINGS_SHOWN = 3
LONGEST_WARNING = 200


def _hash_of(task: Any, limit: int | None) -> str:
    """Return a hash of the documents that are asked, in their order."""
    lines = (json.dumps(document, sort_keys=True, default=str) for document in islice(task.eval_docs, limit))
    return sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:16]


def in_short(text: str) -> str:
    """Return a text in one line of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_WARNING else f"{line[:LONGEST_WARNING]}..."


class LmEval(Measurement):
    """Tasks of lm-evaluation-harness. The harness is imported in ``prepare``, not before."""

    def __init__(self, params: LmEvalParams) -> None:
        self.params = params
        self._loaded: LoadedTasks | None = None
        self._environment: Environment | None = None
        self._noted: set[str] = set()

    def prepare(self, environment: Environment) -> None:
        """Load the tasks with their data. Raises ``UserError`` for a task that cannot be measured."""
        self._environment = environment
        try:
            import_module("lm_eval.evaluator")
        except ImportError as error:
            raise UserError(
                f"the package lm_eval cannot be imported: {error}",
                "measurement lm-eval",
                "install lm_eval 0.4.13 or newer",
            ) from error
        from wildcore_lm_eval.tasks import load_tasks

        self._loaded = load_tasks(self.params)
        for note in self._loaded.notes:
            self._note(note)
        self._note_warnings(self._loaded.warnings)

    def pin_resources(self) -> dict[str, str]:
        """Return a hash of the documents of each task."""
        assert self._loaded is not None, "prepare is called first"
        return {name: _hash_of(task, self.params.limit) for name, task in self._loaded.tasks.items()}

    def measure(self, model: "LoadedModel") -> Sequence[Measured]:
        """Ask ``model`` every task, as it is patched at this moment. Call ``prepare`` first."""
        import lm_eval

        from wildcore_lm_eval.language_model import EditedModel
        from wildcore_lm_eval.results import measured

        assert self._loaded is not None, "prepare is called first"
        assert self._environment is not None
        tasks = self._loaded.tasks
        with self._environment.progress.track("lm-eval", None) as advance:
            asked = EditedModel(model, self.params, tasks, advance)
            results = self._results(asked)
        for task, count in asked.cut.items():
            if count:
                self._note(
                    f"lm-eval: {task}: {count} requests are longer than {asked.max_length} tokens; cut on the left"
                )
        facts = {"limit": self.params.limit, "lm_eval": lm_eval.__version__}
        return measured(results, asked.problems, asked.cut, facts)

    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> Sequence[str]:
        """Return the numbers that the unedited model has and the edited one no longer."""
        before = {one.name for one in unedited if one.value is not None}
        return [f"{one.name} has no value: {one.reason}" for one in edited if one.value is None and one.name in before]

    def _results(self, asked: Any) -> Any:
        from lm_eval.evaluator import evaluate

        from wildcore_lm_eval.quiet import hub_code_refused, quiet_harness

        assert self._loaded is not None
        params = self.params
        with quiet_harness(params.seed) as warnings, hub_code_refused(params.confirm_run_unsafe_code):
            for task in self._loaded.tasks.values():
                task.set_fewshot_seed(seed=params.seed)
            results = evaluate(
                lm=asked,
                task_dict=self._loaded.contents,
                limit=params.limit,
                bootstrap_iters=params.bootstrap_iters,
                confirm_run_unsafe_code=params.confirm_run_unsafe_code,
            )
        self._note_warnings(warnings.messages)
        return results

    def _note_warnings(self, warnings: Iterable[str]) -> None:
        """Show the first warnings of the harness, and count the others."""
        said = [f"lm-evaluation-harness: {in_short(text)}" for text in warnings]
        for text in said[:WARNINGS_SHOWN]:
            self._note(text)
        if said[WARNINGS_SHOWN:]:
            self._note(f"lm-evaluation-harness: {len(said) - WARNINGS_SHOWN} further warnings")

    def _note(self, text: str) -> None:
        """Show a note, once."""
        assert self._environment is not None
        if text not in self._noted:
            self._noted.add(text)
            self._environment.progress.note(text)
