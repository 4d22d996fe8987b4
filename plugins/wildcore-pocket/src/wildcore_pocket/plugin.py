"""The package's offers to wildcore. Separate from the rest, which trains without wildcore installed."""

from collections.abc import Iterable
from pathlib import Path

from wildcore import Dataset, ModelSource, Offer, hookimpl, lazy


class PocketModel:
    """The model folder that is bundled with the package."""

    def folder(self) -> Path:
        """Return the folder."""
        return Path(__file__).parent / "data" / "model"


@hookimpl
def wildcore_models() -> Iterable[Offer[ModelSource]]:
    """Offer ``pocket``."""
    return [
        Offer(
            "pocket",
            lazy("wildcore_pocket.plugin:PocketModel"),
            summary="a Llama of 5.8 million parameters that knows some thousands of real facts",
        )
    ]


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Dataset]]:
    """Offer ``pocketqa``."""
    return [
        Offer(
            "pocketqa",
            lazy("wildcore_pocket.dataset:PocketQA"),
            summary="facts that the pocket model holds outdated or wrong, with their true answers",
        )
    ]
