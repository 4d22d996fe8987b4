"""Parameters of plugins: declared, validated before a model is loaded, and completed from the model's shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator

from wildcore.errors import Message, Module, Parameter, Setting, UserError, in_one_line, joined, suggestion
from wildcore.home import expanded, user_path
from wildcore.types import EditCase

P = TypeVar("P", bound="Params")

TargetEnding = Literal["none", "end-of-sequence", "stop"]
"""What follows the target while editing: nothing, the end-of-sequence token, or a full stop."""


def _some_and_none_empty(stops: tuple[str, ...]) -> tuple[str, ...]:
    if not stops or "" in stops:
        raise ValueError("give at least one stop string, none of them empty")
    return stops


StopStrings = Annotated[tuple[str, ...], AfterValidator(_some_and_none_empty)]
"""Strings that end an answer: at least one, none of them empty."""


def require_placeholder(placeholder: str, template: str) -> str:
    """Return ``template``. Raises ``ValueError`` if it does not contain ``placeholder``."""
    if placeholder not in template:
        raise ValueError(f"the template must contain {placeholder}")
    return template


class Params(BaseModel):
    """Base of a plugin's parameters. Unknown names, values of the wrong type and numbers that are not finite are
    refused. A path, and a text that begins with "~/", starts in the user's home folder if it begins with "~".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _from_home(cls, value: Any) -> Any:
        if isinstance(value, str):
            return expanded(value)
        return user_path(value) if isinstance(value, Path) else value

    @field_validator("*")
    @classmethod
    def _fits_into_64_bits(cls, value: Any) -> Any:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("the number is too large")
        return value

    without_effect: ClassVar[frozenset[str]] = frozenset()
    """Names of parameters that change how a result is obtained but not the result, such as a time limit. They are
    recorded, but two metrics that differ only in them count as the same metric."""


class ContextParams(Params):
    """Base for a context that shows the model examples drawn from the dataset in use, or that asks in a chat template."""

    uses_chat_template: ClassVar[bool] = False
    """True if the context asks in the tokenizer's own chat template. It is then suggested for a model that has one, and
    refused for a model that has none."""

    def examples_needed(self) -> int:
        """Return how many cases of the dataset must be set aside as examples."""
        return 0

    def with_examples(self, cases: Sequence[EditCase]) -> Self:
        """Return the parameters completed with the cases set aside. The recorded parameters contain the examples
        themselves.
        """
        return self


class NoParams(Params):
    """For an offer that takes no parameters."""


class TrackerParams(Params):
    """Base for the parameters of a tracker."""

    cases: bool = False
    """Also send a table with a row for each score: the question, the gold and both answers. Left out: numbers and the
    manifest are sent, and no text of an answer."""


@dataclass(frozen=True)
class ModelShape:
    """What is known about a model before its weights are loaded."""

    model_type: str
    layers: int
    hidden_size: int
    vocabulary: int


@dataclass(frozen=True)
class Preset:
    """The hyper-parameters published for a method on one model, such as layers, steps and factors. A preset is
    recognised by the model's shape, never by its path. It does not make the method behave like its published code:
    ``Departure`` lists where that differs.
    """

    name: str
    shape: ModelShape
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Departure:
    """One difference between a method's published code and the default behaviour here.

    ``paper`` is the default of ``parameter``: the paper's way, or our choice if ``reason`` says so. ``published`` is
    the value that behaves like the published code. ``by_switch`` is false if the value cannot be set for the user,
    because it needs a file of theirs or is not offered: then ``parameter`` may be a plain name for the difference, and
    the values are texts about it.
    """

    parameter: str
    paper: Any
    published: Any
    reason: str
    by_switch: bool = True


class DepartingParams(Params):
    """Base for the parameters of a method that was published with code."""

    departures: ClassVar[tuple[Departure, ...] | None] = None
    """How the published code differs from the paper. None: the plugin does not say; (): there is no difference."""

    def as_published(self) -> Self:
        """Return the parameters set as in the published code, except those that the user set.

        These values take precedence over a preset's, so call this before ``for_model``. ``departures`` must not be
        None.
        """
        assert self.departures is not None, "whether a plugin says how its published code differs is checked first"
        given = self.model_dump(include=self.model_fields_set)
        published = {one.parameter: one.published for one in self.departures if one.by_switch}
        return type(self).model_validate(published | given)

    def not_as_published(self) -> list[str]:
        """Return the names of the ``departures`` whose parameter does not have the published value.

        A subclass leaves out a departure that makes no difference given its other parameters.
        """
        return [one.parameter for one in self.departures or () if getattr(self, one.parameter, None) != one.published]


