"""Three edits of a run that show what its numbers mean: one that holds, one that does not, one that is right and goes on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from wildcore.defaults import WILD
from wildcore.records.continuations import after_the_answer
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.reporting.console import print_line
from wildcore.types import Answer, EvalProtocol

HOLDS, FAILS, GOES_ON = "Holds", "Does not hold", "Right, but goes on"
MISSING = {
    HOLDS: "no answer to an edit prompt is right",
    FAILS: "every answer to an edit prompt is right",
    GOES_ON: "no right answer is known to go on after the cut",
}
LONGEST_QUESTION = 100
LONGEST_ANSWER = 60


@dataclass(frozen=True)
class Told:
    """The answer to an edit prompt under a protocol, with the scores of all protocols after the edit."""

    case: CaseRecord
    probe: ProbeRecord
    before: float | None
    after: float
    elsewhere: Mapping[str, float]


def telling(cases: Sequence[CaseRecord], scores: Iterable[ScoreRecord], protocol: str) -> dict[str, Told | None]:
    """Return one edit of each kind, None where there is none. The choice depends on the run alone.

    Answers are those to edit prompts under ``protocol``, right if its first metric scores them 1 after the edit. In the order
    of the run:

    - ``Right, but goes on``: the first right answer after whose cut the model is known to have said more.
    - ``Holds``: of the other right answers, the first that was wrong before the edit, else the first.
    - ``Does not hold``: the first of those that another protocol scores highest, because that is the difference between the
      protocols.
    """
    told = list(_told(cases, scores, protocol))
    right = [one for one in told if one.after == 1]
    goes_on = next((one for one in right if after_the_answer(one.probe)[0] == "went on"), None)
    ended = [one for one in right if one is not goes_on]
    wrong = [one for one in told if one.after < 1]
    return {
        HOLDS: next((one for one in ended if one.before is not None and one.before < 1), next(iter(ended), None)),
        FAILS: max(wrong, key=lambda one: max(one.elsewhere.values(), default=0.0), default=None),
        GOES_ON: goes_on,
    }


def _told(cases: Sequence[CaseRecord], scores: Iterable[ScoreRecord], protocol: str) -> Iterator[Told]:
    """Yield the scored answer to each edit prompt, by the first metric of each protocol."""
    first: dict[str, str] = {}
    values: dict[tuple[str, str, int], ScoreRecord] = {}
    for score in scores:
        if score.kind == "reliability" and score.metric == first.setdefault(score.protocol, score.metric):
            values.setdefault((score.case, score.protocol, score.probe), score)
    for case in cases:
        asked = [probe for probe in case.probes if probe.kind == "reliability"]
        found = {probe.protocol: values.get((case.case, probe.protocol, probe.probe)) for probe in asked}
        after = {name: score.after for name, score in found.items() if score and score.after is not None}
        for probe in asked:
            own = found[probe.protocol]
            if probe.protocol == protocol and own and own.after is not None:
                elsewhere = {name: value for name, value in after.items() if name != protocol}
                yield Told(case, probe, own.before, own.after, elsewhere)


def asked_under(protocols: Sequence[EvalProtocol]) -> str | None:
    """Return the protocol whose answers are shown: wild, else a variant of it, else the first. None: there is none."""
    wild = [one.name for one in protocols if WILD in (one.name, one.variant_of)]
    return next(iter([*wild, *(one.name for one in protocols)]), None)


def print_telling(
    console: Console,
    cases: Sequence[CaseRecord],
    scores: Sequence[ScoreRecord],
    protocol: str,
    labels: Mapping[str, str],
) -> None:
    """Print an edit of each kind under ``protocol``, and which kinds the run does not have."""
    console.print()
    print_line(console, f"Answers under {labels.get(protocol, protocol)}, before and after the edit:")
    for kind, told in telling(cases, scores, protocol).items():
        if told is None:
            print_line(console, f"{kind}: {MISSING[kind]}.", indent=2)
            continue
        print_line(console, f"{kind}: {told.probe.question}", LONGEST_QUESTION, 2)
        print_line(console, _answers(told, labels), indent=4)


def _answers(told: Told, labels: Mapping[str, str]) -> str:
    went_on, more = after_the_answer(told.probe)
    highest, value = max(told.elsewhere.items(), key=lambda item: item[1], default=("", told.after))
    elsewhere = [f"scored {value:.2f} under {labels.get(highest, highest)}"] if value > told.after else []
    return ", ".join(
        [
            f"gold {quoted(told.probe.answers[0])}",
            f"before {first_answer(told.probe, told.probe.before)}",
            f"after {first_answer(told.probe, told.probe.after)}",
            *([f"then {quoted(more)}"] if went_on == "went on" else []),
            *elsewhere,
        ]
    )


def first_answer(probe: ProbeRecord, answers: Sequence[Answer]) -> str:
    """Return an answer as it is quoted: the first of several samples, or why there is none."""
    if not answers:
        return f"no answer ({probe.unanswered})" if probe.unanswered else "no answer"
    return quoted(answers[0].text) + (f" (first of {len(answers)} samples)" if len(answers) > 1 else "")


def quoted(text: str) -> str:
    """Return text in quotation marks, cut, with escapes for what a terminal would interpret."""
    return repr(text if len(text) <= LONGEST_ANSWER else text[: LONGEST_ANSWER - 1] + "…")
