"""Seconds for one edit, made and evaluated alone and with others, beside the floor that the hardware sets.

    python benchmarks/parallel_edits.py --shape llama-2-7b --together 1 8 32 128
    python benchmarks/parallel_edits.py --model pocket --together 1 4 8 16
    python benchmarks/parallel_edits.py --shape llama-2-7b --together 8 --editors memit alphaedit grace wise

A shape is a Llama with random weights in bfloat16, made in place; it answers with all 50 tokens, as no random network says
a full stop. The prompts are those of pocketqa: for each edit the edit prompt, a rephrasing and a locality question, under
``wild``, before and after. No optimisation ends early. Times are of the second group of edits; the first warms up. Two ceilings
are measured in the same run: a matrix product in the model's dtype, and a copy within the device's memory. The floor of an
edit is the time that its operations at the one or its bytes at the other must take, whichever is longer for each phase;
``evaluation_floor`` and ``editing_floor`` say what is counted; it is known of ROME's and fine-tuning's optimisations only.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig
from wildcore_pocket.dataset import PocketQA
from wildcore_pocket.plugin import PocketModel

from wildcore import EditCase, Editor, Patch, Refused
from wildcore.architectures import built_in_families
from wildcore.evaluation.examiner import AnswersByProtocol, Examiner, QuestionsByProtocol
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.jobs.build import make_editor
from wildcore.jobs.protocols import make_protocol
from wildcore.jobs.spec import EditorChoice
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.registry import Registry, load_registry
from wildcore.testing.conformance import quiet_environment

SHAPES: dict[str, dict[str, Any]] = {
    "llama-2-7b": {"vocab_size": 32000, "intermediate_size": 11008, "num_key_value_heads": 32},
    "llama-3-8b": {"vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8},
    "smollm2-135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
}
SEVEN_BILLION = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "tie_word_embeddings": False}
FLOOR_KNOWN = ("rome", "r-rome", "ft-l", "ft-m")
STEPS = 25
TRAINING_STEPS = 20
"""Steps of training for an editor that trains: enough to make a hyper-network of full size, not to make a good one."""
PREFIXED = 21
"""Texts on which a value is optimised: the bare prompt and 20 prefixed ones."""


@dataclass(frozen=True)
class Timing:
    """Seconds for one edit in each phase, the floor where it is known, and the most memory held, in GiB.

    ``prepare`` is what the editor needs once, in seconds; of one that trains, with ``TRAINING_STEPS`` of that.
    """

    editor: str
    together: int
    prepare: float
    before: float
    edit: float
    after: float
    floor: float | None
    peak_gib: float | None

    @property
    def ratio(self) -> float | None:
        """How many times the floor an edit takes."""
        return self.all_in / self.floor if self.floor else None

    @property
    def all_in(self) -> float:
        """Seconds for one edit in all phases."""
        return self.before + self.edit + self.after


@dataclass(frozen=True)
class Ceilings:
    """What the device can do: operations a second in matrix products, and bytes read and written a second in a copy."""

    operations: float
    bytes: float


def main() -> None:
    """Measure, and print a line for each setting and everything as JSON at the end."""
    arguments = _arguments()
    model = random_llama(arguments.shape) if arguments.shape else embedded(arguments.model, arguments.device)
    model.max_batch_size = arguments.batch_size
    ceilings = measure_ceilings(model)
    print(f"{arguments.shape or arguments.model} on {_device(model)}; torch {torch.__version__}")
    print(f"ceilings: {ceilings.operations / 1e12:.3g} TFLOP/s, {ceilings.bytes / 1e12:.3g} TB/s")
    with tempfile.TemporaryDirectory() as cache:
        timings = list(measure(model, arguments, ceilings, Path(cache)))
        for editor in arguments.profile:
            print_profile(model, editor, max(arguments.together), ceilings, Path(cache))
    json.dump([{**asdict(timing), "ratio": timing.ratio} for timing in timings], sys.stdout, indent=1)
    print()
    slow = [editor for editor in arguments.editors if gain(timings, editor) < arguments.require]
    if slow:
        sys.exit(f"less than {arguments.require} times as fast together as alone: {', '.join(slow)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, help="a random Llama of this shape, on the accelerator")
    parser.add_argument("--model", default="pocket", help="the embedded model, or a model folder")
    parser.add_argument("--device", default="cpu", help="where a model that is not a shape runs")
    parser.add_argument("--editors", nargs="+", default=["rome", "r-rome", "ft-m"])
    parser.add_argument("--together", nargs="+", type=int, default=[1, 8, 32, 128])
    parser.add_argument("--batch-size", type=int, default=512, help="most prompts in one batch while evaluating")
    parser.add_argument("--profile", nargs="*", default=[], help="editors of which to show where the time goes")
    parser.add_argument(
        "--require", type=float, default=0.0, help="fail unless together is so many times as fast as alone"
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no further setting after so many seconds")
    return parser.parse_args()


def measure(model: LoadedModel, arguments: argparse.Namespace, ceilings: Ceilings, cache: Path) -> Iterator[Timing]:
    """Time every editor with every number of edits together; one that does not fit into memory is said and left out."""
    registry, started = load_registry(), time.perf_counter()
    for editor in arguments.editors:
        for together in arguments.together:
            if time.perf_counter() - started > arguments.seconds:
                print(f"{editor}, {together} together: left out, the time is up")
                continue
            try:
                timing = time_edits(model, registry, editor, together, ceilings, cache)
            except torch.OutOfMemoryError as error:
                print(f"{editor}, {together} together: out of memory ({error})"[:160])
                torch.cuda.empty_cache()
                continue
            peak = "" if timing.peak_gib is None else f", {timing.peak_gib:.1f} GiB at most"
            floor = f"; floor {timing.floor:.4f}, ratio {timing.ratio:.2f}" if timing.floor else ""
            print(
                f"{editor}, {together} together: {timing.all_in:.3f} s an edit (before {timing.before:.3f}, edit "
                f"{timing.edit:.3f}, after {timing.after:.3f}){floor}{peak}; prepared in {timing.prepare:.1f} s",
                flush=True,
            )
            yield timing


def time_edits(
    model: LoadedModel, registry: Registry, name: str, together: int, ceilings: Ceilings, cache: Path
) -> Timing:
    """Time one group of ``together`` edits after another has warmed up."""
    spec = EditorChoice(editor=name, settings=_settings(name))
    editor, _ = make_editor(registry, spec, model.shape)
    protocol = make_protocol(registry, registry.find_protocol("wild").offer)
    prepared, _ = _timed(model, partial(_prepare, editor, model, cache))
    for number in range(2):
        group = cases(together, number * together)
        examiner = Examiner(model, [protocol], UneditedAnswers(cache / f"{name}-{together}-{number}", model))
        _reset_peak(model)
        (before, edit, after), answers = _time_group(model, editor, examiner, group)
    seconds = [phase / together for phase in (before, edit, after)]
    floor = None
    if name in FLOOR_KNOWN:
        evaluation = sum(evaluation_floor(model, group, said, ceilings) for said in answers)
        floor = (evaluation + editing_floor(model, name, group, ceilings)) / together
    return Timing(name, together, prepared, *seconds, floor, _peak(model))


def _time_group(
    model: LoadedModel, editor: Editor, examiner: Examiner, group: Sequence[EditCase]
) -> tuple[tuple[float, float, float], tuple[list[AnswersByProtocol], list[AnswersByProtocol]]]:
    """Return the seconds of each phase, and what was said before and after. Nothing was asked before; no patch is held on to."""
    questions = [examiner.questions(case) for case in group]
    before, said = _timed(model, partial(examiner.answer_unedited, questions))
    edit, patches = _timed(model, partial(editor.edit_each, model, [case.request for case in group]))
    after, said_after = _timed(model, partial(_ask_again, examiner, questions, patches))
    return (before, edit, after), (said, said_after)


def _ask_again(
    examiner: Examiner, questions: Sequence[QuestionsByProtocol], patches: Sequence[Patch | Refused]
) -> list[AnswersByProtocol]:
    """Ask the edited models, putting the questions first as a patch puts them that changes prompts."""
    made = [patch for patch in patches if not isinstance(patch, Refused)]
    assert len(made) == len(patches), "the cases are such as every editor can carry out"
    asked = [examiner.rewrite_questions(case, patch) for case, patch in zip(questions, made, strict=True)]
    return examiner.answer_edited(asked, made)


def _prepare(editor: Editor, model: LoadedModel, cache: Path) -> None:
    environment = quiet_environment(cache)
    if editor.trains:
        editor.train(model, environment, iter(cases(10, 0)))
    editor.prepare(model, environment)


def gain(timings: Sequence[Timing], editor: str) -> float:
    """Return how many times as fast as alone an edit is in the best company; infinity where there is nothing to compare."""
    seconds = {timing.together: timing.all_in for timing in timings if timing.editor == editor}
    alone = seconds.pop(1, None)
    return float("inf") if alone is None or not seconds else alone / min(seconds.values())


def print_profile(model: LoadedModel, name: str, together: int, ceilings: Ceilings, cache: Path) -> None:
    """Print the operations that take most of the device's time, over two groups of edits."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if model.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        time_edits(model, load_registry(), name, together, ceilings, cache / "profiled")
    key = "self_cuda_time_total" if model.device.type == "cuda" else "self_cpu_time_total"
    print(f"{name}, {together} together, where the time goes")
    print(profile.key_averages().table(sort_by=key, row_limit=14, max_name_column_width=60))


