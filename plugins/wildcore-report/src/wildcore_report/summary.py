"""The summary of a report: its runs, protocols, sections and figures, and what was left out."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from wildcore import PROBE_KINDS, EvalProtocol, Use
from wildcore.reporting.headline import counted, gap_in_words
from wildcore_report import details, results, sequences
from wildcore_report.cases import CaseTable
from wildcore_report.drawing import Drawing
from wildcore_report.naming import command_of, editor_of, how_obtained, names, schedule_of
from wildcore_report.numbers import RunNumbers
from wildcore_report.parts import NamedRun, Part
from wildcore_report.payload import FigureData, ProtocolData, RunData, Summary
from wildcore_report.texts import Cleaner, plain

SECTIONS: Sequence[tuple[str, Callable[[Sequence[NamedRun]], Part | str]]] = (
    ("gap", results.gap),
    ("kinds", results.kinds),
    ("retention", sequences.retention),
    ("modules", details.modules),
    ("slices", details.slices),
    ("extra-content", details.extra_content),
    ("collapse", sequences.collapse),
    ("capability", sequences.capability),
    ("agreement", details.agreement),
)
"""The sections in the order in which they are shown."""


class Contents:
    """The sections of a report and its drawings; ``notes`` says which sections are left out, and why."""

    def __init__(self, runs: Sequence[NamedRun]) -> None:
        self.runs = runs
        self.notes: list[str] = []
        self.parts: list[Part] = []
        for name, build in SECTIONS:
            part = build(runs)
            if isinstance(part, str):
                self.notes.append(f"Section {name} is left out: {part}.")
            else:
                self.parts.append(part)

    @property
    def drawings(self) -> list[Drawing]:
        """Every figure, in order."""
        return [drawing for part in self.parts for drawing in part.drawings]


def named_runs(numbers: Sequence[RunNumbers]) -> list[NamedRun]:
    """Return the runs with names that tell them apart."""
    return [NamedRun(name, one) for name, one in zip(names([one.manifest for one in numbers]), numbers, strict=True)]


def summary(
    contents: Contents, figures: Sequence[FigureData], cases: CaseTable, notes: Sequence[str], ids: Sequence[int]
) -> Summary:
    """Return the summary of ``contents``, whose drawings were drawn as ``figures``. ``ids`` are the numbers of its runs."""
    runs = contents.runs
    metrics = dict.fromkeys(row.metric for run in runs for row in run.numbers.rows)
    asked = {row.kind for run in runs for row in run.numbers.rows}
    return Summary(
        title=title(runs),
        created=max((run.numbers.last_worked for run in runs), default=""),
        wildcore=version("wildcore"),
        notes=(*notes, *contents.notes),
        headline=tuple(headline(run) for run in runs),
        runs=tuple(run_data(number, run, cases.cleaner) for number, run in zip(ids, runs, strict=True)),
        protocols=tuple(protocols(runs)),
        figures=tuple(figures),
        sections=tuple(part.section for part in contents.parts),
        case_count=cases.rows,
        chunk_size=cases.chunk_size,
        chunks=len(cases.chunks),
        metrics=tuple(metrics),
        kinds=tuple(kind for kind in PROBE_KINDS if kind in asked),
    )


def title(runs: Sequence[NamedRun]) -> str:
    """Return a title: the editors, models and datasets, as far as they are few."""
    identities = [run.numbers.manifest.identity for run in runs]
    said = []
    for what, found in (
        ("editors", [editor_of(one) for one in identities]),
        ("models", [str(one.get("model", {}).get("name")) for one in identities]),
        ("datasets", [str(one.get("dataset", {}).get("name")) for one in identities]),
    ):
        different = list(dict.fromkeys(found))
        said.append(", ".join(different) if len(different) <= 4 else f"{len(different)} {what}")
    return f"{said[0]} on {said[1]}: {said[2]}" if runs else "No runs"


def headline(run: NamedRun) -> str:
    """Return in words what a run found, with its name."""
    numbers = run.numbers
    refused = sum(numbers.refused.values())
    unscored = sum(numbers.unscored.values())
    said = gap_in_words(numbers.gap)
    if said is None and not numbers.finished:
        said = f"Unfinished: {numbers.done} of {numbers.manifest.case_count} cases are evaluated, and not scored yet."
    elif said is None:
        rows = numbers.reliability().values()
        each = ", ".join(f"{row.after:.3f} {row.protocol}" for row in rows if row.after is not None)
        said = f"Reliability: {each or 'no score'} ({counted(numbers.done, 'case')})."
    left_out = [
        f"{refused} edits were refused" if refused else "",
        f"{unscored} answers not scored" if unscored else "",
    ]
    counts = ", ".join(part for part in left_out if part)
    return f"{run.name}: {said}" + (f" {counts[0].upper()}{counts[1:]}." if counts else "")


def run_data(number: int, run: NamedRun, cleaner: Cleaner) -> RunData:
    """Return a run as the page shows it. Its path may have bytes that are not UTF-8, which ``cleaner`` replaces."""
    numbers = run.numbers
    manifest = numbers.manifest
    identity: Mapping[str, Any] = manifest.identity
    model, dataset = identity.get("model", {}), identity.get("dataset", {})
    later = numbers.later_notes
    return RunData(
        id=str(number),
        path=cleaner.text(str(numbers.folder.path)),
        name=run.name,
        editor=editor_of(identity),
        model=str(model.get("name")),
        dtype=str(model.get("dtype")),
        dataset=str(dataset.get("name")),
        schedule=schedule_of(identity),
        cases=manifest.case_count,
        finished=numbers.finished,
        done=numbers.done,
        how=how_obtained(manifest),
        manifest=plain(manifest.model_dump(mode="json", by_alias=True)),
        headline=gap_in_words(numbers.gap),
        notes=tuple(dict.fromkeys([*numbers.notes, *manifest.notes, *later])),
        collapse=(sequences.collapse_in_words(run),) if numbers.collapse else (),
        command=command_of(manifest),
    )


def protocols(runs: Sequence[NamedRun]) -> list[ProtocolData]:
    """Return every protocol once; one that differs between runs under the same name is listed each time, which its name says."""
    found: dict[str, EvalProtocol] = {}
    for run in runs:
        for protocol in run.numbers.manifest.protocols:
            if found.get(protocol.name, protocol) != protocol:
                found[f"{protocol.name} (of {run.name})"] = protocol
            else:
                found[protocol.name] = protocol
    return [
        ProtocolData(
            name=name,
            context=str(protocol.context),
            generator=str(protocol.generator),
            truncator=str(protocol.truncator),
            metrics={kind: tuple(map(_metric, metrics)) for kind, metrics in protocol.metrics.items()},
            variant_of=protocol.variant_of,
            differences=protocol.differences,
        )
        for name, protocol in found.items()
    ]


def _metric(use: Use) -> str:
    return str(use)
