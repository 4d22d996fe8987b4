"""Tables of comparable runs, with ranks: paired differences on the same cases, p-values adjusted by Holm.

An edit that its editor refused leaves the model as it was. Its case counts with the score of the unedited model, and with 1 for
what compares with the unedited model, so that no editor gains by refusing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from wildcore import PROBE_KINDS, ProbeKind
from wildcore.defaults import SYNTHETIC, WILD
from wildcore.records.schema import ScoreRecord, flatten
from wildcore.scoring.clusters import cluster_names
from wildcore.scoring.differences import all_pairs, run_differences, synthetic_minus_wild
from wildcore.scoring.intervals import interval
from wildcore.scoring.paired import PairedDifference, compare_paired, holm
from wildcore.scoring.power import LEVEL
from wildcore.scoring.ranks import RankRange, rank_ranges
from wildcore.scoring.scores import COMPARES, REFUSED
from wildcore.scoring.values import case_means
from wildcore_leaderboard.runs import Point, SiteRun
from wildcore_leaderboard.settings import Measure, Setting, measures

FIRST = (WILD, SYNTHETIC)
"""Protocols whose tables come first, in this order."""

Clusters = Mapping[str, str]


@dataclass(frozen=True)
class Cell:
    """A number of a table: the mean over ``cases`` with its 95 % interval (None: there is none) and its rank.

    ``unscored`` counts probes without a score. ``rank`` None: there is nothing to rank, or it is not known whether more is
    better. ``above_unedited``: whether it is more than the unedited model's number by a difference that stands (None: unknown).
    """

    mean: float | None
    low: float | None
    high: float | None
    cases: int
    unscored: int
    rank: RankRange | None = None
    above_unedited: bool | None = None


@dataclass(frozen=True)
class Row:
    """A run in a table. ``label`` is its editor, with what tells it from others of the same name. ``gap``: synthetic minus
    wild."""

    run: SiteRun
    label: str
    cells: Mapping[ProbeKind, Cell]
    gap: PairedDifference | None


@dataclass(frozen=True)
class Board:
    """A table: ``rows`` that are comparable, and the ``unedited`` model's numbers. ``differs`` says in what else rows differ."""

    measure: Measure
    names: tuple[str, ...]
    kinds: tuple[ProbeKind, ...]
    rows: tuple[Row, ...]
    unedited: Mapping[ProbeKind, Cell]
    unedited_spread: float
    has_gap: bool
    differs: tuple[str, ...]


@dataclass
class Section:
    """All tables of a setting. ``models`` and ``datasets`` are the names under which the runs know them."""

    setting: Setting
    runs: list[tuple[SiteRun, Point]] = field(default_factory=list)
    boards: list[Board] = field(default_factory=list)

    @property
    def models(self) -> list[str]:
        """The names of the model in the runs."""
        return sorted({run.identity["model"]["name"] for run, _ in self.runs})

    @property
    def datasets(self) -> list[str]:
        """The names of the dataset in the runs."""
        return sorted({run.identity["dataset"]["name"] for run, _ in self.runs})

    @property
    def case_count(self) -> int:
        """The number of cases."""
        run, point = self.runs[0]
        return len(run.cases[point])


def sections(runs: Iterable[SiteRun]) -> list[Section]:
    """Return the tables of all runs, by setting, in an order that depends on their content alone."""
    found: dict[str, Section] = {}
    for run in sorted(runs, key=lambda run: (run.editor, run.id)):
        for point in run.scores:
            setting = Setting.of(run, point)
            found.setdefault(setting.key, Section(setting)).runs.append((run, point))
    for section in found.values():
        section.boards = _boards(section)
    return sorted((one for one in found.values() if one.boards), key=_order_of_sections)


def _order_of_sections(section: Section) -> tuple[object, ...]:
    _, point = section.runs[0]
    return (section.datasets, section.models, section.setting.schedule, -(point or 0), section.setting.key)


