"""Changes of what a model is asked: facts put before the question. The weights stay as they are."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from wildcore.interfaces import Saved
from wildcore.models.loaded import LoadedModel
from wildcore.types import Prompt


class PromptPatch(ABC):
    """A change of the prompts that a model is given. ``LoadedModel.rewritten`` makes it, where the patch is applied."""

    @abstractmethod
    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Return for each prompt what the model is to read instead.

        ``questions`` are the bare questions that the prompts put, before a context was put around them. A prompt keeps its
        ``joint`` and ``special_tokens``. Where the method asks the model itself, it does so with ``wildcore.inference``.
        """

    @abstractmethod
    def saved(self) -> Saved:
        """Return everything that the patch is made of."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change for the record, as JSON values; ``finite`` among them."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        """Let ``model`` be asked so."""
        model.prompt_patches.append(self)
        try:
            yield
        finally:
            model.prompt_patches.remove(self)
