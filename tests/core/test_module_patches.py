"""A patch that chooses by the prompt: the same answer whatever is cached, beside it, or filled up; and no trace afterwards."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wildcore import EditCase, EditRequest, Probe, Prompt, Saved
from wildcore.evaluation.examiner import AnswersByProtocol, Examiner
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.inference import map_target_logits
from wildcore.models import LoadedModel, TokenisedPair, encode, pad, tokenise_pair
from wildcore.patches import NOWHERE, LowRank, ModulePatch, WeightPatch, deactivated
from wildcore.patches.accumulated import CombinedPatch
from wildcore.patches.routed import RoutedPatches, find_routed
from wildcore.testing.conformance import ModelState
from wildcore.testing.networks import HIDDEN, MODEL_TYPES, tiny_model
from wildcore.testing.reference_decoding import decode_without_cache, decoded
from wildcore.testing.stub_protocol import Greedy, plain_protocol

WORDS = ["Rome", "is", "the capital of", "Canada", "Marie Curie", "was born in", "Q:", "A:", "Paris", "who won"]
PROMPTS = [Prompt(text=" ".join(WORDS[index : index + 1 + index % 4] * (1 + index % 3))) for index in range(9)]
LIMITS = [3, 12, 1, 7, 20, 2, 9, 5, 16]
FAMILIES = ("llama", "gpt2", "gemma2", "gpt_neox")


class Example(ModulePatch):
    """Route 0 puts a vector at the prompt's end, route 1 turns around what the module gives at every token."""

    def __init__(self, module: str, vector: Tensor, share: float = 1.0) -> None:
        super().__init__(module)
        self.vector, self.share = vector, share
        self.routed: list[int] = []

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        """Choose by how large what goes in and what comes out is, on average over the prompt."""
        size = inputs.float().norm(dim=-1) + output.float().norm(dim=-1)
        mean = (size * prompt).sum(-1) / prompt.sum(-1)
        routes = (mean * 10 * self.share).long() % 3 - 1
        self.routed += routes.tolist()
        return routes

    def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
        """Give each row what its route says."""
        places = torch.arange(output.shape[1], device=output.device)
        at_end = (places == prompt_end[:, None]) & (prompt_end != NOWHERE)[:, None] & (routes == 0)[:, None]
        turned = torch.where((routes == 1)[:, None, None], -output, output)
        return torch.where(at_end[..., None], self.vector.to(output.dtype), turned)

    def to_saved(self) -> Saved:
        """Return the vector."""
        return Saved({"vector": self.vector}, {"module": self.module})

    def describe(self) -> Mapping[str, Any]:
        """Say that it is finite."""
        return {"finite": bool(self.vector.isfinite().all())}


def example(model: LoadedModel, seed: int = 0) -> Example:
    vector = 3 * torch.randn(HIDDEN, generator=torch.Generator().manual_seed(seed))
    return Example(model.mlp_output(1).name, vector, share=1 + seed)


@torch.inference_mode()
def prompt_logits(model: LoadedModel, prompts: Sequence[Prompt], side: str) -> list[Tensor]:
    """Return the logits at each prompt's own tokens, the rows filled up on ``side``."""
    rows = [encode(model.tokenizer, prompt) for prompt in prompts]
    ids, mask = pad(rows, model.padding, side, model.device)
    logits, _ = model.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
    return [logits[place][mask[place].bool()] for place in range(len(rows))]


def target_logits(model: LoadedModel, rows: Sequence[TokenisedPair]) -> list[Tensor]:
    return map_target_logits(model, rows, lambda row, logits: logits.clone())


def close(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(some, others, strict=True))


def test_the_prompts_take_every_route_and_each_changes_the_answers() -> None:
    model = tiny_model("llama")
    patch, before = example(model), prompt_logits(model, PROMPTS, "left")
    with patch.applied(model):
        after = prompt_logits(model, PROMPTS, "left")
    assert set(patch.routed) == {NOWHERE, 0, 1}
    for route, one, other in zip(patch.routed, before, after, strict=True):
        assert close([one], [other]) is (route == NOWHERE)
        assert close([one[:-1]], [other[:-1]]) is (route != 1 or len(one) == 1), "route 0 changes the last token only"


