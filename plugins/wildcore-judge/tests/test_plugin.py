"""The plugin as the command line sees it."""

import html
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from wildcore_judge.parameters import HumanLabelsParams, JudgeParams

from wildcore import Answer, EditRequest, EvalProtocol, Output, Use
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ProbeRecord
from wildcore.registry import load_registry

from .judge_server import KEY, JudgeServer, fails, graded, verdict

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.split() for line in README.splitlines() if line.startswith("    wildcore describe")]


def answer(text: str) -> Answer:
    return Answer(text=text, token_ids=(1,), output=Output(text=text, token_ids=(1,), stop_reason="end-of-sequence"))


def case(number: int) -> CaseRecord:
    probe = ProbeRecord(
        protocol="wild",
        probe=0,
        kind="reliability",
        question=f"Where is {number}?",
        answers=("Paris",),
        prompt="Q",
        gold_token_ids=(1,),
        before=(answer("Rome"),),
        after=(answer("Paris" if number % 2 else "Oslo"),),
    )
    request = EditRequest(prompt=f"Where is {number}?", target="Paris")
    return CaseRecord(
        case=str(number), request=request, edit=EditOutcome(status="edited", seconds=0.0), probes=(probe,)
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Return a finished run of four edits, two of which hold."""
    part = Use(name="x")
    protocol = EvalProtocol(
        name="wild", summary="", context=part, generator=part, truncator=part, metrics={"reliability": ()}
    )
    model = {"name": "m", "dtype": "float32", "device": "cpu", "notes": []}
    manifest = Manifest(
        created="2026-01-01T00:00:00+00:00",
        job={"seed": 0, "model": "m", "dataset": "d", "editor": "e"},
        identity={"model": model, "dataset": {"name": "d"}, "editor": {"name": "e", "params": {}}, "seed": 0},
        protocols=(protocol,),
        case_count=4,
        versions={},
        hardware={},
        plugins={},
    )
    folder = RunFolder.create(tmp_path / "run", manifest)
    for number in range(4):
        folder.append(case(number))
    folder.write_scores([])
    return folder


def wildcore(
    *arguments: object, cache: Path, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wildcore", *map(str, arguments)]
    environment = os.environ | {"WILDCORE_CACHE": str(cache)} | dict(variables or {})
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
    )


def values(folder: RunFolder, metric: str) -> list[tuple[float | None, float | None]]:
    return [(score.before, score.after) for score in folder.scores() if score.metric.startswith(metric)]


def test_a_finished_run_is_judged_and_judged_again_where_it_failed(
    run: RunFolder, server: JudgeServer, tmp_path: Path
) -> None:
    quoted = [
        KEY,
        KEY.replace("/", "\\/"),
        quote(KEY, safe=""),
        html.escape(KEY),
        b64encode(f"Bearer {KEY}".encode()).decode(),
    ]
    server.react = lambda request: fails(500, " ".join(quoted)) if graded(request)[1] == "Oslo" else verdict(request)
    options = ["--judge", "m", "--judge-base-url", server.url, "--set", "metric.judge.first_wait=0.0"]
    first = wildcore("score", run.path, *options, cache=tmp_path / "cache", variables={"OPENAI_API_KEY": KEY})
    assert first.returncode == 0, first.stderr
    assert values(run, "judge") == [(0.0, None), (0.0, 1.0)] * 2
    server.react = verdict
    before = len(server.requests)
    second = wildcore("score", run.path, *options, cache=tmp_path / "cache", variables={"OPENAI_API_KEY": KEY})
    assert second.returncode == 0, second.stderr
    assert values(run, "judge") == [(0.0, 0.0), (0.0, 1.0)] * 2
    assert len(server.requests) == before + 2
    score = next(score for score in run.scores() if score.metric.startswith("judge"))
    assert score.after_samples[0].details["verdict"] == "INCORRECT"
    shown = first.stdout + first.stderr + second.stdout + second.stderr
    assert "8 different answers to judge, 0 of them known already; 8 to ask" in " ".join(shown.split())
    kept = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for form in quoted:
        assert form not in shown
        assert not any(form.encode() in content for content in kept)


def test_a_run_is_scored_by_people(run: RunFolder, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    rows = [{"question": "Where is 0?", "gold": "Paris", "answer": "Oslo", "label": 0}]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = wildcore("score", run.path, "--human-labels", labels, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert values(run, "human-labels") == [(None, 0.0)] + [(None, None)] * 3
    assert "1 of 8 answers have a label; 0 of 1 labels match no answer" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--judge", "m"], "there is none in the environment variable OPENAI_API_KEY"),
        (["--judge", "m", "--judge-base-url", "localhost"], "metric.judge.base_url: not an address"),
        (["--judge", "m", "--judge-budget", "1"], "metric.judge.budget: the prices are not known"),
        (["--judge", "m", "--judge-local", "folder"], "give either --set metric.judge.model=MODEL"),
        (["--human-labels", "nowhere.csv"], "Path does not point to a file"),
    ],
)
def test_what_cannot_work_is_said_at_once(options: list[str], wrong: str, run: RunFolder, tmp_path: Path) -> None:
    done = wildcore("score", run.path, *options, cache=tmp_path / "cache")
    assert done.returncode == 2
    assert wrong in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(run.scores())


def test_the_plugin_offers_two_metrics_and_their_options() -> None:
    registry = load_registry(["judge"])
    assert not registry.broken
    assert [found.offer.name for found in registry.offers["metric"]] == ["judge", "human-labels"]
    fields = {"judge": JudgeParams.model_fields, "human-labels": HumanLabelsParams.model_fields}
    for option, shortcut in registry.shortcuts.items():
        section, metric, parameter = shortcut.sets.split(".")
        assert section == "metric"
        assert parameter in fields[metric]
        assert option in README
    assert len(registry.shortcuts) == 5


def test_loading_the_plugin_is_cheap() -> None:
    heavy = ("openai", "sqlite3", "asyncio", "torch", "transformers")
    code = f"import sys, wildcore_judge; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_of_the_readme_run(command: list[str], tmp_path: Path) -> None:
    done = wildcore(*command[1:], cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in JudgeParams.model_fields)


def test_every_parameter_says_what_it_is() -> None:
    fields: list[Any] = [*JudgeParams.model_fields.values(), *HumanLabelsParams.model_fields.values()]
    assert all(field.description for field in fields)
