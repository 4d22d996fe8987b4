"""What the templates of the site show: numbers as texts, and addresses."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from wildcore import PROBE_KINDS, ProbeKind
from wildcore.defaults import SYNTHETIC, WILD
from wildcore.evaluation.schedules import description
from wildcore.records.schema import ScoreRecord
from wildcore.reporting.console import duration, printable
from wildcore.reporting.headline import counted, gap_in_words
from wildcore.scoring.differences import synthetic_minus_wild
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.paired import PairedDifference
from wildcore.scoring.ranks import RankRange
from wildcore.scoring.values import case_values
from wildcore_leaderboard.boards import FIRST, Board, Cell, Row, Section
from wildcore_leaderboard.private import without_paths
from wildcore_leaderboard.runs import SiteRun
from wildcore_leaderboard.settings import PARTS, in_words, short_hash

LONGEST = 160
"""Longest name or text that is shown in a table; a longer one is cut."""
LONGEST_FACT = 600
"""The same on the page of a run."""
MOST_NAMED = 4
"""Most runs that are named as possibly the first of a setting."""
BAR, MARGIN = 80, 2
"""Width of the drawing of an interval, and the space beside it, in pixels."""
NO_REPORT = "No report: the plugin wildcore-report is not installed, or reports were left out."


@dataclass(frozen=True)
class Number:
    """A cell as shown. ``mean`` None: there is no number. ``sort`` is the number without rounding."""

    mean: str | None
    interval: str = ""
    sort: str = ""
    bar: Mapping[str, str] | None = None
    rank: str = ""
    note: str = ""
    anchor: str = ""


def shown(text: str, most: int = LONGEST) -> str:
    """Return a text from a run as it is shown: in one line, without control characters, cut if it is long."""
    plain = printable(" ".join(str(text).split()))
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def range_of(rank: RankRange | None) -> str:
    """Return a range of ranks, such as 1 or 2-3."""
    if rank is None:
        return ""
    return str(rank.best) if rank.best == rank.worst else f"{rank.best}-{rank.worst}"


def cell_anchor(protocol: str, kind: str, metric: str) -> str:
    """Return where a number is found on the page of its run."""
    return f"n-{short_hash(json.dumps([protocol, kind, metric]))}"


def index_view(sections: Sequence[Section], reported: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return the sections of the front page. ``reported`` maps the id of each run to why it has no report (None: it has one)."""
    return [_section(section, reported) for section in sections]


def _section(section: Section, reported: Mapping[str, str | None]) -> dict[str, Any]:
    run, _ = section.runs[0]
    model, dataset = run.identity["model"], run.identity["dataset"]
    first = section.boards[0]
    return {
        "anchor": section.setting.anchor,
        "model": " = ".join(_name_of(name) for name in section.models),
        "dataset": " = ".join(shown(name) for name in section.datasets),
        "dtype": shown(model.get("dtype")),
        "fingerprint": shown(model.get("fingerprint")),
        "dataset_hash": shown(dataset.get("hash")),
        "schedule": shown(section.setting.schedule) + (" edits" if section.setting.schedule == "single" else ""),
        "judged": shown(section.setting.judged),
        "case_count": section.case_count,
        "run_count": len(section.runs),
        "first": _leaders(first),
        "more": _other_differences(section),
        "boards": [
            _board(board, section, number == 0 or (board.names[0] in FIRST and board.measure.own), reported)
            for number, board in enumerate(section.boards)
        ],
    }


def _name_of(model: str) -> str:
    return shown(without_paths(model))


def _leaders(board: Board) -> str:
    """Return which runs can have the first rank, and whether they are no better than the unedited model."""
    cells = {row.label: row.cells[board.kinds[0]] for row in board.rows}
    names = [label for label, cell in cells.items() if cell.rank and cell.rank.best == 1]
    if not names:
        return "-"
    more = f" or {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(shown(name) for name in names[:MOST_NAMED]) + more
    text = f"any of the {len(names)} runs" if len(names) == len(board.rows) else listed
    if all(cells[name].above_unedited is False for name in names):
        text += ", not above unedited"
    return f"{text} ({shown(board.names[0])})"


def _other_differences(section: Section) -> str:
    limits = {json.dumps(run.identity["dataset"].get("where"), sort_keys=True) for run, _ in section.runs}
    return "" if limits == {"{}"} else f"Cases chosen by {', '.join(sorted(limits))}."


