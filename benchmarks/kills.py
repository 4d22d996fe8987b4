"""Kills five commands at each of their file operations, gives each command again, and compares what it makes with what it makes
uninterrupted.

    python benchmarks/kills.py
"""

import argparse
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

import wildcore.testing
from wildcore import Saved
from wildcore.storage import content_digest
from wildcore.storage.artifacts import read_sound
from wildcore.storage.tensor_files import read_tensors
from wildcore.testing.processes import run_python

MODEL = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
PLACES = ("mill", "harbour", "market", "bridge")


@dataclass(frozen=True)
class Killable:
    """A command in a folder: its arguments, those that resume it, and what it has made at the end.

    ``prepare`` makes what the command needs. ``resumed`` returns None if nothing is left to do.
    """

    name: str
    arguments: Sequence[str]
    resumed: Callable[[Path], Sequence[str] | None]
    made: Callable[[Path], Any]
    prepare: Sequence[str] = ()


def killables() -> list[Killable]:
    """Return the commands: an evaluation of single edits, a sequence, a scoring, a preparation, and an edit with its trace."""
    model = ("--model", str(MODEL), "--quiet")
    data = ("--dataset", "counterfact", "--set", "dataset.path=edits.json")
    single = ("eval", *model, *data, "--editor", "ft-m", "--set", "editor.steps=2", "--parallel", "2", "--out", "run")
    sequence = (*single, "--schedule", "sequential", "--judge-at", "1,2", "--checkpoint-every", "0")
    score = ("score", "run", "--metric", "contains", "--metric", "token-f1", "--quiet")
    prepare = ("prepare", "rome", *model, "--set", "editor.moment_tokens=200")
    edit = ("edit", *model, "--editor", "ft-m", "--edits", "facts.jsonl", "--out", "p.safetensors", "--trace")
    return [
        Killable("eval", single, lambda folder: _run_resumed(folder, single), _run),
        Killable("sequence", sequence, lambda folder: _run_resumed(folder, sequence), _run),
        Killable("score", score, lambda folder: score, _run, single),
        Killable("prepare", prepare, lambda folder: prepare, _prepared),
        Killable("edit", edit, lambda folder: None if (folder / "p.safetensors").exists() else edit, _patch),
    ]


def write_inputs(folder: Path) -> None:
    """Write the edits and facts that the commands read."""
    rows = [
        {
            "case_id": number,
            "prompt": f"The keeper of the {place} is called",
            "target_new": "Anna" if number % 2 else "Oliver",
            "subject": f"the {place}",
            "ground_truth": "Peter",
            "rephrase_prompt": f"Whoever keeps the {place} is called",
            "locality_prompt": "The colour of snow is",
            "locality_ground_truth": "white",
        }
        for number, place in enumerate(PLACES)
    ]
    facts = [{"prompt": row["prompt"], "target": row["target_new"], "subject": row["subject"]} for row in rows[:2]]
    (folder / "edits.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts), encoding="utf-8")


class Kills:
    """Kills of one command. It is first run whole in ``folder``; each kill happens in a new copy of what it begins with."""

    def __init__(self, command: Killable, folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.begin = folder / "begin"
        self.begin.mkdir(parents=True)
        write_inputs(self.begin)
        if command.prepare:
            require_done(self._run(self.begin, command.prepare, 0))
        whole = self._copy("whole")
        require_done(self._run(whole, command.arguments, 0))
        self.made = command.made(whole)
        self.operations = int((folder / "count").read_text(encoding="utf-8"))

    def kill_and_resume(self, number: int) -> str | None:
        """Kill the command at the operation ``number``, and give it again. Return what is wrong then (None: nothing)."""
        copy = self._copy("killed")
        killed = self._run(copy, self.command.arguments, number)
        if killed.returncode != -signal.SIGKILL:
            return f"it was not killed, but ended with {killed.returncode}: {killed.stderr}"
        arguments = self.command.resumed(copy)
        if arguments is not None:
            again = self._run(copy, arguments, 0)
            if again.returncode:
                return f"it cannot be resumed: {again.stderr[-500:]}"
        if (made := self.command.made(copy)) != self.made:
            return f"it made something else: {made!r:.300}"
        left = sorted(str(path.relative_to(copy)) for path in _left(copy))
        return f"it left {left}" if left and arguments is not None else None

    def _copy(self, name: str) -> Path:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return Path(shutil.copytree(self.begin, self.folder / name))

    def _run(self, folder: Path, arguments: Sequence[str], number: int) -> CompletedProcess[str]:
        variables = environment(folder) | {
            "KILLED_WITHIN": str(folder),
            "KILLED_AT": str(number),
            "KILLED_COUNT": str(self.folder / "count"),
            "KILLED_SAVES": "1",
        }
        return run_python(["-m", "wildcore.testing.killed", *arguments], variables, folder)


def require_done(done: CompletedProcess[str]) -> None:
    """Raise ``RuntimeError`` unless a command succeeded."""
    if done.returncode:
        raise RuntimeError(f"{done.args}: {done.returncode}: {done.stderr}")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command in ``folder``: a cache in it, one thread, no network."""
    return os.environ | {"WILDCORE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a run's file without checksums, times and versions, in an order that does not depend on kills."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    for line in lines:
        for name in ("checksum", "created", "versions"):
            line.pop(name, None)
        line.get("edit", {}).pop("seconds", None)
    return sorted(lines, key=lambda line: json.dumps(line, sort_keys=True))


def _run_resumed(folder: Path, arguments: Sequence[str]) -> Sequence[str]:
    return ("eval", "--resume", "run", "--quiet") if (folder / "run").exists() else arguments


def _run(folder: Path) -> Any:
    made = {name: records(folder / "run" / name) for name in ("journal.jsonl", "scores.jsonl", "scorings.jsonl")}
    kept = folder / "run" / "sequence.safetensors"
    if kept.exists():
        _, tensors = read_tensors(kept, "wildcore-sequence")
        made["sequence"] = [{name: tensor.tolist()} for name, tensor in tensors.items() if name != "facts"]
    return made


def _prepared(folder: Path) -> Any:
    files = sorted((folder / "cache" / "prepared").glob("*/*.safetensors"))
    return {path.name: content_digest(Saved(read_sound(path)[1], {})) for path in files}


def _patch(folder: Path) -> Any:
    _, patch = read_tensors(folder / "p.safetensors", "wildcore-patch")
    _, trace = read_tensors(folder / "p.trace.safetensors", "wildcore-trace")
    return [{name: tensor.tolist() for name, tensor in tensors.items()} for tensors in (patch, trace)]


def _left(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.name.endswith(".writing") or path.name.startswith(".tmp"))


def main() -> None:
    """Run the kills and print a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="kill only at every N-th operation")
    parser.add_argument("--command", choices=[one.name for one in killables()], help="only this command")
    chosen = parser.parse_args()
    print("| command | file operations | kills | wrong afterwards |\n| --- | ---: | ---: | ---: |", flush=True)
    for command in killables():
        if chosen.command in (None, command.name):
            with TemporaryDirectory() as folder:
                kills = Kills(command, Path(folder).resolve() / command.name)
                numbers = range(1, kills.operations + 1, chosen.every)
                wrong = {number: found for number in numbers if (found := kills.kill_and_resume(number))}
            print(f"| {command.name} | {kills.operations} | {len(numbers)} | {len(wrong)} |", flush=True)
            for number, found in wrong.items():
                print(f"  {command.name}, operation {number}: {found}", flush=True)


if __name__ == "__main__":
    main()
