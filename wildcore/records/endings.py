"""How a run's answers ended: by a stop of the truncator or otherwise, and how many a line break at their beginning ended."""

import re
from collections.abc import Iterable, Iterator, Sequence

from wildcore.records.schema import CaseRecord
from wildcore.scripts import STOPS
from wildcore.types import Answer, EvalProtocol, FrozenData

NOT_ASKED = ("teacher-forced", "forced-length")
"""Why generation ends in strategies that do not ask the truncator."""

STOP_OUTSIDE_ASCII = re.compile(f"(?![.!?])[{STOPS}]")


class Endings(FrozenData):
    """How the answers under a protocol ended, before and after the edits.

    ``by_a_stop`` counts those that the truncator's rule ended, ``emptied`` those of which nothing is left because they begin
    with a line break. ``other_stop`` is the first mark outside ASCII in them that ends a sentence in some script.
    """

    protocol: str
    truncator: str
    answers: int
    by_a_stop: int
    emptied: int
    other_stop: str | None


def endings(cases: Iterable[CaseRecord], protocols: Sequence[EvalProtocol]) -> list[Endings]:
    """Count for each of ``protocols`` how its answers ended. One whose generation strategy asks no truncator is left out."""
    answers: dict[str, list[Answer]] = {protocol.name: [] for protocol in protocols}
    for case in cases:
        for probe in case.probes:
            answers.get(probe.protocol, []).extend((*probe.before, *probe.after))
    return [_counted(one, found) for one in protocols if (found := list(_asked(answers[one.name])))]


def _asked(answers: Iterable[Answer]) -> Iterator[Answer]:
    return (answer for answer in answers if answer.output.stop_reason not in NOT_ASKED)


def _counted(protocol: EvalProtocol, answers: Sequence[Answer]) -> Endings:
    stops = (STOP_OUTSIDE_ASCII.search(answer.untruncated) for answer in answers)
    return Endings(
        protocol=protocol.name,
        truncator=protocol.truncator.name,
        answers=len(answers),
        by_a_stop=sum(answer.output.stop_reason == "stop-rule" for answer in answers),
        emptied=sum(_emptied(answer) for answer in answers),
        other_stop=next((stop.group() for stop in stops if stop), None),
    )


def _emptied(answer: Answer) -> bool:
    said = answer.untruncated
    return not answer.text and said.lstrip(" \t").startswith(("\n", "\r")) and answer.output.stop_reason == "stop-rule"
