"""Protocols that put the same prompts read them once between them, and the answers stay what they are."""

from pathlib import Path

import pytest
from wildcore_pocket.dataset import PocketQA
from wildcore_pocket.plugin import PocketModel

from wildcore import EditCase
from wildcore.architectures import built_in_families
from wildcore.evaluation.examiner import AnswersByProtocol, Examiner
from wildcore.evaluation.unedited import UneditedAnswers
from wildcore.jobs.build import make_editor
from wildcore.jobs.protocols import make_protocol
from wildcore.jobs.spec import EditorChoice
from wildcore.models import LoadedModel, ModelRequest, load_model
from wildcore.registry import load_registry
from wildcore.testing.conformance import quiet_environment

BARE = ("synthetic", "wild-authors")
"""One forces the target, the other decodes; both put the bare question."""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    families = {family.model_type: family for family in built_in_families()}
    return load_model(ModelRequest("pocket", PocketModel().folder(), device="cpu"), families)


def answers(model: LoadedModel, protocols: tuple[str, ...], editor: str, cache: Path) -> tuple[AnswersByProtocol, int]:
    """Return what two edited models say after the edits under each protocol, by name, and how many tokens were read."""
    registry = load_registry()
    ready = [make_protocol(registry, registry.find_protocol(name).offer) for name in protocols]
    spec = EditorChoice(editor=editor, settings={"editor.steps": 3})
    made, _ = make_editor(registry, spec, model.shape)
    made.prepare(model, quiet_environment(cache))
    cases = [case for case in PocketQA().cases() if isinstance(case, EditCase)][:2]
    patches = made.edit_each(model, [case.request for case in cases])
    examiner = Examiner(model, ready, UneditedAnswers(cache, model))
    questions = [examiner.questions(case) for case in cases]
    tokens = 0

    def count(module: object, args: object, kwargs: dict[str, object]) -> None:
        nonlocal tokens
        tokens += kwargs["input_ids"].numel()

    hook = model.network.base_model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        said = [
            *examiner.answer_unedited(questions),
            *examiner.answer_edited(questions, patches),
            *examiner.answer_edited(questions, patches[:1] * 2),
        ]
    finally:
        hook.remove()
    return {name: [given for case in said for given in case[name]] for name in protocols}, tokens


def test_answers_of_protocols_that_share_are_those_of_each_alone(model: LoadedModel, tmp_path: Path) -> None:
    together, read = answers(model, BARE, "ft-m", tmp_path / "together")
    read_apart = 0
    for name in BARE:
        alone, tokens = answers(model, (name,), "ft-m", tmp_path / name)
        read_apart += tokens
        for one, other in zip(together[name], alone[name], strict=True):
            assert [answer.text for answer in one] == [answer.text for answer in other]
            assert [answer.output.token_ids for answer in one] == [answer.output.token_ids for answer in other]
    assert read < 0.8 * read_apart


def test_a_patch_that_chooses_by_the_prompt_reads_it_under_each_protocol(model: LoadedModel, tmp_path: Path) -> None:
    together, _ = answers(model, BARE, "grace", tmp_path / "together")
    for name in BARE:
        assert together[name] == answers(model, (name,), "grace", tmp_path / name)[0][name]
