"""Parameters: what is refused and how it is said, and what overrides what."""

from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import Departure, EditorParams, ModelShape, Params, Preset, UserError
from wildcore.cli.naming import COMMAND_LINE
from wildcore.jobs.spec import parse_settings, refuse_unused_settings, settings_for
from wildcore.params import build

SMALL = ModelShape("gpt2", 12, 768, 50257)
LARGE = ModelShape("llama", 32, 4096, 32000)
OTHER = ModelShape("qwen2", 24, 896, 151936)


class Sample(Params):
    steps: int
    rate: float = 0.5
    norm: Literal["l2", "max"] = "l2"


class SampleEditor(EditorParams):
    presets: ClassVar = (
        Preset("small", SMALL, {"layer": 3, "steps": 20}),
        Preset("large", LARGE, {"layer": 5, "steps": 25, "rate": 0.1}),
    )
    depth: ClassVar = 0.25

    steps: int = 10
    rate: float = 0.5


def message(call, *arguments) -> str:
    """What a user reads when ``call`` refuses."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return caught.value.rendered(COMMAND_LINE)


def test_build_fills_in_defaults_and_converts() -> None:
    assert build(Sample, {"steps": "3"}, "editor x") == Sample(steps=3, rate=0.5, norm="l2")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 1, "rat": 2}, "editor x: unknown parameter 'rat'; did you mean 'rate'?"),
        ({"steps": 1, "zzz": 2}, "editor x: unknown parameter 'zzz'; known: norm, rate, steps"),
        ({}, "editor x: parameter 'steps' is missing; give it with --set"),
        ({"steps": "many"}, "editor x: parameter 'steps': Input should be a valid integer"),
        ({"steps": 1.5}, "(got 1.5)"),
        ({"steps": 1, "norm": "l3"}, "parameter 'norm': Input should be 'l2' or 'max' (got 'l3')"),
    ],
)
def test_build_says_what_is_wrong(settings: dict[str, object], said: str) -> None:
    assert said in message(build, Sample, settings, "editor x")


def test_build_names_every_fault_at_once() -> None:
    said = message(build, Sample, {"rat": 1, "rate": "fast"}, "editor x")
    assert all(name in said for name in ("'rat'", "'rate'", "'steps'"))
    assert "\n" not in said


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample(steps=1).steps = 2  # type: ignore[misc]


def test_the_preset_of_the_models_shape_is_used() -> None:
    small, large = SampleEditor().for_model(SMALL), SampleEditor().for_model(LARGE)
    assert (small.layer, small.steps, small.rate, small.preset) == (3, 20, 0.5, "small")
    assert (large.layer, large.steps, large.rate, large.preset) == (5, 25, 0.1, "large")


def test_the_user_overrides_the_preset_also_with_the_default_value() -> None:
    params = SampleEditor(steps=10, layer=7).for_model(LARGE)
    assert (params.layer, params.steps, params.rate) == (7, 10, 0.1)


def test_a_preset_named_serves_another_shape() -> None:
    assert SampleEditor(preset="large").for_model(OTHER).steps == 25


@pytest.mark.parametrize("shape", [SMALL, OTHER])
def test_preset_none_leaves_the_defaults(shape: ModelShape) -> None:
    params = SampleEditor(preset="none").for_model(shape)
    assert (params.layer, params.steps, params.preset) == (shape.layers // 4, 10, "none")


def test_a_shape_that_differs_in_one_number_has_no_preset() -> None:
    params = SampleEditor().for_model(ModelShape("gpt2", 12, 768, 50258))
    assert (params.layer, params.steps, params.preset) == (3, 10, "none")


def test_an_unknown_preset() -> None:
    said = message(SampleEditor(preset="smal").for_model, OTHER)
    assert said == "editor.preset=smal: no such preset; did you mean 'small'?"


@pytest.mark.parametrize("layer", [-1, 12, 99])
def test_a_layer_that_the_model_does_not_have(layer: int) -> None:
    assert message(SampleEditor(layer=layer).for_model, SMALL) == f"editor.layer={layer}: the model has layers 0 to 11"


@given(layers=st.integers(1, 200), depth=st.floats(0, 0.999))
def test_the_layer_by_depth_is_a_layer_of_the_model(layers: int, depth: float) -> None:
    class Anywhere(EditorParams):
        pass

    Anywhere.depth = depth
    assert 0 <= Anywhere().for_model(ModelShape("x", layers, 8, 8)).layer < layers


@given(layers=st.integers(1, 100), layer=st.none() | st.integers(0, 99))
def test_resolved_parameters_stay_as_they_are(layers: int, layer: int | None) -> None:
    shape = ModelShape("x", layers, 8, 8)
    asked = SampleEditor(layer=layer if layer is None else layer % layers)
    once = asked.for_model(shape)
    assert SampleEditor.model_validate(once.model_dump(mode="json")).for_model(shape) == once


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("editor.layer=5", "editor.layer", 5),
        ("editor.mine.layers=[4, 5]", "editor.mine.layers", [4, 5]),
        ("context.template=a = b", "context.template", "a = b"),
        ("dataset.path=", "dataset.path", None),
        ("metric.strict=true", "metric.strict", True),
        ('truncator.stops=["\\n"]', "truncator.stops", ["\n"]),
    ],
)
def test_settings_are_read(pair: str, key: str, value: object) -> None:
    assert parse_settings([pair]) == {key: value}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("editor.layer", "--set editor.layer: write --set SECTION.PARAMETER=VALUE"),
        ("layer=5", "--set layer=5: write --set"),
        ("editor.=5", "--set editor.=5: write --set"),
        ("editor.a.b.c=5", "--set editor.a.b.c=5: write --set"),
        ("editr.layer=5", "--set editr.layer=5: unknown section 'editr'; did you mean 'editor'?"),
        ("model.layer=5", "unknown section 'model'"),
        ("editor.layers=[1", "--set 'editor.layers=[1': the value cannot be used: not valid YAML"),
    ],
)
def test_settings_that_are_refused(pair: str, said: str) -> None:
    text = message(parse_settings, [pair])
    assert said in text
    assert "\n" not in text


def test_settings_of_a_name_override_those_of_its_section() -> None:
    settings = {"metric.a.x": 3, "metric.x": 1, "metric.y": 2, "metric.b.x": 4, "context.x": 9}
    assert settings_for(settings, "metric", ["a"]) == {"x": 3, "y": 2}
    assert settings_for(settings, "metric", ["b"]) == {"x": 4, "y": 2}
    assert settings_for(settings, "metric", ["c"]) == {"x": 1, "y": 2}
    assert settings_for(settings, "editor", ["a"]) == {}


def test_settings_of_an_earlier_name_reach_the_module() -> None:
    settings = {"metric.earlier.x": 3, "metric.now.y": 4, "metric.other.z": 5}
    assert settings_for(settings, "metric", ["now", "earlier"]) == {"x": 3, "y": 4}
    said = message(settings_for, {"metric.earlier.x": 3, "metric.now.x": 4}, "metric", ["now", "earlier"])
    assert said == "--set metric.now.x: x is set under another name of this metric too; leave one out"


def test_a_setting_for_a_module_that_takes_no_part() -> None:
    used = {"metric": {"exact-match", "unchanged"}}
    refuse_unused_settings({"metric.unchanged.x": 1, "metric.y": 2}, used)
    assert (
        message(refuse_unused_settings, {"editor.layer": 1}, used)
        == "--set editor.layer: no editor takes part here; leave it out"
    )
    said = message(refuse_unused_settings, {"metric.exact-mach.x": 1}, used)
    assert said == "--set metric.exact-mach.x: this run uses no metric 'exact-mach'; did you mean 'exact-match'?"


class Departing(SampleEditor):
    departures: ClassVar = (
        Departure("position", "prompt-end", "subject-end", "the code looks at the wrong token"),
        Departure("rate", 0.5, 0.1, "the code has another rate"),
    )

    position: Literal["prompt-end", "subject-end"] = "prompt-end"


def test_the_published_way_is_over_the_preset_and_under_the_user() -> None:
    published = Departing().as_published().for_model(LARGE)
    assert (published.position, published.rate, published.steps) == ("subject-end", 0.1, 25)
    assert published.not_as_published() == []
    mine = Departing(position="prompt-end").as_published().for_model(SMALL)
    assert (mine.position, mine.rate, mine.steps) == ("prompt-end", 0.1, 20)
    assert mine.not_as_published() == ["position"]


def test_without_the_published_way_the_papers_is_taken() -> None:
    assert Departing().for_model(SMALL).not_as_published() == ["position", "rate"]
