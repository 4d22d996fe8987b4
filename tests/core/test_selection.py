"""Which cases a run takes: every one accounted for."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import EditCase, EditRequest, Malformed, Probe, UserError
from wildcore.cli.naming import COMMAND_LINE
from wildcore.cli.options import parse_where
from wildcore.datasets import selection
from wildcore.datasets.selection import CaseFilter, CaseReader, content_hash, require_some
from wildcore.errors import render
from wildcore.jobs.build import choice_of
from wildcore.jobs.resume import with_later_fields
from wildcore.jobs.spec import JobSpec


def case(number: int) -> EditCase:
    probe = Probe(kind="reliability", prompt=f"Who keeps mill {number}?", answers=("Anna",))
    tags = {"source": "NQ" if number % 3 else "TQA"}
    return EditCase(id=str(number), request=EditRequest(prompt=probe.prompt, target="Anna"), probes=(probe,), tags=tags)


class Mills:
    """A number of cases, some of them malformed, and how many were read."""

    def __init__(self, count: int, malformed: set[int] = frozenset()) -> None:
        self.count = count
        self.malformed = malformed
        self.read = 0

    def cases(self) -> Iterator[EditCase | Malformed]:
        for number in range(self.count):
            self.read += 1
            if number in self.malformed:
                yield Malformed(place=f"mills.json, row {number}", problem="field 'prompt': expected text")
            else:
                yield case(number)


def reader(dataset: Mills, **choice: object) -> CaseReader:
    return CaseReader("mills", dataset, CaseFilter(**choice))


def test_a_limit_reads_no_further_than_it_must() -> None:
    mills = Mills(10**9)
    assert [c.id for c in reader(mills, limit=3).cases()] == ["0", "1", "2"]
    assert mills.read <= 4


@given(st.integers(0, 60), st.integers(1, 80), st.integers(0, 5))
def test_a_sample_is_of_the_dataset_without_repetition_and_seeded(count: int, size: int, seed: int) -> None:
    drawn = [c.id for c in reader(Mills(count), sample=size, seed=seed).cases()]
    assert len(drawn) == len(set(drawn)) == min(size, count)
    assert drawn == [c.id for c in reader(Mills(count), sample=size, seed=seed).cases()]


def test_cases_are_drawn_by_the_sample_seed_and_not_by_that_of_the_editor() -> None:
    job = {"model": "m", "dataset": "d", "editor": "e", "protocols": ("p",), "sample": 5}
    assert choice_of(JobSpec(**job, seed=3, sample_seed=4)).seed == 4
    assert choice_of(JobSpec(**job, seed=3)).seed == 0


def test_a_job_of_an_earlier_version_drew_its_cases_by_its_only_seed() -> None:
    assert with_later_fields({"seed": 3})["sample_seed"] == 3
    assert with_later_fields({"seed": 3, "sample_seed": 4})["sample_seed"] == 4


def test_every_case_is_as_likely_to_be_drawn() -> None:
    drawn = [c.id for seed in range(600) for c in reader(Mills(20), sample=5, seed=seed).cases()]
    counts = [drawn.count(str(number)) for number in range(20)]
    assert sum(counts) == 3000
    assert min(counts) > 100  # each is drawn 150 times on average; 100 lies more than four deviations below
    assert max(counts) < 200


def test_tags_choose_and_the_others_are_counted() -> None:
    mills = reader(Mills(9), where={"source": "TQA"})
    assert [c.id for c in mills.cases()] == ["0", "3", "6"]
    (note,) = mills.notes()
    assert render(note, COMMAND_LINE) == "--where source=TQA: 6 cases with other tags left out"


class Towns:
    """Cases whose texts are all in one Unicode form; the last has nothing that a form would change."""

    def __init__(self, form: str) -> None:
        self.form = form

    def cases(self) -> Iterator[EditCase]:
        for target in ("Hà Nội", "서울", "Paris"):
            prompt, target = (unicodedata.normalize(self.form, text) for text in (f"Où est {target}?", target))
            request = EditRequest(prompt=prompt, target=target, subject=target, aliases=(target,), ground_truth=target)
            probe = Probe(kind="reliability", prompt=prompt, answers=(target,), rival=target)
            yield EditCase(id=target, request=request, probes=(probe,))


def test_answers_are_read_in_one_unicode_form_which_is_counted() -> None:
    towns = CaseReader("towns", Towns("NFD"), CaseFilter())
    for written, found in zip(Towns("NFD").cases(), towns.cases(), strict=True):
        answers = (found.request.target, *found.request.aliases, found.request.ground_truth, *found.probes[0].answers)
        assert {*answers, found.probes[0].rival} == {unicodedata.normalize("NFC", written.request.target)}
        assert found.request.prompt == found.probes[0].prompt == written.request.prompt
        assert found.request.subject == written.request.subject
    (note,) = towns.notes()
    assert note == "answers in another Unicode form than NFC, which are written and compared in NFC: those of 2 cases"
    assert len(towns.cases()) == 3
    assert towns.everything() == (towns.cases(), 0)
    assert list(towns.notes()) == [note], "they are counted anew"


def test_answers_in_the_form_nfc_or_as_written_are_not_changed() -> None:
    for form, as_written in (("NFC", False), ("NFD", True)):
        towns = CaseReader("towns", Towns(form), CaseFilter(), as_written=as_written)
        assert towns.cases() == list(Towns(form).cases())
        assert not list(towns.notes())


@pytest.mark.parametrize(
    ("where", "said"),
    [({"sorce": "NQ"}, "did you mean 'source'?"), ({"source": "SQA"}, "source is one of NQ, TQA")],
)
def test_a_tag_that_no_case_has(where: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match="no case of mills fits") as refused:
        reader(Mills(9), where=where).cases()
    assert said in str(refused.value)


def test_a_malformed_row_stops_and_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"mills.json, row 2: field 'prompt': expected text \(`skip_malformed` leaves"):
        reader(Mills(5, {2})).cases()


@pytest.mark.parametrize(
    ("choice", "named", "read"),
    [
        ({}, [2, 4, 7], 9),
        ({"limit": 5}, [2, 4], 6),
        ({"limit": 1}, [], 2),
        ({"sample": 1}, [2, 4, 7], 9),
        ({"where": {"source": "TQA"}, "limit": 4}, [2, 4], 7),
    ],
)
def test_all_malformed_rows_among_those_read_are_named(choice: dict[str, Any], named: list[int], read: int) -> None:
    mills = Mills(9, {2, 4, 7})
    if not named:
        assert [c.id for c in reader(mills, **choice).cases()] == ["0"]
        return
    with pytest.raises(UserError, match="`skip_malformed` leaves such rows out") as refused:
        reader(mills, **choice).cases()
    lines = str(refused.value).splitlines()
    assert lines[0].startswith(f"dataset mills: {len(named)} malformed rows")
    assert lines[1:] == [f"  mills.json, row {number}: field 'prompt': expected text" for number in named]
    assert mills.read <= read


def test_of_many_malformed_rows_the_first_are_named_and_all_counted() -> None:
    with pytest.raises(UserError, match="dataset mills: 50 malformed rows") as refused:
        reader(Mills(60, set(range(10, 60)))).cases()
    assert str(refused.value).splitlines()[-2:] == [
        "  mills.json, row 29: field 'prompt': expected text",
        "  ... and 30 more",
    ]


def test_a_table_of_malformed_rows_is_read_no_further_than_cases_are_wanted() -> None:
    mills = Mills(10_000, set(range(10_000)))
    with pytest.raises(UserError, match="4 malformed rows"):
        reader(mills, limit=4).cases()
    assert mills.read <= 5


def test_rows_read_ahead_are_checked_at_once_and_later_ones_when_they_are_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selection, "READ_AHEAD", 3)
    with pytest.raises(UserError, match=r"mills.json, row 1: "):
        reader(Mills(9, {1, 7})).read_ahead()
    candidates = reader(Mills(9, {7})).read_ahead()
    assert [next(candidates).id for _ in range(7)] == [str(number) for number in range(7)]
    with pytest.raises(UserError, match=r"mills.json, row 7: "):
        next(candidates)


def test_malformed_rows_may_be_left_out_and_are_listed() -> None:
    mills = reader(Mills(5, {2, 4}), skip_malformed=True)
    assert [c.id for c in mills.cases()] == ["0", "1", "3"]
    facts = mills.facts()
    assert facts["malformed"] == 2
    assert [row["place"] for row in facts["malformed_listed"]] == ["mills.json, row 2", "mills.json, row 4"]
    assert next(mills.notes()).startswith("2 malformed rows left out; the first: mills.json, row 2: ")


@given(st.integers(3, 40), st.integers(1, 3), st.integers(0, 9), st.booleans())
def test_examples_are_set_aside_and_never_evaluated(count: int, examples: int, seed: int, drawn: bool) -> None:
    mills = reader(Mills(count), seed=seed, **({"sample": count} if drawn else {}))
    aside = {c.id for c in mills.examples(examples)}
    assert len(aside) == examples
    assert {c.id for c in mills.cases()} == {str(number) for number in range(count)} - aside
    assert mills.facts()["set_aside"] == sorted(aside)
    assert aside == {c.id for c in reader(Mills(count), seed=seed).examples(examples)}


def test_too_few_cases_for_the_examples() -> None:
    with pytest.raises(UserError, match="4 examples are wanted and it holds 3 cases that fit"):
        reader(Mills(3)).examples(4)


def test_nothing_to_run_and_an_id_that_occurs_twice() -> None:
    with pytest.raises(UserError, match="dataset mills: it holds no case"):
        require_some("mills", [])
    with pytest.raises(UserError, match="the case id '1' occurs 2 times, '3' occurs 3 times"):
        require_some("mills", [case(1), case(2), case(1), case(3), case(3), case(3)])


def test_the_hash_is_of_everything_in_its_order() -> None:
    assert content_hash([case(1), case(2)]) != content_hash([case(2), case(1)])
    assert content_hash([case(1)]) == content_hash([case(1)])


@pytest.mark.parametrize(("pair", "said"), [("source", "write --where TAG=VALUE"), ("=NQ", "write --where TAG=VALUE")])
def test_pairs_of_another_form(pair: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_where([pair])
    with pytest.raises(UserError, match="source is given twice"):
        parse_where(["source=NQ", "source=TQA"])
