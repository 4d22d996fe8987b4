"""Labels given by people."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wildcore_judge.labels import HumanLabels, read_labels
from wildcore_judge.parameters import HumanLabelsParams

from wildcore import AnsweredProbe, Environment, UserError
from wildcore.equivalence import canonical
from wildcore.testing.conformance import quiet_environment

from .judge_server import probe

COLUMNS = ["question", "gold", "answer", "label"]
WORDS = [("correct", 1.0), ("INCORRECT", 0.0), ("1", 1.0), ("0", 0.0), ("A", 1.0), ("b", 0.0), (" Correct ", 1.0)]


def written(folder: Path, rows: list[list[Any]], columns: list[str] = COLUMNS, name: str = "labels.csv") -> Path:
    file = folder / name
    if file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([columns, *rows])
    else:
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def scored(file: Path, items: list[AnsweredProbe], environment: Environment | None = None) -> list[float | None]:
    metric = HumanLabels(HumanLabelsParams(file=file))
    metric.prepare(environment or quiet_environment(file.parent))
    return [score.value for score in metric.score(items)]


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
@pytest.mark.parametrize(("word", "value"), WORDS)
def test_words_for_a_label(word: str, value: float, name: str, tmp_path: Path) -> None:
    file = written(tmp_path, [["Where?", "Paris", "Rome", word]], name=name)
    assert scored(file, [probe("Rome")]) == [value]


def test_numbers_as_json_has_them(tmp_path: Path) -> None:
    rows = [["Where?", "Paris", "Rome", 0], ["Where?", 7, 7, 1], ["Where?", 7.5, 7.5, 1.0]]
    file = written(tmp_path, rows, name="labels.jsonl")
    assert scored(file, [probe("Rome"), probe("7", ("7",)), probe("7.5", ("7.5",))]) == [0.0, 1.0, 1.0]


def test_matching_is_by_question_gold_and_answer_without_white_space_around(tmp_path: Path) -> None:
    file = written(tmp_path, [[" Where? ", "Paris", "in Paris,\nI think ", "1"], ["Where?", "Paris", "", "0"]])
    items = [
        probe("in Paris,\nI think", (" Paris", "Lutetia"), "Where?\n"),
        probe("In Paris,\nI think"),
        probe("in Paris,\nI think", ("Lutetia", "Paris")),
        probe("in Paris,\nI think", question="Who?"),
        probe(""),
    ]
    assert scored(file, items) == [1.0, None, None, None, 0.0]


def test_what_has_no_label_says_so_and_what_has_one_says_where(tmp_path: Path) -> None:
    file = written(tmp_path, [["Where?", "Paris", "Rome", "0"]])
    labelled, other = HumanLabels(HumanLabelsParams(file=file)).score([probe("Rome"), probe("Oslo")])
    assert labelled.details == {"label": f"{file}, line 2"}
    assert (other.value, other.reason) == (None, "no label")


def test_what_matched_nothing_is_counted(tmp_path: Path) -> None:
    rows = [
        ["Where?", "Paris", city, label] for city, label in (("Rome", "0"), ("Oslo", "0"), ("Bern", "0"), ("X", ""))
    ]
    environment = quiet_environment(tmp_path)
    file = written(tmp_path, rows)
    scored(file, [probe("Rome"), probe("Rome"), probe("Madrid")], environment)
    assert environment.progress.notes == [  # type: ignore[attr-defined]
        f"{file}: 2 of 3 answers have a label; 2 of 3 labels match no answer; 1 rows have no label"
    ]


def test_labels_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    rows = [["Where?", "Paris", "a\nb", "1"], ["Who?", "x", "y", "0"], ["Where? ", "Paris", "a\nb", "B"]]
    file = written(tmp_path, rows)
    with pytest.raises(UserError) as error:
        read_labels(file)
    assert str(error.value) == (
        f"{file}, line 5: contradicts {file}, line 2, which labels the same answer the other way (mend them or take them out)"
    )


def test_all_rows_that_are_no_labels_are_named(tmp_path: Path) -> None:
    rows = [["q", "g", "a", "maybe"], ["q", "g", "a", "1"], ["q", "g"], ["q", "g", "a", "0"]]
    with pytest.raises(UserError, match="3 malformed rows") as error:
        read_labels(written(tmp_path, rows))
    found = [line.partition(": ")[0].rpartition(", ")[2] for line in str(error.value).splitlines()[1:]]
    assert found == ["line 2", "line 4", "line 5"]


def test_the_same_label_twice_is_one(tmp_path: Path) -> None:
    file = written(tmp_path, [["Where?", "Paris", "x", "1"], ["Where?", "Paris", " x", "correct"]])
    assert len(read_labels(file).labels) == 1


@pytest.mark.parametrize(
    ("row", "columns", "wrong"),
    [
        (["q", "g", "a", "maybe"], COLUMNS, r"line 2: label 'maybe': expected correct, incorrect, 1, 0, A or B"),
        (["", "g", "a", "1"], COLUMNS, r"line 2: field 'question': expected text that is not empty"),
        (["q", "g", "a", "1"], ["question", "gold", "answer", "lable"], r"'label' is missing; did you mean 'lable'"),
        (["q", "g", "a"], COLUMNS, r"line 2: expected 4 cells, as in the header, found 3"),
    ],
)
def test_a_row_that_is_no_label_is_refused(row: list[str], columns: list[str], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=wrong):
        read_labels(written(tmp_path, [row], columns))


def test_an_ending_that_tells_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"human-labels\.file=.*labels\.txt: the file must end in \.csv or \.jsonl"):
        read_labels(tmp_path / "labels.txt")


TEXT = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip).map(canonical)
)
JUDGED = st.tuples(TEXT, TEXT, TEXT).map(lambda texts: tuple(map(str.strip, texts)))


@given(labels=st.dictionaries(JUDGED, st.booleans(), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_every_label_is_found_again(name: str, tmp_path: Path, labels: dict[Any, bool]) -> None:
    file = written(tmp_path, [[*key, str(int(label))] for key, label in labels.items()], name=name)
    items = [probe(answer, (gold,), question) for question, gold, answer in labels]
    assert scored(file, items) == [float(label) for label in labels.values()]
