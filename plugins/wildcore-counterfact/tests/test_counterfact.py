"""CounterFact is read in both its forms, and what is wrong with a row is named."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from wildcore_counterfact import CounterFactParams
from wildcore_counterfact.dataset import CounterFact

from wildcore import EditCase, Malformed
from wildcore.testing.real_data import real_data

REAL = real_data(__file__, "data/counterfact_10k.json")
FLAT: dict[str, Any] = {
    "case_id": 3,
    "prompt": "The keeper of the mill is called",
    "target_new": "Anna",
    "subject": "the mill",
    "ground_truth": "Peter",
    "rephrase_prompt": "Whoever keeps the mill is called",
    "locality_prompt": "The keeper of the well is called",
    "locality_ground_truth": "Peter",
}
NESTED: dict[str, Any] = {
    "case_id": 3,
    "pararel_idx": 12,
    "requested_rewrite": {
        "prompt": "The keeper of {} is called",
        "relation_id": "P9",
        "target_new": {"str": "Anna", "id": "Q1"},
        "target_true": {"str": "Peter", "id": "Q2"},
        "subject": "the mill",
    },
    "paraphrase_prompts": ["Whoever keeps the mill is called", "It rains. The mill is kept by"],
    "neighborhood_prompts": [
        "The keeper of the well is called",
        "The well is kept by",
        "Whoever keeps the gate is called",
    ],
    "attribute_prompts": ["The keeper of the bridge is called"],
    "generation_prompts": ["The mill lies", "The mill lies"],
}


def read(path: Path, *rows: Any, **params: Any) -> list[EditCase | Malformed]:
    path.write_text(json.dumps(rows))
    return list(CounterFact(CounterFactParams(path=path, **params)).cases())


def read_one(path: Path, row: Any, **params: Any) -> EditCase:
    (case,) = read(path, row, **params)
    assert isinstance(case, EditCase)
    return case


def probes(case: EditCase) -> list[tuple[str, str, str, str | None]]:
    assert all(len(probe.answers) == 1 for probe in case.probes)
    return [(probe.kind, probe.prompt, probe.answers[0], probe.rival) for probe in case.probes]


def test_a_flat_row_becomes_a_case_from_json_and_json_lines(tmp_path: Path) -> None:
    case = read_one(tmp_path / "c.json", FLAT)
    lines = tmp_path / "c.jsonl"
    lines.write_text(json.dumps(FLAT) + "\n\n")
    assert list(CounterFact(CounterFactParams(path=lines)).cases()) == [case]
    assert (case.id, case.request.subject, case.request.ground_truth) == ("3", "the mill", "Peter")
    assert probes(case) == [
        ("reliability", "The keeper of the mill is called", "Anna", "Peter"),
        ("generalization", "Whoever keeps the mill is called", "Anna", "Peter"),
        ("locality", "The keeper of the well is called", "Peter", "Anna"),
    ]


def test_an_unrelated_fact_of_a_flat_row_has_no_rival(tmp_path: Path) -> None:
    case = read_one(tmp_path / "c.json", FLAT | {"locality_prompt": "Snow is", "locality_ground_truth": "white"})
    assert probes(case)[-1] == ("locality", "Snow is", "white", None)


def test_a_nested_row_becomes_a_case_with_all_its_paraphrases_and_neighbours(tmp_path: Path) -> None:
    case = read_one(tmp_path / "c.json", NESTED)
    assert case.request == read_one(tmp_path / "flat.json", FLAT).request
    assert case.id == "3"
    assert probes(case) == [
        ("reliability", "The keeper of the mill is called", "Anna", "Peter"),
        ("generalization", "Whoever keeps the mill is called", "Anna", "Peter"),
        ("generalization", "It rains. The mill is kept by", "Anna", "Peter"),
        ("locality", "The keeper of the well is called", "Peter", "Anna"),
        ("locality", "The well is kept by", "Peter", "Anna"),
        ("locality", "Whoever keeps the gate is called", "Peter", "Anna"),
    ]


def test_what_is_not_asked_is_counted_in_tags(tmp_path: Path) -> None:
    case = read_one(tmp_path / "c.json", NESTED)
    assert case.tags == {"relation": "P9", "generation_prompts": "2", "attribute_prompts": "1"}
    assert not {"The mill lies", "The keeper of the bridge is called"} & {probe.prompt for probe in case.probes}


@pytest.mark.parametrize("row", [FLAT, NESTED], ids=["flat", "nested"])
@pytest.mark.parametrize(("paraphrases", "neighbours"), [(0, 1), (1, 0), (1, 2), (9, 9)])
def test_the_probes_can_be_limited(tmp_path: Path, row: dict[str, Any], paraphrases: int, neighbours: int) -> None:
    everything = probes(read_one(tmp_path / "c.json", row))
    limited = probes(read_one(tmp_path / "c.json", row, paraphrases=paraphrases, neighbours=neighbours))
    asked = {kind: [probe for probe in everything if probe[0] == kind] for kind in ("generalization", "locality")}
    expected = asked["generalization"][:paraphrases] + asked["locality"][:neighbours]
    assert limited == [everything[0], *expected]


def test_the_released_data_set_is_read_from_parquet_and_in_the_form_of_the_hubs(tmp_path: Path) -> None:
    case = read_one(tmp_path / "c.json", NESTED)
    (tmp_path / "hub").mkdir()
    file = tmp_path / "hub" / "test.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([NESTED]), file)
    assert list(CounterFact(CounterFactParams(path=file)).cases()) == [case]
    assert list(CounterFact(CounterFactParams(hub=str(tmp_path / "hub"), split="test")).cases()) == [case]


def rewritten(**change: Any) -> dict[str, Any]:
    return NESTED | {"requested_rewrite": NESTED["requested_rewrite"] | change}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({key: FLAT[key] for key in FLAT if key != "subject"}, "the field 'subject' is missing; known: "),
        (FLAT | {"case_id": None}, "field 'case_id': expected a whole number, found None"),
        (rewritten(prompt="The keeper"), "field 'requested_rewrite.prompt': expected one {} for the subject, found "),
        (rewritten(prompt="{} or {}"), "field 'requested_rewrite.prompt': expected one {} for the subject, found "),
        (
            rewritten(target_true={"id": "Q2"}),
            "the field 'requested_rewrite.target_true.str' is missing; did you mean ",
        ),
        (
            NESTED | {"paraphrase_prompts": ["x", 3.5, ""]},
            "field 'paraphrase_prompts': expected text that is not empty",
        ),
        (NESTED | {"requested_rewrite": {}}, "the field 'requested_rewrite.prompt' is missing; did you mean "),
    ],
)
def test_a_malformed_row_is_named_and_reading_goes_on(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = tmp_path / "c.json"
    malformed, case = read(path, row, NESTED)
    assert isinstance(malformed, Malformed)
    assert malformed.place == f"{path}, row 1"
    assert malformed.problem.startswith(problem)
    assert isinstance(case, EditCase)


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "c.jsonl"
    lines.write_text(json.dumps(FLAT) + "\n" + json.dumps(FLAT)[:-9] + "\n")
    _, malformed = CounterFact(CounterFactParams(path=lines)).cases()
    assert isinstance(malformed, Malformed)
    assert malformed.place.startswith(f"{lines}, line 2, column ")
    assert malformed.problem.startswith("not valid JSON: ")


def test_a_real_file_is_read_whole() -> None:
    if not REAL.is_file():
        pytest.skip("the real file is not here")
    cases = [case for case in CounterFact(CounterFactParams(path=REAL)).cases() if isinstance(case, EditCase)]
    assert len({case.id for case in cases}) == len(cases) == 10_000
    assert all(str(case.request.subject) in case.request.prompt for case in cases)
    # every unrelated fact of this file is a neighbour: the old object is true of it
    assert all(probe.rival for case in cases for probe in case.probes)