def _board(board: Board, section: Section, is_open: bool, reported: Mapping[str, str | None]) -> dict[str, Any]:
    names = ", ".join(shown(name) for name in board.names)
    labels = list(dict.fromkeys(board.measure.labels.values()))
    unedited = [board.unedited.get(kind) for kind in board.kinds]
    return {
        "anchor": f"t-{short_hash(section.setting.key + board.measure.key)}",
        "name": names if board.measure.own else f"{names}, by {shown(labels[0])}",
        "metrics": counted(len(board.rows), "run"),
        "open": is_open,
        "kinds": [
            {"name": kind.replace("-", " ").capitalize(), "metric": shown(board.measure.labels[kind])}
            for kind in board.kinds
        ],
        "has_gap": board.has_gap,
        "rows": [_row(row, board, reported) for row in board.rows],
        "unedited": [Number(None) if cell is None else number_of(cell) for cell in unedited],
        "unedited_n": max((cell.cases for cell in unedited if cell), default=0),
        "how": "; ".join(f"{part}: {shown(in_words(board.measure.modules[part]))}" for part in PARTS) + ".",
        "notes": list(_notes(board)),
    }


def _notes(board: Board) -> Iterable[str]:
    if board.differs:
        yield f"These runs also differ in: {', '.join(board.differs)}."
    if board.unedited_spread > 1e-9:
        yield f"The unedited model's numbers differ between these runs by up to {board.unedited_spread:.3f}; one is shown."
    if any(cell.rank is None for row in board.rows for cell in row.cells.values()) and len(board.rows) > 1:
        yield "A number without a rank was not scored, or is not between 0 and 1: it is not known whether more is better."
    if (
        board.names[0] == WILD
        and not board.has_gap
        and any(SYNTHETIC in row.run.identity["protocols"] for row in board.rows)
    ):
        yield "Synthetic minus wild is left out: the synthetic protocol is not the same in these runs."


def _row(row: Row, board: Board, reported: Mapping[str, str | None]) -> dict[str, Any]:
    main = row.cells[board.kinds[0]]
    protocol = next(name for name in board.names if name in row.run.identity["protocols"])
    return {
        "id": row.run.id,
        "label": shown(row.label),
        "rank": range_of(main.rank) or "-",
        "sort": f"{main.rank.best + main.rank.worst / 10000:.4f}" if main.rank else "",
        "report": reported.get(row.run.id, "") is None,
        "marks": _marks(row.run, protocol),
        "cells": [
            number_of(row.cells[kind], cell_anchor(protocol, kind, board.measure.labels[kind])) for kind in board.kinds
        ],
        "synthetic": _synthetic(row.gap),
        "gap": _gap(row.gap),
        "n": main.cases,
        "refused": row.run.refused,
    }


def _marks(run: SiteRun, protocol: str) -> str:
    """Return what a reader must see beside a run's numbers under a protocol."""
    departs = any(one.protocol in (None, protocol) for one in run.departures)
    return ", ".join((["not as published"] if departs else []) + (["files changed"] if run.warnings else []))


def number_of(cell: Cell, anchor: str = "") -> Number:
    """Return a cell as shown."""
    notes = [f"{cell.unscored} unscored"] if cell.unscored else []
    notes += ["not above unedited"] if cell.above_unedited is False else []
    note = ", ".join(notes)
    if cell.mean is None:
        return Number(None, note=note, anchor=anchor)
    return Number(
        mean=f"{cell.mean:.3f}",
        interval="no interval" if cell.low is None or cell.high is None else f"{cell.low:.3f} to {cell.high:.3f}",
        sort=f"{cell.mean:.9f}",
        bar=_bar(cell.mean, cell.low, cell.high),
        rank=range_of(cell.rank),
        note=note,
        anchor=anchor,
    )


def _bar(mean: float, low: float | None, high: float | None) -> dict[str, str] | None:
    """Return where to draw a mean and its interval between 0 and 1. None: they lie outside."""
    low, high = (mean if low is None else low), (mean if high is None else high)
    if low < 0 or high > 1:
        return None
    return {
        "x": f"{MARGIN + BAR * low:.1f}",
        "width": f"{max(1.0, BAR * (high - low)):.1f}",
        "dot": f"{MARGIN + BAR * mean:.1f}",
    }


def _synthetic(gap: PairedDifference | None) -> Number:
    if gap is None or gap.first is None:
        return Number(None)
    return Number(f"{gap.first:.3f}", sort=f"{gap.first:.9f}", bar=_bar(gap.first, None, None))


def _gap(gap: PairedDifference | None) -> Number:
    if gap is None or gap.difference is None:
        return Number(None)
    interval = "no interval"
    if gap.low is not None and gap.high is not None:
        interval = f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
    return Number(f"{100 * gap.difference:+.1f}", interval, f"{gap.difference:.9f}")


