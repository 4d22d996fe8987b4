"""In-context editing: the new fact, and demonstrations of edits, before every question."""

from collections.abc import Mapping, Sequence
from typing import Any

from wildcore_retrieval.memory import RememberingEditor, facts_of_patch, in_force, latest, statement
from wildcore_retrieval.retrievers import Retriever, make_retriever, retriever_of_patch
from wildcore_retrieval.room import most_that_fit, put_before

from wildcore import EditRequest, Environment, FrozenData, Prompt, Saved
from wildcore.models import LoadedModel, require_target
from wildcore.patches import PromptPatch
from wildcore_ike.demonstrations import Demonstration, Demonstrations, copy_of, new_fact
from wildcore_ike.parameters import IkeParams
from wildcore_ike.pool import hash_of, read_pool

PACKAGE = "wildcore-ike"


class ShownFact(FrozenData):
    """An edited fact with its demonstrations, the most similar one last."""

    request: EditRequest
    demonstrations: tuple[Demonstration, ...]


class Ike(RememberingEditor):
    """IKE."""

    def __init__(self, params: IkeParams) -> None:
        """Read the pool. Raises ``UserError`` if the pool or the retriever does not exist."""
        super().__init__()
        self.params = params
        self.retriever = make_retriever(params, PACKAGE)
        pool = read_pool(params.pool) if params.demonstrations else []
        self.demonstrations = Demonstrations(pool, self.retriever, params.kinds)
        self.seed = 0
        self.shown: dict[EditRequest, ShownFact] = {}

    def pin_resources(
        self, model: LoadedModel, environment: Environment, recorded: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Return the hashes of the pool of demonstrations and of the embedding model."""
        pool = {"pool": hash_of(self.demonstrations.pool)} if self.params.demonstrations else {}
        return pool | self.retriever.pinned_resources()

    def prepare(self, model: LoadedModel, environment: Environment) -> None:
        """Store the seed."""
        self.seed, self.shown = environment.seed, {}

    def check(self, model: LoadedModel, request: EditRequest) -> None:
        """Raise ``Refused`` for a request without a target."""
        require_target(request)

    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> "IkePatch":
        """Return a patch with these facts and those edited before. Raises ``Refused`` for a request without a target."""
        for request in requests:
            require_target(request)
        patch = IkePatch([self._shown(request) for request in self.remember(requests)], self.params, self.retriever)
        patch.count(model, [request.prompt for request in requests])
        return patch

    def load_patch(self, model: LoadedModel, saved: Saved) -> "IkePatch":
        """Return the patch that ``saved`` contains, including how it compares texts."""
        params = IkeParams.model_validate(saved.facts["params"])
        facts = facts_of_patch(saved, ShownFact)
        return IkePatch(facts, params, retriever_of_patch(params, PACKAGE, saved.facts["taken"]))

    def _shown(self, request: EditRequest) -> ShownFact:
        if request not in self.shown:
            own = self.demonstrations.choose(request, self.params.demonstrations, self.seed)
            if own and self.params.repeat_fact:
                own = (*own, copy_of(request))
            self.shown[request] = ShownFact(request=request, demonstrations=own)
        return self.shown[request]


class IkePatch(PromptPatch):
    """Facts to show before questions. Counts the demonstrations that are shown."""

    def __init__(self, facts: Sequence[ShownFact], params: IkeParams, retriever: Retriever) -> None:
        self.facts, self.params, self.retriever = tuple(facts), params, retriever
        self.fewest: int | None = None
        self.most: int | None = None

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Insert before each prompt the facts most similar to its question, after the demonstrations of the first of them."""
        facts = latest((f for patch in in_force(model, self) for f in patch.facts), lambda fact: fact.request.prompt)
        if not facts:
            return list(prompts)
        index = self.retriever.index([statement(fact.request) for fact in facts])
        near = [[facts[place] for place in index.nearest(question, self.params.new_facts)] for question in questions]
        return [self._rewritten(model, *one) for one in zip(prompts, questions, near, strict=True)]

    def count(self, model: LoadedModel, prompts: Sequence[str]) -> None:
        """Count the demonstrations that fit if the bare ``prompts`` are asked."""
        with self.applied(model):
            model.rewrite_prompts([Prompt(text=prompt) for prompt in prompts], prompts)

    def to_saved(self) -> Saved:
        """Return the facts with their demonstrations, the parameters, and the hash of the embedding model."""
        facts = [fact.model_dump(mode="json") for fact in self.facts]
        return Saved(
            {},
            {"params": self.params.model_dump(mode="json"), "taken": self.retriever.pinned_resources(), "facts": facts},
        )

    def describe(self) -> dict[str, Any]:
        """Return the number of facts, how texts are compared, and the smallest and largest number of demonstrations shown so
        far.

        Before any question was asked, these are the numbers that fit before the edits' own prompts.
        """
        shown = {"at_least": self.fewest, "at_most": self.most}
        return {"finite": True, "facts": len(self.facts), "retriever": self.params.retriever, "demonstrations": shown}

    def _rewritten(self, model: LoadedModel, prompt: Prompt, question: str, near: Sequence[ShownFact]) -> Prompt:
        texts = [shown.text for shown in near[0].demonstrations if not shown.gives_away(question, near[0].request)]
        announced = "".join(new_fact(statement(fact.request)) for fact in reversed(near)) + "Prompt: "

        def written(number: int) -> Prompt:
            return put_before(prompt, question, "".join(texts[len(texts) - number :]) + announced)

        number = most_that_fit(model, len(texts), self.params.answer_room, written)
        self.fewest = number if self.fewest is None else min(self.fewest, number)
        self.most = number if self.most is None else max(self.most, number)
        return written(number)
