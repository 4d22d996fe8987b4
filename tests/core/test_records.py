"""The run folder: durable, readable by others, and plain about what is wrong with it."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcore import EditRequest, Output, Score, UserError
from wildcore.cli.naming import COMMAND_LINE
from wildcore.records import run_folder
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import (
    SCHEMA,
    AddedMetricRecord,
    CaseRecord,
    EditOutcome,
    InvocationRecord,
    JudgingPointRecord,
    Manifest,
    ScoreRecord,
    flatten,
)
from wildcore.storage.checksums import NAME as CHECKSUM
from wildcore.storage.checksums import sealed
from wildcore.storage.durable import write_durably

# Holds a run until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from wildcore.records.run_folder import RunFolder
with RunFolder.open(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""
# Writes a file again and again, each time 200,000 times the same digit.
WRITER = """
import sys
from itertools import cycle
from pathlib import Path
from wildcore.storage.checksums import NAME as CHECKSUM
from wildcore.storage.checksums import sealed
from wildcore.storage.durable import write_durably
for digit in cycle("0123456789"):
    write_durably(Path(sys.argv[1]), digit * 200_000)
    print("written", flush=True)
"""
# Appends cases to a run, then writes scores, where no file may grow beyond 10,000 bytes; prints what it is told.
LIMITED = """
import resource, sys
from itertools import count
from pathlib import Path
from wildcore import EditRequest, UserError
from wildcore.records.schema import CaseRecord, EditOutcome, ScoreRecord
from wildcore.records.run_folder import RunFolder
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
folder = RunFolder.open(Path(sys.argv[1]))
request, edit = EditRequest(prompt="p" * 3000, target="t"), EditOutcome(status="edited", seconds=0)
try:
    for number in count():
        folder.append(CaseRecord(case=str(number), request=request, edit=edit, probes=()))
except UserError as error:
    print(number, error)
named = {"case": "c" * 3000, "protocol": "p", "probe": 0, "kind": "locality", "metric": "m"}
score = ScoreRecord(**named, before=0, before_reason=None, after=0, after_reason=None)
for write in (lambda: folder.write_scores([score] * 9), lambda: folder.write_summary({"x" * 10_000: 0})):
    try:
        write()
    except UserError as error:
        print(error)
"""

MANIFEST = Manifest(
    created="2025-01-01T00:00:00+00:00",
    job={"model": "m"},
    identity={"model": {"name": "m"}},
    protocols=(),
    case_count=3,
    versions={"python": "3"},
    hardware={},
    plugins={},
)


def answer(text: str) -> dict[str, object]:
    output = {"text": f"{text} and more", "token_ids": [7, 8, 9], "stop_reason": "stop-rule"}
    return {"text": text, "token_ids": [7], "output": output}


def record(name: str, prompt: str = "The sky is", refused: bool = False) -> CaseRecord:
    probe = {
        "protocol": "wild",
        "probe": 0,
        "kind": "reliability",
        "question": prompt,
        "answers": ["green"],
        "prompt": f"Q: {prompt}\nA:",
        "gold_token_ids": [7],
        "before": [answer("blue")],
        "after": [] if refused else [answer("green")],
    }
    done = {"status": "refused", "reason": "no subject"} if refused else {"status": "edited", "patch": {"layers": [5]}}
    return CaseRecord.model_validate(
        {
            "case": name,
            "request": {"prompt": prompt, "target": "green"},
            "tags": {"source": "x"},
            "edit": {"seconds": 0.5, **done},
            "probes": [probe],
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", MANIFEST)


@pytest.fixture
def filled(folder: RunFolder) -> RunFolder:
    for written in (record("0"), record("1", refused=True), record("2", prompt='Snow\u2028 "is" ⏎ 雪 \x00')):
        folder.append(written)
    return folder


def message(call, *arguments) -> str:
    """What a user reads when ``call`` refuses."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return caught.value.rendered(COMMAND_LINE)


def test_create_then_open(folder: RunFolder) -> None:
    again = RunFolder.open(folder.path)
    assert again.manifest == MANIFEST
    assert list(again.cases()) == []
    assert list(again.scores()) == []
    assert list(again.mend()) == []