def run_view(run: SiteRun, why_no_report: str | None) -> dict[str, Any]:
    """Return what the page of a run shows."""
    scores = run.scores[run.last_point]
    clusters = run.shared_subjects(run.last_point)
    gap = gap_in_words(synthetic_minus_wild(scores, clusters))
    identity = run.identity
    columns, points = _points(run)
    return {
        "heading": f"{shown(run.editor)} on {_name_of(identity['model']['name'])}, {shown(identity['dataset']['name'])}",
        "headline": gap,
        "report": why_no_report is None,
        "no_report": why_no_report or "",
        "facts": _facts(run),
        "departures": [shown(without_paths(str(one))) for one in run.departures],
        "notes": [shown(one, LONGEST_FACT) for one in (*run.warnings, *run.notes)],
        "numbers": [_number_row(row) for row in summarise(scores, clusters)],
        "point_columns": columns,
        "points": points,
        "files": run.files,
        "manifest": manifest_text(run),
    }


def manifest_text(run: SiteRun) -> str:
    """Return the manifest as it is shown: without paths of the machine, and without control characters."""
    fields = without_paths(run.manifest.model_dump(mode="json", by_alias=True))
    text = json.dumps(fields, indent=1, ensure_ascii=False)
    return "\n".join(map(printable, text.splitlines()))


def _facts(run: SiteRun) -> list[tuple[str, str]]:
    identity, manifest = run.identity, run.manifest
    model, dataset, hardware = identity["model"], identity["dataset"], manifest.hardware
    made_on = [str(hardware[name]) for name in ("accelerator", "machine", "system") if hardware.get(name)]
    known = {name: manifest.versions.get(name) for name in ("wildcore", "torch", "transformers")}
    versions = [f"{name} {version}" for name, version in known.items() if version]
    revision = manifest.versions.get("source revision")
    facts = [
        ("Run", run.id),
        ("Folder", run.path),
        ("Editor", f"{run.editor}: {in_words(identity['editor'])}"),
        ("Model", f"{without_paths(model['name'])}, {model.get('dtype')}, fingerprint {model.get('fingerprint')}"),
        ("Dataset", f"{dataset['name']}, {manifest.case_count} cases, hash {dataset.get('hash')}"),
        ("Schedule", description(identity["schedule"])),
        ("Edits", _edits(run)),
        ("Seed, batch size", f"{identity.get('seed')}, {identity.get('batch_size')}"),
        ("Begun", manifest.created),
        ("Computed on", ", ".join(made_on)),
        ("Versions", ", ".join([*versions, *([f"source revision {revision}"] if revision else [])])),
    ]
    return [(name, shown(value, LONGEST_FACT)) for name, value in facts]


def _edits(run: SiteRun) -> str:
    made = f"{run.manifest.case_count - run.refused} made, {run.refused} refused, {run.diverged} diverged"
    if run.seconds_per_edit is None:
        return made
    each = f"{run.seconds_per_edit:.2g} s" if run.seconds_per_edit < 1 else duration(run.seconds_per_edit)
    return f"{made}; {each} each"


def _number_row(row: SummaryRow) -> dict[str, Any]:
    cell = Cell(row.after, row.low, row.high, row.cases, 0)
    return {
        "anchor": cell_anchor(row.protocol, row.kind, row.metric),
        "protocol": shown(row.protocol),
        "kind": row.kind,
        "metric": shown(row.metric),
        "before": "-" if row.before is None else f"{row.before:.3f}",
        "before_sort": "" if row.before is None else f"{row.before:.9f}",
        "after": number_of(cell),
        "cases": row.cases,
        "unscored": row.unscored,
        "refused": row.refused,
    }


def _points(run: SiteRun) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and rows of the table of judging points; none if the run has only one."""
    if None in run.scores or len(run.scores) < 2:
        return [], []
    found = {point: _means(scores) for point, scores in run.scores.items()}
    columns = list(dict.fromkeys(key for means in found.values() for key in means))
    signs = {point.after_edits: "; ".join(point.collapse) for point in run.points}
    rows = [
        {
            "edits": point,
            "numbers": [f"{means[key]:.3f}" if key in means else "-" for key in columns],
            "collapse": shown(signs.get(point or 0, "") or "none seen"),
        }
        for point, means in found.items()
    ]
    return [f"{shown(protocol)} {kind}" for protocol, kind in columns], rows


def _means(scores: Sequence[ScoreRecord]) -> dict[tuple[str, ProbeKind], float]:
    """Return the mean of each protocol's first metric for each probe kind."""
    first: dict[tuple[str, ProbeKind], float] = {}
    for (protocol, kind, _), values in case_values(scores).items():
        first.setdefault((protocol, kind), fmean(values.values()))
    return {
        key: first[key]
        for key in sorted(first, key=lambda key: (key[0] not in FIRST, key[0], PROBE_KINDS.index(key[1])))
    }
