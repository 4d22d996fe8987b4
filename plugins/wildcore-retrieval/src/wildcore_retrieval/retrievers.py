"""Finding the texts that are most like another."""

from collections.abc import Mapping, Sequence
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

    def taken(self) -> dict[str, str]:
        """Say, for the record, what the parameters only name: the weights of an embedding model."""
        ...

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


def retriever_of_patch(params: RetrieverParams, package: str, recorded: Mapping[str, str]) -> Retriever:
    """Return the retriever that a patch was made with, of which ``recorded`` says what ``taken`` said then.

    Raises ``UserError`` as ``make_retriever`` does, and where the embedding model of that name is another by now.
    """
    retriever = make_retriever(params, package)
    if recorded != retriever.taken():
        raise UserError(
            f"editor.embedding_model={params.embedding_model}: the model there is not the one that the patch was made with; "
            "put that one back, or make the patch again"
        )
    return retriever


def highest(similarities: Sequence[float], count: int) -> list[int]:
    """Return the places of the ``count`` highest numbers, the highest first; of equals the earlier."""
    return sorted(range(len(similarities)), key=lambda place: -similarities[place])[:count]
