"""Parameters that editors share which look for texts like a question."""

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
    """What makes texts alike: the words that they share, weighed by how rare they are (TF-IDF), or embeddings of sentences by the
    package sentence-transformers."""

    embedding_similarity: Literal["cosine", "dot"] = "cosine"
    """How embeddings are compared: by their cosine, or by their product, for which retrievers such as Contriever are trained."""

    embedding_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Model of the embeddings: a name on the hub, or a folder."""
