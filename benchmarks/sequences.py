"""Sequences of edits by many editors: runs them side by side, resumes what is unfinished, and prints the tables.

    python benchmarks/sequences.py run --model MODEL --data qaedit=qaedit_1k.json counterfact=counterfact_10k.json --out DIR
    python benchmarks/sequences.py table DIR

``run`` carries out cells, each a run of ``wildcore eval`` in a folder of its own: a sequence for each editor and dataset,
judged at 1, 10, 100 and 300 edits and at the end; with ``--matrix``, 5 updates of 20 edits, judged after each; with
``--updates``, sequences of one update size each. Up to ``--jobs`` cells run at a time, spread over ``--devices``. After
``--minutes`` all are interrupted; the same command resumes them. A finished cell is never run again.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EDITORS = ("ft-m", "locft", "rome", "memit", "alphaedit", "ultraedit", "memit+norm-anchor", "grace", "wise")
POINTS = (1, 10, 100, 300)
SECONDS_TO_STOP = 20
TRIES = 3


@dataclass
class Cell:
    """One run: its folder and the options of ``wildcore eval`` that begin it."""

    folder: Path
    options: list[str]
    tries: int = 0

    @property
    def finished(self) -> bool:
        """Whether the run has been scored."""
        return (self.folder / "summary.json").exists()

    @property
    def command(self) -> list[str]:
        """The command that begins the run, or resumes it."""
        begun = (self.folder / "manifest.json").exists()
        chosen = ["--resume", str(self.folder)] if begun else [*self.options, "--out", str(self.folder)]
        return [sys.executable, "-m", "wildcore", "eval", *chosen]


def cells(given: argparse.Namespace) -> Iterator[Cell]:
    """Return the runs that the arguments ask for; what takes longest first."""
    common = ["--model", given.model, "--schedule", "sequential", "--protocol", "synthetic", "--protocol", "wild"]
    common += ["--continuation", "0", "--measure", "perplexity", "--measure", "n-gram-entropy", *given.option]
    for name, _, path in (one.partition("=") for one in given.data):
        data = [*common, "--dataset", name, "--set", f"dataset.path={path}"]
        for editor in given.editors:
            chosen = [*data, "--editor", editor]
            points = ",".join(str(point) for point in POINTS if point < given.edits)
            yield Cell(
                given.out / name / "sequence" / editor, [*chosen, "--limit", str(given.edits), "--judge-at", points]
            )
            if editor in given.matrix:
                update = ["--limit", "100", "--edits-per-update", "20", "--judge-at", "matrix"]
                yield Cell(given.out / name / "matrix" / editor, [*chosen, *update])
            if editor in given.updates:
                for size in (10, 100, 1000):
                    update = ["--limit", str(given.edits), "--edits-per-update", str(size)]
                    yield Cell(given.out / name / f"updates-of-{size}" / editor, [*chosen, *update])


def run(given: argparse.Namespace) -> int:
    """Carry out the cells. Returns how many are unfinished at the end."""
    waiting = deque(cell for cell in cells(given) if not cell.finished)
    working: dict[subprocess.Popen[bytes], tuple[Cell, str, float]] = {}
    devices = deque(given.devices * -(-given.jobs // len(given.devices)))
    deadline = time.monotonic() + 60 * given.minutes
    while (waiting or working) and time.monotonic() < deadline:
        while waiting and len(working) < given.jobs:
            cell, device = waiting.popleft(), devices.popleft()
            working[start(cell, device)] = (cell, device, time.monotonic())
        time.sleep(0.2)
        for process in [process for process in working if process.poll() is not None]:
            cell, device, begun = working.pop(process)
            devices.append(device)
            print(f"{cell.folder}: exit code {process.returncode} after {time.monotonic() - begun:.0f} s", flush=True)
            if not cell.finished and cell.tries < TRIES:
                waiting.append(cell)
    for process in working:
        process.send_signal(signal.SIGINT)
    for process in working:
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
    return sum(not cell.finished for cell in cells(given))


def start(cell: Cell, device: str) -> "subprocess.Popen[bytes]":
    """Start a cell on a device; what it prints is appended to a log beside its folder."""
    cell.tries += 1
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    chosen = {"CUDA_VISIBLE_DEVICES": device.removeprefix("cuda:") if device.startswith("cuda") else ""}
    with open(cell.folder.with_suffix(".log"), "ab") as log:
        return subprocess.Popen(cell.command, env=os.environ | chosen, stdout=log, stderr=log, start_new_session=True)


def table(folder: Path) -> None:
    """Print the tables of all finished cells below ``folder``, and what is unfinished."""
    summaries = {path.parent: json.loads(path.read_text()) for path in sorted(folder.rglob("summary.json"))}
    for kind in sorted({path.parent for path in summaries}):
        rows = {path.name: summaries[path] for path in summaries if path.parent == kind}
        print(f"\n### {kind.relative_to(folder)}\n")
        if kind.name == "matrix":
            for editor, summary in rows.items():
                print_matrix(editor, summary)
        else:
            print_points(rows)
    for manifest in sorted(folder.rglob("manifest.json")):
        if manifest.parent not in summaries:
            print(f"unfinished: {manifest.parent.relative_to(folder)}")


def print_points(rows: dict[str, Any]) -> None:
    """Print a line for each editor and judging point."""
    print(
        "| editor | edits | reliability, synthetic | wild | locality, synthetic | wild | perplexity | entropy | change |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for editor, summary in rows.items():
        for point in summary["points"]:
            if point["after_edits"]:
                print("| " + " | ".join([editor, str(point["after_edits"]), *_numbers(point)]) + " |")
        if summary["collapse"]:
            found = summary["collapse"]
            print(f"| {editor} | collapsed from {found['after_edits']} on: {'; '.join(found['signs'])} |||||||")


def _numbers(point: dict[str, Any]) -> Iterator[str]:
    cells = {(cell["protocol"], cell["kind"]): cell for cell in reversed(point["cells"])}
    for kind in ("reliability", "locality"):
        for protocol in ("synthetic", "wild"):
            yield _number(cells.get((protocol, kind), {}).get("after"))
    measured = {one["name"]: one["value"] for of in point["model"]["measured"].values() for one in of}
    yield _number(measured.get("perplexity"), "{:.1f}")
    yield _number(measured.get("n-gram-entropy"), "{:.2f}")
    changes = [weight["change"] for weight in point["model"]["weights"]]
    yield "-" if not changes else _number(None if None in changes else max(changes), "{:.2f}")


def print_matrix(editor: str, summary: dict[str, Any]) -> None:
    """Print the retention matrix under each protocol."""
    for matrix in summary["matrices"]:
        print(f"\n{editor}, {matrix['protocol']} ({matrix['metric']}):\n")
        print("| edits | " + " | ".join(f"after {after}" for after in matrix["after_edits"]) + " |")
        print("| --- |" + " ---: |" * len(matrix["after_edits"]))
        for (first, last), values in zip(matrix["groups"], matrix["values"], strict=True):
            print(f"| {first} to {last} | " + " | ".join("" if v is None else f"{v:.2f}" for v in values) + " |")


def _number(value: float | None, form: str = "{:.3f}") -> str:
    return "none" if value is None else form.format(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name. Returns the exit code: 1 if cells are unfinished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--model", required=True)
    running.add_argument("--data", nargs="+", required=True, metavar="DATASET=FILE")
    running.add_argument("--editors", nargs="+", default=EDITORS)
    running.add_argument("--matrix", nargs="*", default=(), metavar="EDITOR")
    running.add_argument("--updates", nargs="*", default=(), metavar="EDITOR")
    running.add_argument("--edits", type=int, default=1000)
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--jobs", type=int, default=1)
    running.add_argument("--devices", nargs="+", default=["cpu"])
    running.add_argument("--minutes", type=float, default=1e6)
    running.add_argument("--option", nargs=argparse.REMAINDER, default=[], help="further options of wildcore eval")
    commands.add_parser("table").add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "table":
        table(given.folder)
        return 0
    unfinished = run(given)
    print(f"{unfinished} cells are unfinished" if unfinished else "all cells are finished")
    return min(1, unfinished)


if __name__ == "__main__":
    sys.exit(main())
