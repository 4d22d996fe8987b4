"""What a job runs: the worker command, which ends with the job."""

import os
import signal
import subprocess
from collections.abc import Sequence

GRACE_SECONDS = 0.7
"""submitit kills an interrupted local job after one second."""


def run_worker(command: Sequence[str], shows_all_gpus: bool) -> int:
    """Run a worker until it ends, and return its exit code. Interrupted, it ends the worker first.

    ``shows_all_gpus``: undo that submitit hides the GPUs from its local jobs.
    """
    environment = dict(os.environ)
    if shows_all_gpus and not environment.get("CUDA_VISIBLE_DEVICES"):
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    process = subprocess.Popen(command, env=environment)
    try:
        return process.wait()
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt a process that still runs, so that it saves its work; kill it if that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
