"""Seconds for one edit of a sequence, one edit an update, with optimisation steps captured as CUDA graphs and without.

    python benchmarks/sequence_speed.py --shape smollm2-135m --editors ft-m rome memit --edits 20
    python benchmarks/sequence_speed.py --shape llama-2-7b --editors ft-m rome --edits 8
    python benchmarks/sequence_speed.py --editors ft-m --edits 3

The same edits of pocketqa are written twice, each upon those before it: once with graphs, once without. No optimisation ends
early. The time is the median over the edits after the first three, which capture most shapes; the first edit and the slowest of
the others are shown beside it. How far the changes of both ways differ is the norm of the difference divided by the norm of the
change: of the first edit, and of all edits together. Without CUDA nothing is captured, and both times are alike. ``--profile``
counts what one edit without graphs launches.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from parallel_edits import SHAPES, _device, _settings, _timed, cases, embedded, random_llama

from wildcore import EditCase, Patch
from wildcore.interfaces import Editor
from wildcore.jobs.build import make_editor
from wildcore.jobs.spec import EditorChoice
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.patches.accumulated import CombinedPatch
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment

FIRST_EDITS = 3
"""Edits that are left out of the median."""


@dataclass(frozen=True)
class Written:
    """What a sequence took, in seconds for each edit, and what it wrote: its first change, and all of them."""

    seconds: Sequence[float]
    first: WeightPatch
    together: WeightPatch


@dataclass(frozen=True)
class Comparison:
    """Seconds for an edit in both ways, and how far the changes differ."""

    editor: str
    without_graphs: float
    with_graphs: float
    first_without: float
    first_with: float
    slowest_without: float
    slowest_with: float
    first_differs: float
    all_differ: float

    @property
    def gain(self) -> float:
        """How many times as fast an edit is with graphs."""
        return self.without_graphs / self.with_graphs


def main() -> None:
    """Measure, and print a line for each editor and everything as JSON at the end."""
    arguments = _arguments()
    model = random_llama(arguments.shape) if arguments.shape else embedded(arguments.model, arguments.device)
    print(f"{arguments.shape or arguments.model} on {_device(model)}; torch {torch.__version__}")
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for name in arguments.editors:
            editor = prepared(model, name, Path(cache))
            if arguments.profile:
                print_launches(model, editor, cases(1, 0)[0])
            found.append(compare(model, name, editor, cases(arguments.edits, 0)))
            print(describe(found[-1]), flush=True)
    for warning in model.warnings:
        print(f"note: {warning}")
    json.dump([{**asdict(one), "gain": one.gain} for one in found], sys.stdout, indent=1)
    print()
    slow = [one.editor for one in found if one.gain < arguments.require]
    if slow:
        sys.exit(f"less than {arguments.require} times as fast with graphs: {', '.join(slow)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, help="a random Llama of this shape, on the accelerator")
    parser.add_argument("--model", default="pocket", help="the embedded model, or a model folder")
    parser.add_argument("--device", default="cpu", help="where a model that is not a shape runs")
    parser.add_argument("--editors", nargs="+", default=["ft-m", "rome"])
    parser.add_argument("--edits", type=int, default=20, help="edits in the sequence")
    parser.add_argument("--profile", action="store_true", help="count what one edit launches")
    parser.add_argument("--require", type=float, default=0.0, help="fail unless graphs make it so many times as fast")
    return parser.parse_args()


def prepared(model: LoadedModel, name: str, cache: Path) -> Editor:
    """Return an editor that is ready to edit."""
    editor, _ = make_editor(load_registry(), EditorChoice(editor=name, settings=_settings(name)), model.shape)
    editor.prepare(model, quiet_environment(cache))
    return editor


def compare(model: LoadedModel, name: str, editor: Editor, group: Sequence[EditCase]) -> Comparison:
    """Write the sequence in both ways."""
    model.use_cuda_graphs = False
    without = write(model, editor, group)
    model.use_cuda_graphs = None
    graphed = write(model, editor, group)
    (before, after) = (sorted(written.seconds[FIRST_EDITS:] or written.seconds) for written in (without, graphed))
    return Comparison(
        name,
        median(before),
        median(after),
        without.seconds[0],
        graphed.seconds[0],
        before[-1],
        after[-1],
        difference(graphed.first, without.first),
        difference(graphed.together, without.together),
    )


def write(model: LoadedModel, editor: Editor, group: Sequence[EditCase]) -> Written:
    """Write each case upon those before it."""
    editor.reset()
    written, seconds, patches = CombinedPatch(), [], []
    for case in group:
        took, patch = _timed(model, partial(edit_upon, model, editor, case, written))
        seconds.append(took)
        patches.append(patch)
        written.add(patch)
    first = patches[0]
    assert isinstance(first, WeightPatch), "only changes of weights can be compared"
    return Written(seconds, first, written.weights())


def edit_upon(model: LoadedModel, editor: Editor, case: EditCase, written: CombinedPatch) -> Patch:
    """Return the patch of one more edit."""
    with written.applied(model):
        return editor.edit(model, [case.request])


def difference(one: WeightPatch, other: WeightPatch) -> float:
    """Return the norm of the difference of two changes, divided by the norm of the second."""
    apart = [(one.changes[name].dense() - change.dense()).double().norm() for name, change in other.changes.items()]
    sizes = [change.dense().double().norm() for change in other.changes.values()]
    return float(torch.stack(apart).norm() / torch.stack(sizes).norm())


def describe(found: Comparison) -> str:
    """Return a line."""
    return (
        f"{found.editor}: {found.without_graphs:.3f} s an edit without graphs (first {found.first_without:.3f}, slowest "
        f"{found.slowest_without:.3f}), {found.with_graphs:.3f} with (first {found.first_with:.3f}, slowest "
        f"{found.slowest_with:.3f}): {found.gain:.2f} times as fast; the first change differs by {found.first_differs:.1e}, "
        f"all together by {found.all_differ:.1e}"
    )


def print_launches(model: LoadedModel, editor: Editor, case: EditCase) -> None:
    """Print the number of operations and kernels of one edit without graphs, and the operations that are called most often."""
    model.use_cuda_graphs = False
    editor.edit(model, [case.request])
    activities = [torch.profiler.ProfilerActivity.CPU]
    if model.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        took, _ = _timed(model, partial(editor.edit, model, [case.request]))
    averages = profile.key_averages()
    operations = sum(one.count for one in averages if one.key.startswith("aten::"))
    kernels = sum(one.count for one in averages if one.key == "cudaLaunchKernel")
    print(f"one edit, profiled: {took:.3f} s, {operations} operations, {kernels} kernels launched")
    print(averages.table(sort_by="count", row_limit=12, max_name_column_width=50))
    model.use_cuda_graphs = None


if __name__ == "__main__":
    main()
