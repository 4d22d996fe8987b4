"""Parameters shared by editors that search for texts similar to a question."""

from typing import Literal

from wildcore import DepartingParams, Departure

RETRIEVER = Departure(
    "retriever",
    "words",
    "embeddings",
    "published code compares embeddings of sentences; comparing words is our default, because it needs no further model",
)


class RetrieverParams(DepartingParams):
    """How texts are compared."""

    retriever: Literal["words", "embeddings"] = "words"
    """How texts are compared: by the words they share, weighted by how rare these are (TF-IDF), or by embeddings of sentences
    from the package sentence-transformers."""

    embedding_similarity: Literal["cosine", "dot"] = "cosine"
    """How embeddings are compared: by cosine similarity, or by dot product, for which retrievers such as Contriever are
    trained."""

    embedding_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Embedding model: a name on the hub, or a folder."""
