"""How far apart the patches of edits made together and made alone are, beside those made alone on other numbers of threads.

    python benchmarks/together_and_alone.py --model llama-14m --editors rome ft-m --edits 16

Each line has the norm of the difference over the norm of the change, for the edit in the middle and for the one farthest apart;
and that again without the 100 numbers of each patch that are farthest apart. Edits that change nothing are left out.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median_high

import torch
from parallel_edits import cases, embedded
from torch import Tensor

from wildcore import EditRequest
from wildcore.interfaces import Editor
from wildcore.jobs.build import make_editor
from wildcore.jobs.spec import EditorChoice
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment

FARTHEST = 100


def main() -> None:
    """Measure, and print two lines for each editor."""
    arguments = _arguments()
    model = embedded(arguments.model, "cpu")
    requests = [case.request for case in cases(arguments.edits, 0)]
    with tempfile.TemporaryDirectory() as cache:
        for name in arguments.editors:
            editor = prepared(model, name, Path(cache))
            with threads(1):
                together, alone = changes(editor, model, requests, len(requests)), changes(editor, model, requests, 1)
            with threads(2):
                on_two = changes(editor, model, requests, 1)
            print(f"{name}, together and alone: {in_words(together, alone)}")
            print(f"{name}, alone on two threads and on one: {in_words(on_two, alone)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket", help="the embedded model, or a model folder")
    parser.add_argument("--editors", nargs="+", default=["rome", "ft-m"])
    parser.add_argument("--edits", type=int, default=16)
    return parser.parse_args()


def prepared(model: LoadedModel, name: str, cache: Path) -> Editor:
    """Return the editor with its defaults for the model."""
    spec = EditorChoice(editor=name)
    editor, _ = make_editor(load_registry(), spec, model.shape)
    editor.prepare(model, quiet_environment(cache))
    return editor


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def changes(editor: Editor, model: LoadedModel, requests: Sequence[EditRequest], together: int) -> list[Tensor]:
    """Return all numbers that each edit changes, made ``together`` at a time."""
    patches = []
    for start in range(0, len(requests), together):
        patches += editor.edit_each(model, requests[start : start + together])
    made = [patch for patch in patches if isinstance(patch, WeightPatch)]
    return [torch.cat([change.dense().flatten() for change in patch.changes.values()]) for patch in made]


def in_words(some: Sequence[Tensor], others: Sequence[Tensor]) -> str:
    """Say how far apart changes are."""
    pairs = [(one - other, other.norm()) for one, other in zip(some, others, strict=True) if other.norm()]
    whole = sorted(float(apart.norm() / norm) for apart, norm in pairs)
    rest = sorted(float(without_farthest(apart).norm() / norm) for apart, norm in pairs)
    return (
        f"{median_high(whole):.1e}, at most {whole[-1]:.1e}; without {FARTHEST} numbers of {len(pairs[0][0]):,}: "
        f"{median_high(rest):.1e}, at most {rest[-1]:.1e}"
    )


def without_farthest(apart: Tensor) -> Tensor:
    """Return differences with the largest set to 0."""
    return apart.index_fill(0, apart.abs().topk(min(FARTHEST, len(apart))).indices, 0)


if __name__ == "__main__":
    main()
