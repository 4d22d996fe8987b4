"""How long a long sequence of edits takes: seconds of an edit and of an evaluated case, on a model of seven billion parameters.

    python benchmarks/sequence_scale.py --shape llama-2-7b --data qaedit_1k.json --editors ft-m rome memit alphaedit

A sequence of ``--edits`` edits is written and all its cases are evaluated at the end under the protocols ``synthetic`` and
``wild``. The time is split into preparing, writing and evaluating. From these rates the script computes, and says that it
computed it, how long 1,000 edits judged at 1, 10, 100, 300 and 1,000 take (1,411 evaluated cases). ``--edits-per-update 100``
measures closed-form updates of 100, for 10,000 edits. Weights are random: the answers mean nothing, and none ends early, so
each takes the most tokens.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from parallel_edits import SHAPES, embedded, random_llama

import wildcore.evaluation.sequences as sequences
from wildcore import api

JUDGED = 1 + 10 + 100 + 300 + 1000
WITHOUT_A_TOKEN_THAT_ENDS = {"locft": {"close_target": "stop"}}


class Watch:
    """Adds up the seconds that a function takes."""

    def __init__(self, name: str) -> None:
        self.seconds, self.calls = 0.0, 0
        self.work: Callable[..., Any] = getattr(sequences, name)
        setattr(sequences, name, self)

    def __call__(self, *given: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return self.work(*given, **named)
        finally:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds += time.perf_counter() - begun
            self.calls += 1


def main() -> None:
    """Measure, and print a line for each editor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, help="a random Llama of this shape, on the accelerator")
    parser.add_argument("--model", default="pocket", help="the embedded model, or a model folder")
    parser.add_argument("--device", default="cpu", help="where a model that is not a shape runs")
    parser.add_argument("--data", type=Path, help="QAEdit's file; by default the embedded data set")
    parser.add_argument("--editors", nargs="+", default=["ft-m", "rome", "memit", "alphaedit", "ultraedit", "grace"])
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--edits-per-update", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=512, help="most prompts in one batch while evaluating")
    given = parser.parse_args()
    model = random_llama(given.shape) if given.shape else embedded(given.model, given.device)
    writing, evaluating = Watch("edit_on_top_of"), Watch("evaluate_edits")
    print("| editor | preparing, s | an edit, s | an evaluated case, s | computed: 1,000 edits, 1,411 cases, minutes |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in given.editors:
        writing.seconds = evaluating.seconds = 0.0
        begun = time.perf_counter()
        _sequence(model, name, given)
        rest = time.perf_counter() - begun - writing.seconds - evaluating.seconds
        edit, case = writing.seconds / given.edits, evaluating.seconds / given.edits
        minutes = (rest + 1000 * edit + JUDGED * case) / 60
        print(f"| {name} | {rest:.1f} | {edit:.3f} | {case:.3f} | {minutes:.1f} |", flush=True)


def _sequence(model: Any, name: str, given: argparse.Namespace) -> None:
    data = {"dataset.path": str(given.data)} if given.data else {}
    with tempfile.TemporaryDirectory() as folder:
        api.evaluate(
            model,
            api.editor(name, **_settings(name)),
            dataset="qaedit" if given.data else "pocketqa",
            settings=data,
            limit=given.edits,
            schedule="sequential",
            edits_per_update=given.edits_per_update,
            measurements=["none"],
            continuation=0,
            checkpoint_every=None,
            batch_size=given.batch_size,
            parallel=given.edits,
            out=Path(folder) / "run",
            progress=False,
        )


def _settings(name: str) -> dict[str, str]:
    return WITHOUT_A_TOKEN_THAT_ENDS.get(name, {})


if __name__ == "__main__":
    main()
