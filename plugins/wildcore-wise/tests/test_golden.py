"""WISE against what published code makes of the same requests, prefixes, irrelevant texts and masks.

Where the values come from is said in golden/README.md.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from wildcore_wise import editor as editor_module
from wildcore_wise.activity import activity
from wildcore_wise.editor import Wise
from wildcore_wise.memories import SideMemory, merged
from wildcore_wise.parameters import WiseParams
from wildcore_wise.patch import SideMemoryPatch
from wildcore_wise.training import Training

from wildcore import EditRequest, Prompt
from wildcore.models import LoadedModel, encode
from wildcore.testing.golden import Golden, far, near, relative_error

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
OUTSIDE_THE_MASK = 1e-2
"""Of what weight decay alone changes: so little beside the weight that published float32 rounds it by a few thousandths."""
PUBLISHED = {"weight_decay": 1e-5, "activity": "activated-outputs", "activity_over": "text", "answer_loss": "published"}
NAMES = {
    "edit_lr": "learning_rate",
    "n_iter": "steps",
    "alpha": "outside_margin",
    "beta": "inside_margin",
    "gamma": "gap_margin",
    "norm_constraint": "norm_constraint",
    "save_freq": "save_every",
    "merge_freq": "merge_every",
    "densities": "merge_density",
    "act_ratio": "threshold_ratio",
    "mask_ratio": "mask_ratio",
}


class Run:
    """A published run, made again with our editor."""

    def __init__(self, identifier: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.run = GOLDEN.run(identifier)
        self.model: LoadedModel = GOLDEN.model(self.run["model"])
        settings = {ours: self.run["hyperparameters"][name] for name, ours in NAMES.items()}
        self.editor = Wise(WiseParams(**{"layer": self.run["layer"], **PUBLISHED, **settings, **changes}))
        self.editor.prefixes = tuple(self.run["prefixes"])
        self.trainings: list[Training] = []
        monkeypatch.setattr(self.editor, "irrelevant", self.irrelevant)
        monkeypatch.setattr(editor_module, "Training", self.training)
        masks = iter(sorted(name for name in self.run["tensors"] if name.startswith("mask.")))
        monkeypatch.setattr(editor_module, "drawn_mask", lambda *_: self.tensor(next(masks)))

    def irrelevant(self, model: LoadedModel, request: EditRequest, edit: int) -> tuple[int, ...]:
        return encode(model.tokenizer, Prompt(text=self.run["edits"][edit]["irrelevant"]))

    def training(self, *args: Any) -> Training:
        self.trainings.append(Training(*args))
        return self.trainings[-1]

    def tensor(self, name: str) -> Tensor:
        return GOLDEN.tensor(self.run["model"], self.run["tensors"][name])

    def edits(self) -> list[SideMemoryPatch]:
        """Make all edits, one after another."""
        requests = [EditRequest(**GOLDEN.content["requests"][name]) for name in self.run["requests"]]
        return [self.editor.edit(self.model, [request]) for request in requests]


@pytest.mark.parametrize("identifier", [name for name in GOLDEN.runs("") if "/unequal" not in name])
def test_losses_side_memories_and_their_activities_agree_with_published_code(
    identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Run(identifier, monkeypatch)
    saved: list[Tensor] = []
    training = Training.train

    def trained(self: Training, change: Tensor, mask: Tensor) -> Tensor:
        saved.append(training(self, change, mask))
        return saved[-1]

    monkeypatch.setattr(Training, "train", trained)
    again.edits()
    for number, (edit, made) in enumerate(zip(again.run["edits"], again.trainings, strict=True)):
        losses, expected = torch.tensor(made.losses), torch.tensor(edit["losses"])
        assert losses.shape == expected.shape
        torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-3)
        published = again.tensor(f"change.{number}")
        if number == 0:  # later edits of a memory begin where this one ends
            outside = ~again.tensor("mask.0")
            assert near(relative_error(saved[number][outside], published[outside]), OUTSIDE_THE_MASK)
        assert near(relative_error(saved[number], published), AGREEMENT)
        moved = torch.nn.functional.linear(made.upper.inputs, saved[number])
        found = activity(made.upper.outputs, moved, made.text, made.activation)
        torch.testing.assert_close(found, torch.tensor(edit["activity_after"]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_a_merge_after_enough_edits_agrees_with_published_code(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    again = Run(f"{model}/easyedit/wise/sequence", monkeypatch)
    counts = [len(patch.changes) for patch in again.edits()]
    assert counts == [1, 1, 2, 1]
    (memory,) = again.editor.memories.all
    one, other = again.tensor("change.1"), again.tensor("change.3")
    clear = (
        one + other
    ).abs() > 1e-5  # else both are at their bound, one up and one down, and rounding elects the sign
    assert float(clear.float().mean()) > 0.4
    assert near(relative_error(memory.change[clear], again.tensor("merged")[clear]), AGREEMENT)
    shards = [SideMemory(again.tensor(name), least) for name, least in (("change.1", 2.0), ("change.3", 3.0))]
    both = merged(shards, again.run["hyperparameters"]["densities"])
    assert relative_error(both.change, again.tensor("merged")) < 1e-6
    assert both.least_active == 2.0


def test_routes_among_memories_agree_with_published_code_on_whole_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    again = Run("tiny-llama/easyedit/wise/routing", monkeypatch)
    patch = again.edits()[-1]
    ratio, recorded = again.editor.params.threshold_ratio, again.run["recorded_min"]
    published = SideMemoryPatch(patch.module, patch.changes, [ratio * least for least in recorded[:-1]], "silu")
    for expected in again.run["routing"]:
        routes, distances = routed(again.model, published, expected["prompt"])
        assert routes == [expected["chosen"]]
        torch.testing.assert_close(distances, torch.tensor(expected["distances"][:-1]), rtol=1e-3, atol=1e-4)


def routed(model: LoadedModel, patch: SideMemoryPatch, text: str) -> tuple[list[int], Tensor]:
    """Return the route of one prompt, and the activity of each memory on it."""
    ids = torch.tensor([encode(model.tokenizer, Prompt(text=text))])
    seen: dict[str, Tensor] = {}
    module = model.projection(patch.module).module
    handle = module.register_forward_hook(lambda _, inputs, output: seen.update(inputs=inputs[0], output=output))
    with torch.inference_mode():
        model.network(input_ids=ids)
    handle.remove()
    prompt = torch.ones_like(ids).bool()
    moved = [torch.nn.functional.linear(seen["inputs"], change) for change in patch.changes]
    distances = torch.cat([activity(seen["output"], one, prompt, patch.activation) for one in moved])
    return patch.route(seen["inputs"], seen["output"], prompt).tolist(), distances


def test_difference_an_edited_prompt_always_goes_through_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published code measures activity on prompt and target, before the last step, but chooses by the prompt at first."""
    identifier = "tiny-llama/easyedit/wise/routing"
    run = GOLDEN.run(identifier)
    prompts = {GOLDEN.content["requests"][name]["prompt"]: number for number, name in enumerate(run["requests"])}
    published = {row["prompt"]: row["chosen"] for row in run["routing"] if row["prompt"] in prompts}
    assert published["Who wrote the book?"] == -1
    for settings in ({"activity": "outputs", "activity_over": "prompt"}, {}):
        again = Run(identifier, monkeypatch, **settings)
        again.editor.prefixes = ("", *again.editor.prefixes)
        patch = again.edits()[-1]
        for prompt, number in prompts.items():
            routes, distances = routed(again.model, patch, prompt)
            assert float(distances[number]) > patch.thresholds[number]
            assert routes != [-1]


