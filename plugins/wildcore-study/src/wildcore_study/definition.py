"""A study as its file describes it: a grid of models, editors, datasets, protocols, schedules, seeds and orders."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from wildcore import FrozenData, Place, UserError, suggestion
from wildcore.bounded import read_bytes_bounded

Entry = TypeVar("Entry", bound=FrozenData)
Name = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
MOST_BYTES = 1_000_000


def _or_name(key: str) -> BeforeValidator:
    """Allow a plain name in place of a table whose ``key`` is that name."""
    return BeforeValidator(lambda given: {key: given} if isinstance(given, str) else given)


class ModelEntry(FrozenData):
    """A model, and how it is loaded."""

    model: Name
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    device_map: str | None = None
    trust_remote_code: bool = False
    merge_adapter: bool = False
    batch_size: int | None = Field(default=None, ge=1)


class EditorEntry(FrozenData):
    """An editor, with parameters such as ``layer``, and those of its transforms."""

    editor: Name
    as_published: bool = False
    parameters: Mapping[str, Any] = {}
    transform: Mapping[str, Any] = {}


class DatasetEntry(FrozenData):
    """A dataset, with parameters such as ``path``, and which of its cases are used."""

    dataset: Name
    parameters: Mapping[str, Any] = {}
    where: Mapping[str, str] = {}
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    skip_malformed: bool = False
    hard_locality: int = Field(default=0, ge=0)


class ProtocolEntry(FrozenData):
    """A protocol, and which of its modules are replaced. A changed protocol has a ``name`` of its own.

    ``parameters`` maps "context.PARAMETER" to a value, likewise for generator, truncator and metric.
    """

    protocol: Name
    name: str | None = None
    context: str | None = None
    generator: str | None = None
    truncator: str | None = None
    metrics: tuple[Name, ...] = ()
    parameters: Mapping[str, Any] = {}

    @property
    def is_changed(self) -> bool:
        """Whether a module of the protocol is replaced or set."""
        return bool(self.context or self.generator or self.truncator or self.metrics or self.parameters)

    @property
    def own_name(self) -> str:
        """The name of the protocol as changed."""
        changed = (self.context, self.generator, self.truncator, *self.metrics)
        return self.name or "-".join([self.protocol, *(value for value in changed if value)])


class ScheduleEntry(FrozenData):
    """When edits are written and evaluated."""

    schedule: Literal["single", "batch", "sequential"]
    edits_per_update: int | None = Field(default=None, ge=1)
    judge_at: str = "end"
    measurements: tuple[Name, ...] = ()
    stop_when_collapsed: bool = False


SINGLE = ScheduleEntry(schedule="single")


class Study(FrozenData):
    """A study. Each run is one model, editor, dataset, schedule, seed and order; all protocols share its edits.

    ``limit`` and ``sample`` are the number of cases where a dataset names none. ``seeds`` are those of the editors; all runs draw
    their cases by ``sample_seed``, so that runs with different seeds have the same cases. ``layout`` arranges the tables as the
    preset of that name does.
    """

    title: str = "Study"
    models: tuple[Annotated[ModelEntry, _or_name("model")], ...] = Field(min_length=1)
    editors: tuple[Annotated[EditorEntry, _or_name("editor")], ...] = Field(min_length=1)
    datasets: tuple[Annotated[DatasetEntry, _or_name("dataset")], ...] = Field(min_length=1)
    protocols: tuple[Annotated[ProtocolEntry, _or_name("protocol")], ...] = Field(min_length=1)
    schedules: tuple[Annotated[ScheduleEntry, _or_name("schedule")], ...] = (SINGLE,)
    seeds: tuple[Seed, ...] = (0,)
    orders: tuple[Seed, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    sample_seed: Seed = 0
    only_failures: str | None = None
    batch_size: int = Field(default=32, ge=1)
    continuation: int = Field(default=0, ge=0)
    added_metrics: tuple[Name, ...] = ()
    settings: Mapping[str, Any] = {}
    layout: str | None = None


class GridPoint(FrozenData):
    """What one run of a study combines. ``order`` None: the order of the dataset."""

    model: ModelEntry
    editor: EditorEntry
    dataset: DatasetEntry
    schedule: ScheduleEntry
    seed: int
    order: int | None


def grid(study: Study) -> Iterator[GridPoint]:
    """Return the runs of a study: models outermost, so that a worker keeps its model. Orders vary sequences and batches only."""
    for model, dataset, schedule, editor, seed in product(
        study.models, study.datasets, study.schedules, study.editors, study.seeds
    ):
        orders: Sequence[int | None] = (None,) if schedule.schedule == "single" else study.orders or (None,)
        for order in orders:
            yield GridPoint(model=model, editor=editor, dataset=dataset, schedule=schedule, seed=seed, order=order)


def read_study(path: Path) -> Study:
    """Read a study file. Raises ``UserError`` naming the file, the line and the key of each fault."""
    try:
        text = read_bytes_bounded(path, MOST_BYTES).decode("utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error})", Place(path)) from error
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 (byte {error.start})", Place(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"is not TOML: {error}", Place(path)) from error
    except RecursionError as error:
        raise UserError("is nested too deeply", Place(path)) from error
    except ValueError as error:
        raise UserError(f"is no study file: {error}", Place(path)) from error
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise _faults(path, text, error) from None


def _faults(path: Path, text: str, error: ValidationError) -> UserError:
    """Return the error for a file with wrong keys or values; the first fault has its line."""
    faults = _without_follow_ups(error.errors())
    said = []
    for fault in faults:
        keys = [str(part) for part in fault["loc"] if not (isinstance(part, str) and "[" in part)]
        problem = fault["msg"]
        if fault["type"] == "extra_forbidden":
            problem = f"no such key; {suggestion(keys[-1], _known_keys(keys))}"
        said.append(f"{'.'.join(keys)}: {problem}")
    return UserError("; ".join(said), Place(path, line_of(text, faults[0]["loc"])))


def _without_follow_ups(faults: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the faults without those of a list that only lacks the entries which have faults themselves."""
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if fault["type"] != "too_short"
        or not any(len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"] for place in places)
    ]


def _known_keys(keys: Sequence[str]) -> list[str]:
    entries: Mapping[str, type[FrozenData]] = {
        "models": ModelEntry,
        "editors": EditorEntry,
        "datasets": DatasetEntry,
        "protocols": ProtocolEntry,
        "schedules": ScheduleEntry,
    }
    kind = Study if len(keys) < 2 else entries.get(keys[0], Study)
    return list(kind.model_fields)


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """Return the line, counted from 1, in which the last key of ``place`` that occurs is set. None: none occurs, or it cannot be
    told which of several is meant.
    """
    keys = [part for part in place if isinstance(part, str) and "[" not in part]
    within, is_exact = 0, True
    if len(place) > 1 and isinstance(place[1], int):
        headers = [found.start() for found in re.finditer(rf"^\s*\[\[\s*{keys[0]}\s*\]\]", text, re.MULTILINE)]
        is_exact = place[1] < len(headers)
        within = headers[place[1]] if is_exact else 0
    for key in reversed(keys):
        pattern = re.compile(rf"(?<![\w.-]){re.escape(key)}\s*(?:=|\]|\.)", re.MULTILINE)
        found = [match.start() for match in pattern.finditer(text, within)]
        if found and (is_exact or len(found) == 1 or key == keys[0]):
            return text.count("\n", 0, found[0]) + 1
    return None
