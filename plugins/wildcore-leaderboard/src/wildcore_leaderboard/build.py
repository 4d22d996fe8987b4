"""Builds the site: reads runs, makes tables and pages, and puts them in place at once."""

import json
from base64 import b64encode
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wildcore import Option, Place, UserError
from wildcore.bounded import load_json
from wildcore.registry import Registry
from wildcore.reporting.console import Reporter, printable
from wildcore.reporting.headline import counted
from wildcore_leaderboard.boards import Board, Section, sections
from wildcore_leaderboard.private import without_paths
from wildcore_leaderboard.reports import FILE as REPORT
from wildcore_leaderboard.reports import ReportWriter
from wildcore_leaderboard.runs import SiteRun, find_runs, read_run
from wildcore_leaderboard.view import NO_REPORT, index_view, run_view, shown

DATA = "leaderboard.json"
SCHEMA = 1


@dataclass(frozen=True)
class Built:
    """A site that was built: the number of its runs, settings and tables, and what is to be said of it."""

    site: Path
    runs: int
    settings: int
    tables: int
    notes: tuple[str, ...]

    def in_a_sentence(self) -> str:
        """Return what was built."""
        parts = (counted(self.runs, "run"), counted(self.settings, "setting"), counted(self.tables, "table"))
        return f"{self.site / 'index.html'}: {parts[0]} in {parts[1]}, {parts[2]}"


def build_site(
    registry: Registry, folder: Path, site: Path, title: str, report: ReportWriter | None, reporter: Reporter
) -> Built:
    """Write the site of all runs in ``folder``, and show on ``reporter`` how far it is. An earlier site is replaced at once, when
    the new one is whole.

    Raises ``UserError`` if there is no finished run, or if ``site`` is a folder with something else in it.
    """
    _require_site(site, folder)
    runs, left_out = _read_runs(registry, folder, reporter)
    with reporter.track("comparing runs", None):
        found = sections(runs)
    site.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(prefix=f".{site.name}-", dir=site.parent))
    try:
        reported = _write_reports(unfinished, runs, report, reporter)
        _write_pages(unfinished, runs, found, title, left_out, reported)
        unfinished.chmod(0o755)
        if site.exists():
            rmtree(site)
        unfinished.rename(site)
    except BaseException:
        rmtree(unfinished, ignore_errors=True)
        raise
    notes = [f"left out: {one}" for one in left_out]
    failed = {reason for reason in reported.values() if reason and report is not None}
    notes += sorted(failed)
    return Built(site, len(runs), len(found), sum(len(section.boards) for section in found), tuple(notes))


def _require_site(site: Path, folder: Path) -> None:
    about = Option("out", site)
    if site.resolve() == folder.resolve() or folder.resolve().is_relative_to(site.resolve()):
        raise UserError("the runs lie in it, and the site replaces what is there", about, "choose another folder")
    if site.is_symlink() or (site.exists() and not site.is_dir()):
        raise UserError("not a folder", about, "choose another name")
    if site.is_dir() and any(site.iterdir()) and not _is_site(site):
        raise UserError("it holds something other than a site of a leaderboard", about, "choose an empty or new folder")