@pytest.mark.parametrize(
    ("family", "max_batch_size"), [(family, 3) for family in MODEL_TYPES] + [("llama", None), ("gpt2", 1)]
)
def test_with_a_cache_and_rows_filled_up_again_each_answer_is_that_of_the_plainest_loop(
    family: str, max_batch_size: int | None
) -> None:
    model = tiny_model(family)
    with example(model).applied(model):
        expected = [decode_without_cache(model, prompt, limit) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
        model.max_batch_size = max_batch_size
        assert decoded(model, PROMPTS, LIMITS) == expected
    assert decoded(model, PROMPTS, LIMITS) != expected


@pytest.mark.parametrize("family", FAMILIES)
def test_alone_or_in_a_batch_filled_up_left_or_right_the_logits_are_the_same(family: str) -> None:
    model = tiny_model(family)
    with example(model).applied(model):
        alone = [prompt_logits(model, [prompt], "left")[0] for prompt in PROMPTS]
        assert close(prompt_logits(model, PROMPTS, "left"), alone)
        assert close(prompt_logits(model, PROMPTS, "right"), alone)
        assert close(prompt_logits(model, PROMPTS[::-1], "right")[::-1], alone)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_batch_size", [None, 1, 4])
def test_teacher_forcing_predicts_what_decoding_chooses(family: str, max_batch_size: int | None) -> None:
    model = tiny_model(family)
    rows = [tokenise_pair(model.tokenizer, prompt, "the old town of Rome") for prompt in PROMPTS]
    model.max_batch_size = max_batch_size
    with example(model).applied(model):
        forced = target_logits(model, rows)
        model.max_batch_size = 2
        first = [logits[0].argmax().item() for logits in forced]
        assert first == [ids[0] for ids in decoded(model, PROMPTS, [1] * len(PROMPTS))]
        assert close(forced, [target_logits(model, [row])[0] for row in rows])


def test_the_target_has_no_say_in_the_route() -> None:
    model = tiny_model("llama")
    routes = []
    for target in ("Rome", "a much longer answer, in which other words stand"):
        patch = example(model)
        with patch.applied(model):
            target_logits(model, [tokenise_pair(model.tokenizer, prompt, target) for prompt in PROMPTS[:4]])
        routes.append(sorted(patch.routed))
    assert routes[0] == routes[1]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.integers(1, 8)), min_size=1, max_size=7
    ),
    st.integers(1, 7),
    st.integers(0, 5),
    st.sampled_from(["llama", "gpt2"]),
)
def test_no_answer_depends_on_the_batch_its_order_or_its_neighbours(
    asked: list[tuple[list[str], int]], max_batch_size: int, seed: int, family: str
) -> None:
    model = tiny_model(family)
    prompts, limits = [Prompt(text=" ".join(words)) for words, _ in asked], [limit for _, limit in asked]
    with example(model, seed).applied(model):
        alone = [decode_without_cache(model, prompt, limit) for prompt, limit in zip(prompts, limits, strict=True)]
        model.max_batch_size = max_batch_size
        assert decoded(model, prompts, limits) == alone
        assert decoded(model, prompts[::-1], limits[::-1]) == alone[::-1]