class EditorParams(DepartingParams):
    """Parameters that every editor has. An editor adds its own fields, its presets, its departures and the depth it edits at."""

    presets: ClassVar[tuple[Preset, ...]] = ()
    depth: ClassVar[float] = 0.0
    """Position of ``layer`` in a model without a preset, as a fraction of the number of layers."""

    layer: int | None = None
    """Layer whose MLP output projection is edited, from 0. Left out: from the preset, or else by depth."""

    preset: str | None = None
    """Published hyper-parameters to start from. Left out: those for the model's shape, if there are any; "none": the
    defaults."""

    close_target: TargetEnding = "none"
    """What follows the target while editing: nothing (as published), the end-of-sequence token, or a full stop."""

    def for_model(self, shape: ModelShape) -> Self:
        """Return the parameters completed for a model. The user's values take precedence over the preset's, those over
        the defaults.

        Raises ``UserError`` for an unknown preset or for a layer that the model does not have.
        """
        preset = self._preset(shape)
        values = {**(preset.values if preset else {}), **self.model_dump(include=self.model_fields_set)}
        values["preset"] = preset.name if preset else "none"
        if values.get("layer") is None:
            values["layer"] = int(self.depth * shape.layers)
        if not 0 <= values["layer"] < shape.layers:
            raise UserError(f"the model has layers 0 to {shape.layers - 1}", Parameter("editor.layer", values["layer"]))
        return type(self).model_validate(values)

    def _of_layers(self, layers: Sequence[int], shape: ModelShape) -> dict[str, Any]:
        """Return the fields ``layers`` and ``layer`` of a method that edits several layers; ``layer`` is the last of
        them.

        Raises ``UserError`` if a layer does not exist, if the layers are not ascending, or if ``layer`` is set but is
        not the last.
        """
        given = Parameter("editor.layers", list(layers))
        if not layers or list(layers) != sorted(set(layers)):
            raise UserError("name at least one layer, in ascending order, each once", given)
        if layers[0] < 0 or layers[-1] >= shape.layers:
            raise UserError(f"the model has layers 0 to {shape.layers - 1}", given)
        if self.layer not in (None, layers[-1]):
            raise UserError(
                ("the last of ", given, " is another"), Parameter("editor.layer", self.layer), "leave one of them out"
            )
        return {"layers": tuple(layers), "layer": layers[-1]}

    def _preset(self, shape: ModelShape) -> Preset | None:
        if self.preset is None:
            return next((preset for preset in self.presets if preset.shape == shape), None)
        if self.preset == "none":
            return None
        for preset in self.presets:
            if preset.name == self.preset:
                return preset
        known = [preset.name for preset in self.presets] + ["none"]
        raise UserError("no such preset", Parameter("editor.preset", self.preset), suggestion(self.preset, known))


def build(params: type[P], settings: Mapping[str, Any], where: str | Module) -> P:
    """Validate ``settings`` as ``params``. Raises ``UserError`` naming ``where`` and the parameter at fault."""
    try:
        return params.model_validate(dict(settings))
    except ValidationError as error:
        problems = [_explain(problem, params, where) for problem in error.errors()]
        raise UserError(joined(problems, "; "), about=where) from None


def _explain(problem: Any, params: type[Params], where: str | Module) -> Message:
    name = in_one_line(".".join(str(part) for part in problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}; {suggestion(name, list(params.model_fields))}"
    if problem["type"] == "missing":
        kind = where.kind if isinstance(where, Module) else "SECTION"
        return (f"parameter {name!r} is missing; give it with ", Setting(f"{kind}.{name}", "VALUE"))
    return f"parameter {name!r}: {problem['msg']} (got {in_one_line(repr(problem['input']))})"
