"""A full disk, a closed output, a place where nothing may be written: one message each, and exit code 2."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wildcore.cli import system_errors

COMMAND = [sys.executable, "-m", "wildcore"]


def said(*arguments: str, **where: object) -> str:
    """Return the only line that a failing command says."""
    done = subprocess.run([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, check=False, **where)  # type: ignore[call-overload]
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return str(line)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("argument", ["plugins", "--help"])
def test_a_full_disk_behind_the_output_is_said(argument: str) -> None:
    with open("/dev/full", "w") as full:
        assert said(argument, stdout=full) == (
            "Error: the output cannot be written (No space left on device); files that are finished are kept"
        )


@pytest.mark.skipif(os.name == "nt", reason="POSIX only")
def test_an_output_that_nobody_reads_is_said() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert said("plugins", stdout=writer).startswith("Error: the output cannot be written (Broken pipe)")
    finally:
        os.close(writer)


@pytest.mark.skipif(os.name == "nt", reason="POSIX only")
def test_a_closed_output_is_said_before_anything_is_done() -> None:
    assert said("plugins", preexec_fn=lambda: os.close(1)) == f"Error: {system_errors.CLOSED}"


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOSPC, "; make room, and give the command again"),
        (errno.EROFS, "; choose another place, or allow it there"),
        (errno.EACCES, "; choose another place, or allow it there"),
        (errno.EMFILE, ""),
    ],
)
def test_an_error_about_a_file_names_it_and_the_way_on(number: int, way_out: str) -> None:
    error = OSError(number, os.strerror(number), "/some/file")
    assert system_errors.message(error) == f"/some/file: {os.strerror(number)}{way_out}"


def test_an_error_that_the_user_did_not_cause_stays_as_it_is() -> None:
    assert system_errors.message(FileNotFoundError(errno.ENOENT, "No such file", "/some/file")) is None
    assert system_errors.message(OSError("something")) is None
    with pytest.raises(OSError, match="something"), system_errors.shown():
        raise OSError("something")
