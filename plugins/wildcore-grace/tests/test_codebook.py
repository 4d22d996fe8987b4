"""The codebook keeps to algorithm 1 of the paper, whatever is written into it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from wildcore_grace.codebook import Codebook, rounding

from wildcore.patches import NOWHERE

CPU = torch.device("cpu")
POINTS = st.lists(st.integers(-6, 6).map(float), min_size=2, max_size=2)


def point(*place: float) -> Tensor:
    return torch.tensor(place, dtype=torch.float32)


def written(*edits: tuple[Tensor, str], radius: float = 1.0) -> Codebook:
    codebook = Codebook.empty(2, 1, CPU)
    for number, (key, label) in enumerate(edits):
        codebook, entry, _ = codebook.with_entry(key, label, radius)
        codebook = codebook.with_value(entry, torch.tensor([float(number)]))
    return codebook


def test_a_key_far_from_all_others_is_added() -> None:
    book = written((point(0, 0), "a"), (point(2.5, 0), "a"))
    assert book.keys.tolist() == [[0, 0], [2.5, 0]]
    assert book.radii.tolist() == [1, 1]
    assert book.look_up(torch.tensor([[0.9, 0], [1.2, 0], [1.6, 0]])).tolist() == [0, NOWHERE, 1]


def test_near_a_key_of_the_same_label_the_radius_grows_to_hold_the_edit_and_never_shrinks() -> None:
    book = written((point(0, 0), "a"), (point(1.5, 0), "a"), (point(0.5, 0), "a"))
    assert book.radii.tolist() == [1.5]
    assert book.labels == ("a",)
    assert book.values.tolist() == [[2]]


def test_near_a_key_of_another_label_the_room_between_is_halved() -> None:
    book = written((point(0, 0), "a"), (point(1.5, 0), "b"))
    assert book.radii.tolist() == [0.75, 0.75]
    assert book.look_up(torch.tensor([[0.7, 0], [0.8, 0], [-0.8, 0]])).tolist() == [0, 1, NOWHERE]


def test_the_same_key_with_another_label_is_the_new_edits() -> None:
    key = point(3, 4)
    again = key + 0.7 * rounding(key)  # in both directions, so nearly as far as rounding can bring it
    book = written((key, "a"), (point(4.5, 4), "a"), (again, "b"))
    assert (book.labels, book.radii.tolist(), book.values.tolist(), book.drawn) == (("b",), [1.5], [[2]], 2)
    assert len(written((key, "a"), (key + 2 * rounding(key), "b")).labels) == 2


def test_what_rounding_puts_outside_of_a_radius_lies_in_it() -> None:
    book = written((point(3, 4), "a"), (point(4.5, 4), "a"))
    edge = point(4.5, 4)
    asked = torch.stack([edge, edge + torch.tensor([0.9, 0]) * rounding(edge), edge + 1.1 * rounding(edge)])
    assert book.look_up(asked).tolist() == [0, 0, NOWHERE]


def test_an_empty_codebook_finds_nothing() -> None:
    assert Codebook.empty(2, 1, CPU).look_up(torch.zeros(3, 2)).tolist() == [NOWHERE] * 3


def test_writing_leaves_earlier_codebooks_as_they_were() -> None:
    book = written((point(0, 0), "a"))
    before = {name: tensor.clone() for name, tensor in book.saved().tensors.items()}
    split, entry, _ = book.with_entry(point(1, 0), "b", 1.0)
    split.with_value(entry, torch.ones(1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in book.saved().tensors.items())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(POINTS, st.sampled_from("abc")), min_size=1, max_size=12), st.sampled_from([0.6, 1.0, 2.5]))
def test_the_last_edit_is_found_under_its_label_and_radii_never_hold_a_foreign_key(
    edits: list[tuple[list[float], str]], radius: float
) -> None:
    book = written(*((torch.tensor(key), label) for key, label in edits), radius=radius)
    key, label = edits[-1]
    (entry,) = book.look_up(torch.tensor([key])).tolist()
    assert entry != NOWHERE
    assert book.labels[entry] == label
    assert float(book.values[entry]) == len(edits) - 1
    assert len({tuple(k) for k in book.keys.tolist()}) == len(book.labels) == len(book.values) == len(book.radii)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(POINTS, st.sampled_from("abc")), min_size=1, max_size=8))
def test_a_codebook_read_back_is_the_same(edits: list[tuple[list[float], str]]) -> None:
    book = written(*((torch.tensor(key), label) for key, label in edits))
    read = Codebook.read(book.saved())
    assert all(torch.equal(tensor, book.saved().tensors[name]) for name, tensor in read.saved().tensors.items())
    assert read.saved().facts == book.saved().facts
