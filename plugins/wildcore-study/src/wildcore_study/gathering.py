"""The runs whose tables ``wildcore study collect`` prints: those of a study's plan, or all that a folder contains."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wildcore import Option, Place, UserError
from wildcore.records.run_folder import RunFolder
from wildcore.reporting.console import printable
from wildcore_study.cost import Remaining, remaining
from wildcore_study.folder import StudyFolder, require_folder
from wildcore_study.planning import StudyPlan
from wildcore_study.presets import Preset, read_preset
from wildcore_study.tables import Unfinished

DISCARDED = "discarded"


@dataclass
class Gathered:
    """Finished runs with the ``protocols`` that count of each, unfinished ones with the reason, and how tables are arranged."""

    finished: list[RunFolder] = field(default_factory=list)
    protocols: dict[Path, Collection[str]] = field(default_factory=dict)
    unfinished: list[Unfinished] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    preset: Preset | None = None
    title: str | None = None

    def add(self, path: Path, protocols: Collection[str] | None = None) -> None:
        """Add the run at ``path``, of which the ``protocols`` count (None: all), or what prevents it."""
        if path.resolve() in {known.path.resolve() for known in self.finished}:
            return
        said: list[str] = []
        try:
            run = RunFolder.finished(path, said.append)
            self.protocols[run.path] = protocols or run.manifest.identity["protocols"]
            self.finished.append(run)
        except UserError as error:
            said.append(printable(str(error)))
        self.unfinished += [Unfinished(cell=str(path), reason=reason) for reason in said]


def gathered(folders: Sequence[Path], preset: str | None) -> Gathered:
    """Return the runs of ``folders``, arranged as the ``preset`` of that name, or as the plan of a study among them says.

    Raises ``UserError`` for a folder that contains no run, an unknown preset, and studies that are arranged differently.
    """
    found = Gathered(preset=None if preset is None else read_preset(preset))
    plans = []
    for folder in folders:
        if (folder / "studies").is_dir():
            plans.append(_add_study(found, require_folder(folder), preset))
        else:
            _add_runs(found, folder)
    if plans and preset is None:
        found.preset = _layout_of(plans)
    if len(plans) == 1 and len(folders) == 1:
        found.title = plans[0].title
    return found


def _add_study(found: Gathered, study: StudyFolder, preset: str | None) -> StudyPlan:
    """Add the runs of the study's last plan, or of its last one with the layout ``preset`` if there is one."""
    plans = list(study.plans().values())
    plan = next((one for one in reversed(plans) if preset is not None and one.layout == preset), plans[-1])
    finished = study.finished_cells()
    protocols: dict[Path, set[str]] = {}
    for run in plan.runs:
        for protocol, cell in run.cells.items():
            if cell in finished:
                protocols.setdefault(finished[cell], set()).add(protocol)
    for path, names in protocols.items():
        found.add(path, names)
    found.unfinished += [
        Unfinished(cell=left.run.description, reason=_why(left))
        for left in remaining(study, plan)
        if left.state != "finished"
    ]
    if others := len(set(finished.values()) - protocols.keys()):
        found.notes.append(f"Finished runs in {study.path} that belong to other studies, and are not shown: {others}")
    return plan


def _why(left: Remaining) -> str:
    """Return in which state a run is, why, and of which protocols that is said if of some."""
    text = {"begun": "begun, and not finished", "missing": "not begun"}.get(left.state, left.state)
    text += f": {left.reason}" if left.reason else ""
    return text if len(left.protocols) == len(left.run.cells) else f"{text} (missing: {', '.join(left.protocols)})"


def _layout_of(plans: Sequence[StudyPlan]) -> Preset | None:
    """Return how the plans arrange their tables, with every protocol that they have."""
    layouts = {plan.layout for plan in plans}
    if len(layouts) > 1:
        raise UserError(
            "the tables of these studies are arranged differently", way_out=("choose how with ", Option("preset"))
        )
    layout = layouts.pop()
    if layout is None:
        return None
    preset = read_preset(layout)
    own = [protocol for plan in plans for run in plan.runs for protocol in run.cells]
    return preset.model_copy(update={"protocols": tuple(dict.fromkeys([*preset.protocols, *own]))})


def _add_runs(found: Gathered, folder: Path) -> None:
    """Add every run in a folder at any depth, except the discarded ones of studies."""
    paths = sorted(manifest.parent for manifest in folder.rglob("manifest.json"))
    if not paths:
        raise UserError("contains no run", Place(folder), "name a study's folder, a run, or a folder with runs in it")
    for path in paths:
        if not (path.parent.name == DISCARDED and (path.parent.parent / "studies").is_dir()):
            found.add(path)
