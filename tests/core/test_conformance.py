"""The conformance suite passes an honest editor and catches dishonest ones; tiny networks and patches do as they say."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from wildcore import EditRequest, Environment, Refused, Saved
from wildcore.inference.prompt_cache import PromptCache
from wildcore.models import LoadedModel, encode
from wildcore.models.loaded import BatchInfo
from wildcore.patches import Dense, LowRank, PromptPatch, WeightPatch
from wildcore.testing import conformance
from wildcore.testing.conformance import ModelState, check_editor, quiet_environment
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, MODEL_TYPES, tiny_model
from wildcore.types import Prompt

REQUESTS = [
    EditRequest(prompt="Where was Marie Curie born?", target="Rome", subject="Marie Curie"),
    EditRequest(prompt="The capital of Canada is", target="Tokyo", subject="Canada"),
    EditRequest(prompt="Rome is in", target="Peru", subject="Rome"),
]


class Silent:
    """Is told of every batch, and does nothing."""

    allows_cuda_graph = True

    def on_batch(self, reading: BatchInfo) -> None: ...


class HonestEditor:
    """Adds a random rank-one change that depends on the request and the seed only."""

    def __init__(self) -> None:
        self.seed = 0

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        self.seed = environment.seed

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        ids = [i for request in requests for i in encode(model.tokenizer, Prompt(text=request.prompt))]
        generator = torch.Generator().manual_seed(self.seed + sum(ids))
        left, right = torch.randn(HIDDEN, 1, generator=generator), torch.randn(INTERMEDIATE, 1, generator=generator)
        return WeightPatch({model.mlp_output(1).name: LowRank(left, right)})

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Any]:
        return [self.edit(model, [request]) for request in requests]

    def reset(self) -> None: ...


class DoesNothing(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return WeightPatch({model.mlp_output(1).name: Dense(torch.zeros(HIDDEN, INTERMEDIATE))})


class Explodes(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return WeightPatch({model.mlp_output(1).name: Dense(torch.full((HIDDEN, INTERMEDIATE), torch.nan))})


class WritesIntoTheModel(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        model.mlp_output(0).weight[0, 0] += 1e-3
        return super().edit(model, requests)


class LeavesAHook(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        model.layers[0].register_forward_hook(lambda *_: None)
        return super().edit(model, requests)


class LeavesAListener(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        model.listeners.append(Silent())
        return super().edit(model, requests)


class LeavesAPromptPatch(HonestEditor):
    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Any]:
        model.prompt_patches.append(Kept("Lisbon."))
        return super().edit_each(model, requests)


class LeavesSharedPrompts(HonestEditor):
    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Any]:
        model.prompt_cache = PromptCache(model, [])
        return super().edit_each(model, requests)


class LeavesSmallBatches(HonestEditor):
    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        model.max_batch_size = 1


class LeavesStepsRecorded(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return StaysRecorded(super().edit(model, requests))


class LeavesGradients(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        model.mlp_output(0).module.weight.requires_grad_(True)
        return super().edit(model, requests)


class TrainsTheView(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        weight = model.mlp_output(0).weight
        with torch.enable_grad():
            model.head(weight.T.clone()).sum().backward()
        return super().edit(model, requests)


class TrainsOn(HonestEditor):
    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        model.network.train()


@dataclasses.dataclass
class Subtracting:
    """Subtracts what it added, which does not restore the bits."""

    inner: WeightPatch

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        for name, change in self.inner.changes.items():
            model.projection(name).weight.add_(change.dense())
        yield
        for name, change in self.inner.changes.items():
            model.projection(name).weight.sub_(change.dense())

    def describe(self) -> dict[str, Any]:
        return {}


class StaysRecorded(Subtracting):
    """Has steps recorded, also afterwards."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        model.use_cuda_graphs = True
        with self.inner.applied(model):
            yield


class WithoutFinally(Subtracting):
    """Copies the bits back, unless an exception comes in between."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        kept = {name: model.projection(name).weight.clone() for name in self.inner.changes}
        for name, change in self.inner.changes.items():
            model.projection(name).weight.add_(change.dense())
        yield
        for name, original in kept.items():
            model.projection(name).weight.copy_(original)


class Subtracts(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return Subtracting(super().edit(model, requests))


class ForgetsExceptions(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return WithoutFinally(super().edit(model, requests))


class UsesGlobalRandomness(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return WeightPatch({model.mlp_output(1).name: Dense(torch.randn(HIDDEN, INTERMEDIATE))})


class Accumulates(HonestEditor):
    """Draws on from where the last edit stopped; ``reset`` starts anew."""

    def __init__(self) -> None:
        super().__init__()
        self.edits = 0

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        self.edits += 1
        self.seed += 1
        return super().edit(model, requests)

    def reset(self) -> None:
        self.seed -= self.edits
        self.edits = 0


class Remembers(Accumulates):
    """Builds upon its earlier edits, and keeps independent ones apart."""

    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Any]:
        patches = []
        for request in requests:
            self.reset()
            patches.append(self.edit(model, [request]))
        self.reset()
        return patches

    @property
    def state(self) -> Saved | None:
        return Saved({"edits": torch.tensor(self.edits)}, {})

    def restore(self, state: Saved) -> None:
        self.reset()
        self.edits = int(state.tensors["edits"])
        self.seed += self.edits


class LosesItsState(Remembers):
    def restore(self, state: Saved) -> None: ...


class ChangesItsState(Remembers):
    def __init__(self) -> None:
        super().__init__()
        self.counted = torch.zeros(())

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        patch = super().edit(model, requests)
        self.counted.fill_(self.edits)
        return patch

    @property
    def state(self) -> Saved | None:
        return Saved({"edits": self.counted}, {})


class RefusesBlankTargets(Remembers):
    """Says so only when it edits, and then has to be put back."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        patch = super().edit(model, requests)
        if not all(request.target.strip() for request in requests):
            raise Refused("no target")
        return patch


