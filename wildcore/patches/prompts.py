"""Patches that change prompts: they insert facts before the question. The weights stay unchanged."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from wildcore.interfaces import Saved
from wildcore.models.loaded import LoadedModel
from wildcore.types import Prompt


class PromptPatch(ABC):
    """A change of the prompts that a model is given. While it is applied, ``LoadedModel.rewrite_prompts`` calls it."""

    @abstractmethod
    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        """Return for each prompt what the model is to read instead.

        ``questions`` are the bare questions, before a context rendered them as prompts. A prompt keeps its ``separator`` and
        ``special_tokens``. A method that asks the model itself does so with ``wildcore.inference``.
        """

    @abstractmethod
    def to_saved(self) -> Saved:
        """Return everything that the patch consists of."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return facts about the change for the record of the case, as JSON values; ``finite`` among them."""

    @contextmanager
    def applied(self, model: LoadedModel) -> Iterator[None]:
        """Apply the patch: in this context the prompts of ``model`` are rewritten."""
        model.prompt_patches.append(self)
        try:
            yield
        finally:
            model.prompt_patches.remove(self)
