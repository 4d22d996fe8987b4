"""General ability through the command line: tasks of the harness on the model before and after the edits of a sequence."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

TASK = """
task: my_task
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{folder}/docs.jsonl"}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: 0
doc_to_choice: ["Anna", "Oliver Stone"]
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


def test_tasks_are_asked_before_and_after_the_edits(
    wildcore: Callable[..., subprocess.CompletedProcess[str]], job: list[object], tmp_path: Path
) -> None:
    rows = [{"question": f"The keeper of the {colour} mill is called"} for colour in ("red", "green", "blue", "old")]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "task.yaml").write_text(TASK.format(folder=tmp_path), encoding="utf-8")
    sequence = ["eval", *job, "--schedule", "sequential", "--limit", 2, "--capability-limit", 3]
    done = wildcore(*sequence, "--capability", tmp_path / "task.yaml", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "my_task/acc" in done.stdout
    assert "Running loglikelihood" not in done.stdout + done.stderr
    lines = (tmp_path / "run" / "points.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line)["measured"]["lm-eval"] for line in lines]
    assert [[(one["name"], one["items"], len(one["samples"])) for one in point] for point in found] == [
        [("my_task/acc", 3, 3)],
        [("my_task/acc", 3, 3)],
    ]
    refused = wildcore(*sequence, "--capability", tmp_path / "none.yaml")
    assert refused.returncode == 2
    assert f"measurement.lm-eval.tasks={tmp_path}/none.yaml: there is no such file" in refused.stderr
    assert refused.stdout == ""