def evaluation_floor(
    model: LoadedModel, group: Sequence[EditCase], answers: Sequence[AnswersByProtocol], ceilings: Ceilings
) -> float:
    """Return the seconds that the group's answers must take.

    Two operations for each weight and each token of prompts and answers; the weights are read once for the prompts and once
    for each further token of the longest answer.
    """
    size = _size(model)
    asked = [f"Please answer the question:\n\nQ: {p.prompt}\nA:" for case in group for p in case.probes]
    lengths = [len(sample.output.token_ids) for case in answers for given in case["wild"] for sample in given]
    tokens = sum(_tokens(model, prompt) for prompt in asked) + sum(lengths) - len(lengths)
    return max(2 * size * tokens / ceilings.operations, size * model.dtype.itemsize * max(lengths) / ceilings.bytes)


def editing_floor(model: LoadedModel, name: str, group: Sequence[EditCase], ceilings: Ceilings) -> float:
    """Return the seconds that the group's optimisation must take, forward and backward through the layers above the edited one.

    A value: over the tokens from the subject's last on, of all prefixed texts. A weight: over all tokens, and its entries
    with two numbers of state for each are read and written in float32. The weights of the layers are read twice a step.
    """
    if name.startswith("ft"):
        layer = model.shape.layers * 21 // 32
        tokens = sum(_tokens(model, f"{case.request.prompt} {case.request.target}") for case in group)
        state = len(group) * model.mlp_output(layer).weight.numel() * 4 * 3 * 2
    else:
        layer, state = model.shape.layers * 5 // 32, 0
        tails = (c.request.prompt.partition(c.request.subject or "")[2] + f" {c.request.target}" for c in group)
        tokens = PREFIXED * sum(_tokens(model, tail) for tail in tails)
    above = (model.shape.layers - layer) / model.shape.layers * _layers_size(model)
    moved = 2 * above * model.dtype.itemsize + state
    return STEPS * max(4 * above * tokens / ceilings.operations, moved / ceilings.bytes)


