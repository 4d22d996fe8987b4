"""ZsRE is read as it is, with and without portability questions, and what is wrong with a row is named."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from wildcore_zsre import ZsREParams
from wildcore_zsre.dataset import ZsRE

from wildcore import EditCase, Malformed, UserError
from wildcore.testing.real_data import real_data

DATA = real_data(__file__, "data")
ROW: dict[str, Any] = {
    "subject": "the mill",
    "src": "Who keeps the mill?",
    "pred": "Paul",
    "rephrase": "Who is the keeper of the mill?",
    "alt": " Anna",
    "answers": ["Peter", "Petra"],
    "loc": "nq question: who rang the bell",
    "loc_ans": "Tim",
    "cond": "Paul >> Anna || Who keeps the mill?",
}
ONE_HOP = {
    "Recalled Relation": "(Anna, lives in, Ulm)",
    "New Question": "Where does the keeper of the mill live?",
    "New Answer": "Ulm",
}


def read(path: Path, *rows: Any) -> list[EditCase | Malformed]:
    path.write_text(json.dumps(rows))
    return list(ZsRE(ZsREParams(path=path)).cases())


def probes(case: EditCase | Malformed) -> list[tuple[str, str, tuple[str, ...], str | None]]:
    assert isinstance(case, EditCase)
    return [(probe.kind, probe.prompt, probe.answers, probe.rival) for probe in case.probes]


def test_a_row_becomes_a_case(tmp_path: Path) -> None:
    (case,) = read(tmp_path / "z.json", ROW)
    assert isinstance(case, EditCase)
    assert (case.id, case.request.target, case.request.ground_truth) == ("1", "Anna", "Peter")
    assert probes(case) == [
        ("reliability", "Who keeps the mill?", ("Anna",), "Peter"),
        ("generalization", "Who is the keeper of the mill?", ("Anna",), "Peter"),
        ("locality", "who rang the bell", ("Tim",), None),
    ]


def test_a_portability_question_becomes_a_probe(tmp_path: Path) -> None:
    with_one, with_aliases, without = read(
        tmp_path / "z.json",
        ROW | {"portability": ONE_HOP},
        ROW | {"portability": ONE_HOP | {"New Answer": ["Ulm", "Ulm on the Danube"]}},
        ROW | {"portability": None},
    )
    question = ONE_HOP["New Question"]
    assert probes(with_one)[3:] == [("portability", question, ("Ulm",), None)]
    assert probes(with_aliases)[3:] == [("portability", question, ("Ulm", "Ulm on the Danube"), None)]
    assert probes(without)[3:] == []


def test_a_target_that_is_a_true_answer_has_no_rival(tmp_path: Path) -> None:
    for answers in (["anna"], ["Peter", "Anna "], [], None):
        (case,) = read(tmp_path / "z.json", ROW | {"answers": answers})
        assert isinstance(case, EditCase)
        assert case.request.ground_truth is None
        assert {probe.rival for probe in case.probes} == {None}


def test_cases_are_named_by_their_place_whatever_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "z.json"
    cases = read(path, ROW, ROW | {"src": 3, "alt": None}, "x", ROW)
    assert [case.id for case in cases if isinstance(case, EditCase)] == ["1", "4"]
    assert cases[1:3] == [
        Malformed(place=f"{path}, row 2", problem="field 'alt': expected text that is not empty, found None"),
        Malformed(place=f"{path}, row 3", problem="expected an object with fields, found 'x'"),
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"loc_ans": ""}, "field 'loc_ans': expected at least one answer, found ''"),
        ({"answers": [["Peter"]]}, "field 'answers': expected text that is not empty, found ['Peter']"),
        ({"portability": {"Question": "x"}}, "the field 'portability.New Question' is missing; did you mean "),
        ({"portability": ONE_HOP | {"New Answer": []}}, "field 'portability.New Answer': expected at least one answer"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "z.json"
    (malformed,) = read(path, ROW | change)
    assert isinstance(malformed, Malformed)
    assert malformed.place == f"{path}, row 1"
    assert malformed.problem.startswith(problem)


def test_a_data_set_in_the_form_of_the_hubs_gives_the_same_cases(tmp_path: Path) -> None:
    rows = [ROW | {"portability": ONE_HOP}, ROW | {"portability": None}]
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "validation.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = ZsRE(ZsREParams(hub=str(tmp_path / "hub"), split="validation")).cases()
    assert list(found) == read(tmp_path / "z.json", *rows)


def test_no_source_is_said() -> None:
    with pytest.raises(UserError, match=r"nothing to read; name a file with dataset\.path=FILE"):
        ZsRE(ZsREParams()).cases()


def real(name: str) -> list[EditCase]:
    if not (DATA / name).is_file():
        pytest.skip(f"the real file {name} is not here")
    cases = list(ZsRE(ZsREParams(path=DATA / name)).cases())
    return [case for case in cases if isinstance(case, EditCase)]


@pytest.mark.parametrize(
    ("name", "count", "true_targets", "portability"),
    [("zsre_3k.json", 3000, 116, 0), ("zsre_portability_1k.json", 1037, 29, 1037)],
)
def test_a_real_file_is_read_whole(name: str, count: int, true_targets: int, portability: int) -> None:
    cases = real(name)
    assert [case.id for case in cases] == [str(number) for number in range(1, count + 1)]
    kinds = Counter(probe.kind for case in cases for probe in case.probes)
    assert kinds == Counter(reliability=count, generalization=count, locality=count, portability=portability)
    assert sum(case.request.ground_truth is None for case in cases) == true_targets
    assert all(str(case.request.subject) in case.request.prompt for case in cases)
    assert not any(probe.prompt.startswith("nq question") for case in cases for probe in case.probes)
