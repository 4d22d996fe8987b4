"""The tasks: found, loaded with their data, and checked before the model is loaded."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager

from wildcore import Message, Parameter, Setting, UserError, suggestion
from wildcore_lm_eval.parameters import LmEvalParams
from wildcore_lm_eval.quiet import hub_code_refused, quiet_harness

HERE = "measurement.lm-eval"
YAML = (".yaml", ".yml")
FOLLOWED = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}
"""Arguments of generation that are followed; the last two do nothing without sampling."""
WITHOUT_EFFECT = {"num_beams": 1, "repetition_penalty": 1}
"""Values of further arguments that change nothing."""
OFFLINE = "HF_HUB_OFFLINE"


@dataclass(frozen=True)
class LoadedTasks:
    """Tasks with their data, and the groups that they belong to, both by name. ``notes`` are for the user; ``warnings`` are the
    harness's own.
    """

    tasks: dict[str, Any]
    groups: dict[str, Any]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def contents(self) -> dict[str, Any]:
        """The tasks in the form in which the harness takes them."""
        return {"tasks": self.tasks, "groups": self.groups}


def load_tasks(params: LmEvalParams) -> LoadedTasks:
    """Load the tasks with their data, and check that each can be measured.

    Raises ``UserError`` for a task that does not exist, cannot be loaded or is not measured here.
    """
    with quiet_harness(params.seed, bars=True) as warnings, hub_code_refused(params.confirm_run_unsafe_code):
        manager = manager_of(params.tasks)
        found = {spec: _loaded(spec, manager) for spec in params.tasks}
        tasks: dict[str, Any] = {}
        groups: dict[str, Any] = {}
        for spec, loaded in found.items():
            for name, task in loaded["tasks"].items():
                if name in tasks:
                    raise _refusal(spec, f"the task {name} is named twice, or is part of another that is named")
                _check(spec, name, task, params)
                tasks[name] = task
            groups |= loaded.get("groups", {})
        notes = [note for name, task in tasks.items() for note in _set_up(name, task, params)]
    return LoadedTasks(tasks, groups, tuple(notes), tuple(warnings.messages))


def manager_of(specs: Sequence[str]) -> Any:
    """Return what knows tasks by name: those beside the file of a group, and those of the harness, which takes some ten
    seconds, if a task is named or a group could name one. Raises ``UserError`` for a file that does not exist.
    """
    files = [spec for spec in specs if _is_file(spec)]
    for spec in files:
        if not Path(spec).is_file():
            raise _refusal(spec, "there is no such file")
    folders = {str(Path(spec).resolve().parent) for spec in files if _group_in(spec)}
    return TaskManager(include_path=sorted(folders), include_defaults=bool(folders) or len(files) < len(specs))


def _is_file(spec: str) -> bool:
    return spec.endswith(YAML)


def _group_in(spec: str) -> str | None:
    """Return the name of the group that a file defines. None: it defines a task."""
    with _explained(spec):
        found = re.search(r"^group\s*:\s*['\"]?([^'\"\s#]+)", Path(spec).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def _loaded(spec: str, manager: Any) -> Any:
    """Return what the harness makes of one name or file. It takes files of tasks; a group is known by its name."""
    if _is_file(spec):
        wanted = _group_in(spec) or str(Path(spec).resolve())
    elif spec in manager.all_tasks:
        wanted = spec
    else:
        file = " (for a file, its name must end in .yaml)" if Path(spec).exists() else ""
        raise _refusal(spec, f"lm-evaluation-harness has no such task{file}", suggestion(spec, manager.all_tasks))
    with _explained(spec):
        return manager.load([wanted])


@contextmanager
def _explained(spec: str) -> Iterator[None]:
    """Name the task in whatever the harness raises while it loads one: it raises errors of many libraries."""
    try:
        yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        way_out = f"install it, for example by: pip install {error.name}"
        raise _refusal(spec, f"it needs the package {error.name}, which is not installed", way_out) from error
    except OSError as error:
        raise _refusal(
            spec,
            f"its data cannot be had: {error}",
            f"check the files that it names; data of the hub are read once with {OFFLINE} unset, and kept; or give a YAML file "
            "of the task that names local files",
        ) from error
    except Exception as error:
        raise _refusal(spec, f"it cannot be loaded: {type(error).__name__}: {error}") from error


def _check(spec: str, name: str, task: Any, params: LmEvalParams) -> None:
    """Raise ``UserError`` for a task that is not measured here."""
    if getattr(task, "UNSAFE_CODE", False) and not params.confirm_run_unsafe_code:
        raise _refusal(
            spec,
            f"the task {name} executes code that the model writes",
            ("to allow that: ", Setting(f"{HERE}.confirm_run_unsafe_code", True)),
        )
    if getattr(task, "MULTIMODAL", False):
        raise _refusal(spec, f"the task {name} needs images or sound; only text is measured")
    if task.OUTPUT_TYPE == "generate_until":
        _check_generation(spec, name, generation_of(task.get_config("generation_kwargs") or {}, params.max_gen_toks))


def _check_generation(spec: str, name: str, generation: dict[str, Any]) -> None:
    way_out = "give a YAML file that includes the task and sets generation_kwargs, with do_sample: false"
    if generation["do_sample"]:
        problem = (
            f"the task {name} draws its answers at random, and those of two models are then not comparable one by one"
        )
        raise _refusal(spec, problem, way_out)
    unknown = [key for key in sorted(set(generation) - FOLLOWED) if generation[key] != WITHOUT_EFFECT.get(key)]
    if unknown:
        raise _refusal(spec, f"the task {name} asks for {', '.join(unknown)}; answers are decoded greedily", way_out)


def generation_of(arguments: dict[str, Any], max_gen_toks: int) -> dict[str, Any]:
    """Return arguments of generation in the harness's normal form, with a list ``until``."""
    found: dict[str, Any] = normalize_gen_kwargs(arguments, max_gen_toks)
    return found


def _set_up(name: str, task: Any, params: LmEvalParams) -> Iterator[str]:
    """Set the number of examples as the harness does, and make its aggregations return inf where they overflow."""
    own = task.get_config("num_fewshot")
    if own is None or (params.num_fewshot is not None and own != 0):
        task.set_config(key="num_fewshot", value=params.num_fewshot or 0)
    elif params.num_fewshot:
        yield f"lm-eval: {name} is measured without examples, as the task itself says"
    if isinstance(aggregations := getattr(task, "_aggregation_list", None), dict):
        for metric, function in aggregations.items():
            aggregations[metric] = _Bounded(function)


class _Bounded:
    """An aggregation that is infinite where the harness's overflows, as the perplexity of a collapsed model does.

    It equals the function that it calls: the harness chooses the formula of a standard error by it.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, values: Any) -> Any:
        try:
            return self._function(values)
        except OverflowError:
            return float("inf")

    def __eq__(self, other: object) -> bool:
        return self._function == (other._function if isinstance(other, _Bounded) else other)

    def __hash__(self) -> int:
        return hash(self._function)


def _refusal(spec: str, problem: Message, way_out: Message | None = None) -> UserError:
    return UserError(problem, Parameter(f"{HERE}.tasks", spec), way_out)
