"""What several updates wrote acts as one patch, and stays as large as one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wildcore import Editor, EditRequest, Prompt, Saved, UserError
from wildcore.evaluation.checkpoints import Checkpoint, SequenceState
from wildcore.inference import map_target_logits
from wildcore.interfaces import Patch
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.patches import Dense, LowRank, ModulePatch, PromptPatch, WeightPatch
from wildcore.patches.accumulated import CombinedPatch, changes_prompts
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import EditOutcome, Manifest
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, tiny_model

PROMPT = Prompt(text="The capital of Canada is")


class Louder(ModulePatch):
    """Makes what the module gives louder."""

    def __init__(self, module: str, share: float) -> None:
        super().__init__(module)
        self.share = share

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        return torch.zeros(len(inputs), dtype=torch.long)

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        return output * self.share

    def to_saved(self) -> Saved:
        return Saved({}, {"module": self.module, "share": self.share})

    def describe(self) -> Mapping[str, Any]:
        return {"finite": self.share == self.share}


class Shouting(Louder):
    """The same, of another class."""


class Before(PromptPatch):
    """Puts a text before every prompt."""

    def __init__(self, text: str) -> None:
        self.text = text

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        return [prompt.model_copy(update={"text": self.text + prompt.text}) for prompt in prompts]

    def to_saved(self) -> Saved:
        return Saved({}, {"text": self.text})

    def describe(self) -> Mapping[str, Any]:
        return {"finite": True}


def change(seed: int, rank: int, size: float = 1.0) -> LowRank | Dense:
    generator = torch.Generator().manual_seed(seed)
    if rank:
        left, right = (torch.randn(width, rank, generator=generator) for width in (HIDDEN, INTERMEDIATE))
        return LowRank(size * left, right)
    return Dense(size * torch.randn(HIDDEN, INTERMEDIATE, generator=generator))


def together(*patches: Patch) -> CombinedPatch:
    accumulated = CombinedPatch()
    for patch in patches:
        accumulated.add(patch)
    return accumulated


def logits(model: LoadedModel, patch: Patch) -> Tensor:
    with patch.applied(model):
        (prompt,) = model.rewrite_prompts([PROMPT], [PROMPT.text])
        row = tokenise_pair(model.tokenizer, prompt, "Ottawa in Ontario")
        return map_target_logits(model, [row], lambda _, given: given.float())[0]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=6),
    st.sampled_from(["llama", "gpt2"]),
)
def test_changes_of_weights_act_as_their_sum(steps: list[tuple[int, int]], family: str) -> None:
    model = tiny_model(family)
    changes = [(model.mlp_output(layer).name, change(seed, rank, 0.1)) for seed, (layer, rank) in enumerate(steps)]
    accumulated = together(*(WeightPatch({name: one}) for name, one in changes))
    sums: dict[str, Tensor] = {}
    for name, one in changes:
        sums[name] = sums.get(name, torch.zeros(HIDDEN, INTERMEDIATE)) + one.dense()
    before = ModelState.of(model)
    expected = logits(model, WeightPatch({name: Dense(total) for name, total in sums.items()}))
    assert torch.equal(logits(model, accumulated), expected)
    before.require(model, "applying a sum")
    assert sorted(sums) == accumulated.describe()["modules"]


def test_the_first_change_is_taken_as_a_copy() -> None:
    own = torch.ones(HIDDEN, INTERMEDIATE)
    accumulated = together(WeightPatch({"m": Dense(own)}), WeightPatch({"m": Dense(own)}))
    assert torch.equal(own, torch.ones(HIDDEN, INTERMEDIATE)), "an editor's own tensor was added to"
    assert torch.equal(accumulated.sums["m"], 2 * own)


def test_small_changes_add_up_before_they_are_rounded() -> None:
    model = tiny_model("llama", dtype=torch.bfloat16)
    projection = model.mlp_output(1)
    weight = projection.weight.clone()
    step = WeightPatch({projection.name: Dense(weight.float() * 2**-11)})  # a step that bfloat16 rounds away
    with step.applied(model):
        assert torch.equal(projection.weight, weight)
    with together(*[step] * 64).applied(model):
        assert torch.equal(projection.weight, (weight.float() * (1 + 64 * 2**-11)).bfloat16())
        assert not torch.equal(projection.weight, weight)
    assert torch.equal(projection.weight, weight)


def test_a_later_patch_that_is_no_change_of_weights_replaces_the_earlier(model: LoadedModel) -> None:
    first, second = Louder(model.mlp_output(1).name, 3.0), Louder(model.mlp_output(1).name, 0.5)
    accumulated = together(first, second)
    assert list(accumulated.latest.values()) == [second]
    assert torch.equal(logits(model, accumulated), logits(model, second))


def test_patches_of_other_classes_or_modules_stay_and_weights_with_them(model: LoadedModel) -> None:
    one, other = Louder(model.mlp_output(1).name, 3.0), Louder(model.mlp_output(0).name, 0.5)
    third, text = Shouting(model.mlp_output(1).name, 2.0), Before("Oslo. ")
    weights = WeightPatch({model.mlp_output(2).name: change(5, 1)})
    before = ModelState.of(model)
    found = logits(model, together(one, weights, text, other, third))
    with one.applied(model), weights.applied(model), text.applied(model), other.applied(model):
        assert torch.equal(found, logits(model, third))
    before.require(model, "applying all kinds")
    assert model.prompt_patches == []
    assert model.listeners == []


def test_what_changes_prompts_is_told_from_what_does_not(model: LoadedModel) -> None:
    louder, before = Louder(model.mlp_output(1).name, 3.0), Before("Oslo. ")
    assert changes_prompts(before)
    assert changes_prompts(together(louder, before))
    assert not changes_prompts(together(louder, WeightPatch({})))
    assert not changes_prompts(louder)


@pytest.mark.parametrize(
    "patch",
    [WeightPatch({"m": Dense(torch.tensor([[1.0, float("nan")]]))}), WeightPatch({"m": Dense(torch.tensor([[float("inf")]]))}),
     Louder("m", float("nan"))],
)  # fmt: skip
def test_what_is_not_finite_is_told(patch: Patch) -> None:
    assert together(WeightPatch({"other": Dense(torch.ones(1, 1))})).finite
    assert not together(WeightPatch({"other": Dense(torch.ones(1, 1))}), patch).finite


def test_a_sum_that_overflows_is_told_though_no_change_did() -> None:
    large = WeightPatch({"m": Dense(torch.full((1, 1), 3e38))})
    assert together(large).finite
    assert not together(large, large).finite


class OtherVersion(Editor):
    """Knows other facts than the patches hold."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        return Louder(model.mlp_output(1).name, 3.0)

    def load_patch(self, model: LoadedModel, saved: Saved) -> Patch:
        return Louder(saved.facts["module"], saved.facts["factor"])


def test_a_kept_sequence_that_its_editor_cannot_read_back_is_named(model: LoadedModel, tmp_path: Path) -> None:
    run = {"created": "2025-01-01T00:00:00+00:00", "job": {}, "identity": {}, "protocols": (), "case_count": 1}
    manifest = Manifest(**run, versions={}, hardware={}, plugins={})
    file = Checkpoint(RunFolder.create(tmp_path / "run", manifest))
    written = SequenceState(0)
    written.add(EditOutcome(status="edited", seconds=0), {}, Louder(model.mlp_output(1).name, 3.0), None)
    file.save(written)
    said = r"sequence.safetensors: its editor cannot read it back \(KeyError: 'factor'\); .*; delete the file"
    with pytest.raises(UserError, match=said):
        file.load(0, model, OtherVersion())


def test_what_can_neither_be_summed_nor_be_kept_is_refused() -> None:
    class Odd:
        def describe(self) -> dict[str, Any]:
            return {}

    with pytest.raises(UserError, match="Odd"):
        CombinedPatch().add(Odd())  # type: ignore[arg-type]
