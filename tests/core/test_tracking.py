"""What trackers are told of a run: its numbers under their names, at which number of edits, and no text of an answer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wildcore import (
    AnsweredProbe,
    EditCase,
    EditRequest,
    Measured,
    Metric,
    Offer,
    Probe,
    Score,
    TrackerParams,
    UserError,
)
from wildcore.evaluation.schedules import Schedule
from wildcore.jobs.tracked_numbers import means, of_model, of_summary, signs_without_answers
from wildcore.jobs.tracking import RunFeed, Trackers, tracking, without_trackers
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, JudgingPointRecord, Manifest, ProbeRecord, WeightChange
from wildcore.registry import Found, Registry
from wildcore.reporting.console import Reporter
from wildcore.types import Answer, Output

AFTER, BEFORE = "wild/reliability/m/after", "wild/reliability/m/before"
SECRET_ANSWER = "the answer that stays here"


class Equal(Metric):
    """1 for an answer that is the gold."""

    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        return [Score(value=float(item.answer.text == item.answers[0])) for item in items]


class Expensive(Equal):
    expensive = True


class Fails(Equal):
    def score(self, items: Sequence[AnsweredProbe]) -> list[Score]:
        raise RuntimeError("the metric is broken")


def answer(text: str) -> Answer:
    return Answer(text=text, token_ids=(), output=Output(text=text, token_ids=(), stop_reason="stop-rule"))


def record(number: int, after_edits: int, right: bool) -> CaseRecord:
    probe = ProbeRecord(
        protocol="wild",
        probe=0,
        kind="reliability",
        question="Who?",
        answers=("Anna",),
        prompt="Who?",
        gold_token_ids=(1,),
        before=(answer(SECRET_ANSWER),),
        after=(answer("Anna" if right else SECRET_ANSWER),),
    )
    edit = EditOutcome(status="edited", seconds=0)
    request = EditRequest(prompt="Who?", target="Anna")
    return CaseRecord(case=str(number), after_edits=after_edits, request=request, edit=edit, probes=(probe,))


def cases(count: int) -> list[EditCase]:
    request = EditRequest(prompt="Who?", target="Anna")
    probes = (Probe(kind="reliability", prompt="Who?", answers=("Anna",)),)
    return [EditCase(id=str(number), request=request, probes=probes) for number in range(count)]


def folder_of(path: Path, records: Sequence[CaseRecord] = (), points: Sequence[JudgingPointRecord] = ()) -> RunFolder:
    manifest = Manifest(
        created="2026-01-01T00:00:00+00:00",
        job={"editor": "e"},
        identity={"seed": 0},
        protocols=(),
        case_count=4,
        versions={},
        hardware={},
        plugins={},
    )
    folder = RunFolder.create(path, manifest)
    for one in records:
        folder.append(one)
    for point in points:
        folder.append_point(point)
    return folder


class Witness:
    """Keeps what is sent to trackers."""

    def __init__(self, wants_cases: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.wants_cases = wants_cases
        self.trackers = Trackers()

    def connect(self, feed: RunFeed) -> RunFeed:
        feed.connect(
            lambda request: self.told.append(json.loads(json.dumps(request))), self.wants_cases, self.trackers._guarded
        )
        return feed

    @property
    def points(self) -> list[tuple[int, float | None]]:
        told = [one["point"] for one in self.told if "point" in one]
        return [(point["edits"], point["numbers"].get(AFTER)) for point in told]


def feed(folder: RunFolder, schedule: Schedule, count: int = 4, metric: Metric | None = None, **more: Any) -> RunFeed:
    metrics = {"wild": {"reliability": (("m", metric or Equal()), ("judge", Expensive()))}}
    return RunFeed(folder, metrics, schedule, cases(count), **more)  # type: ignore[arg-type]


def test_single_edits_are_told_in_tenths(tmp_path: Path) -> None:
    witness = Witness()
    told = witness.connect(feed(folder_of(tmp_path / "run"), Schedule(), 25))
    for number in range(25):
        told.case(record(number, 1, right=number % 2 == 0))
    assert [edits for edits, _ in witness.points] == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert witness.points[-1] == (25, 13 / 25)
    assert witness.told[-1]["point"]["numbers"] == {AFTER: 13 / 25, BEFORE: 0.0}, "no metric that costs much"


@pytest.mark.parametrize("done", range(5))
def test_a_resumed_run_tells_what_is_done_again(tmp_path: Path, done: int) -> None:
    records = [record(number, 1, right=number > 1) for number in range(4)]
    witness = Witness()
    told = witness.connect(feed(folder_of(tmp_path / "run", records[:done]), Schedule()))
    for one in records[done:]:
        told.case(one)
    assert witness.points == [(1, 0.0), (2, 0.0), (3, 1 / 3), (4, 0.5)]


def test_batches_are_told_by_the_edits_of_all_batches_so_far(tmp_path: Path) -> None:
    schedule = Schedule(name="batch", edits_per_update=2)
    first = [record(number, 2, right=True) for number in (0, 1)]
    second = [record(number, 2, right=False) for number in (2, 3)]
    witness = Witness()
    witness.connect(feed(folder_of(tmp_path / "run", first), schedule)).judged(2, second, None)
    assert witness.points == [(2, 1.0), (4, 0.0)]


def test_only_complete_points_of_a_sequence_are_told_again(tmp_path: Path) -> None:
    schedule = Schedule.chosen("sequential", 2, 4, "matrix")
    points = [JudgingPointRecord(after_edits=after) for after in (0, 2)]
    records = [record(0, 2, True), record(1, 2, False), *(record(number, 4, True) for number in range(4))]
    witness = Witness()
    witness.connect(feed(folder_of(tmp_path / "run", records, points), schedule))
    assert witness.points == [(0, None), (2, 0.5)], "after 4 edits the model is not measured yet"


def test_a_patch_is_one_point(tmp_path: Path) -> None:
    points = [JudgingPointRecord(after_edits=after) for after in (0, 9)]
    folder = folder_of(tmp_path / "run", [record(number, 9, True) for number in range(4)], points)
    folder.write_scores([])
    witness = Witness()
    told = witness.connect(feed(folder, Schedule(), after_patch=9))
    told.finish(summary())
    assert witness.points == [(0, None), (9, 1.0)]


def summary(**more: Any) -> dict[str, Any]:
    nothing = {"cells": [], "synthetic_minus_wild": None, "cases": 4, "refused": 0, "diverged": 0}
    return {**nothing, "seconds_per_edit": None, **more}


def test_answers_are_sent_only_if_they_are_asked_for(tmp_path: Path) -> None:
    sign = f"62% of the answers under wild are the same: {SECRET_ANSWER!r}"
    point = JudgingPointRecord(after_edits=4, collapse=(sign, "perplexity is 812"))
    records = [record(number, 4, right=False) for number in range(4)]
    sent = {}
    for wants_cases in (False, True):
        folder = folder_of(tmp_path / f"run-{wants_cases}", records, [point])
        witness = Witness(wants_cases)
        told = witness.connect(feed(folder, Schedule.chosen("sequential", 1, 4)))
        folder.write_scores(told._scored(records))
        told.finish(summary())
        sent[wants_cases] = json.dumps(witness.told)
    assert SECRET_ANSWER not in sent[False]
    assert "62% of the answers under wild are the same" in sent[False]
    assert "perplexity is 812" in sent[False]
    assert SECRET_ANSWER in sent[True]


def test_a_run_that_ends_without_its_summary_was_interrupted(tmp_path: Path) -> None:
    witness = Witness()
    told = witness.connect(feed(folder_of(tmp_path / "run"), Schedule()))
    told.leave()
    assert witness.told[-1] == {"call": "finish", "end": {"status": "interrupted"}}
    told.finish(summary())
    told.leave()
    assert [one["end"]["status"] for one in witness.told if "end" in one] == ["interrupted", "finished"]


def test_a_metric_that_fails_while_trackers_are_told_does_not_stop_the_run(tmp_path: Path) -> None:
    witness = Witness()
    told = witness.connect(feed(folder_of(tmp_path / "run"), Schedule(), metric=Fails()))
    told.case(record(0, 1, True))
    told.finish(summary())
    assert witness.trackers.problems() == ["trackers: RuntimeError: the metric is broken"]
    assert witness.told[-1]["end"]["status"] == "finished"


def test_runs_of_other_folders_have_other_ids(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "other", "one"):
        folder = RunFolder(tmp_path / name) if (tmp_path / name).exists() else folder_of(tmp_path / name)
        witness = Witness()
        witness.connect(feed(folder, Schedule()))
        ids.append(witness.told[0]["run"]["id"])
    assert ids[0] == ids[2] != ids[1]


def test_numbers_of_the_model_have_names_and_are_finite() -> None:
    point = JudgingPointRecord(
        after_edits=4,
        weights=(WeightChange(module="layers.3", norm=1.5, change=None, last_update=0.25),),
        not_finite=0.5,
        most_frequent={"wild": 0.75},
        measured={"perplexity": (Measured(name="perplexity", value=21.5), Measured(name="bits", value=float("inf")))},
        collapse=("a sign",),
    )
    assert of_model(point) == {
        "measured/perplexity/perplexity": 21.5,
        "collapse/signs": 1.0,
        "collapse/logits-not-finite": 0.5,
        "collapse/most-frequent-answer/wild": 0.75,
        "weights/layers.3/norm": 1.5,
        "weights/layers.3/last-update": 0.25,
    }
    assert of_model(JudgingPointRecord(after_edits=0)) == {}
    assert signs_without_answers(point) == ("a sign",)
    assert means([]) == {}


def test_the_summary_says_what_was_not_scored() -> None:
    cell = {
        "protocol": "wild",
        "kind": "reliability",
        "metric": "m",
        "before": None,
        "after": 0.5,
        "low": 0.1,
        "high": 0.9,
    }
    gap = {"difference": 0.25, "low": None, "high": None}
    assert of_summary(summary(cells=[{**cell, "unscored": 3}], synthetic_minus_wild=gap)) == {
        "summary/cases": 4.0,
        "summary/refused": 0.0,
        "summary/diverged": 0.0,
        "summary/wild/reliability/m/after": 0.5,
        "summary/wild/reliability/m/low": 0.1,
        "summary/wild/reliability/m/high": 0.9,
        "summary/wild/reliability/m/unscored": 3.0,
        "summary/synthetic-minus-wild/difference": 0.25,
    }


class OneParams(TrackerParams):
    place: str = "here"


def registry() -> Registry:
    found = Registry()
    found.offers["tracker"] += [Found("mine", Offer("one", list, OneParams)), Found("mine", Offer("other", list))]
    return found


def test_settings_of_trackers_are_theirs_alone() -> None:
    settings = {"tracker.one.cases": True, "tracker.one.place": "there", "editor.layer": 5}
    assert without_trackers(settings) == {"editor.layer": 5}
    with tracking(registry(), ["one", "mine/other"], settings, Reporter(True)) as trackers:
        first, second = (process.chosen for process in trackers.processes)
    assert (first.name, first.params, first.cases) == ("one", {"cases": True, "place": "there"}, True)
    assert (second.name, second.params, second.cases) == ("other", {}, False)


@pytest.mark.parametrize(
    ("names", "settings", "problem"),
    [
        (["nosuch"], {}, "unknown tracker 'nosuch'"),
        (["one", "mine/one"], {}, "a tracker is named twice"),
        ([], {"tracker.place": "there"}, "no tracker takes part here"),
        (["one"], {"tracker.other.place": "there"}, "this run uses no tracker 'other'"),
        (["one"], {"tracker.plaze": "there"}, "unknown parameter 'plaze'; did you mean 'place'"),
    ],
)
def test_a_wrong_choice_is_an_error(names: list[str], settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem), tracking(registry(), names, settings, Reporter(True)):
        pass
