"""Flips single bits of every stored file of two runs and their cache, or cuts the files of records at the end of a line, and
gives the commands that read them.

Counts the flips and cuts whose damage was said, those without effect, and those that changed something without a word or ended in
an unforeseen error.

    python benchmarks/bit_flips.py --flips 200
    python benchmarks/bit_flips.py --flips 0 --cuts
"""

import argparse
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any, Literal

from kills import MODEL, environment, records, require_done, write_inputs

from wildcore.patches.files import digest_of
from wildcore.testing.processes import run_python

Outcome = Literal["said", "no effect"]
NOT_READ_BACK = (".lock",)
"""Files of a run that no command reads."""
TWO_RUNS = {
    "single": ("--editor", "rome", "--set", "editor.moment_tokens=200", "--set", "editor.steps=3"),
    "sequence": ("--editor", "ft-m", "--set", "editor.steps=2", "--schedule", "sequential"),
}
APPLY = ("apply", "sequence", "--model", str(MODEL), "--out", "model", "--quiet")


@dataclass(frozen=True)
class Flip:
    """One bit of a file: the file's path in the folder, and the bit's number in it."""

    path: Path
    bit: int

    def __str__(self) -> str:
        return f"{self.path}, byte {self.bit // 8}, bit {self.bit % 8}"

    def damage(self, content: bytes) -> bytes:
        """Return the content with the bit flipped."""
        flipped = bytearray(content)
        flipped[self.bit // 8] ^= 1 << self.bit % 8
        return bytes(flipped)


@dataclass(frozen=True)
class Cut:
    """A file of records, by its path in the folder, of which only the first ``kept`` lines are left."""

    path: Path
    kept: int

    def __str__(self) -> str:
        return f"{self.path}, cut after line {self.kept}"

    def damage(self, content: bytes) -> bytes:
        """Return the lines that are left."""
        return b"".join(content.splitlines(keepends=True)[: self.kept])


class Flips:
    """A folder with two finished runs and their cache, in copies of which bits are flipped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        self.whole.mkdir(parents=True)
        write_inputs(self.whole)
        for name in TWO_RUNS:
            require_done(self._run(self.whole, self._evaluation(name, name)))
        self.shown = {name: self._run(self.whole, ("show", name, "--json")).stdout for name in TWO_RUNS}
        require_done(self._run(self.whole, APPLY))
        self.model = digest_of(self.whole / "model" / "model.safetensors")
        shutil.rmtree(self.whole / "model")

    def files(self) -> list[Path]:
        """Return all stored files that are read back, by their paths in the folder."""
        found = [path for name in (*TWO_RUNS, "cache") for path in sorted((self.whole / name).rglob("*"))]
        return [path.relative_to(self.whole) for path in found if path.is_file() and path.name not in NOT_READ_BACK]

    def drawn(self, count: int, seed: int) -> Iterator[Flip]:
        """Yield ``count`` flips, spread evenly over the files, at random places in them."""
        generator, files = random.Random(seed), self.files()
        for number in range(count):
            path = files[number % len(files)]
            yield Flip(path, generator.randrange(8 * (self.whole / path).stat().st_size))

    def cuts(self) -> Iterator[Cut]:
        """Yield every cut at the end of a line."""
        for path in self.files():
            if path.suffix == ".jsonl":
                lines = (self.whole / path).read_bytes().count(b"\n")
                yield from (Cut(path, kept) for kept in range(lines))

    def outcome(self, done: Flip | Cut) -> Outcome:
        """Damage a copy and read it. Raises ``AssertionError`` if the damage is not said and changes something, or ends in
        an error that was not foreseen.
        """
        copy = self.folder / "flipped"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.whole, copy)
        (copy / done.path).write_bytes(done.damage((copy / done.path).read_bytes()))
        root = done.path.parts[0]
        said = self._read_cache(copy) if root == "cache" else self._read_run(copy, root)
        return "said" if said else "no effect"

    def _read_run(self, copy: Path, name: str) -> bool:
        shown = self._run(copy, ("show", name, "--json"))
        said = _is_said(shown)
        assert said or shown.stdout == self.shown[name], f"shown otherwise: {shown.stdout}"
        if name == "sequence":
            applied = self._run(copy, APPLY)
            assert _is_refused(applied) or digest_of(copy / "model" / "model.safetensors") == self.model, (
                "another model"
            )
            said |= _is_refused(applied)
        resumed = self._run(copy, ("eval", "--resume", name))
        if not _is_refused(resumed):
            self._require_same(copy / name, name)
        return (
            said
            or _is_refused(resumed)
            or any(word in resumed.stderr for word in ("damaged", "half written", "missing"))
        )

    def _read_cache(self, copy: Path) -> bool:
        verified = self._run(copy, ("cache", "verify"))
        assert verified.returncode in (0, 1), verified.stderr
        said = verified.returncode == 1
        assert "Traceback" not in verified.stderr, verified.stderr
        for name in TWO_RUNS:
            again = self._run(copy, self._evaluation(name, f"{name}-again", quiet=False))
            if not _is_refused(again):
                self._require_same(copy / f"{name}-again", name)
            said |= _is_refused(again) or "damaged" in again.stderr
        return said

    def _require_same(self, run: Path, name: str) -> None:
        for file in ("journal.jsonl", "scores.jsonl"):
            same = _rounded(records(run / file)) == _rounded(records(self.whole / name / file))
            assert same, f"other records in {run / file}"

    def _evaluation(self, name: str, out: str, quiet: bool = True) -> Sequence[str]:
        data = ("--dataset", "counterfact", "--set", "dataset.path=edits.json", *(("--quiet",) if quiet else ()))
        return ("eval", "--model", str(MODEL), *data, *TWO_RUNS[name], "--limit", "2", "--out", out)

    def _run(self, folder: Path, arguments: Sequence[str]) -> CompletedProcess[str]:
        return run_python(["-m", "wildcore", *arguments], environment(folder), folder)


def _rounded(value: Any) -> Any:
    """Return JSON values with numbers as far as they do not depend on which prompts are asked in one batch."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _is_refused(done: CompletedProcess[str]) -> bool:
    """Return whether a command ended with one message. Raises ``AssertionError`` if it ended in any other way but success."""
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0 or done.stderr.count("Error: ") == 1, done.stderr
    return done.returncode == 2


def _is_said(done: CompletedProcess[str]) -> bool:
    return _is_refused(done) or "Note: " in done.stderr


def main() -> None:
    """Flip the bits, cut the files, and print a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cuts", action="store_true", help="also cut each file of records at the end of each line")
    chosen = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with TemporaryDirectory() as folder:
        flips = Flips(Path(folder).resolve() / "flips")
        for done in (*flips.drawn(chosen.flips, chosen.seed), *(flips.cuts() if chosen.cuts else ())):
            try:
                outcome: str = flips.outcome(done)
            except AssertionError as error:
                outcome = "wrong"
                print(f"{done}: {error}", flush=True)
            counts[str(done.path), outcome] += 1
        print("| file | flips and cuts | said | no effect | wrong |\n| --- | ---: | ---: | ---: | ---: |")
        for file in map(str, flips.files()):
            said, nothing, wrong = (counts[file, outcome] for outcome in ("said", "no effect", "wrong"))
            print(f"| {file} | {said + nothing + wrong} | {said} | {nothing} | {wrong} |")


if __name__ == "__main__":
    main()
