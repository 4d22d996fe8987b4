"""GRACE with everything set as published code has it: labels by their means and in its order, splits, one prompt edited again.

Where the values come from is said in golden/README.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from wildcore_grace.editor import Grace
from wildcore_grace.parameters import GraceParams
from wildcore_grace.patch import CodebookPatch

from wildcore import Environment, Prompt, Refused, Trace, UserError
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.golden import Golden, relative_error
from wildcore.testing.reference_decoding import check_answers_ignore_batching, decoded

GOLDEN = Golden(Path(__file__).parent / "golden")
AGREEMENT = 1e-4
PUBLISHED = [name for name in GOLDEN.runs("") if "/published-" in name]


class Published:
    """A published run made again with our editor set as published; ``changes`` are set otherwise."""

    def __init__(self, identifier: str, folder: Path, **changes: Any) -> None:
        self.run = GOLDEN.run(identifier)
        self.model = GOLDEN.model(self.run["model"])
        self.requests = GOLDEN.requests(self.run["requests"])
        named = zip(self.requests, self.run["requests"], strict=True)
        starts = {f"{r.prompt} {r.target}": GOLDEN.tensor(self.run["model"], f"start.{name}") for r, name in named}
        save_file(starts, folder / "starts.safetensors")
        names = {"n_iter": "steps", "edit_lr": "learning_rate", "eps": "initial_radius", "layer": "layer"}
        settings = {ours: self.run[name] for name, ours in names.items()}
        given = {"start_values": folder / "starts.safetensors"}
        self.editor = Grace(GraceParams(**{**given, **settings, **changes}).as_published())
        self.trace = Trace()
        quiet = quiet_environment(folder)
        environment = Environment(quiet.cache, quiet.seed, quiet.progress, self.trace)
        self.editor.pin_resources(self.model, environment)
        self.editor.prepare(self.model, environment)

    def patch(self) -> CodebookPatch:
        """Make all edits, one after another, and return the last patch."""
        return [self.editor.edit(self.model, [request]) for request in self.requests][-1]

    def tensor(self, name: str) -> Tensor:
        return GOLDEN.tensor(self.run["model"], self.run["tensors"][name])

    def prompts(self) -> list[Prompt]:
        return [Prompt(text=answer["prompt"]) for answer in self.run["answers"]]


class Watched(CodebookPatch):
    """A codebook that keeps what each prompt found."""

    found: Sequence[int] = ()

    def route(self, inputs: Tensor, output: Tensor, prompt: Tensor) -> Tensor:
        routes = super().route(inputs, output, prompt)
        self.found = routes.tolist()
        return routes


@pytest.mark.parametrize("identifier", PUBLISHED)
def test_losses_the_codebook_and_what_prompts_find_in_it_agree_with_published_code(
    identifier: str, tmp_path: Path
) -> None:
    again = Published(identifier, tmp_path)
    patch = again.patch()
    codebook = patch.codebook
    assert relative_error(codebook.keys, again.tensor("keys")) < AGREEMENT
    assert relative_error(codebook.values, again.tensor("values")) < AGREEMENT
    torch.testing.assert_close(codebook.radii, torch.tensor(again.run["epsilons"]), rtol=2e-6, atol=1e-7)
    for request, losses in zip(again.requests, again.run["losses"], strict=True):
        recorded = again.trace.take(request)["losses"].double()
        if len(recorded):
            torch.testing.assert_close(recorded, torch.tensor(losses).double(), rtol=1e-4, atol=1e-4)
        else:
            assert losses == [losses[0]] * len(losses), "published code trains nothing here"
    watched = Watched(patch.module, codebook)
    with watched.applied(again.model):
        for answer, prompt in zip(again.run["answers"], again.prompts(), strict=True):
            assert decoded(again.model, [prompt], len(answer["token_ids"])) == [tuple(answer["token_ids"])]
            assert watched.found == [answer["chosen"]]


CHANGES: dict[str, Any] = {
    "labels-misaligned": {"label_order": "as-keys"},
    "label-by-length": {"label_match": "text"},
    "same-prompt": {"same_key": "replace"},
    "split": {"split_gap": 0.0},
}


@pytest.mark.parametrize("variant", CHANGES)
def test_each_departure_is_needed_for_the_published_values(variant: str, tmp_path: Path) -> None:
    changes = CHANGES[variant]
    assert {name: GraceParams.model_fields[name].default for name in changes} == changes, (
        "the paper's way is the default"
    )
    again = Published(f"tiny-llama/easyedit/grace/published-{variant}", tmp_path, **changes)
    radii, published = again.patch().codebook.radii, torch.tensor(again.run["epsilons"])
    assert radii.shape != published.shape or float((radii - published).abs().max()) > 9e-6


def test_as_published_answers_are_the_same_however_asked(tmp_path: Path) -> None:
    again = Published("tiny-llama/easyedit/grace/published-sequence", tmp_path)
    check_answers_ignore_batching(again.model, again.patch(), again.prompts())


def test_given_start_values_are_where_training_starts_and_are_recorded(tmp_path: Path) -> None:
    again = Published("tiny-llama/easyedit/grace/published-split", tmp_path, learning_rate=1e-9, steps=1)
    values = again.patch().codebook.values
    starts = torch.stack([GOLDEN.tensor("tiny-llama", f"start.{name}") for name in again.run["requests"]])
    torch.testing.assert_close(values, starts, rtol=0, atol=1e-6)
    alone = again.editor.edit_each(again.model, again.requests)
    assert all(isinstance(one, CodebookPatch) for one in alone)
    for one, start in zip(alone, starts, strict=True):
        torch.testing.assert_close(one.codebook.values[0], start, rtol=0, atol=1e-6)
    resources = again.editor.pin_resources(again.model, quiet_environment(tmp_path))
    save_file({"Who knows? Rome": starts[0]}, tmp_path / "starts.safetensors")
    other = Grace(again.editor.params)
    assert other.pin_resources(again.model, quiet_environment(tmp_path)) != resources
    (refused,) = other.edit_each(again.model, again.requests[:1])
    assert isinstance(refused, Refused)
    assert "has no entry 'The capital of Tarsin is Rome'" in str(refused)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": torch.zeros(3)}, r"the entry 'a' has the shape \[3\], and this model needs \[48\]"),
        ({"a": torch.full((48,), float("nan"))}, "the entry 'a' must hold finite numbers"),
        ({"a": torch.zeros(48, dtype=torch.long)}, "the entry 'a' must hold finite numbers"),
        ({}, "it holds no tensor"),
        (None, "cannot be read as safetensors"),
    ],
)
def test_a_file_of_start_values_that_does_not_serve_is_named(
    values: dict[str, Tensor] | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "starts.safetensors"
    if values is None:
        file.write_text("no tensors", encoding="utf-8")
    else:
        save_file(values, file)
    editor = Grace(GraceParams(layer=1, start_values=file))
    with pytest.raises(UserError, match=message) as raised:
        editor.pin_resources(GOLDEN.model("tiny-llama"), quiet_environment(tmp_path))
    assert str(raised.value).startswith(f"editor.start_values={file}")
