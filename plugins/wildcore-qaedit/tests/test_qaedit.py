"""QAEdit is read as it is, and what is wrong with a row is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from wildcore_qaedit import QAEditParams
from wildcore_qaedit.dataset import QAEdit

from wildcore import EditCase, Malformed, UserError
from wildcore.testing.real_data import real_data

REAL = real_data(__file__, "data/qaedit_1k.json")
ROW: dict[str, Any] = {
    "id": 7,
    "source": "NQ",
    "prompt": "who keeps the mill",
    "target": " Anna ",
    "subject": "the mill",
    "rephrase": "Who is the keeper of the mill?",
    "locality": [{"loc": "who rang", "loc_ans": "Tim"}, {"loc": "who sang", "loc_ans": "Tom"}],
}


def read(path: Path, **params: Any) -> list[EditCase | Malformed]:
    return list(QAEdit(QAEditParams(path=path, **params)).cases())


def write(path: Path, *rows: Any) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_a_row_becomes_a_case(tmp_path: Path) -> None:
    (case,) = read(write(tmp_path / "q.json", ROW))
    assert isinstance(case, EditCase)
    assert (case.id, case.tags) == ("NQ-7", {"stray-white-space": "target", "source": "NQ"})
    assert (case.request.prompt, case.request.target, case.request.subject) == (
        "who keeps the mill",
        "Anna",
        "the mill",
    )
    probes = [(probe.kind, probe.prompt, probe.answers) for probe in case.probes]
    assert probes == [
        ("reliability", "who keeps the mill", ("Anna",)),
        ("generalization", "Who is the keeper of the mill?", ("Anna",)),
        ("locality", "who rang", ("Tim",)),
    ]


def test_more_locality_questions_can_be_asked(tmp_path: Path) -> None:
    (case,) = read(write(tmp_path / "q.json", ROW), locality_probes=2)
    assert isinstance(case, EditCase)
    assert [probe.prompt for probe in case.probes if probe.kind == "locality"] == ["who rang", "who sang"]


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        ({"target": ""}, "row 2", "field 'target': expected text that is not empty, found ''"),
        ({"id": "seven"}, "row 2", "field 'id': expected a whole number, found 'seven'"),
        ({"locality": {"loc": 1}}, "row 2", "field 'locality': expected a list of objects, found {'loc': 1}"),
        ({"locality": [{"loc": "x"}]}, "row 2, locality[0]", "the field 'loc_ans' is missing; did you mean 'loc'?"),
    ],
)
def test_a_malformed_row_is_named_and_reading_goes_on(
    tmp_path: Path, change: dict[str, Any], place: str, problem: str
) -> None:
    file = write(tmp_path / "q.json", ROW, ROW | change, ROW | {"id": 8})
    first, second, third = read(file)
    assert second == Malformed(place=f"{file}, {place}", problem=problem)
    assert isinstance(first, EditCase)
    assert isinstance(third, EditCase)
    assert third.id == "NQ-8"


def test_a_data_set_in_the_form_of_the_hubs_gives_the_same_cases(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    file, other = write(tmp_path / "q.json", ROW), {"id": 8, "source": "SQA"}
    (tmp_path / "hub" / "train.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW | other)}\n")
    first, second = QAEdit(QAEditParams(hub=str(tmp_path / "hub"))).cases()
    assert [first] == read(file)
    assert isinstance(second, EditCase)
    assert second.id == "SQA-8"


def test_without_a_path_the_authors_data_set_on_the_hub_is_meant() -> None:
    assert QAEditParams().hub == "WenDingY/QAEdit"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.path=.*none\.json: cannot be read: No such file or directory"):
        read(tmp_path / "none.json")


def test_the_authors_file_is_read_whole() -> None:
    if not REAL.is_file():
        pytest.skip("the authors' file is not here")
    cases = [case for case in read(REAL, locality_probes=5) if isinstance(case, EditCase)]
    assert len({case.id for case in cases}) == len(cases) == 1000
    assert all(str(case.request.subject) in case.request.prompt for case in cases)
    assert all(len(case.probes) == 7 for case in cases)
    assert {case.tags["source"] for case in cases} == {"NQ", "TQA", "SQA"}
