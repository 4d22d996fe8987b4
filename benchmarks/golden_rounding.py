"""How far rounding moves every comparison with golden values, and how far the nearest wrong method is.

Runs the golden tests under each capability of the processor with 1 and 2 threads and prints a table. FOLDER keeps what was
measured under each setting; a setting that is there already is not run again. Ends with status 1 where a comparison fails, or a
tolerance has no wrong method beside it. Usage: python benchmarks/golden_rounding.py FOLDER [PYTEST-ARGUMENT ...]
"""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from wildcore.testing.capabilities import capabilities, limited_to
from wildcore.testing.golden import APART

THREADS = (1, 2)
MODELS = ("tiny-gpt2", "tiny-llama", "llama-14m")
FILES = sorted(str(path) for path in Path(__file__).parents[1].glob("plugins/*/tests/test_golden.py"))

Place = tuple[str, str, float]
"""A plugin, a model or "-", and a tolerance."""


class Recorder:
    """A pytest plugin that writes down every error that tests compare with a tolerance, as (test, kind, error, tolerance)."""

    def __init__(self, out: Path) -> None:
        self.out, self.test = out, ""
        self.rows: list[tuple[str, str, float, float]] = []

    def pytest_runtest_call(self, item: Any) -> None:
        self.test = item.nodeid

    def pytest_sessionfinish(self) -> None:
        self.out.write_text(json.dumps(self.rows), encoding="utf-8")

    def watch(self) -> None:
        """Take the place of the functions that compare, before any test imports them."""
        from wildcore.testing import golden

        def recording(kind: str, compare: Any) -> Any:
            def record(error: float, tolerance: float) -> bool:
                self.rows.append((self.test, kind, error, tolerance))
                return bool(compare(error, tolerance))

            return record

        golden.near, golden.far = recording("near", golden.near), recording("far", golden.far)


def record(out: Path, threads: int, arguments: list[str]) -> int:
    """Run the golden tests in this process."""
    import pytest
    import torch

    torch.set_num_threads(threads)
    recorder = Recorder(out)
    recorder.watch()
    return int(pytest.main(["-q", "-p", "no:cacheprovider", *FILES, *arguments], plugins=[recorder]))


def place(test: str, tolerance: float) -> Place:
    """Return where a comparison belongs in the table."""
    found = re.search(r"plugins/wildcore-([^/]+)/", test)
    model = next((model for model in MODELS if model in test), "-")
    return (found[1] if found else test, model, tolerance)


def wrong_name(test: str) -> str:
    """Return what a test of a wrong method is called, short enough for a table."""
    return test.partition("::")[2].removeprefix("test_")[:90]


def measured(folder: Path, capability: str, threads: int, arguments: list[str]) -> list[tuple[str, str, float, float]]:
    """Return what tests compared under a setting, in a process of its own."""
    out = folder / f"{capability}-{threads}.json"
    if not out.exists():
        command = [sys.executable, __file__, "--record", str(out), str(threads), *arguments]
        subprocess.run(command, env=os.environ | limited_to(capability), stdout=sys.stderr, check=False)
    return [tuple(row) for row in json.loads(out.read_text(encoding="utf-8"))]


def main(folder: Path, arguments: list[str]) -> int:
    """Run every setting and print the table."""
    furthest: dict[Place, dict[str, float]] = defaultdict(dict)
    wrong: dict[Place, tuple[float, str]] = {}
    status = 0
    folder.mkdir(parents=True, exist_ok=True)
    for threads in THREADS:
        for capability in capabilities():
            setting = f"{capability}, {threads}"
            for test, kind, error, tolerance in measured(folder, capability, threads, arguments):
                where = place(test, tolerance)
                if kind == "near":
                    status = status or int(error >= tolerance)
                    furthest[where][setting] = max(error, furthest[where].get(setting, 0.0))
                elif where not in wrong or error < wrong[where][0]:
                    wrong[where] = error, wrong_name(test)
    settings = list(dict.fromkeys(name for row in furthest.values() for name in row))
    print(f"| plugin | model | tolerance | {' | '.join(settings)} | nearest wrong method | which |")
    print(f"| --- | --- | ---: |{' ---: |' * len(settings)} ---: | --- |")
    for where, row in sorted(furthest.items()):
        plugin, model, tolerance = where
        errors = " | ".join(f"{row[name]:.1e}" if name in row else "-" for name in settings)
        others = [found for key, found in wrong.items() if (key[0], key[2]) == (plugin, tolerance)]
        nearest = wrong.get(where) or min(others, default=None)
        status = status or int(nearest is None or nearest[0] < APART * tolerance)
        far, which = (f"{nearest[0]:.1e}", f"`{nearest[1]}`") if nearest else ("none", "")
        print(f"| {plugin} | {model} | {tolerance:g} | {errors} | {far} | {which} |")
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        sys.exit(record(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
