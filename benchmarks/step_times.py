"""Seconds of one optimisation step, and what filling up, picking tokens and torch.compile do to it.

    python benchmarks/step_times.py --shape llama-2-7b --editors rome ft-m --together 32
    python benchmarks/step_times.py --shape llama-2-7b --editors rome ft-m --together 32 --filled-up --compile parts

The same edits are made with 3 and with 9 steps that never end early; the difference is six steps, the rest the setting up.
``--filled-up`` computes what rows are filled up with too. ``--compile parts`` compiles the norms and MLPs of all layers above the
first five of 32, ``--compile layers`` the layers as a whole.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from parallel_edits import SHAPES, _settings, _timed, cases, embedded, random_llama

import wildcore.inference.partial_forward
from wildcore.jobs.build import make_editor
from wildcore.jobs.spec import EditorChoice
from wildcore.models import LoadedModel
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment

FEW, MANY = 3, 9


def main() -> None:
    """Measure, and print a line for each editor."""
    arguments = _arguments()
    model = random_llama(arguments.shape) if arguments.shape else embedded(arguments.model, arguments.device)
    if arguments.filled_up:
        wildcore.inference.partial_forward.MAX_DENSITY_TO_PACK = 0.0
    compile_upper(model, arguments.compile)
    for name in arguments.editors:
        first, few, many = (seconds(model, name, arguments.together, steps) for steps in (FEW, FEW, MANY))
        step = (many - few) / (MANY - FEW)
        print(
            f"{name}, {arguments.together} together: {1000 * step:.1f} ms a step, {few - FEW * step:.3f} s to set up; "
            f"{first:.1f} s the first time"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, help="a random Llama of this shape, on the accelerator")
    parser.add_argument("--model", default="pocket", help="the embedded model, or a model folder")
    parser.add_argument("--device", default="cpu", help="where a model that is not a shape runs")
    parser.add_argument("--editors", nargs="+", default=["rome", "ft-m"])
    parser.add_argument("--together", type=int, default=32)
    parser.add_argument("--filled-up", action="store_true", help="compute also what rows are filled up with")
    parser.add_argument("--compile", choices=["nothing", "parts", "layers"], default="nothing")
    return parser.parse_args()


def compile_upper(model: LoadedModel, what: str) -> None:
    """Let torch compile parts of the layers that a step runs, or the layers."""
    for layer in model.layers[model.shape.layers * 5 // 32 + 1 :]:
        if what == "layers":
            layer.compile(dynamic=True)
        elif what == "parts":
            for name, part in layer.named_children():
                if "norm" in name or name == model.family.mlp_output.partition(".")[0]:
                    part.compile(dynamic=True)


def seconds(model: LoadedModel, name: str, together: int, steps: int) -> float:
    """Return the seconds that a group of edits takes with so many steps each."""
    settings = {**_settings(name), "editor.steps": steps}
    spec = EditorChoice(editor=name, settings=settings)
    editor, _ = make_editor(load_registry(), spec, model.shape)
    with tempfile.TemporaryDirectory() as cache:
        editor.prepare(model, quiet_environment(Path(cache)))
    requests = [case.request for case in cases(together, 0)]
    return _timed(model, partial(editor.edit_each, model, requests))[0]


if __name__ == "__main__":
    main()
