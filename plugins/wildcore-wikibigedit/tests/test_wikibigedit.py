"""WikiBigEdit is read in both its forms, and what is wrong with a row is named."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from wildcore_wikibigedit import WikiBigEditParams
from wildcore_wikibigedit.dataset import WikiBigEdit

from wildcore import EditCase, Malformed
from wildcore.testing.real_data import real_data

REAL = real_data(__file__, "data/wikibigedit_3k.json")
FLAT: dict[str, Any] = {
    "prompt": "Who keeps the mill?",
    "target_new": "Anna",
    "subject": "the mill",
    "rephrase_prompt": "Who is the keeper of the mill?",
    "locality_prompt": "Who keeps the well?",
    "locality_ground_truth": "Tim",
}
RELEASED: dict[str, Any] = {
    "tag": "update",
    "relation": "keeper",
    "subject": "the mill",
    "update": "Who keeps the mill?",
    "ans": "Anna",
    "rephrase": "Who is the keeper of the mill?",
    "personas": "Say, mate, who keeps that mill?",
    "loc": "Who keeps the well?",
    "loc_ans": "Tim",
    "mhop": None,
    "mhop_ans": None,
}


def read(path: Path, *rows: Any, **params: Any) -> list[EditCase | Malformed]:
    path.write_text(json.dumps(rows))  # which writes NaN as the authors' files do
    return list(WikiBigEdit(WikiBigEditParams(path=path, **params)).cases())


def probes(case: EditCase | Malformed) -> list[tuple[str, str, tuple[str, ...]]]:
    assert isinstance(case, EditCase)
    return [(probe.kind, probe.prompt, probe.answers) for probe in case.probes]


def test_both_forms_give_the_same_edit_and_probes(tmp_path: Path) -> None:
    flat, released = read(tmp_path / "w.json", FLAT, RELEASED)
    assert isinstance(flat, EditCase)
    assert isinstance(released, EditCase)
    assert (flat.request.prompt, flat.request.target, flat.request.subject) == (
        "Who keeps the mill?",
        "Anna",
        "the mill",
    )
    assert released.request == flat.request
    assert (
        probes(released)
        == probes(flat)
        == [
            ("reliability", "Who keeps the mill?", ("Anna",)),
            ("generalization", "Who is the keeper of the mill?", ("Anna",)),
            ("locality", "Who keeps the well?", ("Tim",)),
        ]
    )
    assert (flat.id, released.id) == ("1", "2")
    assert (flat.tags, released.tags) == ({}, {"tag": "update", "relation": "keeper"})


def test_a_question_of_several_hops_becomes_a_portability_probe(tmp_path: Path) -> None:
    hops = {"mhop": "Where does the keeper of the mill live?", "mhop_ans": "Ulm"}
    (case,) = read(tmp_path / "w.json", RELEASED | hops)
    assert probes(case)[3:] == [("portability", "Where does the keeper of the mill live?", ("Ulm",))]


def test_a_persona_is_asked_only_when_wanted(tmp_path: Path) -> None:
    (case,) = read(tmp_path / "w.json", RELEASED, personas=True)
    assert [prompt for kind, prompt, _ in probes(case) if kind == "generalization"] == [
        "Who is the keeper of the mill?",
        "Say, mate, who keeps that mill?",
    ]


def test_a_tag_that_is_not_a_number_is_no_tag(tmp_path: Path) -> None:
    before, case, after = read(tmp_path / "w.json", RELEASED, RELEASED | {"tag": float("nan")}, RELEASED)
    assert isinstance(case, EditCase)
    assert case.tags == {"relation": "keeper"}
    assert isinstance(before, EditCase)
    assert isinstance(after, EditCase)
    assert (before.id, case.id, after.id) == ("1", "2", "3")
    assert before.tags == after.tags == {"tag": "update", "relation": "keeper"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**RELEASED, "ans": None}, "field 'ans': expected text that is not empty, found None"),
        ({**RELEASED, "mhop": "Where?"}, "field 'mhop_ans': expected at least one answer, found None"),
        ({**RELEASED, "update": ""}, "field 'update': expected text that is not empty, found ''"),
        (
            {**FLAT, "rephrase_prompt": 0, "locality_prompt": " "},
            "field 'locality_prompt': expected text that is not empty",
        ),
    ],
)
def test_a_malformed_row_is_named_and_reading_goes_on(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = tmp_path / "w.json"
    malformed, case = read(path, row, FLAT)
    assert isinstance(malformed, Malformed)
    assert malformed.place == f"{path}, row 1"
    assert malformed.problem.startswith(problem)
    assert isinstance(case, EditCase)
    assert case.id == "2"


def test_several_files_of_a_data_set_in_the_form_of_the_hubs_are_read_one_after_the_other(tmp_path: Path) -> None:
    for number, ans in enumerate(["Anna", "Berta"]):
        rows = [RELEASED | {"ans": ans, "tag": tag} for tag in ("update", float("nan"))]
        (tmp_path / f"wiki_big_edit_2024{number}.json").write_text(json.dumps(rows))
    cases = [c for c in WikiBigEdit(WikiBigEditParams(hub=str(tmp_path))).cases() if isinstance(c, EditCase)]
    assert [(case.id, case.request.target, case.tags.get("tag")) for case in cases] == [
        ("1", "Anna", "update"),
        ("2", "Anna", None),
        ("3", "Berta", "update"),
        ("4", "Berta", None),
    ]


def test_without_a_path_the_authors_data_set_on_the_hub_is_meant() -> None:
    assert WikiBigEditParams().hub == "lukasthede/WikiBigEdit"


def test_a_real_file_is_read_whole() -> None:
    if not REAL.is_file():
        pytest.skip("the real file is not here")
    cases = [c for c in WikiBigEdit(WikiBigEditParams(path=REAL)).cases() if isinstance(c, EditCase)]
    assert [case.id for case in cases] == [str(number) for number in range(1, 3001)]
    kinds = Counter(probe.kind for case in cases for probe in case.probes)
    assert kinds == Counter(reliability=3000, generalization=3000, locality=3000)
    assert all(str(case.request.subject) in case.request.prompt for case in cases)