def _tokens(model: LoadedModel, text: str) -> int:
    return len(model.tokenizer(text)["input_ids"])


def cases(count: int, start: int) -> list[EditCase]:
    """Return cases of pocketqa with the edit prompt, one rephrasing and one locality question."""
    chosen = []
    for case in PocketQA().cases():
        assert isinstance(case, EditCase)
        kinds = ("reliability", "generalization", "locality")
        probes = tuple(next(probe for probe in case.probes if probe.kind == kind) for kind in kinds)
        chosen.append(case.model_copy(update={"probes": probes}))
        if len(chosen) == start + count:
            break
    return chosen[start:]


def random_llama(shape: str) -> LoadedModel:
    """Return a Llama with random weights in bfloat16 on the accelerator, with the embedded model's tokenizer."""
    config = LlamaConfig(**SEVEN_BILLION | SHAPES[shape], max_position_embeddings=4096)
    torch.manual_seed(0)
    with torch.device("cuda"):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    network.generation_config.eos_token_id = None
    tokenizer = AutoTokenizer.from_pretrained(PocketModel().folder())
    tokenizer.eos_token = None
    family = next(family for family in built_in_families() if family.model_type == "llama")
    return LoadedModel(network, tokenizer, family, ModelRequest(name=shape))


def embedded(name: str, device: str) -> LoadedModel:
    """Return the embedded model, or that of a folder."""
    folder = PocketModel().folder() if name == "pocket" else Path(name)
    families = {family.model_type: family for family in built_in_families()}
    return load_model(ModelRequest(name=name, folder=folder, device=device), families)


def measure_ceilings(model: LoadedModel) -> Ceilings:
    """Measure a square matrix product in the model's dtype, and a copy, on its device."""
    on_cpu = model.device.type == "cpu"
    width, length = (1024, 2**24) if on_cpu else (8192, 2**31)
    square = torch.randn(width, width, device=model.device).to(model.dtype)
    source = torch.empty(length, dtype=torch.uint8, device=model.device)
    target = torch.empty_like(source)
    product = min(_timed(model, lambda: square @ square)[0] for _ in range(10))
    copy = min(_timed(model, lambda: target.copy_(source))[0] for _ in range(10))
    return Ceilings(2 * width**3 / product, 2 * length / copy)


def _settings(name: str) -> dict[str, Any]:
    """No early end, and no second moments of keys where they have no effect on the time of an edit.

    The tokenizer of a shape has no end-of-sequence token, so that no answer ends early; a target is closed by a full stop.
    """
    if name == "locft":
        return {"editor.close_target": "stop", "editor.loss_threshold": 0.0}
    if name == "mend":
        return {"editor.steps": TRAINING_STEPS, "editor.validate_every": TRAINING_STEPS}
    if name not in FLOOR_KNOWN:
        return {}
    identity = {} if name.startswith("ft") else {"editor.second_moments": "identity"}
    return {"editor.loss_threshold": 0.0, **identity}


def _size(model: LoadedModel) -> int:
    return int(sum(p.numel() for p in model.network.parameters()) - model.network.get_input_embeddings().weight.numel())


def _layers_size(model: LoadedModel) -> int:
    return sum(parameter.numel() for parameter in model.layers.parameters())


def _timed(model: LoadedModel, work: Callable[[], Any]) -> tuple[float, Any]:
    _synchronise(model)
    start = time.perf_counter()
    result = work()
    _synchronise(model)
    return time.perf_counter() - start, result


def _synchronise(model: LoadedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak(model: LoadedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _peak(model: LoadedModel) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if model.device.type == "cuda" else None


def _device(model: LoadedModel) -> str:
    if model.device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads"


if __name__ == "__main__":
    main()
