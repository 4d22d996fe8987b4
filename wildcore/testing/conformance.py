"""The conformance suite: checks, on a real model, that every editor must pass.

    from wildcore.testing.conformance import check_editor, quiet_environment
    from wildcore.testing.networks import tiny_model

    def test_my_editor(tmp_path):
        check_editor(make_my_editor, tiny_model("llama"), requests, quiet_environment(tmp_path))

Every check is a function with the same arguments. Patches are compared by their effect: the model's logits for each request's
prompt and target while a patch is applied.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from wildcore.errors import Message, Refused, render
from wildcore.evaluation.refusals import refusals, write_together
from wildcore.inference.teacher_forcing import map_target_logits
from wildcore.interfaces import Editor, Environment, Patch, SavablePatch, Saved
from wildcore.models.loaded import LoadedModel
from wildcore.models.precision import at_least_float32
from wildcore.models.tokens import tokenise_pair
from wildcore.patches.fitting import require_read_back
from wildcore.patches.weights import WeightPatch
from wildcore.types import EditRequest, Prompt

TOLERANCE = 1e-3
"""Largest difference between the logits of two equal patches, relative to the edit's own effect."""

MakeEditor = Callable[[], Editor]


class SilentProgress:
    """Progress that shows nothing and stores the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def track(self, label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show nothing."""
        yield lambda steps: None

    def note(self, message: Message) -> None:
        """Store the note."""
        self.notes.append(render(message))


def quiet_environment(cache: Path, seed: int = 0) -> Environment:
    """Return an environment with its cache at ``cache`` whose progress shows nothing."""
    return Environment(cache, seed, SilentProgress())


