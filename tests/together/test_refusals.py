"""What no method can write is refused by all, and only that."""

from pathlib import Path

import pytest

from wildcore import EditRequest, Refused
from wildcore.evaluation.refusals import refusals, write_together
from wildcore.jobs.build import make_editor
from wildcore.jobs.spec import JobSpec
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment
from wildcore.testing.networks import tiny_model

REGISTRY = load_registry()
QUICK = {"steps": 2, "epochs": 2, "second_moments": "identity", "prefix_lengths": [], "moment_tokens": 500}
"""What makes editors quick, where they have it."""

REQUESTS = [
    EditRequest(prompt="Rome is in", subject="Rome", target="Peru and beyond"),
    EditRequest(prompt="The Nile ends in", subject="The Nile", target="  "),
    EditRequest(prompt="Marie Curie was born in", subject="Marie Curie", target="the old town"),
]


@pytest.mark.parametrize("name", sorted(found.offer.name for found in REGISTRY.offers["editor"]))
def test_an_empty_target_is_refused_and_what_stands_beside_it_is_written(name: str, tmp_path: Path) -> None:
    model, environment = tiny_model("llama"), quiet_environment(tmp_path)
    offered = REGISTRY.find("editor", name).offer.params.model_fields
    settings = {f"editor.{key}": value for key, value in QUICK.items() if key in offered}
    spec = JobSpec(model="tiny-llama", dataset="counterfact", editor=name, protocols=("wild",), settings=settings)
    editor, _ = make_editor(REGISTRY, spec, model.shape)
    if editor.trains:
        pytest.skip("it is trained first; its own tests have this")
    editor.prepare(model, environment)
    written = editor.edit_each(model, REQUESTS)
    assert [isinstance(patch, Refused) for patch in written] == [False, True, False]
    assert str(written[1]) == "the target is empty"
    with pytest.raises(Refused, match="the target is empty"):
        editor.edit(model, REQUESTS)
    checked = refusals(editor, model, REQUESTS)
    assert [str(refusal) for refusal in checked if refusal] == ["the target is empty"]
    editor.reset()
    update = write_together(editor, model, REQUESTS)
    assert update.patch is not None
    assert [refusal and str(refusal) for refusal in update.refusals] == [None, "the target is empty", None]


@pytest.mark.parametrize("name", sorted(found.offer.name for found in REGISTRY.offers["editor"]))
def test_an_editor_that_needs_a_subject_says_so_before_a_model_is_loaded(name: str) -> None:
    model = tiny_model("llama")
    spec = JobSpec(model="tiny-llama", dataset="counterfact", editor=name, protocols=("wild",))
    editor, _ = make_editor(REGISTRY, spec, model.shape)
    (refusal,) = refusals(editor, model, [REQUESTS[0].model_copy(update={"subject": "Paris"})])
    assert editor.needs_subject == (refusal is not None)