def test_difference_only_weights_inside_the_mask_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published code's weight decay moves all of them."""
    identifier = "tiny-llama/easyedit/wise/single"
    again = Run(identifier, monkeypatch, weight_decay=WiseParams().weight_decay)
    (patch,) = again.edits()
    outside = ~again.tensor("mask.0")
    assert int((again.tensor("change.0")[outside] != 0).sum()) > 0.9 * int(outside.sum())
    assert not patch.changes[0][outside].any()


def test_difference_the_answer_loss_is_the_mean_over_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published code divides by one token more: the last of the prompt, which has no label."""
    identifier = "tiny-llama/easyedit/wise/single"
    losses = []
    for way in ("mean", "published"):
        again = Run(identifier, monkeypatch, answer_loss=way)
        again.edits()
        losses.append(again.trainings[0].losses[0][0])
    labels = again.trainings[0].labels[0]
    count = int((labels >= 0).sum())
    assert losses[0] == pytest.approx(losses[1] * (count + 1) / count, rel=1e-4)
    assert losses[1] == pytest.approx(again.run["edits"][0]["losses"][0][0], rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{"activity": "outputs"}, {"activity_over": "prompt"}, {"answer_loss": "mean"}, {"weight_decay": 0.0}],
    ids=str,
)
def test_where_the_published_way_is_one_of_two_the_papers_is_the_default(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {name: getattr(WiseParams(), name) for name in changes} == changes
    again = Run("tiny-llama/easyedit/wise/single", monkeypatch, **changes)
    (patch,) = again.edits()
    published = again.tensor("change.0")
    if "weight_decay" in changes:
        outside = ~again.tensor("mask.0")
        assert far(relative_error(patch.changes[0][outside], published[outside]), OUTSIDE_THE_MASK)
    else:
        assert far(relative_error(patch.changes[0], published), AGREEMENT)


@pytest.mark.parametrize("name", ["steps", "learning_rate"])
@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
def test_a_wrong_method_is_told_from_rounding(model: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier = f"{model}/easyedit/wise/single"
    given = GOLDEN.run(identifier)
    wrong = {"steps": len(given["edits"][0]["losses"]) - 1, "learning_rate": 0.99 * given["hyperparameters"]["edit_lr"]}
    again = Run(identifier, monkeypatch, **{name: wrong[name]})
    (patch,) = again.edits()
    assert far(relative_error(patch.changes[0], again.tensor("change.0")), AGREEMENT)
