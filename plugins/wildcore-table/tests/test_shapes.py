"""Published shapes of data files give their edits and questions, recognised by their fields or named."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from wildcore_table import MappedTableParams
from wildcore_table.dataset import MappedTable
from wildcore_table.shapes import SHAPES

from wildcore import EditCase, Malformed
from wildcore.errors import render

MAYOR = {"prompt": "The mayor of {} is", "subject": "Oldford", "target_new": {"str": "Ada Holm", "id": "Q1"}}
MAYOR |= {"target_true": {"str": "Jon Reed", "id": "Q2"}, "relation_id": "P6"}
RIVER = {
    "prompt": "{} flows into",
    "subject": "The Ilse",
    "target_new": {"str": "the Ems"},
    "target_true": {"str": "the Elbe"},
}

ROWS: dict[str, Any] = {
    "counterfact": {
        "case_id": 7,
        "requested_rewrite": MAYOR,
        "paraphrase_prompts": ["Long ago. Oldford is led by"],
        "neighborhood_prompts": ["The mayor of Newford is", "The mayor of Elmford is"],
        "attribute_prompts": ["The mayor of Ashford is"],
        "generation_prompts": ["Oldford is a town"],
    },
    "mquake": {
        "case_id": 3,
        "requested_rewrite": [MAYOR | {"question": "Who is the mayor of Oldford?"}],
        "questions": ["Who is the mother of Oldford's mayor?", "Whose child is the mayor of Oldford?"],
        "answer": "Eva Reed",
        "answer_alias": ["E. Reed"],
        "new_answer": "Mina Holm",
        "new_answer_alias": ["M. Holm", "Mina Holm"],
        "single_hops": [
            {"question": "Who is the mayor of Oldford?", "cloze": "The mayor of Oldford is", "answer": "Jon Reed"}
        ],
    },
    "knowedit": {
        "subject": "Oldford",
        "prompt": "The mayor of Oldford is",
        "target_new": "Ada Holm",
        "ground_truth": ["Jon Reed"],
        "rephrase_prompt": "Oldford's mayor is called",
        "cond": "Jon Reed >> Ada Holm || The mayor of Oldford is",
        "portability": {
            "Reasoning": [
                {"prompt": "The mother of Oldford's mayor is", "ground_truth": [["Mina Holm", "M. Holm"], ["Mina"]]}
            ],
            "Subject_Aliasing": [{"prompt": "The mayor of the Old Ford is", "ground_truth": "Ada Holm"}],
            "Logical_Generalization": [{"prompt": "Jon Reed is the mayor of", "ground_truth": [[""]]}],
        },
        "locality": {
            "Relation_Specificity": [
                {"prompt": ["Oldford's river is", "Oldford lies in"], "ground_truth": [["the Ilse"], ["Wessex"]]}
            ],
            "Forgetfulness": [],
        },
    },
    "rippleedits": {
        "example_type": "popular",
        "edit": {
            "prompt": "The name of the mayor of Oldford on Ilse is Ada Holm.",
            "subject_id": "Q1",
            "relation": "MAYOR",
            "original_fact": {"prompt": "The name of the mayor of Oldford on Ilse is Ada Reed.", "subject_id": "Q1"},
        },
        "Relation_Specificity": [
            {
                "test_queries": [
                    {
                        "prompt": "The name of the river of Oldford on Ilse is",
                        "answers": [{"value": "the Ilse", "aliases": ["Ilse"]}],
                    }
                ],
                "test_condition": "OR",
                "condition_queries": [
                    {"prompt": "The river of Oldford on Ilse is", "answers": [{"value": "Ilse", "aliases": []}]}
                ],
            },
            {
                "test_queries": [{"prompt": "The gender of the mayor of Oldford on Ilse is", "answers": []}],
                "condition_queries": [],
            },
        ],
        "Logical_Generalization": [],
        "Compositionality_I": [
            {
                "test_queries": [
                    {
                        "prompt": "The name of the mother of the mayor of Oldford on Ilse is",
                        "answers": [
                            {"value": "Mina Holm", "aliases": []},
                            {"value": "Mina Reed", "aliases": ["M. Reed"]},
                        ],
                        "query_type": "two_hop",
                    }
                ],
                "condition_queries": [],
            }
        ],
        "Forgetfulness": [],
    },
    "unke": {
        "id": 4,
        "question": "What is Oldford known for?",
        "answer": "Oldford is known for its mill. The mill was built in 1904.",
        "para_question": "Why do people know Oldford?",
        "sub_question": ["When was the mill built?", "What is Oldford known for?"],
        "sub_answer": ["1904", "its mill"],
    },
    "nq-open": {"question": "who is the mayor of oldford", "answer": ["Ada Holm", "A. Holm", "Ada Holm"]},
    "triviaqa": {
        "question": "Who is the mayor of Oldford?",
        "question_id": "tc_2",
        "answer": {"value": "Ada Holm", "aliases": ["A. Holm", "Ada Holm"], "normalized_aliases": ["a holm"]},
        "search_results": {},
    },
    "squad": {
        "id": "56be",
        "title": "Oldford",
        "context": "Ada Holm is the mayor of Oldford.",
        "question": "Who is the mayor of Oldford?",
        "answers": {"text": ["Ada Holm", "Holm", "Ada Holm"], "answer_start": [0, 4, 0]},
    },
    "popqa": {
        "id": 12,
        "subj": "Ada Holm",
        "prop": "occupation",
        "obj": "politician",
        "question": "What is Ada Holm's occupation?",
        "possible_answers": '["politician", "political leader"]',
        "s_pop": 142,
    },
    "easyedit": {
        "case_id": 5,
        "prompt": "The mayor of Oldford is",
        "target_new": "Ada Holm",
        "subject": "Oldford",
        "ground_truth": "Jon Reed",
        "rephrase_prompt": "Oldford is led by",
        "locality_prompt": "The mayor of Newford is",
        "locality_ground_truth": "Tom Lee",
    },
}

MAYOR_OF_OLDFORD = ("The mayor of Oldford is", "Ada Holm", "Oldford", (), "Jon Reed")
QUESTION = "Who is the mayor of Oldford?"
RIPPLE = "The name of the mayor of Oldford on Ilse is"
EXPECTED: dict[str, tuple[str, tuple[Any, ...], list[tuple[str, str, tuple[str, ...], str | None]]]] = {
    "counterfact": (
        "7",
        MAYOR_OF_OLDFORD,
        [
            ("generalization", "Long ago. Oldford is led by", ("Ada Holm",), "Jon Reed"),
            ("locality", "The mayor of Newford is", ("Jon Reed",), "Ada Holm"),
            ("locality", "The mayor of Elmford is", ("Jon Reed",), "Ada Holm"),
        ],
    ),
    "mquake": (
        "3",
        MAYOR_OF_OLDFORD,
        [
            ("generalization", QUESTION, ("Ada Holm",), "Jon Reed"),
            ("portability", "Who is the mother of Oldford's mayor?", ("Mina Holm", "M. Holm"), "Eva Reed"),
            ("portability", "Whose child is the mayor of Oldford?", ("Mina Holm", "M. Holm"), "Eva Reed"),
        ],
    ),
    "knowedit": (
        "1",
        MAYOR_OF_OLDFORD,
        [
            ("generalization", "Oldford's mayor is called", ("Ada Holm",), "Jon Reed"),
            ("locality", "Oldford's river is", ("the Ilse",), None),
            ("locality", "Oldford lies in", ("Wessex",), None),
            ("portability", "The mother of Oldford's mayor is", ("Mina Holm", "M. Holm", "Mina"), None),
            ("portability", "The mayor of the Old Ford is", ("Ada Holm",), None),
        ],
    ),
    "rippleedits": (
        "1",
        (RIPPLE, "Ada Holm", "Oldford on Ilse", (), "Ada Reed"),
        [
            ("locality", "The name of the river of Oldford on Ilse is", ("the Ilse", "Ilse"), None),
            (
                "portability",
                "The name of the mother of the mayor of Oldford on Ilse is",
                ("Mina Holm", "Mina Reed", "M. Reed"),
                None,
            ),
        ],
    ),
    "unke": (
        "4",
        ("What is Oldford known for?", "Oldford is known for its mill. The mill was built in 1904.", None, (), None),
        [
            (
                "generalization",
                "Why do people know Oldford?",
                ("Oldford is known for its mill. The mill was built in 1904.",),
                None,
            ),
            ("portability", "When was the mill built?", ("1904",), None),
            ("portability", "What is Oldford known for?", ("its mill",), None),
        ],
    ),
    "nq-open": ("1", ("who is the mayor of oldford", "Ada Holm", None, ("A. Holm",), None), []),
    "triviaqa": ("tc_2", (QUESTION, "Ada Holm", None, ("A. Holm",), None), []),
    "squad": ("56be", (QUESTION, "Ada Holm", None, ("Holm",), None), []),
    "popqa": (
        "12",
        ("What is Ada Holm's occupation?", "politician", "Ada Holm", ("political leader",), None),
        [],
    ),
    "easyedit": (
        "5",
        MAYOR_OF_OLDFORD,
        [
            ("generalization", "Oldford is led by", ("Ada Holm",), "Jon Reed"),
            ("locality", "The mayor of Newford is", ("Tom Lee",), None),
        ],
    ),
}
"""For each shape: the id, the request, and the probes after that of the edit prompt."""

NOTES = {
    "counterfact": "fields that are not used: attribute_prompts (1 rows), generation_prompts (1 rows)",
    "mquake": "fields that are not used: answer_alias (1 rows), single_hops (1 rows)",
    "knowedit": "questions without an answer, left out: 1 (the first: FILE, row 1, portability.Logical_Generalization[0])",
    "rippleedits": "queries that say when a question applies, not asked: 1 (the first: FILE, row 1, Relation_Specificity[0])",
    "triviaqa": "fields that are not used: answer.normalized_aliases (1 rows)",
    "squad": "fields that are not used: title (1 rows), context (1 rows), answers.answer_start (1 rows)",
    "popqa": "fields that are not used: prop (1 rows), s_pop (1 rows)",
}


def read(path: Path, content: Any, **params: Any) -> tuple[list[EditCase | Malformed], list[str]]:
    """Return the cases of a JSON file, and the notes with FILE in place of its name."""
    path.write_text(json.dumps(content))
    dataset = MappedTable(MappedTableParams(path=path, **params))
    cases = list(dataset.cases())
    return cases, [render(note).replace(str(path), "FILE") for note in dataset.notes()]


def request(case: EditCase | Malformed) -> tuple[Any, ...]:
    assert isinstance(case, EditCase), case
    edit = case.request
    return edit.prompt, edit.target, edit.subject, edit.aliases, edit.ground_truth


def probes(case: EditCase | Malformed) -> list[tuple[str, str, tuple[str, ...], str | None]]:
    assert isinstance(case, EditCase), case
    return [(probe.kind, probe.prompt, probe.answers, probe.rival) for probe in case.probes]


def test_every_shape_is_tested() -> None:
    assert {shape.name for shape in SHAPES} == set(ROWS) == set(EXPECTED)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("named", [False, True])
def test_a_published_shape_is_read(tmp_path: Path, name: str, named: bool) -> None:
    (case,), notes = read(tmp_path / "t.json", [ROWS[name]], shape=name if named else "auto")
    identity, edit, others = EXPECTED[name]
    assert isinstance(case, EditCase), case
    assert (case.id, request(case)) == (identity, edit)
    own = ("reliability", edit[0], (edit[1], *edit[3]), edit[4])
    assert probes(case) == [own, *others]
    assert any(note.startswith(f"recognised as {name} by its fields") for note in notes) != named
    assert name not in NOTES or NOTES[name] in notes, notes


@pytest.mark.parametrize("multi_hop", ["single-edits", "all"])
def test_a_case_of_several_edits_gives_one_case_for_each(tmp_path: Path, multi_hop: str) -> None:
    row = ROWS["mquake"] | {"requested_rewrite": [MAYOR, RIVER]}
    (first, second), notes = read(tmp_path / "t.json", [row], multi_hop=multi_hop)
    assert isinstance(first, EditCase)
    assert isinstance(second, EditCase)
    assert (first.id, second.id) == ("3-1", "3-2")
    assert request(second) == ("The Ilse flows into", "the Ems", "The Ilse", (), "the Elbe")
    assert [kind for kind, *_ in probes(first)] == ["reliability"]
    asked = ["portability", "portability"] if multi_hop == "all" else []
    assert [kind for kind, *_ in probes(second)] == ["reliability", *asked]
    assert any(note.startswith("cases whose questions of several hops need several edits") for note in notes) != bool(
        asked
    )


def test_squad_and_triviaqa_as_released_are_objects_around_their_rows(tmp_path: Path) -> None:
    questions = [
        {
            "id": "a",
            "question": QUESTION,
            "answers": [{"text": "Ada Holm", "answer_start": 0}, {"text": "Holm", "answer_start": 4}],
        },
        {"id": "b", "question": "Who is the mayor of Mars?", "answers": [], "is_impossible": True},
    ]
    squad = {"version": "v2.0", "data": [{"title": "Oldford", "paragraphs": [{"context": "...", "qas": questions}]}]}
    (case,), notes = read(tmp_path / "t.json", squad)
    assert isinstance(case, EditCase)
    assert (case.id, request(case)) == ("a", (QUESTION, "Ada Holm", None, ("Holm",), None))
    assert notes[0] == "FILE: its rows are the list 'data'"
    assert "questions without an answer, left out: 1 (the first: FILE, row 1, paragraphs[0], qas[1])" in notes
    trivia = {"Question": QUESTION, "QuestionId": "q", "Answer": {"Value": "Ada Holm", "Aliases": ["A. Holm"]}}
    (case,), notes = read(tmp_path / "u.json", {"Domain": "Web", "Data": [trivia], "VerifiedEval": False})
    assert isinstance(case, EditCase)
    assert (case.id, request(case)) == ("q", (QUESTION, "Ada Holm", None, ("A. Holm",), None))


def test_popqa_as_released_is_a_file_of_tabs(tmp_path: Path) -> None:
    with (tmp_path / "popQA.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS["popqa"]), dialect="excel-tab")
        writer.writeheader()
        writer.writerow(ROWS["popqa"])
    (case,) = MappedTable(MappedTableParams(path=tmp_path / "popQA.tsv")).cases()
    assert request(case) == EXPECTED["popqa"][1]


@pytest.mark.parametrize("name", ["squad", "triviaqa", "knowedit", "mquake", "nq-open"])
def test_a_shape_is_the_same_after_pandas_has_written_it(tmp_path: Path, name: str) -> None:
    frame = pandas.DataFrame([ROWS[name]])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_json(tmp_path / "t.json")
    pandas.read_json(tmp_path / "t.json").to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    for path in tmp_path.iterdir():
        (case,) = MappedTable(MappedTableParams(path=path)).cases()
        assert request(case) == EXPECTED[name][1], path
        assert probes(case)[1:] == EXPECTED[name][2], path


def test_wikibio_of_knowedit(tmp_path: Path) -> None:
    row = {
        "text": "Ada Holm was a politician.",
        "labels": "She led Oldford.",
        "concept": "ada holm",
        "locality": {"Relation_Specificity": [{"prompt": "The gender of ada holm is", "ground_truth": ["female"]}]},
    }
    (case,), _ = read(tmp_path / "t.json", [row])
    assert request(case) == ("Ada Holm was a politician.", "She led Oldford.", "ada holm", (), None)
    assert probes(case)[1:] == [("locality", "The gender of ada holm is", ("female",), None)]


@pytest.mark.parametrize(
    ("edit", "aliasing", "prompt", "target", "aliases"),
    [
        (
            {"prompt": "The heir of Bo is Life is Good Ltd.."},
            ["Good", "Life is Good Ltd."],
            "The heir of Bo is",
            "Life is Good Ltd.",
            ("Good",),
        ),
        ({"prompt": "The heir of Bo is Ann."}, ["Anna", "Ann"], "The heir of Bo is", "Ann", ("Anna",)),
        (
            {
                "prompt": "The country of Bo is United Arab Emirates.",
                "original_fact": {"prompt": "The country of Bo is United Kingdom."},
            },
            [],
            "The country of Bo is",
            "United Arab Emirates",
            (),
        ),
        ({"prompt": "The director of Life is Sweet is Ann."}, [], "The director of Life is Sweet is", "Ann", ()),
    ],
)
def test_the_answer_of_an_edit_of_rippleedits_is_told_from_its_sentence(
    tmp_path: Path, edit: Any, aliasing: list[str], prompt: str, target: str, aliases: tuple[str, ...]
) -> None:
    answers = [{"value": aliasing[0], "aliases": aliasing[1:]}] if aliasing else []
    tests = [{"test_queries": [{"prompt": "The heir of Beau is", "answers": answers}]}] if aliasing else []
    row = {"edit": edit, "Relation_Specificity": [], "Subject_Aliasing": tests}
    (case,), _ = read(tmp_path / "t.json", [row])
    assert request(case)[:2] == (prompt, target)
    assert request(case)[3] == aliases


def test_a_sentence_without_an_answer_is_named(tmp_path: Path) -> None:
    (malformed,), _ = read(tmp_path / "t.json", [{"edit": {"prompt": "Bo rules."}, "Relation_Specificity": []}])
    assert isinstance(malformed, Malformed)
    assert malformed.problem == "field 'edit.prompt': the new answer cannot be told from the rest of 'Bo rules'"


def test_fields_of_ones_own_names_are_no_published_shape(tmp_path: Path) -> None:
    row = {"prompt": "Who?", "target": "Ann", "question": "Whom?", "answer": "Bo"}
    (case,), notes = read(tmp_path / "t.json", [row])
    assert (request(case)[:2], notes) == (("Who?", "Ann"), [])
    (case,), notes = read(tmp_path / "t.json", [row], prompt="question", target="answer")
    assert (request(case)[:2], notes) == (("Whom?", "Bo"), [])
    (case,), _ = read(tmp_path / "t.json", [row], shape="nq-open")
    assert request(case)[:2] == ("Whom?", "Bo")
    (malformed,), _ = read(tmp_path / "t.json", [ROWS["nq-open"]], shape="none")
    assert isinstance(malformed, Malformed)
    assert (
        malformed.problem
        == "the field 'prompt' is missing; known: answer, question; dataset.prompt=FIELD names another"
    )


def test_a_parameter_completes_a_flat_shape_and_is_refused_for_a_nested_one(tmp_path: Path) -> None:
    row = ROWS["nq-open"] | {"about": "oldford"}
    (case,), _ = read(tmp_path / "t.json", [row], subject="about")
    assert request(case)[2] == "oldford"
    (malformed,), _ = read(tmp_path / "t.json", [ROWS["mquake"]], subject="case_id")
    assert isinstance(malformed, Malformed)
    assert malformed.problem.startswith("the shape mquake names its own fields; leave out dataset.subject, or set ")


@pytest.mark.parametrize(
    ("off", "kind"),
    [("rephrase", "generalization"), ("locality_prompt", "locality"), ("portability_prompt", "portability")],
)
@pytest.mark.parametrize("name", ["knowedit", "unke", "easyedit"])
def test_parts_of_a_shape_are_switched_off(tmp_path: Path, name: str, off: str, kind: str) -> None:
    (whole,), _ = read(tmp_path / "t.json", [ROWS[name]])
    (case,), _ = read(tmp_path / "t.json", [ROWS[name]], **{off: False})
    assert probes(case) == [probe for probe in probes(whole) if probe[0] != kind]


def test_subject_aliases_and_old_answer_of_a_shape_are_switched_off(tmp_path: Path) -> None:
    (case,), _ = read(tmp_path / "t.json", [ROWS["knowedit"]], subject=False, ground_truth=False, aliases=False)
    assert request(case) == ("The mayor of Oldford is", "Ada Holm", None, (), None)
