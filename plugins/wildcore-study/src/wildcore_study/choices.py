"""The study that a command names: a file, or a preset with models and sizes chosen by options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wildcore import FrozenData, Option, UserError
from wildcore_study.definition import (
    DatasetEntry,
    EditorEntry,
    GridPoint,
    ModelEntry,
    ProtocolEntry,
    ScheduleEntry,
    Study,
    grid,
    read_study,
)
from wildcore_study.presets import Preset, planned_runs, preset_names, read_preset

OPTIONS = {
    "models": "model",
    "editors": "editor",
    "datasets": "dataset",
    "protocols": "protocol",
    "added_metrics": "add_metric",
    "settings": "set",
}
"""The options of choices that are called otherwise."""


class PresetChoice(FrozenData):
    """The size of a preset. ``protocols`` are asked beside those of the preset; editors and datasets replace its own."""

    models: tuple[str, ...] = ()
    editors: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    limit: int | None = None
    sample: int | None = None
    all_cases: bool = False
    dtype: str = "auto"
    batch_size: int = 32
    sample_seed: int = 0
    seed: int = 0
    added_metrics: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}

    @property
    def given(self) -> list[str]:
        """The names of the choices that were made."""
        return [
            name for name in type(self).model_fields if getattr(self, name) != type(self).model_fields[name].default
        ]


def chosen_study(file: Path | None, preset: str | None, choice: PresetChoice) -> tuple[Study, list[GridPoint]]:
    """Return the study and its runs. Raises ``UserError`` unless either a file or a preset with a model is given."""
    if (file is None) == (preset is None):
        names = ", ".join(preset_names())
        raise UserError(f"name either a study file or a preset ({names})", about=Option("preset"))
    if file is not None:
        if choice.given:
            raise UserError(
                "is for presets, and a study file says this itself",
                Option(OPTIONS.get(choice.given[0], choice.given[0])),
                "write it in the file",
            )
        study = read_study(file)
        require_layout(study, file)
        return study, list(grid(study))
    assert preset is not None
    return of_preset(preset, read_preset(preset), choice)


def require_layout(study: Study, file: Path) -> None:
    """Raise ``UserError`` if a study's tables are to be arranged as those of a preset that does not exist."""
    if study.layout is not None:
        read_preset(study.layout)


def of_preset(name: str, preset: Preset, choice: PresetChoice) -> tuple[Study, list[GridPoint]]:
    """Return the study of a preset with its runs. Raises ``UserError`` if no model is chosen."""
    if not choice.models:
        raise UserError("a preset needs a model", Option("model"), "name one, or several")
    changed = {name: value for name, value in (("editors", choice.editors), ("datasets", choice.datasets)) if value}
    preset = preset.model_copy(update=changed)
    protocols = tuple(dict.fromkeys([*preset.protocols, *choice.protocols]))
    study = Study(
        title=preset.title,
        models=tuple(ModelEntry.model_validate({"model": one, "dtype": choice.dtype}) for one in choice.models),
        editors=tuple(EditorEntry(editor=one) for one in preset.editors),
        datasets=tuple(DatasetEntry(dataset=one) for one in preset.datasets),
        protocols=tuple(ProtocolEntry(protocol=one) for one in protocols),
        only_failures=None if choice.all_cases else preset.only_failures,
        batch_size=choice.batch_size,
        continuation=preset.continuation,
        added_metrics=choice.added_metrics,
        settings=choice.settings,
        sample_seed=choice.sample_seed,
        layout=name,
    )
    return study, list(_points(study.models, preset, choice))


def _points(models: Sequence[ModelEntry], preset: Preset, choice: PresetChoice) -> list[GridPoint]:
    most = choice.limit if choice.sample is None else choice.sample
    found = []
    for model in models:
        for run in planned_runs(preset, most):
            size = {"sample": run.cases} if choice.sample is not None else {"limit": run.cases}
            found.append(
                GridPoint(
                    model=model,
                    editor=EditorEntry(editor=run.editor),
                    dataset=DatasetEntry(dataset=run.dataset, **size),
                    schedule=ScheduleEntry(
                        schedule=preset.schedule, edits_per_update=run.edits_per_update, judge_at=preset.judge_at
                    ),
                    seed=choice.seed,
                    order=None,
                )
            )
    return found
