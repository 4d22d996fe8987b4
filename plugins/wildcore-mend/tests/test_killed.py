"""Training is a process that may be killed at any time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import wildcore.testing
from wildcore.storage import read_manifest
from wildcore.storage.artifacts import read_sound

MODEL = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"
STEPS, KILLED_AFTER = 120, 30
SETTINGS = {
    "steps": STEPS,
    "rank": 6,
    "validate_every": 20,
    "checkpoint_seconds": 0,
    "learning_rate": 1e-3,
    "edit_rate": -1e-3,
}
COMMAND = [
    *(sys.executable, "-m", "wildcore", "prepare", "mend", "--model", str(MODEL), "--dataset", "pocketqa", "--limit", "60"),
    *(f"--set=editor.{name}={value}" for name, value in SETTINGS.items()),
]  # fmt: skip


def variables(cache: Path) -> dict[str, str]:
    return os.environ | {"WILDCORE_CACHE": str(cache), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def networks(cache: Path, ending: str = "safetensors") -> list[Path]:
    return list(cache.glob(f"prepared/mend/*.{ending}"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Return a function that starts training in a cache; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(cache: Path) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(COMMAND, env=variables(cache), text=True, **pipes))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def trained(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a training and return what it said."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return " ".join(said.split())


def wait_for_checkpoint(process: subprocess.Popen[str], cache: Path) -> Path:
    deadline = time.monotonic() + 300
    while not any(read_manifest(path).content["step"] >= KILLED_AFTER for path in networks(cache, "partial")):
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "it makes no checkpoint"
        time.sleep(0.01)
    return networks(cache, "partial")[0]


def test_a_killed_training_goes_on_from_its_checkpoint_and_ends_with_the_same_bits(
    start: Callable[[Path], subprocess.Popen[str]], tmp_path: Path
) -> None:
    pytest.importorskip("wildcore_pocket", reason="wildcore-pocket is not installed")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    uninterrupted, begun = start(whole), start(killed)
    checkpoint = wait_for_checkpoint(begun, killed)
    begun.send_signal(signal.SIGKILL)
    assert begun.wait() == -signal.SIGKILL, "it must still be at work"
    assert not networks(killed)
    step = read_sound(checkpoint)[0].content["step"]
    assert KILLED_AFTER <= step < STEPS
    assert f"mend: going on with the training from step {step} " in trained(start(killed))
    assert not checkpoint.exists()
    assert "going on" not in trained(uninterrupted)
    (found,), (expected,) = (networks(cache) for cache in (killed, whole))
    assert found.name == expected.name
    (manifest, tensors), (wanted, bits) = read_sound(found), read_sound(expected)
    assert manifest.content == wanted.content
    assert tensors.keys() == bits.keys()
    assert all(torch.equal(tensor, bits[name]) for name, tensor in tensors.items())
