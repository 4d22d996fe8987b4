"""CounterFact is read as it is, and what is wrong with a row is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from wildcore_counterfact.dataset import CounterFact

from wildcore import UserError

REAL = Path(__file__).parents[4] / "shared" / "data" / "counterfact_10k.json"
ROW: dict[str, Any] = {
    "case_id": 3,
    "prompt": "The keeper of the mill is called",
    "target_new": "Anna",
    "subject": "the mill",
    "ground_truth": "Peter",
    "rephrase_prompt": "Whoever keeps the mill is called",
    "locality_prompt": "Snow is",
    "locality_ground_truth": "white",
}


def test_a_row_becomes_a_case_from_json_and_json_lines(tmp_path: Path) -> None:
    whole, lines = tmp_path / "c.json", tmp_path / "c.jsonl"
    whole.write_text(json.dumps([ROW]))
    lines.write_text(json.dumps(ROW) + "\n\n")
    case = next(CounterFact(whole).cases())
    assert next(CounterFact(lines).cases()) == case
    assert (case.id, case.request.ground_truth) == ("3", "Peter")
    assert [(probe.kind, probe.answers[0]) for probe in case.probes] == [
        ("reliability", "Anna"),
        ("generalization", "Anna"),
        ("locality", "white"),
    ]


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "c.jsonl"
    lines.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW)[:-9] + "\n")
    with pytest.raises(UserError, match=r"c\.jsonl, line 2, column \d+: not valid JSON"):
        list(CounterFact(lines).cases())
    lines.write_text(json.dumps({k: v for k, v in ROW.items() if k != "subject"}) + "\n")
    with pytest.raises(UserError, match="line 1: the field 'subject' is missing"):
        list(CounterFact(lines).cases())


def test_a_real_file_is_read_whole() -> None:
    if not REAL.is_file():
        pytest.skip("the real file is not here")
    cases = list(CounterFact(REAL).cases())
    assert len({case.id for case in cases}) == len(cases) == 10_000
    assert all(case.request.subject in case.request.prompt for case in cases)
