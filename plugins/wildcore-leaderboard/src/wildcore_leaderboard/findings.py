"""What ``wildcore leaderboard check`` finds out about a submission."""

from pathlib import Path

from wildcore import FrozenData
from wildcore.reporting.headline import counted


class Problem(FrozenData):
    """Something wrong with a submission: in which file or field, and what."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class Unchecked(FrozenData):
    """Something that was not checked: a metric, or "dataset"; and why."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class Verdict(FrozenData):
    """The result of the check of the run at ``run``.

    ``unchecked`` was not checked because the caller allows that; what is not allowed is among the ``problems``. ``named`` lists
    what a reader must know: protocols that are variants, editors with other parameters than published, given patches.
    ``unknowable`` says what no check of a run folder can find out. ``cases``, ``answers`` and ``scores`` count what was read;
    ``recomputed`` counts the scores that were computed again.
    """

    schema_number: int = 1
    run: str
    valid: bool
    problems: tuple[Problem, ...]
    unchecked: tuple[Unchecked, ...]
    named: tuple[str, ...]
    unknowable: tuple[str, ...]
    cases: int
    answers: int
    scores: int
    recomputed: int

    def in_a_sentence(self) -> str:
        """Return the verdict in one sentence: the first problem and the number of the others, or what was checked."""
        if self.problems:
            others = len(self.problems) - 1
            more = f" (and {counted(others, 'more problem')})" if others else ""
            return f"{self.run} is not a valid submission: {self.problems[0]}{more}"
        missing = f"; not checked: {', '.join(one.what for one in self.unchecked)}" if self.unchecked else ""
        read = f"{counted(self.cases, 'case')}, {counted(self.answers, 'answer')}"
        scores = f"{self.recomputed} of {counted(self.scores, 'score')} computed again"
        return f"{self.run} is a valid submission: {read}, {scores}{missing}"


def in_file(path: Path, problem: str, line: int | None = None) -> Problem:
    """Return a finding in a file, or a line of it."""
    return Problem(where=path.name if line is None else f"{path.name}, line {line}", problem=problem)
