"""The metric ``human-labels``: labels given by people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wildcore import AnsweredProbe, Environment, Malformed, Metric, Parameter, Score, UserError
from wildcore.datasets import MalformedRow, Row, TableParams, bad_rows, read_table
from wildcore.equivalence import canonical
from wildcore_judge.parameters import HumanLabelsParams

FORMATS = (".csv", ".jsonl")
CORRECT = ("correct", "1", "1.0", "a")
INCORRECT = ("incorrect", "0", "0.0", "b")

Judged = tuple[str, str, str]
"""Question, gold and answer, without surrounding white space and in Unicode's form NFC."""


@dataclass(frozen=True)
class Label:
    """A label, and its place in the file."""

    is_correct: bool
    place: str


@dataclass(frozen=True)
class Labels:
    """The labels of a file. ``blank`` counts rows without a label."""

    file: Path
    labels: dict[Judged, Label]
    blank: int


class HumanLabels(Metric):
    """1 for an answer labelled correct, 0 for one labelled incorrect, no value for one without a label."""

    expensive = True  # so that it receives a whole run at once, and can count the labels that match nothing

    def __init__(self, params: HumanLabelsParams) -> None:
        """Read the file of labels. Raises ``UserError`` naming every row that is not a label."""
        self.labels = read_labels(params.file)
        self._environment: Environment | None = None

    def prepare(self, environment: Environment) -> None:
        """Store where notes are shown."""
        self._environment = environment

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        """Score each item by the label of its question, gold and answer."""
        judged = [_judged(item.question, item.answers[0], item.answer.text) for item in items]
        found = [self.labels.labels.get(key) for key in judged]
        unused = len(self.labels.labels.keys() - set(judged))
        if self._environment is not None:
            self._environment.progress.note(
                f"{self.labels.file}: {sum(label is not None for label in found)} of {len(items)} answers have a label; "
                f"{unused} of {len(self.labels.labels)} labels match no answer; {self.labels.blank} rows have no label"
            )
        return [_score(label) for label in found]


def read_labels(file: Path) -> Labels:
    """Read a whole file of labels.

    Raises ``UserError`` naming every row that is not a label, or that contradicts an earlier one.
    """
    named = Parameter("metric.human-labels.file", file)
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"the file must end in {' or '.join(FORMATS)}", named)
    labels: dict[Judged, Label] = {}
    bad: list[Malformed] = []
    blank = 0
    for row in _rows(file):
        found = row if isinstance(row, Malformed) else _read(row)
        if isinstance(found, Malformed):
            bad.append(found)
            continue
        judged, label = found
        if label is None:
            blank += 1
        elif (earlier := labels.setdefault(judged, label)).is_correct != label.is_correct:
            problem = f"contradicts {earlier.place}, which labels the same answer the other way"
            bad.append(Malformed(place=label.place, problem=problem))
    if bad:
        raise bad_rows(named, bad, "mend them or take them out")
    return Labels(file, labels, blank)


def _rows(file: Path) -> Iterator[Row | Malformed]:
    try:
        yield from read_table(TableParams(path=file, plain_values=False))  # texts must be those of the answers
    except UserError as error:  # messages of the table reader speak of the dataset
        raise error.renamed({"dataset.path": lambda path: Parameter("metric.human-labels.file", path)}) from error


def _read(row: Row) -> tuple[Judged, Label | None] | Malformed:
    try:
        return _label(row)
    except MalformedRow as error:
        return Malformed(place=error.place, problem=error.problem)


def _label(row: Row) -> tuple[Judged, Label | None]:
    for name in ("answer", "label"):
        row.require(name)
    judged = _judged(row.text("question"), row.text("gold"), row.optional_text("answer") or "")
    if not row.holds("label"):
        return judged, None
    said = row.text("label").lower()
    if said not in CORRECT + INCORRECT:
        raise MalformedRow(row.place, f"label {said!r}: expected correct, incorrect, 1, 0, A or B")
    return judged, Label(said in CORRECT, row.place)


def _judged(question: str, gold: str, answer: str) -> Judged:
    return canonical(question.strip()), canonical(gold.strip()), canonical(answer.strip())


def _score(label: Label | None) -> Score:
    if label is None:
        return Score(value=None, reason="no label")
    return Score(value=float(label.is_correct), details={"label": label.place})
