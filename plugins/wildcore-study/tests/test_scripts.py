"""Job files are valid, and run exactly the command that they are given, whatever its characters."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from wildcore_study.scripts import kubernetes_job, slurm_script

ODD = 'it\'s a "study" $HOME $(touch here) `touch here` \\ ; & Ü'


def test_an_sbatch_script_runs_its_command_with_odd_paths(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:])", ODD, "-x"]
    logs = tmp_path / ODD.replace("/", "")
    text = slurm_script(command, workers=8, logs=str(logs), minutes=60, gpus=1, cpus=4, memory=64)
    script = tmp_path / "job.sh"
    script.write_text(text, encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)
    environment = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"}
    subprocess.run(["bash", str(script)], check=True, env=environment, cwd=tmp_path)
    assert (logs / "7-3.log").read_text(encoding="utf-8") == f"{[ODD, '-x']}\n"
    assert not (tmp_path / "here").exists()
    assert "#SBATCH --array=0-7\n" in text
    assert "#SBATCH --gpus=1\n" in text
    assert "gpus" not in slurm_script(command, 1, str(logs), minutes=60, gpus=0, cpus=4, memory=64)


def test_a_line_break_in_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="no line break"):
        slurm_script(["a\n#SBATCH --x"], 1, "logs", minutes=1, gpus=0, cpus=1, memory=1)


def test_a_kubernetes_job_holds_the_command_as_it_is() -> None:
    text = kubernetes_job(["worker", ODD], 64, "image:1", "claim", "/study", gpus=1, cpus=4, memory=64)
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 64
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["worker", ODD.replace("$(", "$$(")]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["volumeMounts"] == [{"name": "study", "mountPath": "/study"}]
    assert job["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "claim"}
