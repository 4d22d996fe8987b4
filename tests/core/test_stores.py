"""Stores beyond a run: rows with checksums, links that are not followed, and what killed processes leave."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from wildcore import Saved, UserError
from wildcore.cli import main
from wildcore.patches.files import require_new
from wildcore.storage import Artifact, CheckedRows, require_inside
from wildcore.storage.artifacts import ArtifactManifest
from wildcore.storage.checked_rows import damaged_rows
from wildcore.storage.checksums import sealed, unsealed
from wildcore.storage.durable import appearing, clear_abandoned, lock, replacing, write_durably

ROWS = {f"key {number}": f"answer {number} " + "x" * 40 for number in range(6)}


def kept(cache: Path) -> CheckedRows:
    return CheckedRows(cache, cache / "kept" / "rows.sqlite", "rows", ("key", "answer"), "what is kept", "remove it")


@pytest.fixture
def rows(tmp_path: Path) -> CheckedRows:
    made = kept(tmp_path)
    with made.opened() as opened:
        made.put(opened, ROWS.items())
    return made


def read(rows: CheckedRows) -> dict[str, str]:
    with rows.opened() as opened:
        return {key: row[1] for key in ROWS if (row := rows.get(opened, key))}


def test_rows_are_read_as_they_were_stored_and_replaced(rows: CheckedRows) -> None:
    assert read(rows) == ROWS
    with rows.opened() as opened:
        rows.put(opened, [("key 1", "another")])
    assert read(rows) == {**ROWS, "key 1": "another"}
    assert rows.damaged == set()
    assert damaged_rows(rows.path) == (0, 6)


def test_no_flipped_bit_gives_another_answer(rows: CheckedRows) -> None:
    whole = rows.path.read_bytes()
    said = 0
    for bit in range(3, 8 * len(whole), 997):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        rows.path.write_bytes(content)
        again = kept(rows.cache)
        try:
            found = read(again)
        except UserError:
            said += 1
            continue
        assert found.items() <= ROWS.items()
        said += bool(again.damaged)
    assert said > 0


def test_a_damaged_row_is_counted_and_can_be_made_anew(rows: CheckedRows) -> None:
    with closing(sqlite3.connect(rows.path)) as raw, raw:
        raw.execute("UPDATE rows SET answer = 'answer 9' WHERE key = 'key 2'")
        raw.execute("UPDATE rows SET checksum = NULL WHERE key = 'key 3'")
        raw.execute("UPDATE rows SET answer = 4 WHERE key = 'key 4'")
    sound = {key: answer for key, answer in ROWS.items() if key not in ("key 2", "key 3", "key 4")}
    assert read(rows) == sound
    assert rows.damaged == {"key 2", "key 3", "key 4"}
    assert damaged_rows(rows.path) == (3, 6)
    with rows.opened() as opened:
        rows.put(opened, ROWS.items())
    assert read(rows) == ROWS
    assert damaged_rows(rows.path) == (0, 6)


def test_a_row_under_the_key_of_another_is_damaged(rows: CheckedRows) -> None:
    with closing(sqlite3.connect(rows.path)) as raw, raw:
        raw.execute("DELETE FROM rows WHERE key = 'key 2'")
        raw.execute("UPDATE rows SET key = 'key 2' WHERE key = 'key 1'")
    assert "key 2" not in read(rows)
    assert rows.damaged == {"key 2"}


def test_rows_without_checksums_are_taken_as_they_are_and_checked_from_then_on(tmp_path: Path) -> None:
    rows = kept(tmp_path)
    rows.path.parent.mkdir()
    with closing(sqlite3.connect(rows.path)) as raw, raw:
        raw.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        raw.executemany("INSERT INTO rows VALUES (?, ?)", ROWS.items())
    assert damaged_rows(rows.path) == (0, 6)
    assert read(rows) == ROWS
    with closing(sqlite3.connect(rows.path)) as raw, raw:
        raw.execute("UPDATE rows SET answer = 'other' WHERE key = 'key 2'")
    assert "key 2" not in read(rows)
    assert damaged_rows(rows.path) == (1, 6)


def test_cache_verify_reads_the_rows_too(rows: CheckedRows) -> None:
    def verify() -> tuple[int, str]:
        done = CliRunner().invoke(main, ["cache", "verify"], env={"WILDCORE_CACHE": str(rows.cache)})
        return done.exit_code, done.output

    code, said = verify()
    assert code == 0
    assert "Answers and verdicts: 1 file\nDamaged: 0" in said
    with closing(sqlite3.connect(rows.path)) as raw, raw:
        raw.execute("UPDATE rows SET answer = 'other' WHERE key = 'key 2'")
    code, said = verify()
    assert code == 1
    assert f"{rows.path}: 1 of 6 entries damaged; they are made anew when they are needed" in said
    rows.path.write_bytes(rows.path.read_bytes()[:5000])
    code, said = verify()
    assert code == 1
    assert f"{rows.path}: damaged, or not a store of this cache (" in said


@pytest.mark.parametrize("content", [b"", b"{}", b'{"a":1}', b'{"a":{"checksum":"0123456789abcdef"}}', b"no JSON"])
def test_a_text_without_a_checksum_is_read_as_it_is(content: bytes) -> None:
    assert unsealed(content) == content


@pytest.mark.parametrize("text", ['{"a":1}', '{\n  "a": "b }"\n}\n'])
def test_every_flipped_bit_of_a_sealed_text_is_noticed_or_changes_nothing(text: str) -> None:
    whole = sealed(text).encode()
    assert json.loads(unsealed(whole)) == json.loads(text)
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        try:
            read = unsealed(bytes(content))
        except ValueError:
            continue
        # what is left unnoticed here has no readable checksum, or one more field, which every record refuses
        assert read == bytes(content) or json.loads(read) == json.loads(text)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Return a folder beside the cache with a file in it, which must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("mine")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "mine"


def test_a_link_in_a_cache_is_not_followed(outside: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "kept").symlink_to(outside)
    with pytest.raises(UserError, match="a link leads out of"), kept(cache).opened():
        pass
    (cache / "kept").unlink()
    (cache / "kept").mkdir()
    for name in ("rows.sqlite", "rows.sqlite-journal", "rows.sqlite-wal"):
        (cache / "kept" / name).symlink_to(outside / "file")
        with pytest.raises(UserError, match="it is a link"), kept(cache).opened():
            pass
        (cache / "kept" / name).unlink()


def test_a_link_in_the_store_of_artifacts_is_not_followed(outside: Path, tmp_path: Path) -> None:
    facts = {"kind": "k", "model": "m", "fingerprint": "f", "revision": None, "dtype": "float32", "facts": {}}
    file = Artifact(tmp_path / "cache" / "prepared" / "k" / "a.safetensors", ArtifactManifest.model_validate(facts))
    file.path.parent.parent.mkdir(parents=True)
    file.path.parent.symlink_to(outside)
    with pytest.raises(UserError, match="a link leads out of"):
        file.save(Saved({}, {}))
    file.path.parent.unlink()
    file.path.parent.mkdir()
    file.path.symlink_to(outside / "file")
    for call in (file.load, lambda: file.save(Saved({}, {}))):
        with pytest.raises(UserError, match="it is a link"):
            call()


def test_a_link_is_no_place_for_a_patch(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "p.safetensors").symlink_to(outside / "nothing")
    with pytest.raises(UserError, match="already exists"):
        require_new(tmp_path / "p.safetensors")


def test_the_cache_itself_may_be_a_link(rows: CheckedRows, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(rows.cache)
    assert read(kept(tmp_path / "link")) == ROWS
    (rows.cache / "kept" / "within").symlink_to(rows.cache / "kept")
    require_inside(rows.cache, rows.cache / "kept" / "within" / "file")


def test_a_file_that_replaces_a_link_replaces_the_link(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(outside / "file")
    write_durably(tmp_path / "file", "new")
    assert not (tmp_path / "file").is_symlink()


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_kept(tmp_path: Path) -> None:
    left, other, foreign = (tmp_path / f"run.0123456{digit}.writing" for digit in "789")
    for folder in (left, other):
        folder.mkdir()
        (folder / "half").write_text("half")
    foreign.symlink_to(other)
    held = os.open(other, os.O_RDONLY)
    lock(held)
    clear_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, foreign.name]
    os.close(held)
    clear_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [foreign.name]


def test_what_is_being_written_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as unfinished:
        clear_abandoned(tmp_path)
        unfinished.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with appearing(tmp_path / "folder") as folder:
        clear_abandoned(tmp_path)
        (folder / "file").write_text("whole")
    assert (tmp_path / "folder" / "file").read_text() == "whole"
    with pytest.raises(RuntimeError, match="stopped"), appearing(tmp_path / "other"):
        raise RuntimeError("stopped")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