def check_editor(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """Run every check. ``requests`` are at least two that the editor can write, with different prompts.

    Raises ``AssertionError``, whose message says what the editor did and what it must do.
    """
    assert len({request.prompt for request in requests}) >= 2, "give at least two requests with different prompts"
    before = ModelState.of(model)
    for check in CHECKS:
        with _told_how_to_train():
            check(make_editor, model, requests, environment)
        before.require(model, f"the editor, in {check.__name__},")


@contextmanager
def _told_how_to_train() -> Iterator[None]:
    """If torch reports that no tensor of a loss requires gradients, say how to train a model's weights."""
    try:
        yield
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise AssertionError(
            f"the editor trains nothing ({error}): the model's weights are frozen, and projection.weight is a view; train "
            "inside 'with model.trainable(projection) as (parameter,):'"
        ) from error


def check_changes_something(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """Each patch changes the logits of its request, to finite numbers; otherwise the other checks are meaningless."""
    editor = _prepared(make_editor, model, environment)
    for request in requests:
        before = _logits(model, [request])
        after = _effect(model, _alone(editor, model, request), [request])
        patch = f"the patch for {request.prompt!r}"
        assert after.isfinite().all(), f"{patch} makes the model's logits infinite or not a number"
        assert not torch.equal(before, after), f"{patch} leaves the model's logits as they were"


def check_edit_leaves_the_model(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """``prepare``, ``edit`` and ``edit_each`` leave the model unchanged, bit for bit."""
    before = ModelState.of(model)
    editor = _prepared(make_editor, model, environment)
    before.require(model, "prepare()")
    editor.edit(model, requests[:1])
    before.require(model, "edit()")
    editor.edit_each(model, requests)
    before.require(model, "edit_each()")


def check_patch_puts_back(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """After ``applied()``, even if an exception ended it, the model is bit for bit what it was before; a patch can be reused."""
    patch = _prepared(make_editor, model, environment).edit(model, requests[:1])
    before = ModelState.of(model)
    first = _effect(model, patch, requests)
    before.require(model, "applied()")
    try:
        with patch.applied(model):
            raise _Interruption
    except _Interruption:
        before.require(model, "applied() ended by an exception")
    second = _effect(model, patch, requests)
    assert torch.equal(first, second), "a patch applied for the second time does something else"


def check_same_seed_same_patch(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """Two new editors with the same environment give the same patch, regardless of torch's global random state."""
    effects = []
    for global_seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            patch = _prepared(make_editor, model, environment).edit(model, requests[:1])
        effects.append(_effect(model, patch, requests))
    _require_same(
        effects[0], effects[1], _logits(model, requests), "two runs with the same seed give different patches"
    )


def check_order_does_not_matter(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """Independent edits do not affect each other: in the opposite order each request gets the same patch."""
    editor = _prepared(make_editor, model, environment)
    patches = _each(editor, model, requests)
    reversed_patches = _each(editor, model, requests[::-1])[::-1]
    otherwise = "the order of independent edits changes the patch"
    _require_same_patches(model, requests, patches, reversed_patches, otherwise)


def check_each_equals_one_by_one(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """``edit_each`` gives the same patches as ``edit`` for one request at a time."""
    together = _each(_prepared(make_editor, model, environment), model, requests)
    alone = _prepared(make_editor, model, environment)
    patches = [_alone(alone, model, request) for request in requests]
    _require_same_patches(model, requests, together, patches, "edit_each() gives another patch than edit()")
    of_one = _each(alone, model, requests[:1])
    _require_same_patches(model, requests[:1], of_one, patches[:1], "edit_each() of one request gives another patch")


def check_reset_forgets(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """After ``reset`` an editor gives the same patch as a new one."""
    used = _prepared(make_editor, model, environment)
    used.edit(model, requests[:-1])
    used.reset()
    new = _prepared(make_editor, model, environment)
    last = requests[-1:]
    patches = used.edit(model, last), new.edit(model, last)
    _require_same_patches(model, last, patches[:1], patches[1:], "after reset() an earlier edit still has an effect")


def check_state_can_be_taken_up(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """An editor restored from the state of another continues like that one, and does not modify that state."""
    first = _prepared(make_editor, model, environment)
    with first.edit(model, requests[:-1]).applied(model):
        state = getattr(first, "state", None)
        if state is None:
            return
        as_taken = _copied(state)
        second = _prepared(make_editor, model, environment)
        second.restore(_copied(state))
        patches = first.edit(model, requests[-1:]), second.edit(model, requests[-1:])
        changed = [name for name, tensor in as_taken.tensors.items() if not torch.equal(state.tensors[name], tensor)]
        changed += [] if _copied(state).facts == as_taken.facts else ["the facts"]
        assert not changed, f"edit() changes a state that was taken before it: {', '.join(changed)}"
    _require_same_patches(
        model, requests[-1:], patches[:1], patches[1:], "restore() does not bring back the whole state"
    )


def check_a_refused_request_keeps_no_other_from_being_written(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """``check`` refuses none of ``requests``. If ``edit`` refuses a request without a target, the others are written as
    without it.
    """
    editor = _prepared(make_editor, model, environment)
    for request, refusal in zip(requests, refusals(editor, model, requests), strict=True):
        assert refusal is None, f"check() refuses {request.prompt!r}, which edit() writes: {refusal}"
    blank = requests[0].model_copy(update={"prompt": f"{requests[0].prompt} also", "target": " "})
    try:
        editor.edit(model, [blank])
        return
    except Refused:
        editor.reset()
    update = write_together(editor, model, [requests[0], blank, *requests[1:]])
    written = [refusal is None for refusal in update.refusals]
    assert written == [True, False, *[True] * (len(requests) - 1)], "beside a refused request others are refused too"
    assert update.patch is not None
    expected = _prepared(make_editor, model, environment).edit(model, requests)
    otherwise = "a refused request changes what is written of the others"
    found, wanted = (_effect(model, patch, requests) for patch in (update.patch, expected))
    _require_same(found, wanted, _logits(model, requests), otherwise)


def check_patch_can_be_kept(
    make_editor: MakeEditor, model: LoadedModel, requests: Sequence[EditRequest], environment: Environment
) -> None:
    """A patch that is not a change of weights is the same after it was saved, and loaded by an editor that is not prepared."""
    patch = _prepared(make_editor, model, environment).edit(model, requests)
    if isinstance(patch, WeightPatch):
        return
    saved = cast(SavablePatch, patch).to_saved()
    facts = json.loads(json.dumps(dict(saved.facts)))
    read = make_editor().load_patch(model, Saved(dict(saved.tensors), facts))
    assert torch.equal(_effect(model, patch, requests), _effect(model, read, requests)), "load_patch() loses something"
    require_read_back(Path("patch"), read, Saved(dict(saved.tensors), facts), model)


CHECKS = (
    check_changes_something,
    check_edit_leaves_the_model,
    check_patch_puts_back,
    check_same_seed_same_patch,
    check_reset_forgets,
    check_order_does_not_matter,
    check_each_equals_one_by_one,
    check_state_can_be_taken_up,
    check_a_refused_request_keeps_no_other_from_being_written,
    check_patch_can_be_kept,
)


SETTINGS = ("listeners", "prompt_patches", "weight_patches", "max_batch_size", "use_cuda_graphs", "prompt_cache")
"""Attributes of a ``LoadedModel`` that patches and callers change temporarily."""


@dataclass(frozen=True)
class ModelState:
    """Everything that an edit might leave behind: bits, gradients, flags, hooks, exchanged modules, listeners, rewriters.

    ``settings`` describes a ``LoadedModel`` apart from its network; ``remarks`` is the number of notes made so far.
    """

    tensors: dict[str, Tensor]
    modules: dict[str, str]
    gradients: dict[str, str]
    settings: dict[str, str]
    remarks: int

    @classmethod
    def of(cls, model: LoadedModel) -> "ModelState":
        """Record the state of a model."""
        network = model.network
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        return cls(
            tensors={name: tensor.detach().clone() for name, tensor in tensors.items()},
            modules={name: _facts(module) for name, module in network.named_modules()},
            gradients={
                name: f"requires_grad {p.requires_grad}, gradient {'kept' if p.grad is not None else 'none'}"
                for name, p in network.named_parameters()
            },
            settings={f"the model's {name}": _in_words(getattr(model, name)) for name in SETTINGS},
            remarks=len(model.warnings),
        )

    def require(self, model: LoadedModel, after: str) -> None:
        """Raise ``AssertionError`` naming the first difference from the recorded state."""
        now = ModelState.of(model)
        for what in ("modules", "gradients", "settings"):
            then_facts, now_facts = getattr(self, what), getattr(now, what)
            for name in {**then_facts, **now_facts}:
                if name.endswith("use_cuda_graphs") and now.remarks > self.remarks:
                    continue  # wildcore itself turns recording off if it fails, and adds a remark about it
                was, is_now = then_facts.get(name, "absent"), now_facts.get(name, "absent")
                hint = "; train it inside 'with model.trainable(projection)'" if what == "gradients" else ""
                assert was == is_now, (
                    f"{after} left {name or 'the network'} changed: it was {was} and is {is_now}{hint}"
                )
        assert self.tensors.keys() == now.tensors.keys(), f"{after} left other parameters or buffers in the model"
        for name, tensor in self.tensors.items():
            assert _same_bits(tensor, now.tensors[name]), f"{after} left {name} changed; put the original bits back"


def _in_words(setting: Any) -> str:
    """Return plain values unchanged, anything else as the name of its class."""
    parts = setting if isinstance(setting, list) else [setting]
    plain = bool | int | None
    words = [str(part) if isinstance(part, plain) else type(part).__name__ for part in parts]
    return ", ".join(words) or "empty"


class _Interruption(Exception):
    """Raised by the conformance suite inside a patch."""


def _facts(module: torch.nn.Module) -> str:
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    hooks += len(module._backward_hooks) + len(module._backward_pre_hooks)
    own_forward = ", own forward" if "forward" in vars(module) else ""
    return f"{type(module).__name__}, {hooks} hooks, training {module.training}{own_forward}"


def _same_bits(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    flat_a, flat_b = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (a, b))
    return torch.equal(flat_a, flat_b)


def _copied(saved: Saved) -> Saved:
    """Return a copy as it would be read from a file."""
    tensors = {name: tensor.clone() for name, tensor in saved.tensors.items()}
    return Saved(tensors, json.loads(json.dumps(dict(saved.facts))))


def _prepared(make_editor: MakeEditor, model: LoadedModel, environment: Environment) -> Editor:
    editor = make_editor()
    editor.reset()
    editor.prepare(model, environment)
    return editor


def _alone(editor: Editor, model: LoadedModel, request: EditRequest) -> Patch:
    editor.reset()
    return editor.edit(model, [request])


def _each(editor: Editor, model: LoadedModel, requests: Sequence[EditRequest]) -> list[Patch]:
    given = editor.edit_each(model, requests)
    patches = [patch for patch in given if not isinstance(patch, Refused)]
    assert len(patches) == len(requests), f"edit_each() gave {len(patches)} patches for {len(requests)} requests"
    return patches


def _logits(model: LoadedModel, requests: Sequence[EditRequest]) -> Tensor:
    """Return the logits that predict the targets of all requests: [target tokens, vocabulary]."""
    prompts = model.rewrite_prompts([Prompt(text=r.prompt) for r in requests], [r.prompt for r in requests])
    rows = [
        tokenise_pair(model.tokenizer, prompt, request.target)
        for prompt, request in zip(prompts, requests, strict=True)
    ]
    return torch.cat(
        [map_target_logits(model, [row], lambda _, logits: at_least_float32(logits).cpu())[0] for row in rows]
    )


def _effect(model: LoadedModel, patch: Patch, requests: Sequence[EditRequest]) -> Tensor:
    with patch.applied(model):
        return _logits(model, requests)


def _require_same_patches(
    model: LoadedModel, requests: Sequence[EditRequest], one: Sequence[Patch], other: Sequence[Patch], otherwise: str
) -> None:
    unedited = _logits(model, requests)
    for request, a, b in zip(requests, one, other, strict=True):
        one_effect, other_effect = _effect(model, a, requests), _effect(model, b, requests)
        _require_same(one_effect, other_effect, unedited, f"{otherwise} (request {request.prompt!r})")


def _require_same(one: Tensor, other: Tensor, unedited: Tensor, otherwise: str) -> None:
    change = float((one - unedited).abs().max())
    apart = float((one - other).abs().max())
    figures = f"the logits are {apart:.2g} apart, and the edit changes them by {change:.2g}"
    assert apart <= TOLERANCE * change, f"{otherwise}: {figures}"