def _boards(section: Section) -> list[Board]:
    members: dict[str, list[tuple[SiteRun, Point, Measure]]] = {}
    for run, point in section.runs:
        for measure in measures(run, run.scores[point]):
            members.setdefault(measure.key, []).append((run, point, measure))
    first, at = section.runs[0]
    clusters = first.shared_subjects(at)
    boards = [_board(group, clusters) for group in members.values()]
    return sorted(boards, key=_order_of_boards)


def _order_of_boards(board: Board) -> tuple[object, ...]:
    name = board.names[0]
    return (not board.measure.own, FIRST.index(name) if name in FIRST else len(FIRST), name, board.measure.key)


def _board(group: Sequence[tuple[SiteRun, Point, Measure]], clusters: Clusters) -> Board:
    measure = group[0][2]
    kinds = tuple(kind for kind in PROBE_KINDS if kind in measure.labels)
    own = [[score for score in run.scores[point] if score.protocol == one.protocol] for run, point, one in group]
    cells: list[dict[ProbeKind, Cell]] = [{} for _ in group]
    unedited: dict[ProbeKind, Cell] = {}
    spread = 0.0
    for kind in kinds:
        scores = [
            [score for score in of_run if score.kind == kind and score.metric == one.labels[kind]]
            for of_run, (_, _, one) in zip(own, group, strict=True)
        ]
        after = [case_means((score.case, after_edits(score)) for score in of_run) for of_run in scores]
        before = [case_means((score.case, score.before) for score in of_run) for of_run in scores]
        ranks = _ranks(measure.protocol, kind, measure.labels[kind], after, clusters)
        above = _above_unedited(after, before, clusters)
        for index, values in enumerate(after):
            cell = _cell(values, scores[index], clusters, ranks.get(index + 1))
            cells[index][kind] = replace(cell, above_unedited=above[index])
        if known := [values for values in before if values]:
            unedited[kind] = _cell(known[0], [], clusters, None)
            means = [fmean(values.values()) for values in known]
            spread = max(spread, max(means) - min(means))
    gaps = [
        synthetic_minus_wild(run.scores[point], clusters) if measure.protocol == WILD and measure.own else None
        for run, point, _ in group
    ]
    has_gap = any(gap is not None for gap in gaps) and _same_synthetic([run for run, _, _ in group])
    labels = _labels([run for run, _, _ in group])
    rows = [
        Row(run, label, of_run, gap if has_gap else None)
        for (run, _, _), label, of_run, gap in zip(group, labels, cells, gaps, strict=True)
    ]
    return Board(
        measure=measure,
        names=tuple(sorted({one.protocol for _, _, one in group})),
        kinds=kinds,
        rows=tuple(sorted(rows, key=lambda row: _order_of_rows(row, kinds))),
        unedited=unedited,
        unedited_spread=spread,
        has_gap=has_gap,
        differs=tuple(_differences([run for run, _, _ in group])),
    )


def after_edits(score: ScoreRecord) -> float | None:
    """Return what a score counts in a table: after a refused edit that of the unedited model."""
    if score.after is not None or score.after_reason != REFUSED:
        return score.after
    return 1.0 if score.before_reason == COMPARES else score.before


def _ranks(
    protocol: str, kind: ProbeKind, label: str, values: Sequence[Mapping[str, float]], clusters: Clusters
) -> dict[int, RankRange]:
    """Return the ranks of runs, numbered from 1, in one number; none if values lie outside 0 and 1, or if there is one run."""
    ranked = [index for index, of_run in enumerate(values) if of_run]
    if len(ranked) < 2 or not _in_unit(values):
        return {}
    key = (protocol, kind, label)
    differences = run_differences(
        [{key: of_run} if of_run else {} for of_run in values], all_pairs(len(values)), clusters
    )
    return rank_ranges([index + 1 for index in ranked], differences)


