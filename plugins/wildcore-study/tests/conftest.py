"""A small study: a tiny model, an editor, a file of a few edits, in a folder with a cache of its own."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from wildcore_study.definition import grid, read_study
from wildcore_study.folder import StudyFolder
from wildcore_study.planning import StudyPlan, plan_study
from wildcore_study.queue import StudyQueue

import wildcore.testing
from wildcore.registry import Registry, load_registry
from wildcore.reporting.console import Reporter

TINY = Path(wildcore.testing.__file__).parent / "data" / "tiny-llama"

Planned = Callable[..., StudyPlan]
Queued = Callable[..., StudyQueue]
Journals = dict[str, list[dict[str, Any]]]


def row(number: int) -> dict[str, object]:
    """Return an edit of the kind that CounterFact holds, with three probes."""
    place = f"the mill {number}"
    return {
        "case_id": number,
        "prompt": f"The keeper of {place} is called",
        "target_new": "Anna" if number % 2 else "Oliver Stone",
        "subject": place,
        "ground_truth": "Peter",
        "rephrase_prompt": f"Whoever keeps {place} is called",
        "locality_prompt": "The colour of snow is",
        "locality_ground_truth": "white",
    }


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this process and those that it starts one thread, no network, and a cache of their own."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1"), ("RAY_USAGE_STATS_ENABLED", "0")):
            patched.setenv(name, value)
        patched.setenv("WILDCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def edits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of twelve edits."""
    file = tmp_path_factory.mktemp("edits") / "edits.json"
    file.write_text(json.dumps([row(number) for number in range(12)]))
    return file


@pytest.fixture
def study_file(tmp_path: Path, edits: Path) -> Callable[..., Path]:
    """Return a function that writes a study file. Each argument is the TOML text of a key's value."""

    def write(name: str = "small", **keys: object) -> Path:
        texts: dict[str, object] = {
            "models": json.dumps([str(TINY)]),
            "editors": '["ft-m"]',
            "datasets": f'[{{dataset = "counterfact", parameters = {{path = "{edits}"}}}}]',
            "protocols": '["synthetic"]',
            "limit": 2,
        } | keys
        file = tmp_path / f"{name}.toml"
        file.write_text("".join(f"{key} = {text}\n" for key, text in texts.items() if text is not None))
        return file

    return write


@cache
def plugins() -> Registry:
    return load_registry()


def plan_of(file: Path, device: str = "auto") -> StudyPlan:
    """Return the plan of a study file."""
    study = read_study(file)
    registry = replace(plugins(), protocols=list(plugins().protocols))  # which a plan extends
    return plan_study(registry, study, list(grid(study)), Reporter(quiet=True), device)


@pytest.fixture
def planned(study_file: Callable[..., Path]) -> Planned:
    """Return a function that plans a study with the keys of ``study_file``."""
    return lambda device="auto", **keys: plan_of(study_file(**keys), device)


@pytest.fixture
def queued(planned: Planned, tmp_path: Path) -> Queued:
    """Return a function that plans a study with the keys of ``study_file`` in the folder ``study``."""

    def queue(folder: str = "study", **keys: object) -> StudyQueue:
        place = StudyFolder(tmp_path / folder)
        return StudyQueue(place.path, place.keep_plan(planned(**keys)))

    return queue


def journals(folder: StudyFolder) -> Journals:
    """Return the journal of each finished run, without how long edits took."""
    found = {}
    for run in sorted(folder.runs.iterdir()):
        lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        for line in lines:
            del line["checksum"], line["edit"]["seconds"]
        found[run.name] = lines
    return found


@pytest.fixture
def answers() -> Callable[[StudyFolder], Journals]:
    """Return a function that gives the journal of each finished run of a folder, without how long edits took."""
    return journals
