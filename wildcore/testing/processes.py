"""Runs Python programs in processes of their own, which start at once.

Each is forked from a process that has only imported torch and transformers. Otherwise it is like any other process: it has its
own environment, folder, output and exit code.
"""

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, get_context
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory
from unittest.mock import patch

IMPORTED = ["wildcore.cli", "wildcore.jobs.eval", "transformers.modeling_utils", "transformers.masking_utils"]
"""Modules that most commands import first; importing them takes longer than the rest of a short command."""


def run_python(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None = None, timeout: float = 300
) -> CompletedProcess[str]:
    """Run ``python -m MODULE ...`` or ``python FILE ...`` in ``folder`` with empty stdin; return its output and exit code.

    Variables that torch and transformers read when they are imported, such as ``OMP_NUM_THREADS``, are those of the first
    call's ``environment``. Raises ``TimeoutExpired`` after ``timeout`` seconds, when the process is killed.
    """
    context = get_context("forkserver")
    with patch.dict(os.environ, environment):
        context.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()
    with TemporaryDirectory() as kept:
        said = [Path(kept) / name for name in ("stdout", "stderr")]
        for path in said:
            path.touch()
        process = context.Process(target=_become, args=(list(arguments), dict(environment), folder or Path.cwd(), said))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(list(arguments), timeout)
        out, errors = (path.read_text(encoding="utf-8") for path in said)
    return CompletedProcess(list(arguments), process.exitcode, out, errors)


def _become(arguments: list[str], environment: dict[str, str], folder: Path, said: Sequence[Path]) -> None:
    """Turn this process into the one that Python would start with ``arguments``."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for descriptor, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.path[:0] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    program, *sys.argv[1:] = arguments if arguments[0] != "-m" else arguments[1:]
    if arguments[0] == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(program).resolve().parent))
        sys.argv[0] = program
        runpy.run_path(program, run_name="__main__")
