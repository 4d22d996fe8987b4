"""PMET keeps what every editor must keep, and does what its parameters say."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from wildcore_keyvalue.prompts import SubjectText, without_target
from wildcore_keyvalue.values import ValueProblem, optimise_values, required
from wildcore_pmet.editor import Pmet
from wildcore_pmet.parameters import PmetParams

from wildcore import EditRequest, ModelShape, Refused
from wildcore.models import LoadedModel
from wildcore.patches import WeightPatch
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.golden import relative_error
from wildcore.testing.networks import tiny_model

REQUESTS = (
    EditRequest(prompt="The capital of France is", subject="France", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", subject="the old book", target="Anna Smith"),
    EditRequest(prompt="Marie Curie began in the year", subject="Marie Curie", target="1984"),
)
QUICK = {"layers": (0, 1), "steps": 4, "moment_tokens": 300, "prefix_lengths": ((5, 2),), "damping": 0.1}
LIGHT = {"layers": (0, 1), "steps": 6, "second_moments": "identity", "moment_weight": 0.01}


def dense(patch: object) -> Tensor:
    """Return all changes of a patch, side by side."""
    assert isinstance(patch, WeightPatch)
    return torch.cat([change.dense() for change in patch.changes.values()])


def posed(model: LoadedModel, params: PmetParams, prefixes: tuple[str, ...] = ("",)) -> list[ValueProblem]:
    made = Pmet(params)
    made.prefixes = prefixes
    return required(made.posed(model, REQUESTS))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_conformance(family: str, tmp_path: Path) -> None:
    params = PmetParams(**QUICK, moment_weight=1.0)
    check_editor(lambda: Pmet(params), tiny_model(family), REQUESTS[:2], quiet_environment(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_the_mlps_of_the_layers_named_are_changed(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    with Pmet(PmetParams(**LIGHT)).edit(model, REQUESTS).applied(model):
        changed = [n for n, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[n])]
    assert changed == [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma2", "gpt2", "gptj", "gpt_neox"])
def test_with_light_moments_the_edited_model_has_the_value_in_the_last_mlp(family: str) -> None:
    model, made = tiny_model(family), Pmet(PmetParams(**LIGHT | {"moment_weight": 1e-6}))
    problems = required(made.posed(model, REQUESTS))
    found = made.finder(model).find(problems)
    goals, initial = (torch.stack([getattr(value, name) for value in found]) for name in ("value", "initial"))
    with made.edit(model, REQUESTS).applied(model):
        _, states = made.keys_and_states(model, 0, problems)
    _, before = made.keys_and_states(model, 0, problems)
    assert relative_error(before, initial) < 1e-5
    assert relative_error(states, goals) < 1e-3 < relative_error(before, goals)


def test_no_norm_is_noted_as_the_value_is_what_the_projection_gives(tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    Pmet(PmetParams(**LIGHT, prefix_lengths=((3, 1),))).prepare(tiny_model("gemma2"), environment)
    assert not any("norm" in note for note in environment.progress.notes)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    "family", ["llama", "qwen3", "phi3", "gemma2", "gemma3_text", "olmo2", "gpt2", "gptj", "gpt_neox"]
)
def test_the_vectors_are_those_of_ordinary_passes_with_hooks(family: str, layer: int) -> None:
    model, params = tiny_model(family), PmetParams(**LIGHT)
    problems = posed(model, params, ("", "It is late. "))
    for problem, found in zip(problems, optimise_values(model, layer, problems, params, Pmet.place), strict=True):
        expected, losses = plainly_optimised(model, layer, problem, params)
        assert found.losses == pytest.approx(losses, rel=1e-4)
        assert relative_error(found.delta, expected) < 1e-3


def test_the_last_layer_writes_all_that_is_missing_and_those_before_it_more_than_an_even_share() -> None:
    made = Pmet(PmetParams(layers=(2, 3, 5, 7), moment_weight=1.0))
    shares = [float(made.share(layer, torch.ones(1))) for layer in made.layers]
    assert shares == pytest.approx([1 / 2, 3**-0.5, 2**-0.5, 1.0])


def test_together_is_not_the_sum_of_each_alone() -> None:
    model, made = tiny_model("llama"), Pmet(PmetParams(**LIGHT))
    each = made.edit_each(model, REQUESTS)
    assert relative_error(dense(made.edit(model, REQUESTS)), sum(map(dense, each))) > 1e-2


def test_a_refused_request_stands_in_its_place_and_the_others_are_made() -> None:
    model, made = tiny_model("llama"), Pmet(PmetParams(**LIGHT))
    bad = REQUESTS[0].model_copy(update={"subject": "Spain"})
    first, second = made.edit_each(model, [bad, REQUESTS[1]])
    assert isinstance(first, Refused)
    assert relative_error(dense(second), dense(made.edit(model, [REQUESTS[1]]))) < 1e-4


def test_presets_come_by_shape_and_layers_by_depth() -> None:
    llama = PmetParams().for_model(ModelShape("llama", 32, 4096, 32000))
    assert (llama.preset, llama.layers, llama.steps, llama.moment_weight) == ("llama-2-7b", (4, 5, 6, 7, 8), 20, 15000)
    assert (llama.clamp_factor, llama.weight_decay, llama.kl_factor) == (1.0, 0.5, 0.0625)
    gptj = PmetParams().for_model(ModelShape("gptj", 28, 4096, 50400))
    assert (gptj.preset, gptj.layers, gptj.steps, gptj.moment_weight) == ("gpt-j-6b", (3, 4, 5, 6, 7, 8), 30, 6000)
    assert (gptj.clamp_factor, gptj.learning_rate, gptj.kl_factor) == (0.75, 0.2, 1.0)
    other = PmetParams().for_model(ModelShape("llama", 6, 384, 8192))
    assert (other.preset, other.layers, other.layer) == ("none", (0, 1), 1)
    assert other.moment_weight == pytest.approx(15000 * 384 / 4096)


def plainly_optimised(
    model: LoadedModel, layer: int, problem: ValueProblem, params: PmetParams
) -> tuple[Tensor, list[float]]:
    """Return the MLP's vector and the losses, from ordinary passes over one text after another; nothing ends them early."""
    modules = [
        model.mlp_output(layer).module,
        model.layers[layer].get_submodule(model.family.attention_output),
    ]
    essence = without_target(model, f"{problem.request.subject} is a", problem.request.subject)
    first = problem.texts[0]
    initial = [output[0, first.subject_index].detach() for output in outputs(model, modules, first)]
    deltas = [torch.zeros_like(output, requires_grad=True) for output in initial]
    before = log_probabilities(model, modules, deltas, essence)[-1].detach()
    adam, losses = torch.optim.Adam(deltas, lr=params.learning_rate), []
    for step in range(params.steps):
        mean = torch.zeros(())
        for text in problem.texts:
            start, target = text.joined.prompt_length - 1, torch.tensor(text.joined.target_ids)
            found = log_probabilities(model, modules, deltas, text)[start : start + len(target)]
            mean = mean - found[torch.arange(len(target)), target].mean() / len(problem.texts)
        after = log_probabilities(model, modules, deltas, essence)[-1]
        divergence = params.kl_factor * (after.exp() * (after - before)).sum()
        decay = sum(delta.norm() / value.norm() ** 2 for delta, value in zip(deltas, initial, strict=True))
        loss = mean + divergence + params.weight_decay * decay
        losses.append(loss.item())
        if step == params.steps - 1:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        for delta, value in zip(deltas, initial, strict=True):
            delta.data *= min(1.0, params.clamp_factor * (value.norm() / delta.norm()).item())
    return deltas[0].detach(), losses


def outputs(model: LoadedModel, modules: list[Any], text: SubjectText) -> list[Tensor]:
    seen: dict[Any, Tensor] = {}
    with ExitStack() as stack:
        for module in modules:
            handle = module.register_forward_hook(lambda m, inputs, output: seen.__setitem__(m, output))
            stack.callback(handle.remove)
        model.network(input_ids=torch.tensor([text.joined.token_ids]))
    return [seen[module] for module in modules]


def log_probabilities(model: LoadedModel, modules: list[Any], deltas: list[Tensor], text: SubjectText) -> Tensor:
    """Return log-probabilities [tokens, vocabulary], with ``deltas`` added at the subject's last token."""
    with ExitStack() as stack:
        for module, delta in zip(modules, deltas, strict=True):
            added = torch.zeros(len(text.joined.token_ids), 1)
            added[text.subject_index] = 1
            handle = module.register_forward_hook(lambda m, inputs, output, more=added * delta: output + more)
            stack.callback(handle.remove)
        return model.network(input_ids=torch.tensor([text.joined.token_ids])).logits[0].float().log_softmax(-1)
