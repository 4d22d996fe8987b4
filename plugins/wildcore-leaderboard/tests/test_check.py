"""Every kind of change of a submission is found, and said in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wildcore_leaderboard.check import Allowed, checked
from wildcore_leaderboard.facts import of_journal

from wildcore.datasets.selection import content_hash
from wildcore.records.run_folder import RunFolder
from wildcore.registry import Registry

Json = dict[str, Any]
Command = Callable[..., Result]
JOURNAL, SCORES, SUMMARY, MANIFEST = "journal.jsonl", "scores.jsonl", "summary.json", "manifest.json"


def after_of(records: list[Json], protocol: str, case: int = 0) -> Json:
    """Return the first answer after the edit to the first question of a case."""
    answer: Json = next(probe for probe in records[case]["probes"] if probe["protocol"] == protocol)["after"][0]
    return answer


def say(answer: Json, text: str) -> None:
    answer["text"] = answer["output"]["text"] = text


def a_score(run: Any) -> None:
    run.lines(SCORES, lambda scores: scores[0].update(after=0.123))


def a_score_and_the_checksums(run: Any) -> None:
    run.lines(SCORES, lambda scores: scores[0].update(after=0.123))
    run.sum_up()


def an_answer(run: Any) -> None:
    run.lines(JOURNAL, lambda records: say(after_of(records, "wild"), "something else"))


def an_answer_and_the_checksums(run: Any) -> None:
    run.lines(JOURNAL, lambda records: say(after_of(records, "wild"), records[0]["request"]["target"]))
    run.sum_up()


def a_case_removed(run: Any) -> None:
    run.lines(JOURNAL, lambda records: records[1:])
    run.score_again()


def a_foreign_case(run: Any) -> None:
    run.lines(JOURNAL, lambda records: [*records, {**records[0], "case": "99"}])
    run.sum_up()


def a_line_twice(run: Any) -> None:
    run.lines(JOURNAL, lambda records: [*records, records[0]])
    run.sum_up()


def a_score_twice(run: Any) -> None:
    run.lines(SCORES, lambda scores: [*scores, scores[0]])
    run.sum_up()


def a_score_removed(run: Any) -> None:
    run.lines(SCORES, lambda scores: scores[:-1])
    run.sum_up()


def a_score_of_nothing(run: Any) -> None:
    run.lines(SCORES, lambda scores: [*scores, {**scores[0], "metric": "contains"}])
    run.sum_up()


def a_line_added_later(run: Any) -> None:
    run.lines("work.jsonl", lambda calls: [*calls, calls[0]])


def a_protocol_unanswered(run: Any) -> None:
    def change(records: list[Json]) -> None:
        records[0]["probes"] = [probe for probe in records[0]["probes"] if probe["protocol"] != "wild"]

    run.lines(JOURNAL, change)
    run.score_again()


def an_answer_removed(run: Any) -> None:
    run.lines(JOURNAL, lambda records: records[0]["probes"][0].update(after=[]))
    run.score_again()


def another_question(run: Any) -> None:
    run.lines(JOURNAL, lambda records: records[0]["probes"][0].update(question="Who?"))
    run.score_again()


def the_model(run: Any) -> None:
    run.manifest(lambda manifest: manifest["identity"]["model"].update(fingerprint="0" * 16))


def the_dtype(run: Any) -> None:
    def change(manifest: Json) -> None:
        manifest["job"]["dtype"] = "bfloat16"

    run.manifest(change)


def the_protocol(run: Any) -> None:
    run.manifest(lambda manifest: manifest["protocols"][1]["generator"]["params"].update(max_new_tokens=7))


def the_seed(run: Any) -> None:
    run.manifest(lambda manifest: manifest["identity"].update(seed=7), summary_too=True)


def the_schedule(run: Any) -> None:
    run.manifest(lambda manifest: manifest["job"].update(schedule="sequential"))


def the_number_of_cases(run: Any) -> None:
    run.manifest(lambda manifest: manifest.update(case_count=5, journal_lines=5))


def no_list_of_cases(run: Any) -> None:
    run.manifest(lambda manifest: manifest.update(case_ids=[]))


def the_schema(run: Any) -> None:
    run.manifest(lambda manifest: manifest.update(schema_number=99))


def an_edited_tree(run: Any) -> None:
    run.manifest(lambda manifest: manifest["versions"].update({"source revision": "a" * 40 + "+changes"}))


def a_source_revision(run: Any) -> None:
    run.manifest(lambda manifest: manifest["versions"].update({"source revision": "b" * 40}))


def a_development_version(run: Any) -> None:
    run.manifest(lambda manifest: manifest["versions"].update(torch="2.99.0.dev20260101"))


def a_local_version(run: Any) -> None:
    run.manifest(lambda manifest: manifest["versions"].update({"wildcore-wild": "0.1.0+mine"}))


def a_later_call_of_an_edited_tree(run: Any) -> None:
    run.lines("work.jsonl", lambda calls: calls[0]["versions"].update({"source revision": "c" * 40 + "+changes"}))
    run.sum_up()


def a_number_of_the_summary(run: Any) -> None:
    run.summary(lambda summary: summary["cells"][0].update(after=0.999))


def a_row_of_the_summary(run: Any) -> None:
    run.summary(lambda summary: summary["cells"].pop())


def no_checksums_in_the_summary(run: Any) -> None:
    run.summary(lambda summary: summary.pop("files"))


def no_checksum_of_the_manifest(run: Any) -> None:
    (run.path / MANIFEST).write_text(json.dumps(run.read(MANIFEST)))


def no_checksum_of_a_line(run: Any) -> None:
    lines = (run.path / SCORES).read_text().splitlines(keepends=True)
    bare = json.loads(lines[0])
    bare.pop("checksum")
    (run.path / SCORES).write_text("".join([json.dumps(bare) + "\n", *lines[1:]]))
    run.sum_up()


def half_a_line(run: Any) -> None:
    content = (run.path / JOURNAL).read_bytes()
    (run.path / JOURNAL).write_bytes(content[:-20])


def no_scores(run: Any) -> None:
    (run.path / SCORES).unlink()


def no_summary(run: Any) -> None:
    (run.path / SUMMARY).unlink()


def a_link(run: Any) -> None:
    (run.path / SCORES).rename(run.path / "elsewhere")
    (run.path / SCORES).symlink_to(run.path / "elsewhere")


def a_stopped_sequence(run: Any) -> None:
    (run.path / "points.jsonl").touch()
    run.lines("points.jsonl", lambda points: [{"after_edits": 3, "stopped": True}])
    run.sum_up()


CHANGES: dict[Callable[[Any], None], str] = {
    a_score: "scores.jsonl: changed since summary.json was written",
    a_score_and_the_checksums: "after is recorded as 0.123, and the stored answer gives 0",
    an_answer: "journal.jsonl: changed since summary.json was written",
    an_answer_and_the_checksums: "after is recorded as 0, and the stored answer gives 1",
    a_case_removed: "journal.jsonl: missing cases: 1 of 6; the first is 0",
    a_foreign_case: "journal.jsonl: cases of another run: 1; the first is 99",
    a_line_twice: "journal.jsonl: lines are repeated: 1; the first is of 0",
    a_score_twice: "scores.jsonl: lines are repeated: 1; the first is of 0",
    a_score_removed: "the score is missing",
    a_score_of_nothing: "it is the score of an answer or by a metric that the run does not have",
    a_line_added_later: "work.jsonl: lines were added since summary.json was written: 1",
    a_protocol_unanswered: "journal.jsonl, case 0: not asked as the manifest says: wild",
    an_answer_removed: "journal.jsonl, case 0: an answer is missing",
    another_question: "journal.jsonl, case 0: probe 0 is another question in two protocols",
    the_model: "identity.model.fingerprint was",
    the_dtype: "identity.model.dtype contradicts the job, which asks for bfloat16",
    the_protocol: "identity.protocols contradicts protocols: wild.generator.params.max_new_tokens was 50 and is now 7",
    the_seed: "identity.seed contradicts the job",
    the_schedule: "identity.schedule contradicts the job",
    the_number_of_cases: "case_count and case_ids contradict each other",
    no_list_of_cases: "it does not list its cases",
    the_schema: "manifest.json: schema 99, and this wildcore reads",
    an_edited_tree: "made by an edited source tree (revision aaaa",
    a_source_revision: "made by the source revision bbbb",
    a_development_version: "torch 2.99.0.dev20260101: a development version",
    a_local_version: "wildcore-wild 0.1.0+mine: a local version",
    a_later_call_of_an_edited_tree: "work.jsonl: made by an edited source tree (revision cccc",
    a_number_of_the_summary: "after is 0.999, the scores give",
    a_row_of_the_summary: "summary.json: its table has other rows than the scores",
    no_checksums_in_the_summary: "summary.json: it does not hold the lengths and checksums of the files",
    no_checksum_of_the_manifest: "manifest.json: it has no checksum",
    no_checksum_of_a_line: "scores.jsonl, line 1: it has no checksum",
    half_a_line: "journal.jsonl, line 6: damaged: it is cut off",
    no_scores: "scores.jsonl: it is missing",
    no_summary: "summary.json: it is missing",
    a_link: "scores.jsonl: it is a link",
    a_stopped_sequence: "points.jsonl: the sequence was stopped after 3 edits",
}


def test_a_run_as_it_was_made_is_valid(submission: Any, edits: Path, wildcore_command: Command) -> None:
    done = wildcore_command("leaderboard", "check", submission.path, "--dataset-file", edits)
    assert done.exit_code == 0, done.output
    assert f"{submission.path} is a valid submission: 6 cases, 72 answers, 36 of 36 scores" in done.output


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_found_and_said_in_a_sentence(submission: Any, edits: Path, change: Callable[[Any], None]) -> None:
    change(submission)
    verdict = checked(submission.registry, submission.path, Allowed(), edits)
    said = [str(problem) for problem in verdict.problems]
    assert not verdict.valid
    assert any(CHANGES[change] in one for one in said), said
    sentence = verdict.in_a_sentence()
    assert sentence.startswith(f"{submission.path} is not a valid submission: {said[0]}")
    assert sentence.endswith(f"(and {len(said) - 1} more problem{'' if len(said) == 2 else 's'})") == (len(said) > 1)


def test_all_problems_are_listed_as_json(submission: Any, edits: Path, wildcore_command: Command) -> None:
    a_score_and_the_checksums(submission)
    an_edited_tree(submission)
    arguments = ("leaderboard", "check", submission.path, "--dataset-file", edits)
    done = wildcore_command(*arguments, "--json")
    assert done.exit_code == 1
    verdict = json.loads(done.output)
    assert verdict["valid"] is False
    assert [problem["where"].partition(",")[0] for problem in verdict["problems"]] == [MANIFEST, SCORES]
    plain = wildcore_command(*arguments)
    assert plain.exit_code == 1
    assert len(plain.output.splitlines()) == 1
    assert plain.output.endswith("(and 1 more problem)\n")


def changed_gold(run: Any) -> None:
    """Change a gold in every file that holds it, with all scores and checksums."""

    def change(records: list[Json]) -> None:
        records[0]["request"]["target"] = "Zoe"
        for probe in records[0]["probes"]:
            if probe["kind"] != "locality":
                probe["answers"] = ["Zoe"]

    run.lines(JOURNAL, change)
    run.score_again()


def test_a_gold_that_is_changed_everywhere_is_found_by_the_dataset(
    submission: Any, edits: Path, wildcore_command: Command
) -> None:
    changed_gold(submission)
    compared = wildcore_command("leaderboard", "check", submission.path, "--dataset-file", edits)
    assert compared.exit_code == 1
    assert "journal.jsonl, case 0: it is another fact in edits.json" in compared.output
    alone = wildcore_command("leaderboard", "check", submission.path)
    assert alone.exit_code == 1
    assert "dataset: not checked: the facts in the journal do not give the dataset's hash" in alone.output


def without_rivals(run: Any) -> None:
    """Let the recorded hash be that of facts without rival answers, as of a dataset that has none."""
    found = content_hash(map(of_journal, RunFolder(run.path).records()))
    run.manifest(lambda manifest: manifest["identity"]["dataset"].update(hash=found), summary_too=True)


def test_without_rival_answers_the_journal_alone_gives_the_hash(submission: Any, wildcore_command: Command) -> None:
    without_rivals(submission)
    sound = wildcore_command("leaderboard", "check", submission.path)
    assert sound.exit_code == 0, sound.output
    changed_gold(submission)
    assert wildcore_command("leaderboard", "check", submission.path).exit_code == 1


def test_a_hash_that_is_not_that_of_the_file_is_found(submission: Any, edits: Path, wildcore_command: Command) -> None:
    without_rivals(submission)
    done = wildcore_command("leaderboard", "check", submission.path, "--dataset-file", edits)
    assert done.exit_code == 1
    assert "manifest.json: identity.dataset.hash is not that of these cases in edits.json" in done.output


def test_facts_that_cannot_be_compared_pass_only_if_that_is_allowed(submission: Any, wildcore_command: Command) -> None:
    changed_gold(submission)
    allowed = wildcore_command("leaderboard", "check", submission.path, "--allow-unchecked", "dataset")
    assert allowed.exit_code == 0, allowed.output
    assert "not checked: dataset" in allowed.output


def renamed_metric(run: Any, name: str) -> None:
    """Let the wild protocol score reliability by a metric of another name."""

    def change(manifest: Json) -> None:
        for modules in (manifest["identity"]["protocols"]["wild"], manifest["protocols"][1]):
            modules["metrics"]["reliability"] = [{"name": name, "params": {}}]

    run.manifest(change, summary_too=True)
    run.lines(
        SCORES,
        lambda scores: (
            [
                score.update(metric=name)
                for score in scores
                if (score["protocol"], score["kind"]) == ("wild", "reliability")
            ]
            and None
        ),
    )
    run.sum_up()


def test_a_metric_of_a_missing_plugin_is_not_recomputed(
    submission: Any, edits: Path, wildcore_command: Command
) -> None:
    renamed_metric(submission, "secret-sauce")
    arguments = ("leaderboard", "check", submission.path, "--dataset-file", edits)
    refused = wildcore_command(*arguments)
    assert refused.exit_code == 1
    assert "secret-sauce: not checked: unknown metric 'secret-sauce'" in refused.output
    allowed = wildcore_command(*arguments, "--allow-unchecked", "secret-sauce")
    assert allowed.exit_code == 0, allowed.output
    assert "30 of 36 scores computed again; not checked: secret-sauce" in allowed.output


def test_a_judge_is_not_asked(submission: Any, edits: Path, wildcore_command: Command) -> None:
    module = {"name": "bert-score", "plugin": "bertscore", "params": {}}
    (submission.path / "scorings.jsonl").touch()
    versions = submission.read(MANIFEST)["versions"]
    submission.lines(
        "scorings.jsonl",
        lambda _: [{"created": "2026-01-01", "metric": "bert-score", "module": module, "versions": versions}],
    )
    submission.sum_up()
    done = wildcore_command("leaderboard", "check", submission.path, "--dataset-file", edits)
    assert done.exit_code == 1
    assert "bert-score: not checked: it asks a service or loads a model" in done.output


def test_a_file_that_the_run_names_is_not_read(submission: Any, edits: Path, wildcore_command: Command) -> None:
    module = {"name": "human-labels", "plugin": "judge", "params": {"file": "/etc/passwd"}}
    (submission.path / "scorings.jsonl").touch()
    versions = submission.read(MANIFEST)["versions"]
    submission.lines(
        "scorings.jsonl",
        lambda _: [{"created": "2026-01-01", "metric": "human-labels", "module": module, "versions": versions}],
    )
    submission.sum_up()
    done = wildcore_command("leaderboard", "check", submission.path, "--dataset-file", edits)
    assert "not checked: it reads a file that the run names" in done.output


def test_a_revision_is_let_pass_by_name_unless_it_was_changed(
    submission: Any, edits: Path, wildcore_command: Command
) -> None:
    arguments = ("leaderboard", "check", submission.path, "--dataset-file", edits, "--allow-revision")
    a_source_revision(submission)
    assert wildcore_command(*arguments, "bbbbbbb").exit_code == 0
    assert wildcore_command(*arguments, "b").exit_code == 1  # too short to name one
    an_edited_tree(submission)
    assert wildcore_command(*arguments, "a" * 40).exit_code == 1


def test_variants_and_departures_are_named(submission: Any, edits: Path, wildcore_command: Command) -> None:
    def change(manifest: Json) -> None:
        manifest["protocols"][1].update(variant_of="wild", differences=["generator: autoregressive(max_new_tokens=50)"])
        manifest["identity"]["editor"].update(as_published={"except": ["layer"]})

    submission.manifest(change, summary_too=True)
    done = wildcore_command("leaderboard", "check", submission.path, "--dataset-file", edits)
    assert done.exit_code == 0, done.output
    assert "Named: variant of wild: generator: autoregressive(max_new_tokens=50)" in done.output
    assert "Named: editor ft-m (as published, except layer)" in done.output


def test_a_bundled_dataset_needs_no_file(tmp_path: Path, registry: Registry, wildcore_command: Command) -> None:
    done = wildcore_command(
        "eval", "--editor", "ft-m", "--limit", 1, "--protocol", "wild", "--out", tmp_path / "run", "--quiet"
    )
    assert done.exit_code == 0, done.output
    verdict = checked(registry, tmp_path / "run", Allowed())
    assert not [problem for problem in verdict.problems if problem.where == "dataset"]
    assert not any("give its file" in one for one in verdict.unknowable)


@pytest.mark.parametrize("arguments", [("nowhere",), (".",)])
def test_what_is_no_run_is_bad_input(tmp_path: Path, wildcore_command: Command, arguments: tuple[str, ...]) -> None:
    done = wildcore_command("leaderboard", "check", *(tmp_path / one for one in arguments))
    assert done.exit_code == 2
    assert "not a run folder (no manifest.json in it)" in done.output


SEALED = (MANIFEST, JOURNAL, SCORES, SUMMARY, "work.jsonl")


@pytest.fixture(scope="module")
def scratch(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copytree(made, tmp_path_factory.mktemp("bytes") / "run")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(SEALED), place=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255))
def test_any_changed_byte_is_found_or_changes_nothing(
    scratch: Path, registry: Registry, edits: Path, name: str, place: float, value: int
) -> None:
    """White space around the checksum of a file that is one JSON object has no meaning; every other byte is protected."""
    file = scratch / name
    sound = file.read_bytes()
    index = int(place * len(sound))
    changed = sound[:index] + bytes([sound[index] ^ value]) + sound[index + 1 :]
    file.write_bytes(changed)
    try:
        valid = checked(registry, scratch, Allowed(), edits).valid
    finally:
        file.write_bytes(sound)
    if valid:
        assert name.endswith(".json")
        assert json.loads(changed) == json.loads(sound)


def test_the_run_that_bytes_are_changed_in_is_valid(made: Path, registry: Registry, edits: Path) -> None:
    assert checked(registry, made, Allowed(), edits).valid