def _above_unedited(
    after: Sequence[Mapping[str, float]], before: Sequence[Mapping[str, float]], clusters: Clusters
) -> list[bool | None]:
    """Return whether each run's number is above the unedited model's, by p-values adjusted over the runs of the column.

    None: there is no number before, as in locality, or it is not known whether more is better.
    """
    known = _in_unit(after) and _in_unit(before)
    paired = [
        compare_paired(now, then, clusters) if now and then and known else None
        for now, then in zip(after, before, strict=True)
    ]
    adjusted = holm([one.p if one else None for one in paired])
    return [
        None if one is None or one.difference is None else _is_above(one, p)
        for one, p in zip(paired, adjusted, strict=True)
    ]


def _is_above(paired: PairedDifference, p_holm: float | None) -> bool:
    """Return whether a difference is above zero and stands, as in ``wildcore.scoring.ranks.stands``."""
    if paired.difference is None or paired.difference <= 0 or p_holm is None or p_holm >= LEVEL:
        return False
    return paired.low is None or paired.low > 0


def _in_unit(values: Sequence[Mapping[str, float]]) -> bool:
    return all(0 <= value <= 1 for of_run in values for value in of_run.values())


def _cell(
    values: Mapping[str, float], scores: Sequence[ScoreRecord], clusters: Clusters, rank: RankRange | None
) -> Cell:
    unscored = sum(after_edits(score) is None for score in scores)
    if not values:
        return Cell(None, None, None, 0, unscored)
    found = interval(list(values.values()), cluster_names(values, clusters))
    return Cell(fmean(values.values()), found.low, found.high, len(values), unscored, rank)


def _order_of_rows(row: Row, kinds: Sequence[ProbeKind]) -> tuple[object, ...]:
    cell = row.cells[kinds[0]]
    ranks = (cell.rank.best, cell.rank.worst) if cell.rank else (0, 0)
    return (*ranks, -(cell.mean if cell.mean is not None else float("-inf")), row.label, row.run.id)


def _same_synthetic(runs: Sequence[SiteRun]) -> bool:
    """Return whether the synthetic protocol is the same in all runs that have it."""
    found = [run.identity["protocols"].get(SYNTHETIC) for run in runs]
    known = [modules for modules in found if modules is not None]
    return all(modules == known[0] for modules in known)


def _labels(runs: Sequence[SiteRun]) -> list[str]:
    """Return the name of each run's editor, with what tells it from others of the same name: parameters, seed, or its id."""
    found = [run.editor for run in runs]
    for name in {name for name in found if found.count(name) > 1}:
        alike = [index for index, one in enumerate(found) if one == name]
        said = [
            flatten({**runs[index].identity["editor"], "seed": runs[index].identity.get("seed")}) for index in alike
        ]
        keys = sorted({key for one in said for key in one if any(one.get(key) != other.get(key) for other in said)})
        told = [", ".join(f"{key.removeprefix('params.')}={one.get(key)}" for key in keys) for one in said]
        for index, text in zip(alike, told, strict=True):
            rest = "" if told.count(text) == 1 else f"run {runs[index].id}"
            found[index] = f"{name} ({', '.join(part for part in (text, rest) if part)})"
    return found


def _differences(runs: Sequence[SiteRun]) -> list[str]:
    """Return in what runs differ besides their editors and protocols, without being told apart by it."""
    told = {
        "seed": [run.identity.get("seed") for run in runs],
        "batch size": [run.identity.get("batch_size") for run in runs],
        "clock": [run.identity.get("clock") for run in runs],
        "device": [run.identity["model"].get("device") for run in runs],
        "accelerator": [run.manifest.hardware.get("accelerator") for run in runs],
        **{
            f"version of {name}": [run.manifest.versions.get(name) for run in runs]
            for name in ("wildcore", "torch", "transformers", "source revision")
        },
    }
    return [name for name, values in told.items() if any(value != values[0] for value in values)]
