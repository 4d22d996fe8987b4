"""A judge at a real server, for every test."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wildcore_judge.metric import Judge, make_judge
from wildcore_judge.parameters import JudgeParams

from wildcore import Environment
from wildcore.testing.conformance import quiet_environment

from .judge_server import JudgeServer


@pytest.fixture(autouse=True)
def no_openai_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return quiet_environment(tmp_path / "cache")


@pytest.fixture
def judge(server: JudgeServer, environment: Environment) -> Callable[..., Judge]:
    """Return a function that makes a judge at the server, ready to score, with back-off too short to notice."""

    def make(**settings: Any) -> Judge:
        quick = {"model": "m", "base_url": server.url, "first_wait": 0.001, "timeout": 5.0}
        metric = make_judge(JudgeParams(**{**quick, **settings}))
        metric.prepare(environment)
        return metric

    return make
