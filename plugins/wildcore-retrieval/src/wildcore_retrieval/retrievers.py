"""Finds the texts most similar to another text."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Protocol

from wildcore import Parameter, UserError
from wildcore_retrieval.parameters import RetrieverParams


class Index(Protocol):
    """Texts that can be searched."""

    def nearest(self, query: str, count: int) -> list[int]:
        """Return the indices of the ``count`` texts most similar to ``query``, the nearest first; ties in order."""
        ...


class Retriever(Protocol):
    """A way to compare texts."""

    def pinned_resources(self) -> dict[str, str]:
        """Return for the manifest the resources that the parameters only name: the weights of an embedding model."""
        ...

    def index(self, texts: Sequence[str]) -> Index:
        """Prepare ``texts`` for search."""
        ...


def make_retriever(params: RetrieverParams, package: str) -> Retriever:
    """Return the retriever that ``params`` name.

    Raises ``UserError`` if it needs something that is not installed or does not exist; ``package`` names the package whose
    extra installs it.
    """
    if params.retriever == "words":
        from wildcore_retrieval.words import Words

        return Words()
    if find_spec("sentence_transformers") is None:
        raise UserError(
            "sentence-transformers is not installed",
            Parameter("editor.retriever", "embeddings"),
            f'run pip install "{package}[embeddings]", or leave the setting out to compare words',
        )
    from wildcore_retrieval.embeddings import Embeddings

    return Embeddings(params.embedding_model, params.embedding_similarity == "cosine")


def retriever_of_patch(params: RetrieverParams, package: str, recorded: Mapping[str, str]) -> Retriever:
    """Return the retriever that a patch was made with; ``recorded`` is what ``pinned_resources`` returned then.

    Raises ``UserError`` as ``make_retriever`` does, and if the embedding model of that name has changed since.
    """
    retriever = make_retriever(params, package)
    if recorded != retriever.pinned_resources():
        raise UserError(
            "the model there is not the one that the patch was made with",
            Parameter("editor.embedding_model", params.embedding_model),
            "put that one back, or make the patch again",
        )
    return retriever


def highest(similarities: Sequence[float], count: int) -> list[int]:
    """Return the indices of the ``count`` highest numbers, the highest first; ties in order."""
    return sorted(range(len(similarities)), key=lambda place: -similarities[place])[:count]
