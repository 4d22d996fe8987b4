"""Presets: the paper's experiments, at a size that the user chooses."""

import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Literal

import click

from wildcore import Option, ProbeKind, UserError, suggestion
from wildcore.types import FrozenData

Layout = Literal[
    "protocol",
    "context",
    "generator",
    "truncator",
    "metric",
    "decomposition",
    "extra-content",
    "judging-points",
    "retention",
]
"""What a table shows side by side: the protocols, the values of one module, or another subject with a table of its own."""


class Preset(FrozenData):
    """An experiment of the paper: what it varies, and how its table is arranged.

    ``tables`` are those of the paper with its numbers. ``metrics`` are the only ones that its table shows (empty: all).
    ``numbers_of_edits`` and ``edits_per_update``, for each editor that has several, are lengths and batch sizes of sequences
    (empty: one sequence of all cases, one edit in each update). ``published_cases`` is the number of cases in the paper, if it
    states one. ``continuation`` is for how many characters a correct answer is continued.
    """

    title: str
    cites: str
    tables: tuple[str, ...] = ()
    layout: Layout
    editors: tuple[str, ...]
    datasets: tuple[str, ...]
    protocols: tuple[str, ...]
    schedule: Literal["single", "sequential"]
    judge_at: str = "end"
    only_failures: str | None = None
    probes: tuple[ProbeKind, ...]
    metrics: tuple[str, ...] = ()
    numbers_of_edits: tuple[int, ...] = ()
    edits_per_update: Mapping[str, tuple[int, ...]] = {}
    published_cases: int | None = None
    continuation: int = 0


class PlannedRun(FrozenData):
    """One run of a preset: all protocols of one editor on one dataset, so that one edit serves all of them."""

    editor: str
    dataset: str
    cases: int | None
    edits_per_update: int | None


def preset_names() -> list[str]:
    """Return the names of all presets in alphabetical order."""
    folder = files("wildcore_study") / "presets"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_preset(name: str) -> Preset:
    """Return the preset ``name``. Raises ``UserError`` for an unknown one."""
    known = preset_names()
    if name not in known:
        raise UserError("no such preset", Option("preset", name), suggestion(name, known))
    return Preset.model_validate(
        tomllib.loads((files("wildcore_study") / "presets" / f"{name}.toml").read_text("utf-8"))
    )


def planned_runs(preset: Preset, limit: int | None) -> Iterator[PlannedRun]:
    """Return the runs of a preset with at most ``limit`` cases each (None: all cases, or as many as the preset's sequences).

    Sequences longer than ``limit`` are cut to it, and those that are then equal are planned once. A batch is never larger than
    its sequence.
    """
    lengths: list[int | None] = [limit]
    if preset.numbers_of_edits:
        cut = (length if limit is None else min(length, limit) for length in preset.numbers_of_edits)
        lengths = list(dict.fromkeys(cut))
    for dataset in preset.datasets:
        for editor in preset.editors:
            for length in lengths:
                for size in _batch_sizes(preset, editor, length):
                    yield PlannedRun(editor=editor, dataset=dataset, cases=length, edits_per_update=size)


def _batch_sizes(preset: Preset, editor: str, length: int | None) -> list[int | None]:
    if preset.schedule == "single":
        return [None]
    sizes = preset.edits_per_update.get(editor, (1,))
    return list(dict.fromkeys(size if length is None else min(size, length) for size in sizes))


def complete_presets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a preset."""
    return [name for name in preset_names() if name.startswith(incomplete)]
