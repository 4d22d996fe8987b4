"""What the package offers to wildcore. Apart from the rest, which trains without wildcore installed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wildcore import Dataset, ModelSource, NoParams, Offer, hookimpl


class PocketModel:
    """The model folder that comes with the package."""

    def folder(self) -> Path:
        """Return it."""
        return Path(__file__).parent / "data" / "model"


def _pocket(params: NoParams) -> ModelSource:
    return PocketModel()


def _pocketqa(params: NoParams) -> Dataset:
    from wildcore_pocket.dataset import PocketQA

    return PocketQA()


@hookimpl
def wildcore_models() -> Iterable[Offer[Any]]:
    """Offer ``pocket``."""
    return [
        Offer("pocket", _pocket, summary="a Llama of 5.8 million parameters that knows some thousands of real facts")
    ]


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Any]]:
    """Offer ``pocketqa``."""
    return [
        Offer(
            "pocketqa",
            _pocketqa,
            summary="facts that the pocket model holds outdated or wrong, with their true answers",
        )
    ]
