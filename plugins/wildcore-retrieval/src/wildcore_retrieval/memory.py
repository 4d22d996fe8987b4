"""The facts given to an editor, which are its state, and the facts of all applied patches together."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from wildcore import Editor, EditRequest, Saved
from wildcore.models import LoadedModel
from wildcore.patches import PromptPatch

P = TypeVar("P", bound=PromptPatch)
F = TypeVar("F")


def statement(request: EditRequest) -> str:
    """Return the fact as one text: the prompt and its answer, with the separator of the prompt's script between them."""
    separator = "" if request.prompt[-1:].isspace() else request.separator_used
    return f"{request.prompt}{separator}{request.target.strip()}"


class RememberingEditor(Editor):
    """Base of editors whose state is the list of facts given to them, in order."""

    def __init__(self) -> None:
        self.facts: list[EditRequest] = []

    def remember(self, requests: Sequence[EditRequest]) -> list[EditRequest]:
        """Add facts to the memory and return all of them. A fact with the prompt of an earlier one replaces it."""
        self.facts = latest([*self.facts, *requests], lambda fact: fact.prompt)
        return list(self.facts)

    def reset(self) -> None:
        """Clear the memory."""
        self.facts = []

    @property
    def state(self) -> Saved:
        """The facts."""
        return Saved({}, {"facts": [fact.model_dump(mode="json") for fact in self.facts]})

    def restore(self, state: Saved) -> None:
        """Set the facts from ``state``."""
        self.facts = [EditRequest.model_validate(fact) for fact in state.facts["facts"]]


def latest(facts: Iterable[F], prompt: Callable[[F], str]) -> list[F]:
    """Return ``facts`` in order, without those whose prompt occurs again later."""
    by_prompt: dict[str, F] = {}
    for fact in facts:
        by_prompt.pop(prompt(fact), None)
        by_prompt[prompt(fact)] = fact
    return list(by_prompt.values())


def in_force(model: LoadedModel, patch: P) -> list[P]:
    """Return all patches of the same class as ``patch`` that are applied to ``model``, if ``patch`` is the last of them; else
    an empty list.

    Patches that put facts before a question must not be nested: the last one does it for all.
    """
    applied = [other for other in model.prompt_patches if isinstance(other, type(patch))]
    return applied if applied and applied[-1] is patch else []
