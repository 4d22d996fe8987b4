"""Job files that run a study's worker command on a cluster: an array of Slurm jobs, or an indexed Kubernetes Job."""

from collections.abc import Sequence
from shlex import join, quote
from typing import Any

import yaml


def slurm_script(
    command: Sequence[str], workers: int, logs: str, minutes: int, gpus: int, cpus: int, memory: int
) -> str:
    """Return an sbatch script of an array of ``workers`` jobs, each of which runs ``command``; ``memory`` is in GB.

    The output goes to the folder ``logs``, which the script makes. Raises ``ValueError`` for a text with a line break.
    """
    _require_one_line(*command, logs)
    directives = {
        "job-name": "wildcore",
        "array": f"0-{workers - 1}",
        "ntasks": 1,
        "cpus-per-task": cpus,
        "mem": f"{memory}G",
        "time": minutes,
        "output": "/dev/null",  # sbatch does not read quotes in a path as a shell does; the script redirects instead
        **({"gpus": gpus} if gpus else {}),
    }
    head = "".join(f"#SBATCH --{name}={value}\n" for name, value in directives.items())
    return (
        f"#!/bin/bash\n{head}set -eu\n"
        f'logs={quote(logs)}\nmkdir -p -- "$logs"\n'
        'exec >"$logs/$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID.log" 2>&1\n'
        f"exec {join(command)}\n"
    )


def kubernetes_job(
    command: Sequence[str], workers: int, image: str, claim: str, mount: str, gpus: int, cpus: int, memory: int
) -> str:
    """Return an indexed Job of ``workers`` pods that run ``command``; ``memory`` is in GB.

    The persistent volume claim ``claim`` holds the study's folder and the models, and is mounted at ``mount``. Kubernetes
    replaces a pod that fails.
    """
    limits: dict[str, Any] = {"cpu": str(cpus), "memory": f"{memory}G", **({"nvidia.com/gpu": gpus} if gpus else {})}
    container = {
        "name": "worker",
        "image": image,
        "command": [_literal(word) for word in command],
        "resources": {"limits": limits},
        "volumeMounts": [{"name": "study", "mountPath": mount}],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "study", "persistentVolumeClaim": {"claimName": claim}}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "wildcore-study"},
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            "backoffLimit": 6 * workers,
            "template": {"spec": pod},
        },
    }
    return yaml.safe_dump(job, sort_keys=False, allow_unicode=True)


def _literal(word: str) -> str:
    """Return ``word`` so that Kubernetes, which replaces $(NAME) in a command, leaves it as it is."""
    return word.replace("$(", "$$(")


def _require_one_line(*texts: str) -> None:
    for text in texts:
        if "\n" in text or "\r" in text:
            raise ValueError(f"a path or argument of a job file may have no line break: {text!r}")
