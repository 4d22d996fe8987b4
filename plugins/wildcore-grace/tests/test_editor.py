"""GRACE keeps what every editor must keep; its answers do not hang on caching, batches or padding."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from wildcore_grace.editor import Grace
from wildcore_grace.parameters import GraceParams
from wildcore_grace.patch import CodebookPatch

from wildcore import EditRequest, ModelShape, Prompt, Refused
from wildcore.inference import map_target_logits
from wildcore.models import LoadedModel, tokenise_pair
from wildcore.patches import NOWHERE
from wildcore.testing.conformance import check_editor, quiet_environment
from wildcore.testing.networks import MODEL_TYPES, tiny_model
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


def make(**settings: object) -> Grace:
    return Grace(GraceParams(**{"layer": 1, "steps": 10, **settings}))


def routes(model: LoadedModel, patch: CodebookPatch, prompts: Sequence[Prompt], side: str = "left") -> list[int]:
    """Return the entry that each prompt finds."""

    class Watched(CodebookPatch):
        def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
            self.found = super().route(inputs, output, prompt)
            return self.found

    watched = Watched(patch.module, patch.codebook)
    with watched.applied(model):
        last_logits(model, prompts, side)
    return watched.found.tolist()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_conformance(family: str, tmp_path: Path) -> None:
    check_editor(make, tiny_model(family), REQUESTS, quiet_environment(tmp_path))


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_each_edit_makes_its_target_likelier_and_far_prompts_keep_their_bits(family: str) -> None:
    model = tiny_model(family)
    before = [target_loss(model, request) for request in REQUESTS]
    logits = last_logits(model, PROMPTS, "left")
    patch = make(steps=50).edit(model, REQUESTS)
    found = routes(model, patch, PROMPTS)
    with patch.applied(model):
        after = [target_loss(model, request) for request in REQUESTS]
        edited = last_logits(model, PROMPTS, "left")
    assert found[:3] == [0, 1, 2]
    assert NOWHERE in found
    assert all(new < old for new, old in zip(after, before, strict=True))
    assert [torch.equal(a, b) for a, b in zip(logits, edited, strict=True)] == [route == NOWHERE for route in found]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_answers_hang_neither_on_the_cache_nor_on_the_batch_nor_on_padding(family: str) -> None:
    model = tiny_model(family)
    check_answers_ignore_batching(model, make(initial_radius=3.0).edit(model, REQUESTS), PROMPTS)


@settings(max_examples=15, deadline=None)
@given(
    st.permutations(range(len(PROMPTS))),
    st.integers(1, 7),
    st.sampled_from([0.5, 2.0, 4.0]),
    st.sampled_from(["llama", "gpt2"]),
)
def test_the_order_of_rows_has_no_say(order: list[int], max_batch_size: int, radius: float, family: str) -> None:
    model = tiny_model(family)
    with make(initial_radius=radius, steps=3).edit(model, REQUESTS[:2]).applied(model):
        expected = [decoded(model, [prompt], 4)[0] for prompt in PROMPTS]
        model.max_batch_size = max_batch_size
        assert decoded(model, [PROMPTS[index] for index in order], 4) == [expected[index] for index in order]


def test_what_follows_the_prompt_in_teacher_forcing_does_not_choose_the_value() -> None:
    model, request = tiny_model("llama"), REQUESTS[0]
    with make().edit(model, [request]).applied(model):
        rows = [
            tokenise_pair(model.tokenizer, PROMPTS[0], target) for target in ("Rome", "a longer target, of other words")
        ]
        forced = map_target_logits(model, rows, lambda _, logits: logits[0].clone())
        (prompt_end,) = last_logits(model, PROMPTS[:1], "left")
    for logits in forced:
        torch.testing.assert_close(logits, prompt_end, rtol=1e-3, atol=1e-3)


def test_in_sequential_editing_each_patch_holds_all_edits_so_far_and_stands_for_the_older_ones() -> None:
    model, made = tiny_model("llama"), make(steps=30)
    together = make(steps=30).edit(model, REQUESTS)
    first = made.edit(model, REQUESTS[:1])
    with first.applied(model):
        second = made.edit(model, REQUESTS[1:])
        with second.applied(model):
            stacked = last_logits(model, PROMPTS, "left")
    with second.applied(model):
        alone = last_logits(model, PROMPTS, "left")
    with together.applied(model):
        at_once = last_logits(model, PROMPTS, "left")
    assert (len(first.codebook.labels), len(second.codebook.labels)) == (1, 3)
    for one, other, third in zip(stacked, alone, at_once, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, third, rtol=1e-3, atol=1e-3)


LIKE = (
    ("The capital of France is", "The main city of France is"),
    ("Who wrote the old book?", "Who has written the old book?"),
    ("Marie was born in", "Marie was said to be born in"),
    ("The river runs through", "The long river runs through"),
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(("first", "second"), LIKE)
def test_a_prompt_that_a_radius_grew_to_hold_is_found_however_it_is_asked(
    first: str, second: str, family: str, dtype: torch.dtype
) -> None:
    model = tiny_model(family, dtype=dtype)
    requests = [EditRequest(prompt=prompt, target="Rome") for prompt in (first, second)]
    keys = make(steps=1, initial_radius=1e-3).edit(model, requests).codebook.keys
    distance = float((keys[0] - keys[1]).norm())
    patch = make(steps=1, initial_radius=0.7 * distance).edit(model, requests)
    assert len(patch.codebook.labels) == 1
    asked = Prompt(text=second)
    longer = Prompt(text=f"Who knows it? {'word ' * 20}{first}")
    for prompts in ([asked], [asked, Prompt(text=first), longer]):
        for side in ("left", "right"):
            assert routes(model, patch, prompts, side)[0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
@pytest.mark.parametrize("target", ["Paris", "a very long other target than before, and more"])
def test_a_prompt_edited_again_keeps_one_key(target: str, family: str, dtype: torch.dtype) -> None:
    """The key of one prompt is not the same to the bit beside another target."""
    model = tiny_model(family, dtype=dtype)
    for prompt in (pair[0] for pair in LIKE):
        requests = [EditRequest(prompt=prompt, target=said) for said in ("Rome", target)]
        patch = make(steps=1).edit(model, requests)
        assert patch.codebook.labels == (target,)
        assert patch.codebook.radii.tolist() == [1]


def test_a_prompt_edited_again_says_the_new_target() -> None:
    model, made = tiny_model("llama"), make(steps=100)
    again = REQUESTS[0].model_copy(update={"target": "1984"})
    losses = []
    for request in (REQUESTS[0], again):
        with made.edit(model, [request]).applied(model):
            losses.append((target_loss(model, REQUESTS[0]), target_loss(model, again)))
    (old_first, new_first), (old_then, new_then) = losses
    assert new_then < new_first - 1
    assert old_then > old_first + 1


def test_the_initial_value_is_drawn_once_for_each_key_by_the_runs_seed(tmp_path: Path) -> None:
    model = tiny_model("llama")
    values = {}
    for seed in (0, 1):
        for steps in (1, 2):
            made = make(steps=steps, learning_rate=1e-9)
            made.prepare(model, quiet_environment(tmp_path, seed=seed))
            values[seed, steps] = made.edit(model, REQUESTS).codebook.values
    torch.testing.assert_close(values[0, 1], values[0, 2])
    assert not torch.allclose(values[0, 1], values[1, 1])
    assert not torch.allclose(values[0, 1][0], values[0, 1][1])
    assert float(values[0, 1].min()) >= -1e-6
    assert float(values[0, 1].max()) <= 1


def test_a_refused_request_stands_in_its_place_and_nothing_is_written_of_a_refused_batch() -> None:
    model, made = tiny_model("llama"), make()
    bad = REQUESTS[0].model_copy(update={"target": " "})
    first, second, third = made.edit_each(model, [REQUESTS[0], bad, REQUESTS[1]])
    assert isinstance(second, Refused)
    assert isinstance(first, CodebookPatch)
    assert isinstance(third, CodebookPatch)
    assert (first.codebook.labels, third.codebook.labels) == (("Rome",), ("Anna Smith",))
    assert [type(patch) for patch in made.edit_each(model, [bad])] == [Refused]
    with pytest.raises(Refused, match="empty"):
        made.edit(model, [REQUESTS[0], bad])
    assert made.state is None


def test_in_half_precision_an_edit_is_found_again() -> None:
    model = tiny_model("llama", dtype=torch.bfloat16)
    patch = make().edit(model, REQUESTS[:1])
    assert routes(model, patch, PROMPTS)[0] == 0
    assert patch.describe() == {"finite": True, "modules": ["model.layers.1.mlp.down_proj"], "keys": 1}


def test_independent_edits_leave_what_was_written_one_after_another() -> None:
    model, made = tiny_model("llama"), make(steps=2)
    made.edit(model, REQUESTS[:2])
    alone = make(steps=2).edit_each(model, REQUESTS[2:])[0]
    (found,) = made.edit_each(model, REQUESTS[2:])
    assert isinstance(found, CodebookPatch)
    assert isinstance(alone, CodebookPatch)
    assert torch.equal(found.codebook.values, alone.codebook.values)
    assert made.codebook is not None
    assert len(made.codebook.labels) == 2


@pytest.mark.parametrize(("layer", "noted"), [(1, 0), (2, 1)])
def test_the_last_layer_is_noted(layer: int, noted: int, tmp_path: Path) -> None:
    environment = quiet_environment(tmp_path)
    make(layer=layer).prepare(tiny_model("llama"), environment)
    assert sum("is the model's last" in note for note in environment.progress.notes) == noted


def test_presets_come_by_shape_and_layers_by_depth() -> None:
    gpt_j = GraceParams().for_model(ModelShape("gptj", 28, 4096, 50400))
    assert (gpt_j.preset, gpt_j.layer, gpt_j.steps) == ("gpt-j-6b", 25, 200)
    llama = GraceParams().for_model(ModelShape("llama", 32, 4096, 32000))
    assert (llama.preset, llama.layer, llama.steps, llama.initial_radius) == ("llama-2-7b", 27, 50, 1.0)
    other = GraceParams().for_model(ModelShape("mistral", 32, 4096, 32000))
    assert (other.preset, other.layer) == ("none", 27)
    shallow = ModelShape("llama", 6, 384, 8000)
    assert GraceParams().for_model(shallow).layer == 4, "what is put into the last layer reaches no later token"
    assert GraceParams(layer=5).for_model(shallow).layer == 5
