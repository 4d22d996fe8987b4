"""Editors asked for with transforms of what they write: EDITOR+TRANSFORM."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wildcore import Editor, EditRequest, Offer, Params, Patch, Transform, UserError
from wildcore.cli.eval import run_paths
from wildcore.jobs.build import find_editor, make_editor
from wildcore.jobs.spec import JobSpec, names_used, refuse_unused_settings
from wildcore.models import LoadedModel
from wildcore.params import ModelShape
from wildcore.registry import Found, Registry

SHAPE = ModelShape("gpt2", 2, 16, 100)


class Closed(Editor):
    """Stands for a closed-form method."""

    transforms: Sequence[Transform] = ()

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        raise NotImplementedError


class Trained(Editor):
    """Stands for a method that is not closed-form."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        raise NotImplementedError


class Bare:
    """An editor that inherits from nothing."""

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> Patch:
        raise NotImplementedError


class ShareParams(Params):
    """Parameters of the transforms."""

    share: float = 0.5
    """A share."""


class Named(Transform):
    """A transform that keeps what it was made with."""

    def __init__(self, name: str, share: float) -> None:
        self.made_with = (name, share)


def offer(name: str) -> Offer[Transform]:
    return Offer(name, lambda params: Named(name, params.share), ShareParams)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    editors: list[tuple[str, Any]] = [("closed", Closed), ("trained", Trained), ("bare", Bare)]
    registry.offers["editor"] += [Found("p", Offer(name, lambda params, kind=kind: kind())) for name, kind in editors]
    registry.offers["transform"] += [Found("p", offer("cut")), Found("p", offer("norm")), Found("q", offer("norm"))]
    return registry


def job(editor: str, **settings: Any) -> JobSpec:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return JobSpec(model="m", dataset="d", editor=editor, protocols=(), settings=named)


def made_with(registry: Registry, editor: str, **settings: Any) -> list[tuple[str, float]]:
    """Return what the editor's transforms were made with, in order."""
    editor_made, _ = make_editor(registry, job(editor, **settings), SHAPE)
    transforms = editor_made.transforms
    assert transforms is not None
    return [transform.made_with for transform in transforms if isinstance(transform, Named)]


def test_transforms_come_in_the_order_in_which_they_are_named(registry: Registry) -> None:
    assert made_with(registry, "closed") == []
    assert made_with(registry, "closed+cut") == [("cut", 0.5)]
    assert made_with(registry, "p/closed+q/norm+p/cut") == [("norm", 0.5), ("cut", 0.5)]
    assert made_with(registry, "closed+cut+q/norm") == [("cut", 0.5), ("norm", 0.5)]


def test_settings_reach_the_transforms(registry: Registry) -> None:
    both = made_with(registry, "closed+cut+p/norm", transform__share=0.1, transform__norm__share=0.2)
    assert both == [("cut", 0.1), ("norm", 0.2)]
    with pytest.raises(
        UserError, match=r"transform cut \(plugin p\): unknown parameter 'shares'; did you mean 'share'"
    ):
        make_editor(registry, job("closed+cut", transform__cut__shares=1), SHAPE)


def test_editors_do_not_share_their_transforms(registry: Registry) -> None:
    made_with(registry, "closed+cut")
    assert made_with(registry, "closed") == []


def test_the_record_holds_each_transform_resolved_and_nothing_where_there_is_none(registry: Registry) -> None:
    _, plain = make_editor(registry, job("closed"), SHAPE)
    _, cut = make_editor(registry, job("closed+cut+q/norm", transform__cut__share=0.3), SHAPE)
    assert plain == {"name": "closed", "plugin": "p", "params": {}}
    assert cut == plain | {
        "transforms": [
            {"name": "cut", "plugin": "p", "params": {"share": 0.3}},
            {"name": "norm", "plugin": "q", "params": {"share": 0.5}},
        ]
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "trained+cut",
            r"editor trained \(plugin p\): a method that is not closed-form takes no transforms; leave cut out",
        ),
        ("bare+cut+p/norm", r"editor bare \(plugin p\): a method that is not closed-form .* leave cut, norm out"),
        ("closed+cutt", "unknown transform 'cutt'; did you mean 'cut'?"),
        ("closd+cut", "unknown editor 'closd'; did you mean 'closed'?"),
        ("closed+", "unknown transform ''; known: cut, norm"),
        ("+cut", "unknown editor ''"),
        ("closed+norm", "transform 'norm' is offered by several plugins; ask for p/norm or q/norm"),
        ("closed+cut+cut", "editor closed.cut.cut: the transform cut is named twice"),
        ("closed+cut+p/cut", "the transform cut is named twice"),
        ("cut+closed", "unknown editor 'cut'"),
    ],
)
def test_names_that_mean_nothing_are_refused(name: str, message: str, registry: Registry) -> None:
    with pytest.raises(UserError, match=message):
        make_editor(registry, job(name), SHAPE)


def test_a_name_is_looked_up_without_making_anything(registry: Registry) -> None:
    found = find_editor(registry, "trained+cut+q/norm")
    assert found.editor.offer.name == "trained"
    assert [(one.plugin, one.offer.name) for one in found.transforms] == [("p", "cut"), ("q", "norm")]


def test_settings_of_transforms_that_take_no_part_are_refused() -> None:
    used = names_used(Registry(), ["memit", "p/memit+q/cut", "rome+norm"], "p/facts", ["q/exact"])
    assert used == {
        "editor": {"memit", "rome"},
        "transform": {"cut", "norm"},
        "dataset": {"facts"},
        "metric": {"exact"},
        "measurement": set(),
    }
    refuse_unused_settings({"transform.cut.share": 1, "transform.share": 1, "editor.memit.steps": 2}, used)
    with pytest.raises(UserError, match=r"this run uses no transform 'cud'; did you mean 'cut'\?"):
        refuse_unused_settings({"transform.cud.share": 1}, used)
    with pytest.raises(UserError, match=r"transform\.share: no transform takes part here; leave it out"):
        refuse_unused_settings({"transform.share": 1}, names_used(Registry(), ["memit"]))


def test_run_folders_are_named_after_the_whole() -> None:
    specs = [job("closed"), job("p/closed+q/norm")]
    assert [path for _, path in run_paths(specs, Path("runs"))] == [Path("runs/closed"), Path("runs/p-closed+q-norm")]
    (only,) = run_paths(specs[1:], None)
    assert only[1].name.endswith("-p-closed+q-norm-d")