def test_the_manifest_keeps_the_keys_of_earlier_files(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", MANIFEST.model_copy(update={"group_size": 4}))
    written = json.loads((folder.path / "manifest.json").read_text(encoding="utf-8"))
    assert written["edits_at_once"] == 4
    assert "group_size" not in written
    assert RunFolder.open(folder.path).manifest.group_size == 4


def test_create_in_an_empty_folder(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path, MANIFEST).manifest == MANIFEST


def test_create_does_not_touch_what_is_there(filled: RunFolder, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in filled.path.iterdir()}
    assert f"--out {filled.path}: not an empty folder" in message(RunFolder.create, filled.path, MANIFEST)
    assert {path.name: path.read_bytes() for path in filled.path.iterdir()} == before
    file = tmp_path / "file"
    file.write_text("x")
    assert f"--out {file}: not an empty folder" in message(RunFolder.create, file, MANIFEST)


def test_of_two_processes_one_makes_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, free = tmp_path / "run", run_folder.require_free

    def overtaken(asked: Path) -> None:
        """Find the folder free, as it is until another process makes its run there."""
        free(asked)
        monkeypatch.setattr(run_folder, "require_free", free)
        RunFolder.create(asked, MANIFEST.model_copy(update={"case_count": 5}))

    monkeypatch.setattr(run_folder, "require_free", overtaken)
    assert f"--out {path}: not an empty folder" in message(RunFolder.create, path, MANIFEST)
    assert RunFolder.open(path).manifest.case_count == 5
    assert [file.name for file in path.iterdir()] == ["manifest.json"]


def test_a_run_that_cannot_be_begun_leaves_a_free_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        said = message(RunFolder.create, tmp_path, MANIFEST)
    assert said == f"--out {tmp_path}: cannot be written (No space left on device); choose another folder"
    assert RunFolder.create(tmp_path, MANIFEST).manifest == MANIFEST


def test_open_what_is_no_run(tmp_path: Path) -> None:
    assert message(RunFolder.open, tmp_path) == f"{tmp_path}: not a run folder (no manifest.json in it)"
    assert "not a run folder" in message(RunFolder.open, tmp_path / "nowhere")


def test_what_is_appended_is_read_back(filled: RunFolder) -> None:
    cases = list(RunFolder.open(filled.path).cases())
    assert cases == [record("0"), record("1", refused=True), record("2", prompt='Snow\u2028 "is" ⏎ 雪 \x00')]
    assert len(filled.journal_path.read_bytes().splitlines()) == 3


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_text_survives_a_line_of_the_journal(prompt: str, target: str, tags: dict[str, str]) -> None:
    request = EditRequest(prompt=prompt, target=target)
    written = CaseRecord(case="0", request=request, tags=tags, edit=EditOutcome(status="edited", seconds=0), probes=())
    line = written.model_dump_json().encode()
    assert b"\n" not in line
    assert CaseRecord.model_validate_json(line) == written


def test_scores_are_written_and_read_back(folder: RunFolder) -> None:
    score = ScoreRecord(
        case="0",
        protocol="wild",
        probe=0,
        kind="locality",
        metric="unchanged",
        before=None,
        before_reason="compares with the unedited model",
        after=1.0,
        after_reason=None,
    )
    folder.write_scores([score])
    folder.write_scores([score, score])
    assert list(folder.scores()) == [score, score]


def test_a_half_written_line_at_any_byte_is_no_case_and_is_cut_off(filled: RunFolder) -> None:
    whole = filled.journal_path.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for size in range(last + 1, len(whole)):
        filled.journal_path.write_bytes(whole[:size])
        assert [case.case for case in filled.cases()] == ["0", "1"]
    (said,) = filled.mend()
    assert f"half written ({len(whole) - 1 - last} bytes)" in said
    assert filled.journal_path.read_bytes() == whole[:last]
    assert list(filled.mend()) == []
    filled.append(record("3"))
    assert [case.case for case in filled.cases()] == ["0", "1", "3"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"case": "1"', "line: Invalid JSON"),
        (b'{"case": "1"}', "request: Field required"),
        (b"\xff\xfe", "line: Invalid JSON"),
        (b"", "line: Invalid JSON"),
        (
            record("1").model_dump_json().replace('"seconds":0.5', '"seconds":"long"').encode(),
            "edit.seconds: Input should be",
        ),
        (record("1").model_dump_json().replace('"tags"', '"extra":1,"tags"').encode(), "extra: Extra inputs"),
    ],
)
def test_a_damaged_line_in_the_middle_is_named(filled: RunFolder, line: bytes, said: str) -> None:
    lines = filled.journal_path.read_bytes().splitlines()
    filled.journal_path.write_bytes(b"\n".join([lines[0], line, lines[2]]) + b"\n")
    text = message(list, filled.cases())
    assert text.startswith(f"{filled.journal_path}, line 2: {said}")
    assert "\n" not in text


