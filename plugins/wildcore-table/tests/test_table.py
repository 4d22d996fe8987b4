"""Any table becomes cases through a mapping of its fields; what the mapping does not fit is named."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from wildcore_table import MappedTableParams
from wildcore_table.dataset import MappedTable

from wildcore import EditCase, Malformed
from wildcore.params import build

README = Path(__file__).parents[1] / "README.md"
ROW: dict[str, Any] = {
    "prompt": "Who keeps the mill?",
    "target": "Anna",
    "subject": "the mill",
    "aliases": ["Anna B.", "Miss B."],
    "ground_truth": "Peter",
    "rephrase": ["Who is the keeper of the mill?", "Whose is the mill?"],
    "locality_prompt": ["Who rang?", "Who sang?"],
    "locality_answer": ["Tim", "Tom"],
    "portability_prompt": "Where does the keeper of the mill live?",
    "portability_answer": ["Ulm", "Ulm on the Danube"],
}
ACCEPTED = ("Anna", "Anna B.", "Miss B.")
PROBES = [
    ("reliability", "Who keeps the mill?", ACCEPTED, "Peter"),
    ("generalization", "Who is the keeper of the mill?", ACCEPTED, "Peter"),
    ("generalization", "Whose is the mill?", ACCEPTED, "Peter"),
    ("locality", "Who rang?", ("Tim",), None),
    ("locality", "Who sang?", ("Tom",), None),
    ("portability", "Where does the keeper of the mill live?", ("Ulm", "Ulm on the Danube"), None),
]
Probes = list[tuple[str, str, tuple[str, ...], str | None]]


def cases(**params: Any) -> list[EditCase | Malformed]:
    return list(MappedTable(MappedTableParams(**params)).cases())


def read(path: Path, *rows: Any, **params: Any) -> list[EditCase | Malformed]:
    path.write_text(json.dumps(rows))
    return cases(path=path, **params)


def probes(case: EditCase | Malformed) -> Probes:
    assert isinstance(case, EditCase), case
    return [(probe.kind, probe.prompt, probe.answers, probe.rival) for probe in case.probes]


def test_fields_of_the_parameters_own_names_need_no_mapping(tmp_path: Path) -> None:
    (case,) = read(tmp_path / "r.json", ROW)
    assert isinstance(case, EditCase)
    assert probes(case) == PROBES
    assert (case.id, case.tags) == ("1", {})
    assert case.request.model_dump() == {
        "prompt": "Who keeps the mill?",
        "target": "Anna",
        "subject": "the mill",
        "aliases": ("Anna B.", "Miss B."),
        "ground_truth": "Peter",
    }


def test_only_prompt_and_target_must_be_there(tmp_path: Path) -> None:
    (case,) = read(tmp_path / "r.json", {"prompt": "Who?", "target": 1998})
    assert probes(case) == [("reliability", "Who?", ("1998",), None)]
    assert isinstance(case, EditCase)
    assert (case.request.subject, case.request.ground_truth, case.request.aliases) == (None, None, ())


def test_fields_are_mapped_by_name_and_by_path(tmp_path: Path) -> None:
    row = {
        "edit": {"text": {"q": "Who keeps the mill?"}, "new": "Anna"},
        "other.words": "Whose is the mill?",
        "key": 17,
    }
    mapping = {"prompt": "edit.text.q", "target": "edit.new", "rephrase": "other.words", "id": "key"}
    (case,) = read(
        tmp_path / "r.json", row | {"year": 2024, "from": "us", "note": ""}, **mapping, tags=("year", "from", "note")
    )
    assert isinstance(case, EditCase)
    assert (case.id, case.tags) == ("17", {"year": "2024", "from": "us"})
    assert [probe.prompt for probe in case.probes] == ["Who keeps the mill?", "Whose is the mill?"]


def parted(value: Any) -> str:
    return " ; ".join(value) if isinstance(value, list) else value


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv", "parquet", "hub"])
def test_every_format_gives_the_same_cases(tmp_path: Path, form: str) -> None:
    path, cells = tmp_path / f"r.{form}", {name: parted(value) for name, value in ROW.items()}
    if form == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROW]), path)
    elif form == "hub":
        (tmp_path / "train.jsonl").write_text(json.dumps(ROW))
        path = tmp_path
    elif form in ("csv", "tsv"):
        delimiter = "," if form == "csv" else "\t"
        path.write_text(delimiter.join(cells) + "\n" + delimiter.join(cells.values()) + "\n")
    else:
        path.write_text(json.dumps([ROW] if form == "json" else ROW))
    source = {"hub": str(path)} if form == "hub" else {"path": path}
    (case,) = cases(**source, separator=";")
    assert probes(case) == PROBES


def test_empty_cells_are_no_probes(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("prompt,target,rephrase,locality_prompt,locality_answer\nWho?,Anna,,,\nWho?,Anna,x,y,z\n")
    without, with_them = cases(path=path, rephrase="rephrase")
    assert [probe[0] for probe in probes(without)] == ["reliability"]
    assert [probe[0] for probe in probes(with_them)] == ["reliability", "generalization", "locality"]


def test_without_a_separator_a_cell_is_one_text(tmp_path: Path) -> None:
    (case,) = read(tmp_path / "r.json", {"prompt": "Who?", "target": "Anna", "aliases": "A; B"})
    assert probes(case) == [("reliability", "Who?", ("Anna", "A; B"), None)]


def test_the_first_of_several_answers_is_the_target(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Who?", "target": target, "aliases": "C"} for target in (["A", "B", "A"], '["A", "B"]', "A|B", "A")
    ]
    found = read(tmp_path / "r.json", *rows)
    assert [probes(case)[0][2] for case in found] == [("A", "B", "C"), ("A", "B", "C"), ("A|B", "C"), ("A", "C")]
    found = read(tmp_path / "r.json", *rows, separator="|")
    assert [probes(case)[0][2] for case in found] == [("A", "B", "C"), ("A", "B", "C"), ("A", "B", "C"), ("A", "C")]


def test_elements_of_lists_and_nested_fields_are_mapped(tmp_path: Path) -> None:
    row = {"q": ["Who?", "Whom?"], "a": [{"text": "Anna", "other": ["A."]}, {"text": "Bo", "other": []}]}
    (case,) = read(tmp_path / "r.json", row, prompt="q.0", target="a.0.text", aliases="a.0.other", rephrase="q.1")
    assert probes(case) == [
        ("reliability", "Who?", ("Anna", "A."), None),
        ("generalization", "Whom?", ("Anna", "A."), None),
    ]
    (case,) = read(tmp_path / "r.json", row, prompt="q.1", target="a.text")
    assert probes(case) == [("reliability", "Whom?", ("Anna", "Bo"), None)]


def test_a_placeholder_stands_for_the_subject_in_every_prompt(tmp_path: Path) -> None:
    row = {"prompt": "{} lies in", "target": "Ulm", "subject": "The mill", "rephrase": ["Where is {}?"]}
    row |= {"portability_prompt": "{} lies on the river", "portability_answer": "Danube"}
    (case,) = read(tmp_path / "r.json", row)
    assert [probe[1] for probe in probes(case)] == [
        "The mill lies in",
        "Where is The mill?",
        "The mill lies on the river",
    ]


@pytest.mark.parametrize(
    ("off", "lacks"),
    [
        ("rephrase", {"generalization"}),
        ("locality_prompt", {"locality"}),
        ("portability_prompt", {"portability"}),
        ("subject", set()),
        ("aliases", set()),
        ("ground_truth", set()),
    ],
)
def test_a_field_is_switched_off_even_if_the_table_has_it(tmp_path: Path, off: str, lacks: set[str]) -> None:
    settings = {off: yaml.safe_load("off"), "path": tmp_path / "r.json"}
    (tmp_path / "r.json").write_text(json.dumps([ROW]))
    (case,) = MappedTable(build(MappedTableParams, settings, "table")).cases()
    assert isinstance(case, EditCase)
    assert {probe.kind for probe in case.probes} == {"reliability", *(kind for kind, *_ in PROBES)} - lacks
    if not lacks:
        assert not getattr(case.request, off)


def test_a_mark_of_a_missing_value_is_no_answer_unless_it_is_meant(tmp_path: Path) -> None:
    row = {"prompt": "How many moons has Venus?", "target": "None", "subject": "NULL"}
    (malformed,) = read(tmp_path / "r.json", row)
    assert isinstance(malformed, Malformed)
    assert (
        malformed.problem
        == "field 'target': expected text that is not empty, found 'None', which stands for a missing value"
    )
    (case,) = read(tmp_path / "r.json", row | {"subject": "Venus"}, missing_values=())
    assert probes(case) == [("reliability", "How many moons has Venus?", ("None",), None)]


OPTIONAL = [
    "subject",
    "aliases",
    "ground_truth",
    "rephrase",
    "locality_prompt",
    "locality_answer",
    "portability_prompt",
    "portability_answer",
    "id",
]


@pytest.mark.parametrize("name", ["prompt", "target", *OPTIONAL])
def test_a_field_that_the_user_names_must_be_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.json"
    fits, lacks = read(path, ROW | {f"my_{name}": ROW.get(name, "x")}, ROW, **{name: f"my_{name}"})
    assert isinstance(fits, EditCase), fits
    assert isinstance(lacks, Malformed)
    assert lacks.place == f"{path}, row 2"
    assert lacks.problem.startswith(f"the field 'my_{name}' is missing; ")


def test_a_tag_that_the_user_names_must_be_there(tmp_path: Path) -> None:
    (malformed,) = read(tmp_path / "r.json", ROW, tags=("origin",))
    assert isinstance(malformed, Malformed)
    assert malformed.problem.startswith("the field 'origin' is missing; ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"prompt": ""}, "field 'prompt': expected text that is not empty, found ''"),
        ({"target": [{"a": 1}]}, "field 'target': expected text that is not empty, found {'a': 1}"),
        ({"locality_answer": ["Tim"]}, "2 locality questions and 1 answers; each question needs its answer"),
        ({"locality_prompt": None}, "0 locality questions and 2 answers; each question needs its answer"),
        ({"portability_answer": None}, "1 portability questions and 0 answers; each question needs its answer"),
        ({"rephrase": {"a": 1}}, "field 'rephrase': expected text that is not empty, found {'a': 1}"),
    ],
)
def test_a_malformed_row_is_named_and_reading_goes_on(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "r.json"
    malformed, case = read(path, ROW | change, ROW)
    assert malformed == Malformed(place=f"{path}, row 1", problem=problem)
    assert isinstance(case, EditCase)
    assert case.id == "2"


def test_the_readmes_example_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text(encoding="utf-8").replace("\\\n", "")
    (table,) = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    (command,) = re.findall(r"^    (wildcore eval .*)$", text, re.MULTILINE)
    pairs = [word.partition("=") for word in shlex.split(command) if word.startswith("dataset.")]
    params = build(
        MappedTableParams, {key.removeprefix("dataset."): yaml.safe_load(value) for key, _, value in pairs}, "table"
    )
    monkeypatch.chdir(tmp_path)
    Path("questions.csv").write_text(table, encoding="utf-8")
    council, ferry, mural = MappedTable(params).cases()
    assert len(pairs) == 9
    assert [probe[0] for probe in probes(council)] == ["reliability", "generalization", "generalization", "locality"]
    assert [probe[0] for probe in probes(ferry)] == ["reliability", "locality"]
    assert [probe[0] for probe in probes(mural)] == ["reliability"]
    for case in (council, ferry, mural):
        assert isinstance(case, EditCase)
        assert str(case.request.subject) in case.request.prompt
    assert probes(council)[0] == ("reliability", "Who chairs the Brightwater council?", ("Ada Holm",), "Jon Reed")
