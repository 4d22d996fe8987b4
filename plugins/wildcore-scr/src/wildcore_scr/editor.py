"""A memory of edited facts; those that answer a question are shown before it."""

from collections.abc import Mapping, Sequence
from typing import Any

from wildcore_retrieval.memory import RememberingEditor, facts_of_patch, in_force, latest, statement
from wildcore_retrieval.retrievers import Retriever, make_retriever, retriever_of_patch
from wildcore_retrieval.room import put_before

from wildcore import EditRequest, Environment, Prompt, Saved
from wildcore.models import LoadedModel, require_target
from wildcore.patches import PromptPatch
from wildcore_scr.confirming import confirmed_facts, filled
from wildcore_scr.parameters import FACTS, QUESTION, ScrParams

PACKAGE = "wildcore-scr"


class Scr(RememberingEditor):
    """Selective contextual reasoning."""

    def __init__(self, params: ScrParams) -> None:
        """Make the retriever. Raises ``UserError`` if it does not exist."""
        super().__init__()
        self.params, self.retriever = params, make_retriever(params, PACKAGE)

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Return the hash of the embedding model."""
        return self.retriever.pinned_resources()

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target."""
        require_target(request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> "ScrPatch":
        """Return a patch with these facts and those edited before. Raises ``Refused`` for a request without a target."""
        for request in requests:
            require_target(request)
        return ScrPatch(self.remember(requests), self.params, self.retriever)

    def load_patch(self, model: LoadedModel, saved: Saved) -> "ScrPatch":
        """Return the patch that ``saved`` contains, including how it retrieves and asks."""
        params = ScrParams.model_validate(saved.facts["params"])
        facts = facts_of_patch(saved, EditRequest)
        return ScrPatch(facts, params, retriever_of_patch(params, PACKAGE, saved.facts["taken"]))


class ScrPatch(PromptPatch):
    """The facts. Counts the outcomes of the questions asked."""

    def __init__(self, facts: Sequence[EditRequest], params: ScrParams, retriever: Retriever) -> None:
        self.facts, self.params, self.retriever = tuple(facts), params, retriever
        self.counts = {"with_facts": 0, "without": 0, "no_room_to_ask": 0}

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Insert before each prompt the facts confirmed for its question; a prompt without any stays unchanged."""
        facts = latest((f for patch in in_force(model, self) for f in patch.facts), lambda fact: fact.prompt)
        if not facts:
            return list(prompts)
        memory = [statement(fact) for fact in facts]
        index = self.retriever.index(memory)
        near = [[memory[p] for p in index.nearest(question, self.params.retrieved)] for question in questions]
        found = self._confirmed(model, prompts, questions, near)
        return [self._rewritten(*one) for one in zip(prompts, questions, found, strict=True)]

    def to_saved(self) -> Saved:
        """Return the facts, the parameters, and the hash of the embedding model."""
        facts = [fact.model_dump(mode="json") for fact in self.facts]
        return Saved(
            {},
            {"params": self.params.model_dump(mode="json"), "taken": self.retriever.pinned_resources(), "facts": facts},
        )

    def describe(self) -> dict[str, Any]:
        """Return the number of facts and how texts are compared; once questions were asked, also the counts of their outcomes."""
        asked = {"questions": dict(self.counts)} if any(self.counts.values()) else {}
        return {"finite": True, "facts": len(self.facts), "retriever": self.params.retriever, **asked}

    def _confirmed(
        self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str], near: Sequence[Sequence[str]]
    ) -> list[list[str] | None]:
        if self.params.confirm == "none":
            return [[facts[0]] for facts in near]
        chat = bool(model.tokenizer.chat_template) and not any(prompt.separator for prompt in prompts)
        return confirmed_facts(model, self.params, questions, near, chat)

    def _rewritten(self, prompt: Prompt, question: str, facts: Sequence[str] | None) -> Prompt:
        self.counts["no_room_to_ask" if facts is None else "with_facts" if facts else "without"] += 1
        if not facts:
            return prompt
        told = filled(self.params.answer_template, {FACTS: "\n".join(facts)})
        if prompt.text != question:
            return put_before(prompt, question, told)
        framed = filled(self.params.question_template, {QUESTION: question})
        return prompt.model_copy(update={"text": told + framed})