@pytest.mark.parametrize("number", [SCHEMA + 1, 0, None, "1"])
def test_another_schema_is_refused(folder: RunFolder, number: object) -> None:
    path = folder.path / "manifest.json"
    content = {**json.loads(path.read_text()), "schema_number": number}
    path.write_text(sealed(json.dumps({name: value for name, value in content.items() if name != CHECKSUM})))
    said = message(lambda: folder.manifest)
    assert said == f"{path}: schema {number}, and this wildcore reads schemas 1, 2 and {SCHEMA}"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_number": 1}', "\x00"])
def test_a_damaged_manifest_is_named(folder: RunFolder, content: str) -> None:
    path = folder.path / "manifest.json"
    path.write_text(content)
    assert message(lambda: folder.manifest).startswith(f"{path}: damaged: ")


def test_write_durably_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for text in ("first", "", "zweite ⏎"):
        write_durably(path, text)
        assert path.read_text(encoding="utf-8") == text
        assert list(tmp_path.iterdir()) == [path]


def test_write_durably_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for delay in (0.0, 0.003, 0.007, 0.013):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(delay)
            writer.kill()
        content = path.read_text()
        assert len(content) == 200_000
        assert len(set(content)) == 1


@pytest.fixture
def holder(folder: RunFolder) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="runs are not locked on Windows")
def test_a_run_held_by_another_process_is_refused_until_that_one_dies(folder: RunFolder, holder) -> None:
    with pytest.raises(UserError, match="another process is working in this run"), folder.locked():
        pytest.fail("two processes hold one run")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with folder.locked():
        folder.append(record("0"))
    with folder.locked():
        assert [case.case for case in folder.cases()] == ["0"]


def test_a_run_that_cannot_be_locked_says_why(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = folder.path / ".lock"

    def no_locks(stream: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(run_folder, "lock", no_locks)
        assert message(folder.locked().__enter__).startswith(f"{lock}: cannot be locked (No locks available); ")
    lock.unlink()
    lock.mkdir()
    assert message(folder.locked().__enter__).startswith(f"{lock}: cannot be locked (Is a directory); ")


def test_what_goes_wrong_within_a_held_run_is_no_matter_of_its_lock(folder: RunFolder) -> None:
    with pytest.raises(BlockingIOError, match="busy"), folder.locked():
        raise BlockingIOError("busy")


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file sizes")
def test_a_file_that_may_not_grow_is_named_and_the_rest_kept(folder: RunFolder) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder.path)], capture_output=True, text=True, check=True, timeout=60
    )
    journal, scores, summary = done.stdout.splitlines()
    go_on = f"once it can be, go on with: wildcore eval --resume {folder.path}"
    why = "cannot be written (File too large)"
    assert journal == f"3 {folder.journal_path}: {why}; the cases before are kept; {go_on}"
    assert scores == f"{folder.scores_path}: {why}; the answers and earlier scores are kept; {go_on}"
    assert summary == f"{folder.path / 'summary.json'}: {why}; the answers and scores are kept; {go_on}"
    assert [case.case for case in folder.cases()] == ["0", "1", "2"]
    assert list(folder.mend()) == []
    assert sorted(path.name for path in folder.path.iterdir()) == ["journal.jsonl", "manifest.json"]


