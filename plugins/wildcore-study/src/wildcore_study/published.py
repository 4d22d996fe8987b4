"""The numbers printed in Yang et al., The Mirage of Model Editing, ACL 2025 (arXiv 2502.11177).

They stand in ``published_tables``, one file for each table, with notes on the cells at which the paper contradicts itself.
"""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Literal

from wildcore.types import FrozenData, ProbeKind

JUDGE = "judge"
EXACT_MATCH = "exact-match"
FOLDER = "published_tables"


class Setting(FrozenData):
    """The four modules by which a number was measured, by their names here."""

    context: str
    generator: str
    truncator: str
    metric: str


SYNTHETIC_MODULES = ("question-only", "teacher-forcing", "gold-length")
WILD_MODULES = ("qa-instruction", "autoregressive", "stop-strings")


class PublishedNumber(FrozenData):
    """One number of the paper, between 0 and 1.

    ``table`` is its number in the paper, such as "T3". ``of`` is "average" for a printed average, whose ``editor``, and in
    table 3 also ``model``, is None. ``edits`` is the length of the sequence, None for single edits. ``cases`` is the number of
    cases if the paper states it. ``notes`` say what is inconsistent about the number.
    """

    table: str
    of: Literal["cell", "average"] = "cell"
    model: str | None = None
    editor: str | None = None
    dataset: str
    probe: ProbeKind
    setting: Setting
    schedule: Literal["single", "sequential"]
    edits: int | None = None
    edits_per_update: int | None = None
    cases: int | None = None
    value: float
    notes: tuple[str, ...] = ()


class Note(FrozenData):
    """A text about the numbers that have all the values of ``where``, and a value of at least ``above``."""

    text: str
    where: Mapping[str, str | tuple[str, ...]]
    above: float = 0.0

    def concerns(self, number: PublishedNumber) -> bool:
        """Return whether the note is about ``number``."""
        has = number.model_dump(exclude={"setting"}) | number.setting.model_dump()
        known = {"of": "cell", **self.where} if "of" in self.where else self.where
        return number.value >= self.above and all(
            has[name] in ((wanted,) if isinstance(wanted, str) else wanted) for name, wanted in known.items()
        )


class Comparison(FrozenData):
    """A published number beside one of ours. ``differs`` says in what the two were measured differently."""

    number: PublishedNumber
    differs: tuple[str, ...]


def published_numbers() -> tuple[PublishedNumber, ...]:
    """Return all numbers of the paper's tables 1, 3 to 6, 8, 9 and 11 to 14, with their notes."""
    folder = files("wildcore_study") / FOLDER
    notes = [Note.model_validate(note) for note in tomllib.loads((folder / "notes.toml").read_text("utf-8"))["notes"]]
    tables = sorted(file.name for file in folder.iterdir() if file.name.startswith("table-"))
    numbers = [number for name in tables for number in _numbers(tomllib.loads((folder / name).read_text("utf-8")))]
    return tuple(
        number.model_copy(update={"notes": tuple(note.text for note in notes if note.concerns(number))})
        for number in numbers
    )


def categories() -> dict[str, int]:
    """Return the number of cases of QAEdit in each category (the paper's table 10)."""
    table = tomllib.loads((files("wildcore_study") / FOLDER / "table-10.toml").read_text("utf-8"))
    return {row["category"]: row["cases"] for row in table["categories"]}


def compare(
    numbers: Iterable[PublishedNumber],
    *,
    model: str,
    editor: str,
    dataset: str,
    probe: ProbeKind,
    setting: Setting,
    schedule: str,
    edits: int | None = None,
) -> list[Comparison]:
    """Return the published cells beside a number of ours, each with what differs.

    A cell by the LLM judge stands beside a number of ours by exact match if the paper has no cell by exact match for it.
    ``r-rome`` stands beside the paper's ROME.
    """
    method = "rome" if editor == "r-rome" else editor
    alike = [
        number
        for number in numbers
        if number.of == "cell"
        and (number.model, number.editor, number.dataset, number.probe, number.schedule)
        == (model, method, dataset, probe, schedule)
        and number.edits_per_update in (None, 1)
    ]
    exact = [number for number in alike if number.setting == setting]
    if not exact and setting.metric == EXACT_MATCH:
        by_judge = setting.model_copy(update={"metric": JUDGE})
        exact = [number for number in alike if number.setting == by_judge]
    return [Comparison(number=number, differs=tuple(_differences(number, setting, edits))) for number in exact]


def _differences(number: PublishedNumber, setting: Setting, edits: int | None) -> Iterable[str]:
    if number.setting.metric != setting.metric:
        yield "published by the LLM judge, ours by exact match"
    if number.schedule == "sequential" and number.edits != edits:
        yield f"published after {number.edits} edits, ours after {'an unknown number' if edits is None else edits}"


def _numbers(table: Mapping[str, Any]) -> Iterable[PublishedNumber]:
    """Return the numbers of one file. Its fields beside the lists hold for each of its numbers."""
    shared = {
        name: table[name]
        for name in ("table", "schedule", "model", "dataset", "probe", "edits", "cases")
        if name in table
    }
    for of, rows in (("cell", table.get("numbers", ())), ("average", table.get("averages", ()))):
        for row in rows:
            yield from _row({"of": of, **shared, **row})


def _row(row: Mapping[str, Any]) -> Iterable[PublishedNumber]:
    """Return the numbers of one row: one whose modules are named, or one for each of synthetic and WILD."""
    modules = ("context", "generator", "truncator", "metric")
    values = ("value", "synthetic", "wild")
    rest = {name: value for name, value in row.items() if name not in (*modules, *values)}
    if "value" in row:
        setting = Setting(**{name: row[name] for name in modules})
        yield PublishedNumber(setting=setting, value=row["value"], **rest)
    protocols: tuple[Literal["synthetic", "wild"], ...] = ("synthetic", "wild")
    for protocol in protocols:
        if protocol in row:
            yield PublishedNumber(setting=protocol_setting(protocol, row["probe"]), value=row[protocol], **rest)


def protocol_setting(protocol: Literal["synthetic", "wild"], probe: ProbeKind) -> Setting:
    """Return the paper's modules of one of its two protocols for a probe; locality is compared with the unedited model."""
    wild = protocol == "wild"
    context, generator, truncator = WILD_MODULES if wild else SYNTHETIC_MODULES
    of_locality, of_others = ("unchanged", JUDGE) if wild else ("token-agreement", "token-match")
    metric = of_locality if probe == "locality" else of_others
    return Setting(context=context, generator=generator, truncator=truncator, metric=metric)