def test_a_plain_call_of_the_network_reads_prompts() -> None:
    model = tiny_model("llama")
    ids = torch.tensor([encode(model.tokenizer, PROMPTS[1])])
    with example(model).applied(model), torch.inference_mode():
        step = model.network(input_ids=ids, use_cache=True)
        cache = {model.cache_name: getattr(step, model.cache_name)}
        assert close([step.logits[0]], prompt_logits(model, PROMPTS[1:2], "left"))
        chosen = step.logits[:, -1:].argmax(-1)
        following = model.network(input_ids=chosen, **cache).logits[0, -1].argmax()
        assert (int(chosen), int(following)) == decode_without_cache(model, PROMPTS[1], 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_afterwards_hooks_and_listeners_are_gone_also_after_an_exception(family: str) -> None:
    model = tiny_model(family)
    state = ModelState.of(model)
    with example(model).applied(model):
        decoded(model, PROMPTS[:2], [2, 2])
        assert model.listeners
    with pytest.raises(KeyError), example(model).applied(model):
        raise KeyError
    state.require(model, "applied()")
    assert not model.listeners


def test_of_two_patches_of_a_kind_on_a_module_the_one_applied_last_stands_alone() -> None:
    model = tiny_model("llama")
    older, newer = example(model, seed=1), example(model, seed=2)
    expected = {}
    for patch in (older, newer):
        with patch.applied(model):
            expected[patch] = prompt_logits(model, PROMPTS, "left")
    assert not close(expected[older], expected[newer])
    with older.applied(model):
        with newer.applied(model):
            assert close(prompt_logits(model, PROMPTS, "left"), expected[newer])
        assert close(prompt_logits(model, PROMPTS, "left"), expected[older])


def test_patches_on_other_modules_and_of_other_kinds_act_too() -> None:
    class Another(Example):
        pass

    model = tiny_model("llama")
    first = example(model)
    for second in (
        Example(model.mlp_output(0).name, first.vector, share=7),
        Another(first.module, -first.vector, share=7),
    ):
        with second.applied(model):
            alone = prompt_logits(model, PROMPTS, "left")
            with first.applied(model):
                both = prompt_logits(model, PROMPTS, "left")
        with first.applied(model):
            assert not close(both, alone)
            assert not close(both, prompt_logits(model, PROMPTS, "left"))


def test_deactivated_patches_do_nothing_until_they_are_activated_again() -> None:
    model = tiny_model("llama")
    unedited = prompt_logits(model, PROMPTS, "left")
    older, newer = example(model, seed=1), example(model, seed=2)
    with older.applied(model), newer.applied(model):
        edited = prompt_logits(model, PROMPTS, "left")
        with deactivated(model, Example, newer.module):
            assert close(prompt_logits(model, PROMPTS, "left"), unedited)
        with deactivated(model, Example, model.mlp_output(0).name):
            assert close(prompt_logits(model, PROMPTS, "left"), edited)
        assert close(prompt_logits(model, PROMPTS, "left"), edited)


class Rereading(Example):
    """Chooses anew at every token, by all tokens up to it."""

    rereads = True


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_choice_at_every_token_is_that_of_a_pass_over_the_whole_text_however_asked(family: str) -> None:
    model = tiny_model(family)
    vector = 3 * torch.randn(HIDDEN, generator=torch.Generator().manual_seed(0))
    patch = Rereading(model.mlp_output(1).name, vector)
    with patch.applied(model):
        expected = []
        for prompt, limit in zip(PROMPTS, LIMITS, strict=True):
            patch.routed.clear()
            expected.append(decode_without_cache(model, prompt, limit))
            alone = list(patch.routed)
            patch.routed.clear()
            assert decoded(model, [prompt], limit) == expected[-1:]
            assert patch.routed == alone
        for model.max_batch_size in (None, 3):
            assert decoded(model, PROMPTS, LIMITS) == expected
            assert decoded(model, PROMPTS[::-1], LIMITS[::-1]) == expected[::-1]
    model.max_batch_size = None
    by_prompt = example(model)
    with by_prompt.applied(model):
        assert decoded(model, PROMPTS, LIMITS) != expected, "no choice changes midway, so this test means nothing"


def test_a_rereading_patch_leaves_no_trace_and_rests_when_deactivated() -> None:
    model = tiny_model("llama")
    patch = Rereading(model.mlp_output(1).name, 3 * torch.ones(HIDDEN))
    before, unedited = ModelState.of(model), decoded(model, PROMPTS, LIMITS)
    with patch.applied(model):
        assert decoded(model, PROMPTS, LIMITS) != unedited
        with deactivated(model, Rereading, patch.module):
            assert decoded(model, PROMPTS, LIMITS) == unedited
    before.require(model, "a rereading patch")


def written(*patches: Example | WeightPatch) -> CombinedPatch:
    """Return everything that a sequence of updates wrote."""
    combined = CombinedPatch()
    for patch in patches:
        combined.add(patch)
    return combined


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.integers(0, 3)), min_size=1, max_size=7
    ),
    st.sampled_from([None, 1, 3]),
    st.sampled_from(["llama", "gpt2"]),
)
def test_rows_of_many_models_are_routed_each_by_its_own_patch(
    asked: list[tuple[list[str], int]], max_batch_size: int | None, family: str
) -> None:
    model = tiny_model(family)
    prompts, owners = [Prompt(text=" ".join(words)) for words, _ in asked], [owner for _, owner in asked]
    patches = [example(model, seed) for seed in range(4)]
    unedited = [decode_without_cache(model, prompt) for prompt in prompts]
    alone, routes = [], []
    for prompt, owner in zip(prompts, owners, strict=True):
        with patches[owner].applied(model):
            alone.append(decode_without_cache(model, prompt))
        routes.append(patches[owner].routed[-1])
    model.max_batch_size = max_batch_size
    stacked = RoutedPatches(model, patches)
    state = ModelState.of(model)
    left = stacked.leave_unedited(prompts, owners)
    assert left == [route == NOWHERE for route in routes]
    assert all(one == other for one, other, same in zip(alone, unedited, left, strict=True) if same)
    with stacked.applied(owners):
        assert decoded(model, prompts) == alone
    state.require(model, "RoutedPatches")