def _is_site(site: Path) -> bool:
    try:
        said = load_json((site / DATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("made_by") == "wildcore-leaderboard"


def _read_runs(registry: Registry, folder: Path, reporter: Reporter) -> tuple[list[SiteRun], list[str]]:
    """Return the finished runs, each content once, and what was left out and why."""
    runs: dict[str, SiteRun] = {}
    left_out = []
    paths = find_runs(folder)
    with reporter.track("reading runs", len(paths)) as advance:
        for path in paths:
            name = path.relative_to(folder).as_posix()
            try:
                run = read_run(registry, path, folder)
            except UserError as error:
                left_out.append(shown(without_paths(str(error).replace(str(path), name))))
            else:
                if run.id in runs:
                    left_out.append(shown(f"{name}: the same run as {runs[run.id].path}"))
                runs.setdefault(run.id, run)
            advance(1)
    if not runs:
        raise UserError(f"contains no finished run ({left_out[0]})", Place(folder))
    return list(runs.values()), left_out


def _write_reports(
    site: Path, runs: list[SiteRun], report: ReportWriter | None, reporter: Reporter
) -> dict[str, str | None]:
    """Write the report of each run; return why there is none, by the run's id (None: there is one)."""
    reported: dict[str, str | None] = {}
    with reporter.track("writing reports", len(runs)) as advance:
        for run in runs:
            place = site / "runs" / run.id
            place.mkdir(parents=True)
            reported[run.id] = NO_REPORT if report is None else report(run.folder, run.id, place / REPORT)
            advance(1)
    return reported


def _write_pages(
    site: Path,
    runs: list[SiteRun],
    found: list[Section],
    title: str,
    left_out: list[str],
    reported: dict[str, str | None],
) -> None:
    pages = _templates()
    counts = f"{counted(len(runs), 'run')} in {counted(len(found), 'setting')}."
    index = pages.get_template("index.html").render(
        heading=shown(title), counts=counts, sections=index_view(found, reported), left_out=left_out
    )
    _write(site / "index.html", index)
    page = pages.get_template("run.html")
    for run in runs:
        _write(site / "runs" / run.id / "index.html", page.render(**run_view(run, reported[run.id])))
    data = {
        "schema_number": SCHEMA,
        "made_by": "wildcore-leaderboard",
        "title": title,
        "sections": [_section_data(section) for section in found],
        "runs": [{"id": run.id, "path": run.path, "files": [asdict(file) for file in run.files]} for run in runs],
        "left_out": left_out,
    }
    _write(site / DATA, json.dumps(data, indent=1, ensure_ascii=True) + "\n")


def _write(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", errors="replace"))


def _templates() -> Environment:
    """Return the templates, with the style and the script that pages hold, and a policy that allows nothing else."""
    own = files("wildcore_leaderboard") / "page"
    style, script = ((own / name).read_text(encoding="utf-8") for name in ("style.css", "sort.js"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'"
    )
    environment = Environment(
        loader=PackageLoader("wildcore_leaderboard", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own_texts = {"style": Markup(style), "script": Markup(script)}  # ours, and named by their hashes in the policy
    environment.globals.update(**own_texts, policy=policy, version=version("wildcore"))
    return environment


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _section_data(section: Section) -> dict[str, Any]:
    run, _ = section.runs[0]
    model, dataset = run.identity["model"], run.identity["dataset"]
    return {
        "anchor": section.setting.anchor,
        "models": [printable(without_paths(name)) for name in section.models],
        "fingerprint": model.get("fingerprint"),
        "dtype": model.get("dtype"),
        "datasets": section.datasets,
        "dataset_hash": dataset.get("hash"),
        "cases": section.case_count,
        "schedule": section.setting.schedule,
        "judged": section.setting.judged,
        "tables": [_board_data(board) for board in section.boards],
    }


def _board_data(board: Board) -> dict[str, Any]:
    return {
        "protocols": board.names,
        "modules": without_paths(board.measure.modules, in_texts=False),
        "metrics": board.measure.labels,
        "rows": [
            {
                "run": row.run.id,
                "editor": row.label,
                "numbers": {
                    kind: {
                        "mean": cell.mean,
                        "low": cell.low,
                        "high": cell.high,
                        "cases": cell.cases,
                        "unscored": cell.unscored,
                        "rank": [cell.rank.best, cell.rank.worst] if cell.rank else None,
                        "above_unedited": cell.above_unedited,
                    }
                    for kind, cell in row.cells.items()
                },
                "synthetic_minus_wild": row.gap.model_dump(mode="json") if row.gap else None,
            }
            for row in board.rows
        ],
        "unedited": {
            kind: {"mean": cell.mean, "low": cell.low, "high": cell.high} for kind, cell in board.unedited.items()
        },
        "differs": board.differs,
    }
