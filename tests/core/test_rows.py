"""A row's fields are what they must be, or what is wrong is named with its place and field."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import EditCase, EditRequest, Malformed, Probe, UserError
from wildcore.datasets import MalformedRow, Row, parsed

NESTED = {"rewrite": {"subject": "the mill", "target": {"str": "Anna"}}, "a.b": "dotted"}


def row(**fields: Any) -> Row:
    return Row("mill.json, row 3", fields, 3)


@pytest.mark.parametrize(("value", "text"), [(" Anna\n", "Anna"), (1998, "1998"), (-0.5, "-0.5")])
def test_text_comes_without_the_white_space_around_it_and_numbers_are_written_out(value: Any, text: str) -> None:
    assert row(name=value).text("name") == text
    assert row(name=value).optional_text("name") == text
    assert row(name=value).texts("name") == (text,)


@pytest.mark.parametrize("nothing", [None, "", " \t", [], {}, float("nan")])
def test_a_field_that_holds_nothing(nothing: Any) -> None:
    empty = row(name=nothing)
    assert not empty.holds("name")
    assert empty.optional_text("name") is None
    assert empty.texts("name") == ()
    empty.require("name")
    with pytest.raises(MalformedRow, match=r"row 3: field 'name': expected text that is not empty, found "):
        empty.text("name")
    with pytest.raises(MalformedRow, match=r"row 3: field 'name': expected at least one answer, found "):
        empty.answers("name")


@pytest.mark.parametrize("read", [Row.text, Row.texts, Row.answers, Row.whole_number, Row.rows, Row.require])
def test_a_missing_field_is_named_with_the_nearest_that_is_there(read: Callable[[Row, str], Any]) -> None:
    with pytest.raises(MalformedRow) as caught:
        read(row(rephrased="x", other=1), "rephrase")
    assert caught.value.place == "mill.json, row 3"
    assert caught.value.problem == "the field 'rephrase' is missing; did you mean 'rephrased'?"
    assert str(caught.value) == f"{caught.value.place}: {caught.value.problem}"
    assert isinstance(caught.value, UserError)


def test_a_missing_field_is_no_fault_where_it_is_optional() -> None:
    assert row().optional_text("name") is None
    assert not row().holds("name")


@pytest.mark.parametrize("value", [b"x", {"a": 1}, ["x"], float("inf")])
def test_what_is_no_text_is_refused_even_where_it_is_optional(value: Any) -> None:
    for read in (Row.text, Row.optional_text):
        with pytest.raises(MalformedRow, match="field 'name': expected text that is not empty, found "):
            read(row(name=value), "name")


def test_half_a_character_is_refused() -> None:
    with pytest.raises(MalformedRow, match="field 'name': expected text made of whole characters"):
        row(name="Ann\ud800a").text("name")
    assert row(name="Ann😀a").text("name") == "Ann😀a"


def test_texts_are_one_or_a_list_or_parted_by_a_separator() -> None:
    assert row(name=["a ", "b"]).texts("name") == ("a", "b")
    assert row(name="a; b").texts("name") == ("a; b",)
    assert row(name="a; b;;").texts("name", ";") == ("a", "b")
    assert row(name=["a;b"]).texts("name", ";") == ("a;b",)
    with pytest.raises(MalformedRow, match="field 'name': expected text that is not empty, found None"):
        row(name=["a", None]).texts("name")


@given(st.integers())
def test_a_whole_number_may_be_written_as_text(number: int) -> None:
    assert row(id=number).whole_number("id") == number
    assert row(id=f" {number} ").whole_number("id") == number


@pytest.mark.parametrize("value", ["seven", "7.0", "--7", "", True, 7.5, None])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(MalformedRow, match="field 'id': expected a whole number, found "):
        row(id=value).whole_number("id")


def test_a_path_leads_into_objects_and_a_field_of_that_very_name_goes_first() -> None:
    nested = Row("row 1", NESTED)
    assert nested.text("rewrite.target.str") == "Anna"
    assert nested.text("a.b") == "dotted"
    assert nested.holds("rewrite.target")
    assert not nested.holds("rewrite.subject.str")
    with pytest.raises(MalformedRow, match=r"'rewrite.subjekt' is missing; did you mean 'rewrite.subject'\?"):
        nested.text("rewrite.subjekt")


def test_rows_within_a_row_know_where_they_stand() -> None:
    inner = row(locality=[{"loc": "x"}, {"loc": ""}]).rows("locality")
    assert inner[0].text("loc") == "x"
    with pytest.raises(MalformedRow, match=r"mill.json, row 3, locality\[1\]: field 'loc': expected text"):
        inner[1].text("loc")
    with pytest.raises(MalformedRow, match="field 'locality': expected a list of objects"):
        row(locality=["x"]).rows("locality")


def case(of: Row) -> EditCase:
    probe = Probe(kind="reliability", prompt=of.text("q"), answers=(of.text("a"),))
    return EditCase(id=str(of.number), request=EditRequest(prompt=of.text("q"), target=of.text("a")), probes=(probe,))


def test_what_is_wrong_with_a_row_stands_in_its_place_and_reading_goes_on() -> None:
    broken = Malformed(place="line 2", problem="not valid JSON")
    rows = [
        Row("line 1", {"q": "?", "a": "!"}, 1),
        broken,
        Row("line 3", {"q": "?"}, 3),
        Row("line 4", {"q": "?", "a": 4}, 4),
    ]
    first, second, third, fourth = parsed(rows, case)
    assert isinstance(first, EditCase)
    assert second == broken
    assert third == Malformed(place="line 3", problem="the field 'a' is missing; known: q")
    assert isinstance(fourth, EditCase)
    assert (first.id, fourth.id) == ("1", "4")


def test_a_fault_in_the_parser_itself_is_not_taken_for_a_malformed_row() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parsed([Row("line 1", {})], lambda of: 1 // 0))  # type: ignore[arg-type, return-value]
