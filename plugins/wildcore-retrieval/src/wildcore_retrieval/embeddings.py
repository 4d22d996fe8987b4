"""Similarity by embeddings of sentences (Reimers and Gurevych, EMNLP 2019), computed by the package sentence-transformers."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from wildcore import Parameter, Setting, UserError
from wildcore.models import hash_of_weights, no_progress_bar
from wildcore_retrieval.retrievers import highest


class Embeddings:
    """Compares texts by the cosine of their embeddings, or by their dot product. A text is embedded once."""

    def __init__(self, model: str, cosine: bool = True) -> None:
        """Load the embedding model. Raises ``UserError`` if it cannot be loaded."""
        self.model, self.cosine = _load(model), cosine
        self.known: dict[str, Tensor] = {}

    def pinned_resources(self) -> dict[str, str]:
        """Return a hash of the embedding model's weights."""
        return {"embedding_model": self.hash}

    @cached_property
    def hash(self) -> str:
        """The hash of the model's weights."""
        return hash_of_weights(self.model)

    def index(self, texts: Sequence[str]) -> "EmbeddingIndex":
        """Prepare ``texts`` for search."""
        return EmbeddingIndex(self, texts)

    def embed(self, texts: Sequence[str]) -> list[Tensor]:
        """Return the embedding of each text: [width], float32, on the CPU; with the cosine, of length 1."""
        missing = [text for text in dict.fromkeys(texts) if text not in self.known]
        if missing:
            found = self.model.encode(
                missing, convert_to_tensor=True, normalize_embeddings=self.cosine, show_progress_bar=False
            )
            self.known |= dict(zip(missing, found.float().cpu(), strict=True))
        return [self.known[text] for text in texts]


class EmbeddingIndex:
    """Texts by their embeddings."""

    def __init__(self, embeddings: Embeddings, texts: Sequence[str]) -> None:
        self.embeddings, self.texts = embeddings, embeddings.embed(texts)

    def nearest(self, query: str, count: int) -> list[int]:
        """Return the indices of the ``count`` texts most similar to ``query``, the nearest first; ties in order."""
        (wanted,) = self.embeddings.embed([query])
        return highest([float(text @ wanted) for text in self.texts], count)


def _load(name: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        with no_progress_bar():
            return SentenceTransformer(name, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"cannot be loaded ({reason:.300})",
            Parameter("editor.embedding_model", name),
            ("name a folder with such a model, or compare words: ", Setting("editor.retriever", "words")),
        ) from error
