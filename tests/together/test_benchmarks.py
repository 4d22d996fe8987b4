"""The benchmarks run, and say so where they find too little. How fast anything is, only they assert."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from wildcore_lm_eval.parameters import LmEvalParams
from wildcore_lm_eval.tasks import load_tasks

from wildcore.testing.processes import run_python

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run_python([str(FOLDER / name), *arguments], environment)


def test_edits_together_are_timed_beside_edits_alone(environment: dict[str, str]) -> None:
    job = ["--editors", "ft-m", "--together", "1", "2"]
    done = run("parallel_edits.py", *job, environment=environment)
    assert done.returncode == 0, done.stderr
    timings = json.loads(done.stdout[done.stdout.index("[\n") :])
    assert [(timing["editor"], timing["together"]) for timing in timings] == [("ft-m", 1), ("ft-m", 2)]
    for timing in timings:
        assert timing["ratio"] == pytest.approx((timing["before"] + timing["edit"] + timing["after"]) / timing["floor"])
    refused = run("parallel_edits.py", *job, "--require", "1000", environment=environment)
    assert refused.returncode == 1
    assert "less than 1000.0 times as fast together as alone: ft-m" in refused.stderr


@pytest.mark.parametrize("options", [(), ("--filled-up",)])
def test_a_step_is_timed(options: tuple[str, ...], environment: dict[str, str]) -> None:
    done = run("step_times.py", "--editors", "ft-m", "--together", "2", *options, environment=environment)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"ft-m, 2 together: -?[\d.]+ ms a step, -?[\d.]+ s to set up; [\d.]+ s the first time\n", done.stdout
    )


def test_a_sequence_is_timed_with_and_without_graphs(environment: dict[str, str]) -> None:
    done = run("sequence_speed.py", "--editors", "ft-m", "--edits", "2", environment=environment)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout[done.stdout.index("[\n") :])
    assert found["gain"] == pytest.approx(found["without_graphs"] / found["with_graphs"])
    assert found["all_differ"] < 1e-3
    assert "ft-m: " in done.stdout


def test_patches_made_together_and_alone_are_compared(environment: dict[str, str]) -> None:
    done = run("together_and_alone.py", "--editors", "ft-m", "--edits", "2", environment=environment)
    assert done.returncode == 0, done.stderr
    number = r"[\d.]+e[-+]\d+"
    apart = f"{number}, at most ({number}); without 100 numbers of [\\d,]+: {number}, at most {number}"
    lines = rf"ft-m, together and alone: {apart}\nft-m, alone on two threads and on one: {apart}\n"
    found = re.fullmatch(lines, done.stdout)
    assert found, done.stdout
    assert all(float(most) < 1e-2 for most in found.groups())


def test_the_first_command_is_timed_alone_and_beside_busy_processes(environment: dict[str, str]) -> None:
    done = run("first_command.py", "--limit", "1", "--set", "OMP_NUM_THREADS=1", environment=environment)
    assert done.returncode == 0, done.stderr
    line = r".*, {}: [\d.]+ s, [\d.]+ processor s, load before [\d.]+\n"
    assert re.fullmatch(line.format("alone") + line.format("beside 2 busy processes"), done.stdout)


def test_malformed_rows_are_counted(environment: dict[str, str]) -> None:
    done = run("malformed_rows.py", "--rows", "150", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "| all | all | 150 | 0 | 0 | 0 | 0 | 0 |"


def test_the_memory_of_readers_is_measured(environment: dict[str, str]) -> None:
    done = run("reader_memory.py", "--rows", "2000", "--only", "nested.json", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    as_list, as_lines = done.stdout.splitlines()[2:]
    said = r"\| 0.2 \| [\d.]+ \| 32 \| 0 \| 1 \| nested too deeply: more than 64 levels \|"
    assert re.fullmatch(rf"\| nested.json \| a list nested 100,000 deep {said}", as_list)
    assert re.fullmatch(rf"\| nested.jsonl \| a list nested 100,000 deep {said}", as_lines)


def opened(name: str) -> ModuleType:
    """Return a benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, 0), ({"near": 2e-4}, 1), ({"far": 9e-4}, 1), ({"kinds": ("near",)}, 1)],
)
def test_rounding_and_wrong_methods_are_shown_side_by_side(
    changes: dict[str, Any], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tolerance of 1e-4; what was measured is there already."""
    script = opened("golden_rounding")
    errors = {"near": 3e-6, "far": 2e-2} | changes
    test = "plugins/wildcore-rome/tests/test_golden.py::test_{}[tiny-gpt2]"
    rows = [(test.format(kind), kind, errors[kind], 1e-4) for kind in changes.get("kinds", ("near", "far"))]
    for capability in script.capabilities():
        for threads in script.THREADS:
            (tmp_path / f"{capability}-{threads}.json").write_text(json.dumps(rows))
    assert script.main(tmp_path, []) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"| rome | tiny-gpt2 | 0.0001 | {errors['near']:.1e} |")
    assert last.endswith("| none |  |" if "kinds" in changes else f"| {errors['far']:.1e} | `far[tiny-gpt2]` |")


@pytest.fixture(scope="module")
def rule_judge() -> ModuleType:
    return opened("rule_judge")


@pytest.mark.parametrize(
    ("golds", "answer", "verdict"),
    [
        ("Rome", "Rome.", "CORRECT"),
        ("Rome", "It is the city of Rome", "CORRECT"),
        ("Paris\nthe city of Rome", "City of Rome", "CORRECT"),
        ("Rome", "Rome Rome", "INCORRECT"),
        ("Rome", "Rome is a city with a very long history", "INCORRECT"),
        ("Rome", "Romeo", "INCORRECT"),
        ("Rome", "", "INCORRECT"),
    ],
)
def test_the_rules_of_the_judge_by_rules(rule_judge: ModuleType, golds: str, answer: str, verdict: str) -> None:
    from wildcore_judge.prompt import BUILT_IN

    from wildcore import Answer, AnsweredProbe, Output

    said = Answer(
        text=answer, token_ids=(1,), output=Output(text=answer, token_ids=(1,), stop_reason="end-of-sequence")
    )
    item = AnsweredProbe(
        kind="reliability",
        question="Which city?",
        answers=tuple(golds.split("\n")),
        gold_token_ids=(1,),
        answer=said,
        unedited=said,
    )
    assert rule_judge.verdict(BUILT_IN.render(item)) == verdict


def test_a_task_of_unedited_facts_is_one_of_the_harness(tmp_path: Path, environment: dict[str, str]) -> None:
    fact = {"prompt": "It is in", "ground_truth": "Rome", "target_new": "Oslo"}
    subjects = [f"edited {number}" for number in range(1300)] + ["edited 7", "first", "second", "third"]
    file = tmp_path / "counterfact.json"
    file.write_text(json.dumps([{**fact, "subject": subject} for subject in subjects]), encoding="utf-8")
    folder = tmp_path / "it's a folder"
    done = run("unedited_facts.py", str(file), str(folder), environment=environment)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / "facts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["choices"] for line in lines] == [["Rome", "Oslo"], ["Oslo", "Rome"], ["Rome", "Oslo"]]
    assert {line["choices"][line["gold"]] for line in lines} == {"Rome"}
    (task,) = load_tasks(LmEvalParams(tasks=(str(folder / "facts.yaml"),))).tasks.values()
    document = list(task.eval_docs)[1]
    assert (task.doc_to_text(document), task.doc_to_choice(document)) == ("It is in", ["Oslo", "Rome"])
    assert task.doc_to_target(document) == 1
