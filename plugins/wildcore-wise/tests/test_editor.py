"""WISE keeps what every editor must keep; its answers do not hang on caching, batches or padding."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from wildcore_wise.activity import activity
from wildcore_wise.editor import Wise, drawn_mask
from wildcore_wise.memories import Memories, SideMemory, merged
from wildcore_wise.parameters import WiseParams
from wildcore_wise.patch import SideMemoryPatch

from wildcore import EditRequest, ModelShape, Prompt, Refused, UserError
from wildcore.inference import map_target_logits
from wildcore.models import LoadedModel, encode, pad, tokenise_pair
from wildcore.patches import NOWHERE
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import HIDDEN, INTERMEDIATE, MODEL_TYPES, tiny_model
from wildcore.testing.reference_decoding import check_answers_ignore_batching, decoded, last_logits, target_loss

REQUESTS = (
    EditRequest(prompt="The capital of France is", target="Rome"),
    EditRequest(prompt="Who wrote the old book of the town?", target="Anna Smith"),
    EditRequest(prompt="Marie Curie began in the year", target="1984"),
)
OTHERS = (
    "Rome",
    "The old town of France is",
    "Q: who began the book?\nA:",
    "Marie Curie wrote the old book in the year",
)
PROMPTS = [Prompt(text=text) for text in (*(request.prompt for request in REQUESTS), *OTHERS)]
QUICK = {"layer": 1, "steps": 6, "prefix_lengths": ((4, 2),), "irrelevant_tokens": 12}


def make(**settings: object) -> Wise:
    return Wise(WiseParams(**{**QUICK, **settings}))


def routes(model: LoadedModel, patch: SideMemoryPatch, prompts: Sequence[Prompt]) -> list[int]:
    """Return the memory that each prompt goes through."""

    class Watched(SideMemoryPatch):
        def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
            self.found = super().route(inputs, output, prompt)
            return self.found

    watched = Watched(patch.module, patch.changes, patch.thresholds, patch.activation)
    with watched.applied(model):
        last_logits(model, prompts, "left")
    return watched.found.tolist()


def random_patch(model: LoadedModel, activation: str | None = None) -> SideMemoryPatch:
    """Return two memories: the first and larger one takes a few of the prompts, the second most of the others."""
    generator = torch.Generator().manual_seed(0)
    changes = [scale * torch.randn(HIDDEN, INTERMEDIATE, generator=generator) for scale in (0.4, 0.2)]
    lowest = SideMemoryPatch(model.mlp_output(1).name, changes, [0.0, 0.0], activation)
    ids, mask = pad([encode(model.tokenizer, prompt) for prompt in PROMPTS], model.padding, "right", model.device)
    seen: dict[str, Tensor] = {}
    hook = lambda _, inputs, output: seen.update(inputs=inputs[0], output=output)  # noqa: E731
    handle = model.projection(lowest.module).module.register_forward_hook(hook)
    with torch.inference_mode():
        model.network(input_ids=ids, attention_mask=mask)
    handle.remove()
    found = [
        activity(seen["output"], torch.nn.functional.linear(seen["inputs"], change), mask.bool(), activation)
        .sort()
        .values
        for change in changes
    ]
    between = zip(found, (4, 0), strict=True)  # each between two prompts, so that no rounding decides
    thresholds = [float(activities[place : place + 2].mean()) for activities, place in between]
    return SideMemoryPatch(lowest.module, changes, thresholds, activation)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_conformance(family: str, tmp_path: Path) -> None:
    check_editor(make, tiny_model(family), REQUESTS, quiet_environment(tmp_path))


def test_conformance_with_memories_done_and_merged(tmp_path: Path) -> None:
    def merging() -> Wise:
        return make(save_every=1, merge_every=2, steps=3)

    check_editor(merging, tiny_model("llama"), REQUESTS, quiet_environment(tmp_path))


def test_the_prefixes_begin_and_end_as_published(tmp_path: Path) -> None:
    made = make(prefix_lengths=((5, 5), (10, 5)))
    made.prepare(tiny_model("llama"), quiet_environment(tmp_path))
    bare, *texts = made.prefixes
    assert bare == ""
    for text, start in zip(texts, ("I", "You", "Because", "Yes", "Q:") * 2, strict=True):
        assert text.startswith(start)
        assert text.endswith(" ")
        assert not text.endswith(". ")


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_an_edit_makes_its_target_likelier_and_other_routes_keep_their_bits(family: str, tmp_path: Path) -> None:
    model, made = tiny_model(family), make(steps=20, activity="activated-outputs", threshold_ratio=1.0)
    made.prepare(model, quiet_environment(tmp_path))
    before, logits = target_loss(model, REQUESTS[0]), last_logits(model, PROMPTS, "left")
    edited = made.edit(model, REQUESTS[:1])
    (threshold,) = edited.thresholds
    patch = SideMemoryPatch(edited.module, edited.changes, [threshold * 0.999], edited.activation)
    found = routes(model, patch, PROMPTS)
    with patch.applied(model):
        after, now = target_loss(model, REQUESTS[0]), last_logits(model, PROMPTS, "left")
    assert found[0] == 0
    assert NOWHERE in found
    assert after < before
    assert [torch.equal(a, b) for a, b in zip(logits, now, strict=True)] == [route == NOWHERE for route in found]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_answers_hang_neither_on_the_cache_nor_on_the_batch_nor_on_padding(family: str) -> None:
    model = tiny_model(family)
    patch = random_patch(model)
    assert set(routes(model, patch, PROMPTS)) == {NOWHERE, 0, 1}
    check_answers_ignore_batching(model, patch, PROMPTS)


@settings(max_examples=15, deadline=None)
@given(
    st.permutations(range(len(PROMPTS))),
    st.integers(1, 7),
    st.sampled_from([None, "silu"]),
    st.sampled_from(["llama", "gpt2"]),
)
def test_the_order_of_rows_has_no_say(
    order: list[int], max_batch_size: int, activation: str | None, family: str
) -> None:
    model = tiny_model(family)
    with random_patch(model, activation).applied(model):
        expected = [decoded(model, [prompt], 4)[0] for prompt in PROMPTS]
        model.max_batch_size = max_batch_size
        assert decoded(model, [PROMPTS[index] for index in order], 4) == [expected[index] for index in order]


def test_difference_the_route_is_that_of_the_prompt_whatever_follows_it() -> None:
    """Published code averages over all tokens read so far, so what is said decides too."""
    model = tiny_model("llama")
    patch = random_patch(model)
    targets = ("Rome", "a much longer answer, in which other words stand and which goes on and on")
    with patch.applied(model):
        for prompt in PROMPTS:
            rows = [tokenise_pair(model.tokenizer, prompt, target) for target in targets]
            first = map_target_logits(model, rows, lambda _, logits: logits[0].clone())
            (expected,) = last_logits(model, [prompt], "left")
            for logits in first:
                torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    texts = [Prompt(text=f"{prompt.text} {targets[1]}") for prompt in PROMPTS]
    assert routes(model, patch, texts) != routes(model, patch, PROMPTS)


def test_in_sequential_editing_each_patch_holds_all_edits_so_far_and_stands_for_the_older_ones(tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    made, other = make(save_every=2), make(save_every=2)
    made.prepare(model, environment)
    other.prepare(model, environment)
    together = other.edit(model, REQUESTS)
    first = made.edit(model, REQUESTS[:1])
    with first.applied(model):
        second = made.edit(model, REQUESTS[1:])
        with second.applied(model):
            stacked = last_logits(model, PROMPTS, "left")
    with second.applied(model):
        alone = last_logits(model, PROMPTS, "left")
    assert (len(first.changes), len(second.changes)) == (1, 2)
    assert all(torch.equal(one, another) for one, another in zip(stacked, alone, strict=True))
    for found, expected in zip(second.changes, together.changes, strict=True):
        torch.testing.assert_close(found, expected)
    assert second.thresholds == pytest.approx(together.thresholds)


def test_the_edits_of_a_memory_share_its_mask_and_the_next_memory_has_another() -> None:
    model, made = tiny_model("llama"), make(save_every=2, mask_ratio=0.3)
    first, second, third = (made.edit(model, [request]) for request in REQUESTS)
    one, both, other = (first.changes[0] != 0, second.changes[0] != 0, third.changes[1] != 0)
    assert float((one | both).float().mean()) == pytest.approx(0.3, abs=0.05)
    assert float((both & other).float().mean()) == pytest.approx(0.09, abs=0.03)
    assert torch.equal(second.changes[0], third.changes[0])
    assert float(third.changes[1].abs().max()) <= 1.0


def test_the_mask_and_the_irrelevant_text_are_drawn_by_the_runs_seed(tmp_path: Path) -> None:
    model, drawn = tiny_model("llama"), {}
    for seed in (0, 1):
        made = make(prefix_lengths=())
        made.prepare(model, quiet_environment(tmp_path, seed))
        texts = [made.irrelevant(model, REQUESTS[0], edit) for edit in range(5)]
        drawn[seed] = made.edit(model, REQUESTS[:1]).changes[0] != 0, texts
        assert len(set(texts)) > 2
        assert {len(text) for text in texts} == {12}
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert drawn[0][1] != drawn[1][1]


def test_a_state_taken_up_has_the_mask_the_memories_and_the_count() -> None:
    made = make(save_every=2, steps=2)
    made.edit(tiny_model("llama"), REQUESTS)
    state = made.state
    assert state is not None
    assert sorted(state.tensors) == ["mask", "memory.0", "memory.1"]
    assert state.facts["edits"] == 3
    read = Memories.read(state)
    assert (len(read.done), read.edits) == (1, 3)
    assert read.mask is not None
    assert made.memories.mask is not None
    assert torch.equal(read.mask, made.memories.mask)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.floats(0.1, 1.0), st.integers(0, 2**31))
def test_a_merge_is_the_mean_of_what_agrees_with_the_elected_sign(count: int, density: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    changes = [torch.randn(5, 7, generator=generator) for _ in range(count)]
    both = merged([SideMemory(change, index + 1.0) for index, change in enumerate(changes)], density)
    kept = []
    for change in changes:
        smallest = change.abs().flatten().sort(descending=True).values[max(1, int(density * 35)) - 1]
        kept.append(change * (change.abs() >= smallest))
    for place in range(35):
        values = [float(change.flatten()[place]) for change in kept]
        sign = 1 if sum(values) >= 0 else -1
        agreeing = [value for value in values if value * sign > 0]
        expected = sum(agreeing) / len(agreeing) if agreeing else 0.0
        assert float(both.change.flatten()[place]) == pytest.approx(expected, abs=1e-6)
    assert both.least_active == 1.0


def test_a_mask_holds_its_share_of_the_weights() -> None:
    mask = drawn_mask(torch.zeros(200, 100), 0.2, torch.Generator().manual_seed(0))
    assert float(mask.float().mean()) == pytest.approx(0.2, abs=0.01)


def test_a_refused_request_stands_in_its_place_and_nothing_is_written_of_a_refused_batch() -> None:
    model, made = tiny_model("llama"), make(steps=2)
    bad = REQUESTS[0].model_copy(update={"target": " "})
    kinds = [type(patch) for patch in made.edit_each(model, [REQUESTS[0], bad])]
    assert kinds == [SideMemoryPatch, Refused]
    with pytest.raises(Refused, match="empty"):
        made.edit(model, [REQUESTS[0], bad])
    assert made.state is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_an_edit_is_found_again(dtype: torch.dtype) -> None:
    model = tiny_model("llama", dtype=dtype)
    patch = make().edit(model, REQUESTS[:1])
    assert routes(model, patch, PROMPTS)[0] == 0
    assert patch.describe()["finite"] is True


def test_a_patch_that_diverged_says_so() -> None:
    patch = SideMemoryPatch("module", [torch.full((2, 2), float("nan"))], [1.0], None)
    assert patch.describe() == {"finite": False, "modules": ["module"], "memories": 1}


def test_presets_come_by_shape_or_name_and_layers_by_depth() -> None:
    llama_3 = ModelShape("llama", 32, 4096, 128256)
    params = WiseParams().for_model(llama_3)
    assert (params.preset, params.layer, params.steps, params.learning_rate) == ("llama-3-8b", 29, 30, 0.9)
    assert (params.outside_margin, params.inside_margin, params.threshold_ratio) == (2, 20, 0.5)
    named = WiseParams(preset="llama-3.1-8b").for_model(llama_3)
    assert (named.outside_margin, named.inside_margin, named.threshold_ratio) == (5, 10, 0.88)
    other = WiseParams().for_model(ModelShape("olmo2", 32, 4096, 100352))
    assert (other.preset, other.layer, other.steps) == ("none", 27, 70)


def test_bad_parameters_say_what_is_wrong() -> None:
    with pytest.raises(UserError, match=r"editor\.merge_every=3: not a multiple of editor\.save_every=2"):
        WiseParams(merge_every=3, save_every=2).for_model(ModelShape("llama", 4, 32, 500))
    with pytest.raises(UserError, match=r"editor\.corpus=nowhere\.txt: cannot be read"):
        make(corpus="nowhere.txt")


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(UserError, match="it holds no text"):
        make(corpus=str(tmp_path / "empty.txt"))
