"""How the answers of a run ended."""

import pytest

from wildcore import Answer, EditRequest, EvalProtocol, Output, Score
from wildcore.records.endings import Endings, endings
from wildcore.records.schema import CaseRecord, EditOutcome, ProbeRecord, ScoreRecord
from wildcore.reporting.run_notes import compared_carefully, ends_of_answers
from wildcore.types import COMPARED_CAREFULLY, StopReason, Use

PROTOCOL = EvalProtocol(
    name="wild", summary="", context=Use(name="c"), generator=Use(name="g"), truncator=Use(name="stops"), metrics={}
)


def answer(said: str, text: str, reason: StopReason = "end-of-sequence") -> Answer:
    return Answer(text=text, token_ids=(), output=Output(text=said, token_ids=(), stop_reason=reason))


def counted(*answers: Answer) -> list[Endings]:
    probes = tuple(
        ProbeRecord(
            protocol="wild", probe=0, kind="reliability", question="?", answers=("x",), prompt="?", gold_token_ids=(),
            before=(one,), after=(),
        )
        for one in answers
    )  # fmt: skip
    request, edit = EditRequest(prompt="?", target="x"), EditOutcome(status="edited", seconds=0)
    return endings([CaseRecord(case="1", request=request, edit=edit, probes=probes)], [PROTOCOL])


def printed(found: list[Endings]) -> str:
    return "\n".join(ends_of_answers(found, {}))


def test_no_answer_ended_by_a_stop() -> None:
    (found,) = counted(answer("东京。日本", "东京。日本"), answer("东京", "东京", "max-new-tokens"))
    assert (found.answers, found.by_a_stop, found.emptied, found.other_stop) == (2, 0, 0, "。")
    text = printed([found])
    assert 'wild: none of 2 answers was ended by a stop of the truncator stops; some contain "。"' in text


def test_one_answer_ended_by_a_stop_is_enough() -> None:
    found = counted(answer("东京。", "东京。"), answer("Rome.", "Rome", "stop-rule"))
    assert found[0].by_a_stop == 1
    assert printed(found) == ""


@pytest.mark.parametrize(("said", "emptied"), [("\nRome", 1), (" \n\nRome", 1), (".Rome", 0), ("", 0)])
def test_answers_that_begin_with_a_line_break_are_counted(said: str, emptied: int) -> None:
    found = counted(answer(said, "", "stop-rule"))
    assert found[0].emptied == emptied
    assert ("1 of 1 answers begin with a line break" in printed(found)) == bool(emptied)


def test_forced_answers_have_no_such_end() -> None:
    assert counted(answer("Rome", "Rome", "teacher-forced"), answer("Rome", "Rome", "forced-length")) == []


def test_careful_comparisons_are_counted_once_for_each_question() -> None:
    careful = Score(value=1.0, details={COMPARED_CAREFULLY: {"C++": "symbol", "-5": "number"}})
    usual = Score(value=1.0)
    scores = [
        ScoreRecord(
            case=case, protocol="wild", probe=0, kind="reliability", metric="exact-match", before=1.0, before_reason=None,
            after=1.0, after_reason=None, before_samples=(one,), after_samples=(one,),
        )
        for case, one in (("1", careful), ("2", careful), ("3", usual))
    ]  # fmt: skip
    (text,) = compared_carefully(scores)
    assert "exact-match: 2 questions were compared with signs and symbols kept" in text
    assert "removes the symbol of 'C++', makes another number of '-5'" in text
