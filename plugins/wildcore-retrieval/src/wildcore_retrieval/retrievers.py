"""Finding the texts that are most like another."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol

from wildcore import UserError
from wildcore_retrieval.parameters import RetrieverParams


class Index(Protocol):
    """Texts that can be searched."""

    def nearest(self, query: str, count: int) -> list[int]:
        """Return the places of the ``count`` texts most like ``query``, the nearest first; of equals the earlier."""
        ...


class Retriever(Protocol):
    """A way to compare texts."""

    def index(self, texts: Sequence[str]) -> Index:
        """Make ``texts`` ready for search."""
        ...


def make_retriever(params: RetrieverParams, package: str) -> Retriever:
    """Return the retriever that ``params`` name.

    Raises ``UserError`` for one that needs what is not installed or not there; ``package`` is whose extra brings it.
    """
    if params.retriever == "words":
        from wildcore_retrieval.words import Words

        return Words()
    if find_spec("sentence_transformers") is None:
        raise UserError(
            "editor.retriever=embeddings: sentence-transformers is not installed; "
            f'run pip install "{package}[embeddings]", or leave the setting away to compare words'
        )
    from wildcore_retrieval.embeddings import Embeddings

    return Embeddings(params.embedding_model, params.embedding_similarity == "cosine")


def highest(similarities: Sequence[float], count: int) -> list[int]:
    """Return the places of the ``count`` highest numbers, the highest first; of equals the earlier."""
    return sorted(range(len(similarities)), key=lambda place: -similarities[place])[:count]