def test_rows_routed_nowhere_stay_as_they_are_whatever_the_patch_returns() -> None:
    class Careless(Example):
        def change(self, inputs: Tensor, output: Tensor, routes: Tensor, prompt_end: Tensor) -> Tensor:
            return -output

    model = tiny_model("llama")
    patch = Careless(model.mlp_output(1).name, torch.ones(HIDDEN))
    unedited = prompt_logits(model, PROMPTS, "left")
    with patch.applied(model):
        edited = prompt_logits(model, PROMPTS, "left")
    for route, one, other in zip(patch.routed, edited, unedited, strict=True):
        assert torch.equal(one, other) is (route == NOWHERE)


def test_patches_that_cannot_be_stacked_are_not() -> None:
    model = tiny_model("llama")
    one, other = example(model), Example(model.mlp_output(0).name, torch.ones(HIDDEN))
    weights = WeightPatch({one.module: LowRank(torch.ones(HIDDEN, 1), torch.ones(64, 1))})
    assert find_routed([one, written(one)]) == [one, one]
    for patches in ([one, other], [one, weights], [written(one, weights)], [written(one, other)], [written()]):
        assert find_routed(patches) is None
    assert find_routed([Rereading(one.module, one.vector)]) is None


def cases_of(prompts: Sequence[Prompt]) -> list[EditCase]:
    """Return cases of one, two or three questions, all prompts in turn."""
    ends = [0, 1, 3, 6, len(prompts)]
    return [
        EditCase(
            id=str(start),
            request=EditRequest(prompt="The place is in", target="Rome"),
            probes=tuple(Probe(kind="locality", prompt=p.text, answers=("Rome",)) for p in prompts[start:end]),
        )
        for start, end in pairwise(ends)
    ]


class Alone(Greedy):
    """A generator that is not row-wise."""

    supports_row_patches = False


@pytest.mark.parametrize("sequential", [False, True])
def test_cases_are_asked_in_one_batch_and_only_what_a_patch_changes(sequential: bool, tmp_path: Path) -> None:
    model, cases = tiny_model("llama"), cases_of(PROMPTS)
    together = written(example(model))
    patches = [together if sequential else example(model, seed) for seed in range(len(cases))]

    def ask(
        reuses: bool, chosen: Sequence[int], generator: type[Greedy] = Greedy
    ) -> tuple[list[AnswersByProtocol], int, list[int]]:
        """Return the answers to some cases, how many were reused, and how many prompts each call of the generator had."""
        asking = generator(8)
        kept = UneditedAnswers(tmp_path / f"{reuses} {len(chosen)} {generator.__name__}", model)
        examiner = Examiner(model, [plain_protocol(asking)], kept, reuses_unedited=reuses)
        questions = [examiner.questions(cases[index]) for index in chosen]
        examiner.answer_unedited(questions)
        asking.batches.clear()
        answers = examiner.answer_edited(questions, [patches[index] for index in chosen])
        return answers, kept.reused, [len(batch) for batch in asking.batches]

    every = range(len(cases))
    alone = [ask(False, [index], Alone)[0][0] for index in every]
    answers, reused, sizes = ask(True, every)
    assert answers == alone
    assert 0 < reused < len(PROMPTS)
    assert sizes == [len(PROMPTS) - reused]
    assert ask(False, every) == (alone, 0, [len(PROMPTS)])
    of_each_patch = [len(PROMPTS)] if sequential else [len(case.probes) for case in cases]
    assert ask(True, every, Alone) == (alone, 0, of_each_patch)


def test_all_prompts_of_one_patch_are_routed_in_one_pass(tmp_path: Path) -> None:
    class Counting(Example):
        def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
            sizes.append(len(inputs))
            return super().route(inputs, output, prompt)

    sizes: list[int] = []
    model, cases = tiny_model("llama"), cases_of(PROMPTS)
    patch = written(Counting(model.mlp_output(1).name, torch.ones(HIDDEN)))
    kept = UneditedAnswers(tmp_path, model)
    examiner = Examiner(model, [plain_protocol(Greedy(8))], kept, reuses_unedited=False)
    examiner.answer_edited([examiner.questions(case) for case in cases], [patch] * len(cases))
    assert sizes == [len(PROMPTS)]
