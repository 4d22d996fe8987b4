"""How cases are cut into updates and sequences, and what the record says of it."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import EditCase, EditRequest
from wildcore.evaluation.schedules import SCHEDULES, Schedule, ScheduleName, description


def cases(count: int) -> list[EditCase]:
    return [
        EditCase(id=str(number), request=EditRequest(prompt=f"{number} is", target="x"), probes=())
        for number in range(count)
    ]


@given(st.sampled_from(SCHEDULES), st.integers(1, 30), st.none() | st.integers(1, 40))
def test_every_case_is_written_once_and_in_order(name: ScheduleName, count: int, asked: int | None) -> None:
    schedule = Schedule.chosen(name, asked, count)
    sequences = schedule.sequences(cases(count))
    updates = [update for sequence in sequences for update in sequence]
    assert [case.id for update in updates for case in update] == [str(number) for number in range(count)]
    sizes = [len(update) for update in updates]
    assert all(size == schedule.edits_per_update for size in sizes[:-1])
    assert 1 <= sizes[-1] <= schedule.edits_per_update
    if name == "sequential":
        assert len(sequences) == 1
    else:
        assert all(len(sequence) == 1 for sequence in sequences)


@pytest.mark.parametrize(
    ("name", "asked", "size"), [("single", None, 1), ("batch", None, 7), ("batch", 3, 3), ("sequential", None, 1)]
)
def test_a_batch_takes_all_cases_and_a_sequence_one_by_one_unless_told(name: str, asked: int, size: int) -> None:
    assert Schedule.chosen(cast(ScheduleName, name), asked, 7).edits_per_update == size


def test_more_than_there_are_is_recorded_as_all_of_them() -> None:
    assert Schedule.chosen("batch", 50, 7) == Schedule.chosen("batch", None, 7)


def test_single_edits_are_recorded_as_ever() -> None:
    said = {"edits": "single", "judged": "after each edit", "model": "put back after each edit"}
    assert Schedule.chosen("single", None, 7).identity() == said
    assert description(said) == "single; evaluated after each edit; model put back after each edit"


def test_what_is_said_tells_schedules_apart() -> None:
    chosen = [Schedule.chosen(name, size, 9) for name in SCHEDULES for size in (1, 3)]
    said = {description(schedule.identity()) for schedule in chosen}
    assert len(said) == 5, "the size means nothing for single edits"
    assert "sequential, 3 edits per update; evaluated after all edits; model put back after all edits" in said
    assert "batch, 1 edit per update; evaluated after each update; model put back after each update" in said
