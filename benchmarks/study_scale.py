"""Computes, by a discrete-event simulation, how long a study takes on several GPUs, from measured times of edits and answers.

    python benchmarks/study_scale.py --gpus 1 8 64

Nothing is measured here. The default times were measured on one H200 (Llama-2-7B shape, bfloat16, QAEdit prompts, sequential
edits) by ``python benchmarks/sequence_scale.py --shape llama-2-7b --data qaedit_1k.json --edits 24 --editors ft-m rome memit
alphaedit ultraedit grace`` on 2026-11-29. The times of loading, of the judge and of recording are assumptions.
"""

import argparse
import heapq
from collections import Counter
from dataclasses import dataclass

MEASURED = {
    "ft-m": (0.338, 0.119),
    "rome": (1.437, 0.041),
    "memit": (0.880, 0.044),
    "alphaedit": (1.064, 0.046),
    "ultraedit": (0.196, 0.043),
    "grace": (0.917, 0.021),
}
"""Seconds of one edit, and of one evaluated case, by editor."""


@dataclass(frozen=True)
class Study:
    """A study. ``times`` [editors] are seconds of an edit and of an evaluated case; a cell is a shard of the cases of one
    editor on one model. A model of ``model_gb`` is read from a file system that gives all readers together ``read_gb_s``.
    """

    times: tuple[tuple[float, float], ...]
    models: int = 3
    cases: int = 20_000
    shard: int = 500
    model_gb: float = 16.0
    read_gb_s: float = 2.0
    judged_per_case: int = 4
    judged_per_second: float = 0.0
    recorded_per_second: float = 0.0

    @property
    def cells(self) -> list[tuple[int, float, int]]:
        """The model, the GPU seconds and the number of cases of each cell."""
        sizes = [min(self.shard, self.cases - first) for first in range(0, self.cases, self.shard)]
        return [
            (model, size * (edit + case), size)
            for model in range(self.models)
            for edit, case in self.times
            for size in sizes
        ]

    @property
    def work(self) -> float:
        """GPU seconds of all cells, without loading."""
        return sum(seconds for _, seconds, _ in self.cells)


@dataclass(frozen=True)
class Outcome:
    """Seconds until the last cell is judged and recorded, seconds until the last GPU is free, and the number of loads."""

    end: float
    gpus_end: float
    loads: int


def simulate(study: Study, gpus: int) -> Outcome:
    """Give each free GPU a cell: of the model it has, else of the model with the most cells left for each of its GPUs.

    The file system, the judge and the recording each serve one request after another, at their rates (0: no limit).
    """
    left: dict[int, list[tuple[float, int]]] = {model: [] for model in range(study.models)}
    for model, seconds, size in study.cells:
        left[model].append((seconds, size))
    loaded: dict[int, int] = {}
    free = [(0.0, gpu) for gpu in range(gpus)]
    file_system = judge = recorder = gpus_end = 0.0
    loads = 0
    while any(left.values()):
        now, gpu = heapq.heappop(free)
        model = loaded.get(gpu, -1)
        if not left.get(model):
            on = Counter(loaded.values())
            model = max(left, key=lambda one: len(left[one]) / (1 + on[one]))
            loaded[gpu] = model
            loads += 1
            file_system = max(now, file_system) + study.model_gb / study.read_gb_s
            now = file_system
        seconds, size = left[model].pop()
        done = now + seconds
        if study.judged_per_second:
            judge = max(done, judge) + size * study.judged_per_case / study.judged_per_second
        if study.recorded_per_second:
            recorder = max(done, recorder) + size / study.recorded_per_second
        gpus_end = max(gpus_end, done)
        heapq.heappush(free, (done, gpu))
    return Outcome(max(gpus_end, judge, recorder), gpus_end, loads)


def main() -> None:
    """Print one row for each number of GPUs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--editors", type=int, default=10, help="the measured editors, in turn, up to this number")
    for name in ("models", "cases", "shard", "judged_per_case"):
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=getattr(Study, name))
    for name in ("model_gb", "read_gb_s", "judged_per_second", "recorded_per_second"):
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=getattr(Study, name))
    given = vars(parser.parse_args())
    numbers, editors = given.pop("gpus"), given.pop("editors")
    measured = list(MEASURED.values())
    study = Study(tuple(measured[number % len(measured)] for number in range(editors)), **given)
    print(f"computed: {len(study.cells)} cells, {study.work / 3600:.1f} GPU hours of work")
    print(
        "| GPUs | hours | GPU hours held | model loads | work / (GPUs x time) |\n| ---: | ---: | ---: | ---: | ---: |"
    )
    for gpus in numbers:
        outcome = simulate(study, gpus)
        share = study.work / gpus / outcome.end
        held = gpus * outcome.gpus_end / 3600
        print(f"| {gpus} | {outcome.end / 3600:.2f} | {held:.1f} | {outcome.loads} | {share:.0%} |")


if __name__ == "__main__":
    main()
