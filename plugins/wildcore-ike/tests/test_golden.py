"""IKE puts to a model what the authors' code puts to it, given what that left to chance.

Where the values come from is said in golden/README.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from wildcore_ike.demonstrations import Demonstrations
from wildcore_ike.editor import Ike
from wildcore_ike.parameters import IkeParams
from wildcore_ike.pool import PoolCase

from wildcore import EditRequest, Prompt
from wildcore.testing.golden import Golden
from wildcore.testing.networks import tiny_model

pytestmark = pytest.mark.golden
GOLDEN = Golden(Path(__file__).parent / "golden").content


class GivenOrder:
    """The likeness that the published program was given: the same for every text."""

    def index(self, texts: Sequence[str]) -> "GivenOrder":
        return self

    def nearest(self, query: str, count: int) -> list[int]:
        given: list[int] = GOLDEN["nearest"]
        return given[:count]


def pool() -> list[PoolCase]:
    """Return the cases; of several prompts, those shown are left with the one that the program drew."""
    drawn = iter(GOLDEN["chosen"])
    shown = {
        place: next(drawn) for place, kind in zip(GOLDEN["nearest"], GOLDEN["kinds"], strict=False) if kind != "copy"
    }
    assert next(drawn, None) is None
    return [case(content, shown.get(place)) for place, content in enumerate(GOLDEN["cases"])]


def case(content: dict[str, Any], drawn: str | None) -> PoolCase:
    rephrased = [drawn] if drawn in content["rephrase"] else content["rephrase"]
    unrelated = [drawn] if drawn in content["locality_prompt"] else content["locality_prompt"]
    request = EditRequest(prompt=content["prompt"], target=content["target"], subject=content["subject"])
    answers = tuple((prompt, content["ground_truth"]) for prompt in unrelated)
    return PoolCase(request=request, rephrased=tuple(rephrased), unrelated=answers)


def test_the_prompts_are_those_of_published_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Demonstrations, "drawn_kinds", lambda *_: GOLDEN["kinds"])
    editor = Ike(IkeParams())
    editor.demonstrations = Demonstrations(pool(), GivenOrder(), editor.params.kinds)
    model = tiny_model("llama")
    model.network.config.max_position_embeddings = 100_000
    request = EditRequest(**GOLDEN["edit"])
    with editor.edit(model, [request]).applied(model):
        found = model.rewrite_prompts([Prompt(text=q) for q in GOLDEN["questions"]], GOLDEN["questions"])
    assert len(found) == 5
    for prompt, end in zip(found, GOLDEN["prompts_end"], strict=True):
        assert prompt.text == GOLDEN["prompts_begin"] + end


def test_kinds_come_in_the_published_proportion() -> None:
    drawn = GOLDEN["kinds"]
    published = {kind: 4 * number for kind, number in zip(("copy", "update", "retain"), IkeParams().kinds, strict=True)}
    assert {kind: drawn.count(kind) for kind in published} == published
