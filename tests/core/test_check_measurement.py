"""The checks of a measurement pass an honest one and catch dishonest ones."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from wildcore import Measured, Measurement, Prompt
from wildcore.models import LoadedModel, encode
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.measurements import check_measurement
from wildcore.testing.networks import tiny_model


def measured(name: str, value: float) -> Measured:
    finite = value == value
    return Measured(name=name, value=value if finite else None, reason=None if finite else "not finite", items=3)


class Honest(Measurement):
    """The mean absolute logit after a text, of which one half is the prompt."""

    announced = True

    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        ids = torch.tensor([encode(model.tokenizer, Prompt(text="The capital of Canada is Tokyo"))])
        positions = torch.arange(ids.shape[1])[None]
        lengths = [ids.shape[1] // 2] if self.announced else None
        with torch.no_grad():
            logits, _ = model.forward(ids, torch.ones_like(ids), positions, prompt_lengths=lengths)
        return [measured("mean", float(logits[:, :-1].abs().mean()))]

    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> Sequence[str]:
        return [f"{one.name} cannot be measured" for one in edited if one.value is None]


class OnlyPrompts(Honest):
    announced = False


class NoNumber(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return []


class SameName(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return [*super().measure(model), *super().measure(model)]


class NoJson(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return [one.model_copy(update={"details": {"shape": (1, 2)}}) for one in super().measure(model)]


class OtherNames(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return [one for one in super().measure(model) if one.value is not None]


class WritesIntoTheModel(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        model.mlp_output(0).weight[0, 0] += 1e-3
        return super().measure(model)


class LeavesSmallBatches(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        model.max_batch_size = 1
        return super().measure(model)


class Draws(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return [*super().measure(model), measured("random", float(torch.rand(())))]


class Counts(Honest):
    def __init__(self) -> None:
        self.calls = 0

    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        self.calls += 1
        return [*super().measure(model), measured("calls", self.calls)]


class DiffersEachTime(Honest):
    made = 0

    def __init__(self) -> None:
        DiffersEachTime.made += 1
        self.number = DiffersEachTime.made

    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return [*super().measure(model), measured("number", self.number)]


class Constant(Honest):
    def measure(self, model: LoadedModel) -> Sequence[Measured]:
        return [measured("mean", 1.0)]


class AlwaysCollapsed(Honest):
    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> Sequence[str]:
        return ["it has"]


class OneSign(Honest):
    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> Sequence[str]:
        return "it has"


class EmptySign(Honest):
    def signs_of_collapse(self, unedited: Sequence[Measured], edited: Sequence[Measured]) -> Sequence[str]:
        return [""]


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_an_honest_measurement_passes(model_type: str, tmp_path: Path) -> None:
    (found,) = check_measurement(Honest, tiny_model(model_type), quiet_environment(tmp_path))
    assert found.name == "mean"


class PinsEachTime(Honest):
    """Describes its resources by how often it was asked."""

    asked = 0

    def pin_resources(self) -> dict[str, int]:
        self.asked += 1
        return {"asked": self.asked}


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (PinsEachTime, r"pin_resources\(\) returns another description after measuring"),
        (NoNumber, "returns no number"),
        (SameName, "two numbers of the same name: mean, mean"),
        (NoJson, "the number mean changes when it is written as JSON"),
        (
            OtherNames,
            "of a model with weights that are not finite returns the numbers , and of the unedited model mean",
        ),
        (WritesIntoTheModel, r"measure\(\) of the unedited model left model.layers.0.mlp.down_proj.weight changed"),
        (LeavesSmallBatches, "max_batch_size changed"),
        (Draws, "draws from torch's global random state"),
        (Counts, "keep no state"),
        (DiffersEachTime, "a second measurement of the same model gives other numbers"),
        (Constant, "the same numbers for a model with changed weights"),
        (OnlyPrompts, "the same numbers for a model with a patch that acts at the prompt's last token"),
        (AlwaysCollapsed, "says that the unedited model has collapsed: it has"),
        (OneSign, "return a list of texts"),
        (EmptySign, "returns an empty text"),
    ],
)
def test_a_dishonest_one_is_caught(measurement: type[Measurement], message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=message):
        check_measurement(measurement, tiny_model("llama"), quiet_environment(tmp_path))


def test_a_measurement_need_not_react(tmp_path: Path) -> None:
    check_measurement(Constant, tiny_model("llama"), quiet_environment(tmp_path), reacts=False)
