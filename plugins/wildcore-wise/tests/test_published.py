"""WISE with everything set as published code has it, on texts of unequal length: padding, thresholds, the choice at every token.

Where the values come from is said in tests/golden/wise/README.md.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from wildcore_wise.editor import Wise
from wildcore_wise.parameters import WiseParams
from wildcore_wise.patch import SideMemoryPatch

from wildcore import Environment, Prompt, Trace
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.golden import Golden, relative_error
from wildcore.testing.plainly import check_same_answers_however_asked, decoded

GOLDEN = Golden(Path(__file__).parents[3] / "tests" / "golden" / "wise")
AGREEMENT = 1e-3
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
        self.editor.take(self.model, environment)
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


@pytest.mark.parametrize("identifier", ROUTED)
def test_a_choice_at_every_token_gives_the_same_answers_however_asked(identifier: str, tmp_path: Path) -> None:
    again = Published(identifier, tmp_path)
    prompts = [Prompt(text=answer["prompt"]) for answer in again.run["answers"]]
    check_same_answers_however_asked(again.model, again.patches()[-1], prompts)
