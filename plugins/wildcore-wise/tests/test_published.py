"""WISE with everything set as published code has it, on texts of unequal length: padding, thresholds, the choice at every token.

Where the values come from is said in golden/README.md.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from wildcore_wise.activity import activity
from wildcore_wise.editor import Wise
from wildcore_wise.parameters import WiseParams
from wildcore_wise.patch import SideMemoryPatch

from wildcore import Environment, Prompt, Refused, Trace, UserError
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.golden import Golden, relative_error
from wildcore.testing.reference_decoding import check_answers_ignore_batching, decoded

GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
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
UNEQUAL = [name for name in GOLDEN.runs("") if "/unequal" in name]
ROUTED = [name for name in UNEQUAL if name.endswith("routing")]


class Published:
    """A published run on texts of unequal length, made again with our editor set as published; ``changes`` are set otherwise."""

    def __init__(self, identifier: str, folder: Path, **changes: Any) -> None:
        self.run = GOLDEN.run(identifier)
        self.model = GOLDEN.model(self.run["model"])
        self.requests = GOLDEN.requests(self.run["requests"])
        masks, texts = folder / "masks.safetensors", folder / "irrelevant.json"
        begun = {
            number: request for number, request in enumerate(self.requests) if f"mask.{number}" in self.run["tensors"]
        }
        save_file(
            {f"{r.prompt} {r.target}": self.tensor(f"mask.{number}").contiguous() for number, r in begun.items()}, masks
        )
        edits = zip(self.requests, self.run["edits"], strict=True)
        texts.write_text(
            json.dumps({f"{r.prompt} {r.target}": edit["irrelevant"] for r, edit in edits}), encoding="utf-8"
        )
        settings = {ours: self.run["hyperparameters"][name] for name, ours in NAMES.items()}
        given = {"layer": self.run["layer"], "masks": masks, "irrelevant": texts}
        self.editor = Wise(WiseParams(**{**given, **settings, **changes}).as_published())
        self.trace = Trace()
        quiet = quiet_environment(folder)
        environment = Environment(quiet.cache, quiet.seed, quiet.progress, self.trace)
        self.editor.pin_resources(self.model, environment)
        self.editor.prepare(self.model, environment)

    def tensor(self, name: str) -> Tensor:
        return GOLDEN.tensor(self.run["model"], self.run["tensors"][name])

    def patches(self) -> list[SideMemoryPatch]:
        """Make all edits, one after another."""
        return [self.editor.edit(self.model, [request]) for request in self.requests]


@pytest.mark.parametrize("identifier", UNEQUAL)
def test_losses_memories_and_thresholds_agree_with_published_code(identifier: str, tmp_path: Path) -> None:
    again = Published(identifier, tmp_path)
    assert again.editor.prefixes == tuple(again.run["prefixes"])
    patches = again.patches()
    for number, (request, edit) in enumerate(zip(again.requests, again.run["edits"], strict=True)):
        recorded, published = again.trace.take(request), again.tensor(f"change.{number}")
        losses = torch.stack([recorded["losses.answer"], recorded["losses.activity"]], dim=1)
        torch.testing.assert_close(losses.double(), torch.tensor(edit["losses"]).double(), rtol=1e-4, atol=1e-4)
        outside = recorded["mask"] == 0
        assert relative_error(recorded["change"], published) < AGREEMENT
        assert relative_error(recorded["change"][outside], published[outside]) < AGREEMENT
    merged = "merged" in again.run["tensors"]
    if merged:
        (memory,) = again.editor.memories.all
        one, other = again.tensor("change.1"), again.tensor("change.3")
        clear = (one + other).abs() > 1e-5  # else both are at their bound, and rounding elects the sign
        assert relative_error(memory.change[clear], again.tensor("merged")[clear]) < AGREEMENT
    assert patches[-1].thresholds == pytest.approx(again.run["thresholds"], rel=1e-4)


@pytest.mark.parametrize("identifier", ROUTED)
def test_answers_and_their_memories_agree_with_published_code_at_every_token(identifier: str, tmp_path: Path) -> None:
    again = Published(identifier, tmp_path)
    patch = again.patches()[-1]
    routes: list[int] = []

    class Watched(SideMemoryPatch):
        def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
            routes.append(int(super().route(inputs, output, prompt)))
            return super().route(inputs, output, prompt)

    watched = Watched(patch.module, patch.changes, patch.thresholds, patch.activation, patch.choice)
    for answer in again.run["answers"]:
        routes.clear()
        with watched.applied(again.model):
            assert decoded(again.model, [Prompt(text=answer["prompt"])], len(answer["token_ids"])) == [
                tuple(answer["token_ids"])
            ]
        assert routes == answer["chosen"], answer["prompt"]
    changing = [answer for answer in again.run["answers"] if len(set(answer["chosen"])) > 1]
    assert len(changing) >= 3


def test_a_choice_at_every_token_gives_the_same_answers_however_asked(tmp_path: Path) -> None:
    again = Published(ROUTED[0], tmp_path)
    changing = [answer for answer in again.run["answers"] if len(set(answer["chosen"])) > 1]
    prompts = [Prompt(text=answer["prompt"]) for answer in (*changing, again.run["answers"][0])]
    check_answers_ignore_batching(again.model, again.patches()[-1], prompts)


CHANGES: dict[str, Any] = {
    "count_padding": False,
    "answer_labels": "target",
    "threshold_from": "prompts-after-training",
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_departure_is_needed_for_the_published_values(name: str, tmp_path: Path) -> None:
    assert WiseParams.model_fields[name].default == CHANGES[name], "the paper's way is the default"
    again = Published("tiny-llama/easyedit/wise/unequal-long-irrelevant", tmp_path, **{name: CHANGES[name]})
    (patch,) = again.patches()
    (threshold,) = patch.thresholds
    assert abs(threshold / again.run["thresholds"][0] - 1) > 1e-2
    changed = relative_error(patch.changes[0], again.tensor("change.0"))
    assert changed < AGREEMENT if name == "threshold_from" else changed > 100 * AGREEMENT


@pytest.mark.parametrize("name", ["routing", "unfinished_competes"])
def test_without_a_departure_of_routing_some_answer_goes_through_another_memory(name: str, tmp_path: Path) -> None:
    default = WiseParams.model_fields[name].default
    again = Published(ROUTED[0], tmp_path, **{name: default})
    patch, said = again.patches()[-1], {}
    with patch.applied(again.model):
        for answer in again.run["answers"]:
            (said[answer["prompt"]],) = decoded(again.model, [Prompt(text=answer["prompt"])], len(answer["token_ids"]))
    assert any(said[answer["prompt"]] != tuple(answer["token_ids"]) for answer in again.run["answers"])


def test_the_most_active_token_of_a_long_text_counts_only_beyond_the_bound() -> None:
    output, moved = torch.zeros(2, 4, 1), torch.tensor([[[1.0], [5], [0], [2]], [[4.0], [1], [0], [9]]])
    counted = torch.tensor([[True] * 4, [True, True, True, False]])
    assert activity(output, moved, counted, None).tolist() == pytest.approx([2, 5 / 3])
    assert activity(output, moved, counted, None, peak_beyond=3).tolist() == pytest.approx([5, 5 / 3])
    assert activity(output, moved, counted, None, peak_beyond=2).tolist() == pytest.approx([5, 4])


def test_what_is_given_as_a_file_is_recorded_and_a_request_without_an_entry_is_refused(tmp_path: Path) -> None:
    again = Published("tiny-llama/easyedit/wise/unequal", tmp_path)
    environment, params = quiet_environment(tmp_path), again.editor.params
    resources = again.editor.pin_resources(again.model, environment)
    assert sorted(resources) == ["irrelevant", "masks"]
    other = again.requests[0].model_copy(update={"target": "Oslo"})
    (refused,) = again.editor.edit_each(again.model, [other])
    assert isinstance(refused, Refused)
    assert "has no entry 'The capital of Tarsin is Oslo'" in str(refused)
    assert params.irrelevant is not None
    params.irrelevant.write_text('{"The capital of Tarsin is Rome": "Other text"}', encoding="utf-8")
    changed = Wise(params).pin_resources(again.model, environment)
    assert {name for name in resources if resources[name] != changed[name]} == {"irrelevant"}


@pytest.mark.parametrize(
    ("masks", "texts", "message"),
    [
        ({"a": torch.zeros(2, 2)}, None, r"the entry 'a' has the shape \[2, 2\], and this model needs \[48, 96\]"),
        ({"a": torch.full((48, 96), 0.5)}, None, "the entry 'a' must hold zeros and ones"),
        (None, "[1]", "not a JSON object with entries; give a text for each request"),
        (None, "{", "cannot be read as JSON"),
        (None, '{"a": " "}', "the entry 'a' holds no text"),
    ],
)
def test_a_file_that_does_not_serve_is_named(
    masks: dict[str, Tensor] | None, texts: str | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "given"
    if masks is not None:
        save_file(masks, file)
    else:
        file.write_text(texts or "", encoding="utf-8")
    editor = Wise(WiseParams(**{"layer": 1, "irrelevant" if masks is None else "masks": file}))
    with pytest.raises(UserError, match=message) as raised:
        editor.pin_resources(GOLDEN.model("tiny-llama"), quiet_environment(tmp_path))
    assert str(file) in str(raised.value)