class RemembersWhatItRefused(RefusesBlankTargets):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        try:
            return super().edit(model, requests)
        except Refused:
            self.seed += len(requests) > 1
            raise


class ChecksTooMuch(HonestEditor):
    def check(self, model: LoadedModel, request: EditRequest) -> None:
        if request.prompt.startswith("Rome"):
            raise Refused("not Rome")


class Kept(PromptPatch):
    """Puts a text before every prompt."""

    def __init__(self, text: str) -> None:
        self.text = text

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        return [prompt.model_copy(update={"text": f"{self.text} {prompt.text}"}) for prompt in prompts]

    def to_saved(self) -> Saved:
        return Saved({}, {"text": self.text})

    def describe(self) -> dict[str, Any]:
        return {"finite": True}


class ChangesPrompts(HonestEditor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        return Kept(" ".join(f"{request.prompt} {request.target}." for request in requests))

    def load_patch(self, model: LoadedModel, saved: Saved) -> Kept:
        return Kept(saved.facts["text"])


class LosesItsPatch(ChangesPrompts):
    def load_patch(self, model: LoadedModel, saved: Saved) -> Kept:
        return Kept("Lisbon")


class NeverForgets(HonestEditor):
    """Edits differently after ``reset`` if it has edited before, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.edited = self.was_reset = False

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Any:
        self.seed += self.edited and self.was_reset
        self.edited = True
        return super().edit(model, requests)

    def reset(self) -> None:
        self.was_reset = self.edited


class EachDiffers(HonestEditor):
    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Any]:
        return [self.edit(model, requests)] * len(requests)


class EachLosesOne(HonestEditor):
    def edit_each(self, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Any]:
        return super().edit_each(model, requests)[1:]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_honest_editor_passes(model_type: str, tmp_path: Path) -> None:
    check_editor(HonestEditor, tiny_model(model_type), REQUESTS, quiet_environment(tmp_path))


@pytest.mark.parametrize("editor", [Remembers, RefusesBlankTargets, ChangesPrompts])
def test_editors_of_other_kinds_pass(editor: type[HonestEditor], tmp_path: Path) -> None:
    check_editor(editor, tiny_model("llama"), REQUESTS, quiet_environment(tmp_path))


def test_in_half_precision_too(tmp_path: Path) -> None:
    check_editor(HonestEditor, tiny_model("llama", dtype=torch.bfloat16), REQUESTS, quiet_environment(tmp_path))


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        (DoesNothing, "leaves the model's logits as they were"),
        (Explodes, "infinite or not a number"),
        (WritesIntoTheModel, r"left model.layers.0.mlp.down_proj.weight changed"),
        (LeavesAHook, r"left model.layers.0 changed.*0 hooks.*[1-9] hooks"),
        (LeavesGradients, r"left .* changed.*requires_grad False.*requires_grad True"),
        (LeavesGradients, r"train it inside 'with model\.trainable\(projection\)'"),
        (TrainsTheView, r"trains nothing.*inside 'with model\.trainable\(projection\) as \(parameter,\):'"),
        (TrainsOn, r"left the network changed.*training False.*training True"),
        (LeavesAListener, "left the model's listeners changed: it was empty and is Silent"),
        (LeavesAPromptPatch, r"edit_each\(\) left the model's prompt_patches changed: it was empty and is Kept"),
        (LeavesSharedPrompts, "left the model's prompt_cache changed: it was None and is PromptCache"),
        (LeavesSmallBatches, "left the model's max_batch_size changed: it was None and is 1"),
        (LeavesStepsRecorded, "left the model's use_cuda_graphs changed: it was None and is True"),
        (Subtracts, r"left model.layers.1.mlp.down_proj.weight changed"),
        (ForgetsExceptions, r"applied\(\) ended by an exception left model.layers.1.mlp.down_proj.weight changed"),
        (UsesGlobalRandomness, "two runs with the same seed give different patches"),
        (Accumulates, "the order of independent edits changes the patch"),
        (NeverForgets, r"after reset\(\) an earlier edit still has an effect"),
        (EachDiffers, r"edit_each\(\) gives another patch than edit\(\)"),
        (EachLosesOne, r"edit_each\(\) gave 2 patches for 3 requests"),
        (LosesItsState, r"restore\(\) does not bring back the whole state"),
        (ChangesItsState, r"edit\(\) changes a state that was taken before it: edits"),
        (ChecksTooMuch, r"check\(\) refuses 'Rome is in', which edit\(\) writes: not Rome"),
        (RemembersWhatItRefused, "a refused request changes what is written of the others"),
        (LosesItsPatch, r"load_patch\(\) loses something"),
    ],
)
def test_a_dishonest_editor_is_caught(editor: type[HonestEditor], message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        check_editor(editor, tiny_model("llama"), REQUESTS, quiet_environment(tmp_path))


@pytest.mark.parametrize(
    ("editor", "step"),
    [(WritesIntoTheModel, "edit"), (LeavesAHook, "edit"), (LeavesGradients, "edit"), (TrainsOn, "prepare")],
)
def test_a_check_by_itself_names_the_step_that_did_it(editor: type[HonestEditor], step: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=rf"^{step}\(\) left"):
        conformance.check_edit_leaves_the_model(editor, tiny_model("llama"), REQUESTS, quiet_environment(tmp_path))


def test_that_recording_was_given_up_with_a_remark_is_not_held_against_an_editor() -> None:
    model = tiny_model("llama")
    before = ModelState.of(model)
    model.use_cuda_graphs = False
    with pytest.raises(AssertionError, match="use_cuda_graphs"):
        before.require(model, "a pass")
    model.warn("decoding steps could not be recorded")
    before.require(model, "a pass")


def test_one_request_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="at least two requests"):
        check_editor(HonestEditor, tiny_model("llama"), REQUESTS[:1], quiet_environment(tmp_path))


def test_every_check_is_run() -> None:
    written = {value for name, value in vars(conformance).items() if name.startswith("check_")}
    assert written - {check_editor} == set(conformance.CHECKS)


def test_the_quiet_environment_keeps_notes_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = quiet_environment(tmp_path, seed=3)
    assert (environment.cache, environment.seed) == (tmp_path, 3)
    with environment.progress.track("work", 2) as advance:
        advance(1)
    environment.progress.note("a fallback")
    assert isinstance(environment.progress, conformance.SilentProgress)
    assert environment.progress.notes == ["a fallback"]
    assert capsys.readouterr() == ("", "")


class TestTinyNetworks:
    def test_the_seed_decides_the_weights_and_nothing_else_is_touched(self) -> None:
        torch.manual_seed(5)
        state = torch.get_rng_state()
        one, again, other = tiny_model("llama", seed=1), tiny_model("llama", seed=1), tiny_model("llama", seed=2)
        assert torch.equal(torch.get_rng_state(), state)
        assert one.fingerprint == again.fingerprint != other.fingerprint
        ModelState.of(one).require(again, "making it again")

    def test_a_family_that_is_not_built_in(self) -> None:
        with pytest.raises(ValueError, match="no tiny network of 'opt'; there are: llama"):
            tiny_model("opt")

    def test_a_window_where_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="gpt2 has no sliding window"):
            tiny_model("gpt2", sliding_window=8)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_the_dtype_is_the_one_asked_for(self, dtype: torch.dtype) -> None:
        assert tiny_model("gemma2", dtype=dtype).dtype is dtype


class TestWeightPatch:
    @pytest.mark.parametrize("model_type", ["llama", "gpt2"])
    def test_it_adds_its_change_and_puts_the_bits_back(self, model_type: str) -> None:
        model = tiny_model(model_type)
        name = model.mlp_output(1).name
        change = LowRank(torch.randn(HIDDEN, 2), torch.randn(INTERMEDIATE, 2))
        before, original = ModelState.of(model), model.mlp_output(1).weight.clone()
        with WeightPatch({name: change}).applied(model):
            torch.testing.assert_close(model.mlp_output(1).weight, original + change.left @ change.right.T)
        before.require(model, "the patch")

    def test_it_describes_its_size(self) -> None:
        patch = WeightPatch({"a": Dense(torch.tensor([[3.0]])), "b": Dense(torch.tensor([[4.0]]))})
        assert patch.describe() == {"change_norm": 5.0, "finite": True, "modules": ["a", "b"]}
        broken = WeightPatch({"a": Dense(torch.tensor([[torch.inf]]))})
        assert broken.describe() == {"change_norm": None, "finite": False, "modules": ["a"]}

    def test_a_change_that_fails_leaves_the_model_as_it_was(self) -> None:
        model = tiny_model("llama")
        before = ModelState.of(model)
        good, bad = Dense(torch.ones(HIDDEN, INTERMEDIATE)), Dense(torch.ones(3, 5))
        patch = WeightPatch({model.mlp_output(0).name: good, model.mlp_output(1).name: bad})
        with pytest.raises(RuntimeError), patch.applied(model):
            pass
        before.require(model, "a failed patch")