def test_the_name_of_a_new_journal_is_made_durable(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = [], os.fsync

    def watched(descriptor: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    folder.append(record("0"))
    folder.append(record("1"))
    assert synced == ["file", "folder", "file"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_hold_is_refused_before_it_is_written(value: float) -> None:
    with pytest.raises(ValueError, match=r"measures\.gold\s+Input should be a finite number"):
        Output(text="x", token_ids=(1,), stop_reason="stop-rule", measures={"gold": value})
    with pytest.raises(ValueError, match=r"seconds\s+Input should be a finite number"):
        EditOutcome(status="edited", seconds=value)


def test_a_score_has_a_value_or_a_reason() -> None:
    given = [Score(value=value) for value in (float("nan"), float("-inf"), None)]
    assert [score.value for score in given] == [None, None, None]
    reasons = ["the metric gave nan", "the metric gave -inf", "the metric gave no reason"]
    assert [score.reason for score in given] == reasons
    assert Score(value=float("nan"), reason="no words").reason == "no words"
    assert Score(value=True).model_dump() == {"value": 1.0, "reason": None, "details": {}}
    for score in given:
        assert Score.model_validate_json(score.model_dump_json()) == score


def test_pandas_reads_the_journal(filled: RunFolder) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_json(filled.journal_path, lines=True, dtype={"case": str})
    assert list(frame["case"]) == ["0", "1", "2"]
    assert frame["edit"][1]["reason"] == "no subject"
    assert frame["probes"][0][0]["after"][0]["text"] == "green"


def test_datasets_reads_the_journal(filled: RunFolder, python, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    code = (
        "import sys, json; from datasets import load_dataset\n"
        "rows = load_dataset('json', data_files=sys.argv[1], split='train')\n"
        "print(json.dumps([[row['case'], row['edit']['status'], row['probes'][0]['after']] for row in rows]))"
    )
    done = python("-c", code, filled.journal_path, HF_HOME=str(tmp_path / "cache"), HF_DATASETS_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(case, status) for case, status, _ in rows] == [("0", "edited"), ("1", "refused"), ("2", "edited")]
    assert rows[0][2][0]["output"]["token_ids"] == [7, 8, 9]
    assert rows[1][2] == []


def test_flat_names_every_leaf() -> None:
    assert flatten({"a": {"b": 1, "c": [2, {"d": None}]}, "e": {}, "f": []}) == {
        "a.b": 1,
        "a.c.0": 2,
        "a.c.1.d": None,
        "e": {},
        "f": [],
    }


def flips(content: bytes, step: int) -> Iterator[bytes]:
    """Yield ``content`` with one bit flipped, for every bit in steps."""
    for bit in range(0, 8 * len(content), step):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def test_a_flipped_bit_of_the_journal_is_said_or_cuts_off_the_last_line(filled: RunFolder) -> None:
    whole, cases = filled.journal_path.read_bytes(), list(filled.cases())
    last = [whole[:-1] + bytes([whole[-1] ^ 1 << bit]) for bit in range(8)]
    for content in (*flips(whole, 17), *last):
        filled.journal_path.write_bytes(content)
        try:
            found = list(filled.cases())
        except UserError:
            pass
        else:
            assert found == cases[:2]
            assert content in last
        assert any("half written" in said or "damaged lines were removed" in said for said in filled.mend())
        assert [case for case in filled.cases() if case not in cases] == []


def test_a_flipped_bit_of_the_manifest_is_said_or_changes_nothing(folder: RunFolder) -> None:
    path = folder.path / "manifest.json"
    noticed = 0
    for content in flips(path.read_bytes(), 7):
        path.write_bytes(content)
        try:
            assert folder.manifest == MANIFEST
        except UserError:
            noticed += 1
    assert noticed > 100


def test_damaged_lines_are_removed_with_the_scores_of_their_cases(filled: RunFolder) -> None:
    named = {"protocol": "p", "probe": 0, "kind": "locality", "metric": "m"}
    score = ScoreRecord(case="0", **named, before=0, before_reason=None, after=0, after_reason=None)
    filled.write_scores([score.model_copy(update={"case": case}) for case in "012"])
    lines = filled.journal_path.read_bytes().splitlines(keepends=True)
    filled.journal_path.write_bytes(lines[0] + lines[1].replace(b"sky", b"sea") + lines[2])
    said = message(list, filled.cases())
    assert said.endswith(
        f"line 2: its content is not what was saved; make it anew with: wildcore eval --resume {filled.path}"
    )
    (said,) = filled.mend()
    assert said == (
        "journal.jsonl: damaged lines were removed: 1; their cases are done again; the first: line 2: its content is not what "
        "was saved"
    )
    assert filled.journal_path.read_bytes() == lines[0] + lines[2]
    assert [score.case for score in filled.scores()] == ["0", "2"]


def test_scores_that_were_cut_off_are_said(filled: RunFolder) -> None:
    named = {"protocol": "p", "probe": 0, "kind": "locality", "metric": "m"}
    score = ScoreRecord(case="0", **named, before=0, before_reason=None, after=0, after_reason=None)
    filled.write_scores([score, score])
    filled.scores_path.write_bytes(filled.scores_path.read_bytes()[:-1])
    assert f"{filled.scores_path}, line 2: it is cut off; make it anew with: " in message(list, filled.scores())
    assert "scores.jsonl: the last line was half written" in next(filled.mend())
    assert list(filled.scores()) == [score]


def test_half_lines_of_every_file_are_cut_off(filled: RunFolder) -> None:
    filled.append_invocation(InvocationRecord(ended="now", versions={}, hardware={}, notes=("a",)))
    filled.append_scoring(AddedMetricRecord(created="now", metric="m", module={}, versions={}))
    for name in ("work.jsonl", "scorings.jsonl"):
        with (filled.path / name).open("ab") as stream:
            stream.write(b'{"half')
    assert sorted(filled.mend()) == [
        f"{name}: the last line was half written (6 bytes); it was cut off" for name in ("scorings.jsonl", "work.jsonl")
    ]
    assert [len(list(found)) for found in (filled.work(), filled.scorings())] == [1, 1]


def test_doubled_foreign_and_missing_cases_are_said_and_not_counted(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", MANIFEST.model_copy(update={"case_ids": ("0", "1", "2")}))
    for name in ("0", "other", "0", "1", "other", "0"):
        folder.append(record(name))
    folder.write_scores([])
    notes: list[str] = []
    finished = RunFolder.finished(folder.path, notes.append)
    assert [case.case for case in finished.cases()] == ["0", "1"]
    assert notes == [
        f"{folder.journal_path}: {said}"
        for said in (
            "lines that repeat a case, which are not counted: 2; the first is of case 0",
            "cases of another run, which are not counted: 1; the first is other",
            f"missing cases: 1 of 3; the first is 2; make them with: wildcore eval --resume {folder.path}",
        )
    ]


def test_a_whole_run_has_no_such_notes(filled: RunFolder) -> None:
    filled.write_scores([])
    RunFolder.finished(filled.path, pytest.fail)


def score_of(case: str) -> ScoreRecord:
    whole = {"before": None, "before_reason": "compares with the unedited model", "after": 1.0, "after_reason": None}
    return ScoreRecord(case=case, protocol="wild", probe=0, kind="locality", metric="unchanged", **whole)


@pytest.fixture
def summed_up(tmp_path: Path) -> RunFolder:
    """Return a finished run of three cases, with two lines in each file."""
    folder = RunFolder.create(
        tmp_path / "run", MANIFEST.model_copy(update={"case_ids": ("0", "1", "2"), "case_count": 3})
    )
    for name in ("0", "1", "2"):
        folder.append(record(name))
    folder.write_scores(map(score_of, ("0", "1", "2")))
    for name in ("a", "b"):
        folder.append_scoring(AddedMetricRecord(created="now", metric=name, module={}, versions={}))
        folder.append_invocation(InvocationRecord(ended="now", versions={}, hardware={}, notes=()))
    for after in (0, 3):
        folder.append_point(JudgingPointRecord(after_edits=after))
    folder.write_summary({"cells": []})
    return folder


def cut_at_a_line_end(path: Path, lines: int = 1) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-lines]))


@pytest.mark.parametrize("lines", [1, 3])
def test_scores_cut_at_a_line_end_are_refused_with_the_way_on(summed_up: RunFolder, lines: int) -> None:
    RunFolder.finished(summed_up.path, pytest.fail)
    cut_at_a_line_end(summed_up.scores_path, lines)
    said = f"{summed_up.scores_path}: lines are missing: {lines} of 3; make it anew with: wildcore eval --resume {summed_up.path}"
    assert message(RunFolder.finished, summed_up.path, pytest.fail) == said
    follows = "the run's own metrics score them again, and wildcore score the metrics added later"
    assert list(summed_up.changed_files()) == [f"scores.jsonl: lines are missing: {lines} of 3; {follows}"]


@pytest.mark.parametrize(
    ("name", "said", "resumed"),
    [
        (
            "journal.jsonl",
            "missing cases: 1 of 3; the first is 2; make them with: RESUME",
            "their cases are done again",
        ),
        (
            "scorings.jsonl",
            "lines are missing: 1 of 2; wildcore score records each added metric again",
            "wildcore score records each added metric again",
        ),
        (
            "points.jsonl",
            "lines are missing: 1 of 2; make it anew with: RESUME",
            "the model is measured again at these points",
        ),
        (
            "work.jsonl",
            "lines are missing: 1 of 2; the calls in them are no longer known",
            "the calls in them are no longer known",
        ),
    ],
)
def test_another_file_cut_at_a_line_end_is_said(summed_up: RunFolder, name: str, said: str, resumed: str) -> None:
    cut_at_a_line_end(summed_up.path / name)
    notes: list[str] = []
    RunFolder.finished(summed_up.path, notes.append)
    resume = f"wildcore eval --resume {summed_up.path}"
    assert notes == [f"{summed_up.path / name}: {said.replace('RESUME', resume)}"]
    (found,) = summed_up.changed_files()
    assert found.startswith(f"{name}: lines are missing: 1 of ")
    assert found.endswith(f"; {resumed}")


def test_lines_appended_since_and_runs_that_were_not_summed_up_are_no_change(summed_up: RunFolder) -> None:
    summed_up.append_invocation(InvocationRecord(ended="now", versions={}, hardware={}, notes=()))
    RunFolder.finished(summed_up.path, pytest.fail)
    (summed_up.path / "summary.json").unlink()
    cut_at_a_line_end(summed_up.path / "work.jsonl")
    assert list(summed_up.changed_files()) == []


def test_a_summary_of_an_earlier_version_is_read_as_it_is(summed_up: RunFolder) -> None:
    (summed_up.path / "summary.json").write_text('{"cells": []}\n')
    RunFolder.finished(summed_up.path, pytest.fail)


def test_scores_that_were_written_after_the_summary_are_said(summed_up: RunFolder) -> None:
    summed_up.write_scores([score_of("0").model_copy(update={"after": 0.0}), score_of("1"), score_of("2")])
    notes: list[str] = []
    RunFolder.finished(summed_up.path, notes.append)
    resume = f"wildcore eval --resume {summed_up.path}"
    assert notes == [f"{summed_up.scores_path}: changed since summary.json was written; make it anew with: {resume}"]


def test_every_changed_byte_of_a_summary_is_said(summed_up: RunFolder) -> None:
    path = summed_up.path / "summary.json"
    whole = path.read_bytes()
    damaged = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    damaged += [whole[:size] for size in range(len(whole) - 2)]
    said = {"one": 0, "none": 0}
    for content in damaged:
        path.write_bytes(content)
        notes: list[str] = []
        RunFolder.finished(summed_up.path, notes.append)
        said["one" if len(notes) == 1 and notes[0].startswith(f"{path}: damaged: ") else "none"] += 1
        if not notes:
            assert json.loads(content) == json.loads(whole), "only white space was changed"
        assert len(notes) <= 1
    assert said["none"] <= 5
    path.write_bytes(b"")
    assert list(summed_up.changed_files()) == ["summary.json: damaged: it is not JSON; it is made anew"]
    path.unlink()
    path.mkdir()
    assert list(summed_up.changed_files()) == ["summary.json: cannot be read (Is a directory); it is made anew"]


def test_only_a_run_that_can_be_resumed_is_offered_to_be(folder: RunFolder) -> None:
    assert "resume the run in it" in message(RunFolder.create, folder.path, MANIFEST)
    (folder.path / "manifest.json").write_text("")
    assert message(RunFolder.create, folder.path, MANIFEST).endswith("not an empty folder; choose another")


def test_what_a_killed_process_left_of_a_run_that_it_began_is_removed(tmp_path: Path) -> None:
    for left in (tmp_path / "run.0123abcd.writing", tmp_path / "empty" / "manifest.0123abcd.writing"):
        left.mkdir(parents=True)
        (left / "manifest.json").write_text("{")
    for name in ("run", "empty"):
        assert RunFolder.create(tmp_path / name, MANIFEST).manifest == MANIFEST
        assert [path.name for path in (tmp_path / name).iterdir()] == ["manifest.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "run"]


@pytest.mark.parametrize("name", ["journal.jsonl", ".lock", "traces", "manifest.json", "sequence.safetensors"])
def test_no_link_in_a_run_is_followed(filled: RunFolder, name: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (filled.path / name).unlink(missing_ok=True)
    (filled.path / name).symlink_to(other)
    assert message(RunFolder.open, filled.path).startswith(f"{filled.path / name}: it is a link")
    if name == ".lock":
        assert message(filled.locked().__enter__).startswith(f"{filled.path / name}: it is a link")
    if name == "journal.jsonl":
        assert "cannot be written" in message(filled.append, record("3"))
    assert other.read_text() == "mine"


def test_a_run_folder_may_itself_be_a_link(filled: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert RunFolder.create(tmp_path / "link", MANIFEST).manifest == MANIFEST
    (tmp_path / "again").symlink_to(filled.path)
    with RunFolder.open(tmp_path / "again").locked():
        assert [case.case for case in RunFolder.open(tmp_path / "again").cases()] == ["0", "1", "2"]
