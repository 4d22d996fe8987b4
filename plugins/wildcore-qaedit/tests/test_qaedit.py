"""QAEdit is read as it is, and what is wrong with a row is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from wildcore_qaedit.dataset import QAEdit

from wildcore import UserError

REAL = Path(__file__).parents[4] / "shared" / "data" / "qaedit_1k.json"
ROW: dict[str, Any] = {
    "id": 7,
    "source": "NQ",
    "prompt": "who keeps the mill",
    "target": " Anna ",
    "subject": "the mill",
    "rephrase": "Who is the keeper of the mill?",
    "locality": [{"loc": "who rang", "loc_ans": "Tim"}, {"loc": "who sang", "loc_ans": "Tom"}],
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_a_row_becomes_a_case(tmp_path: Path) -> None:
    case = next(QAEdit(write(tmp_path / "q.json", ROW), 1).cases())
    assert (case.id, case.tags["source"]) == ("NQ-7", "NQ")
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
    case = next(QAEdit(write(tmp_path / "q.json", ROW), 2).cases())
    assert [probe.prompt for probe in case.probes if probe.kind == "locality"] == ["who rang", "who sang"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": ""}, "row 2: field 'target': expected text that is not empty, found ''"),
        ({"id": "7"}, "row 2: field 'id': expected a whole number, found '7'"),
        ({"locality": {"loc": 1}}, "row 2: field 'locality': expected a list of objects"),
        ({"locality": [{"loc": "x"}]}, r"row 2, locality\[0\]: the field 'loc_ans' is missing"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "q.json", ROW, ROW | change)
    with pytest.raises(UserError, match=message):
        list(QAEdit(file, 1).cases())


def test_the_authors_file_is_read_whole() -> None:
    if not REAL.is_file():
        pytest.skip("the authors' file is not here")
    cases = list(QAEdit(REAL, 5).cases())
    assert len(cases) == 1000
    assert len({case.id for case in cases}) == 1000
    assert all(case.request.subject in case.request.prompt for case in cases)
    assert all(len(case.probes) == 7 for case in cases)
