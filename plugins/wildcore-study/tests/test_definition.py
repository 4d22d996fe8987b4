"""The study file: every key, and every fault with its place."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from wildcore_study.definition import (
    MOST_BYTES,
    DatasetEntry,
    EditorEntry,
    ModelEntry,
    ProtocolEntry,
    ScheduleEntry,
    Study,
    grid,
    read_study,
)

from wildcore import UserError

EVERY_KEY = """
title = "All keys"
seeds = [0, 1]
sample_seed = 6
orders = [3, 4]
limit = 5
only_failures = "wild"
batch_size = 16
continuation = 20
added_metrics = ["rouge"]
settings = {"editor.layer" = 1}
layout = "table3"

[[models]]
model = "org/name"
revision = "main"
dtype = "bfloat16"
device_map = "auto"
trust_remote_code = true
merge_adapter = true
batch_size = 8

[[editors]]
editor = "ft-m+norm"
as_published = true
parameters = {layer = 3}
transform = {"norm.scale" = 0.5}

[[datasets]]
dataset = "counterfact"
parameters = {path = "edits.json"}
where = {relation = "P17"}
limit = 7
skip_malformed = true
hard_locality = 2

[[datasets]]
dataset = "zsre"
sample = 9

[[protocols]]
protocol = "wild"
name = "mine"
context = "chat"
generator = "greedy"
truncator = "natural"
metrics = ["f1"]
parameters = {"context.system" = "Be brief."}

[[schedules]]
schedule = "sequential"
edits_per_update = 2
judge_at = "matrix"
measurements = ["norms"]
stop_when_collapsed = true
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return tmp_path / "study.toml"

    return written


def said(file: Path) -> str:
    """Return what is said about a wrong file, from its name on."""
    with pytest.raises(UserError) as caught:
        read_study(file)
    return str(caught.value).replace(str(file.parent) + "/", "")


MINIMAL = 'models = ["m"]\neditors = ["e"]\ndatasets = ["d"]\nprotocols = ["p"]\n'


def test_every_key_is_read(write: Write) -> None:
    study = read_study(write(EVERY_KEY))
    assert study == Study(
        title="All keys",
        models=(
            ModelEntry(
                model="org/name", revision="main", dtype="bfloat16", device_map="auto",
                trust_remote_code=True, merge_adapter=True, batch_size=8,
            ),
        ),
        editors=(
            EditorEntry(
                editor="ft-m+norm", as_published=True, parameters={"layer": 3}, transform={"norm.scale": 0.5}
            ),
        ),
        datasets=(
            DatasetEntry(
                dataset="counterfact", parameters={"path": "edits.json"}, where={"relation": "P17"},
                limit=7, skip_malformed=True, hard_locality=2,
            ),
            DatasetEntry(dataset="zsre", sample=9),
        ),
        protocols=(
            ProtocolEntry(
                protocol="wild", name="mine", context="chat", generator="greedy", truncator="natural",
                metrics=("f1",), parameters={"context.system": "Be brief."},
            ),
        ),
        schedules=(
            ScheduleEntry(
                schedule="sequential", edits_per_update=2, judge_at="matrix", measurements=("norms",),
                stop_when_collapsed=True,
            ),
        ),
        seeds=(0, 1), sample_seed=6, orders=(3, 4), limit=5, only_failures="wild", batch_size=16, continuation=20,
        added_metrics=("rouge",), settings={"editor.layer": 1}, layout="table3",
    )  # fmt: skip


@pytest.mark.parametrize("kind", [Study, ModelEntry, EditorEntry, DatasetEntry, ProtocolEntry, ScheduleEntry])
def test_no_key_is_left_out_of_that_test(kind: type[Study]) -> None:
    keys = set(re.findall(r"^(?:\[\[)?([a-z_]+)", EVERY_KEY, re.MULTILINE)) | {"sample"}
    assert set(kind.model_fields) <= keys


def test_a_name_stands_for_an_entry(write: Write) -> None:
    study = read_study(write(MINIMAL + 'schedules = ["batch"]\n'))
    assert study.models == (ModelEntry(model="m"),)
    assert study.editors == (EditorEntry(editor="e"),)
    assert study.datasets == (DatasetEntry(dataset="d"),)
    assert study.protocols == (ProtocolEntry(protocol="p"),)
    assert study.schedules == (ScheduleEntry(schedule="batch"),)
    assert (study.title, study.seeds, study.orders, study.batch_size) == ("Study", (0,), (), 32)


def test_orders_and_seeds_make_runs_of_sequences_and_seeds_of_single_edits(write: Write) -> None:
    text = MINIMAL + 'schedules = ["single", "sequential"]\nseeds = [0, 7]\norders = [1, 2, 3]\n'
    found = [(point.schedule.schedule, point.seed, point.order) for point in grid(read_study(write(text)))]
    sequences = [("sequential", seed, order) for seed in (0, 7) for order in (1, 2, 3)]
    assert found == [("single", 0, None), ("single", 7, None), *sequences]


def test_runs_with_one_model_follow_each_other(write: Write) -> None:
    text = 'models = ["m", "n"]\neditors = ["e", "f"]\ndatasets = ["d", "c"]\nprotocols = ["p"]\n'
    models = [point.model.model for point in grid(read_study(write(text)))]
    assert models == ["m"] * 4 + ["n"] * 4


WRONG = [
    (MINIMAL + "limits = 3\n", "study.toml, line 5: limits: no such key; did you mean 'limit'?"),
    (MINIMAL + "limit = 0\n", "study.toml, line 5: limit: Input should be greater than or equal to 1"),
    (MINIMAL + "seeds = [0, -1]\n", "study.toml, line 5: seeds.1: Input should be greater than or equal to 0"),
    (
        MINIMAL + f"sample_seed = {2**63 - 1}0\n",
        "study.toml, line 5: sample_seed: Input should be less than 9223372036854775808",
    ),
    (
        MINIMAL.replace('["e"]', '[{editor = "e", parameter = {layer = 3}}]'),
        "study.toml, line 2: editors.0.parameter: no such key; did you mean 'parameters'?",
    ),
    (MINIMAL.replace('["e"]', "[]"), "study.toml, line 2: editors: Tuple should have at least 1 item<...>"),
    (MINIMAL.replace('editors = ["e"]\n', ""), "study.toml: editors: Field required"),
    (MINIMAL.replace('["m"]', '[""]'), "study.toml, line 1: models.0.model: String should have at least 1 character"),
    (
        MINIMAL.replace('["m"]', '[{model = "m", dtype = "int8"}]'),
        "study.toml, line 1: models.0.dtype: Input should be 'auto', 'float32', 'bfloat16', 'float16' or 'float64'",
    ),
    (
        MINIMAL + 'title = 3\n\n[[schedules]]\nschedule = "each"\nedits = 2\n',
        "study.toml, line 5: title: Input should be a valid string; schedules.0.schedule: Input should be 'single', "
        "'batch' or 'sequential'; schedules.0.edits: no such key; known: edits_per_update, judge_at, measurements, "
        "schedule, stop_when_collapsed",
    ),
    (
        MINIMAL + '[[schedules]]\nschedule = "single"\n[[schedules]]\nschedule = "each"\n',
        "study.toml, line 8: schedules.1.schedule: Input should be 'single', 'batch' or 'sequential'",
    ),
    (
        MINIMAL.replace('["m"]', '[\n{model = "m", batch_size = 1},\n{model = "m", batch_size = 0}]'),
        "study.toml, line 1: models.1.batch_size: Input should be greater than or equal to 1",
    ),
    ("models = 1 2\n", "study.toml: is not TOML: <...>line 1<...>"),
    ("models = " + "[" * 100_000, "study.toml: is nested too deeply"),
    ("#" * (MOST_BYTES + 1), "study.toml: is no study file: larger than 1,000,000 bytes"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=map(str, range(len(WRONG))))
def test_a_fault_is_named_with_file_line_and_key(write: Write, text: str, expected: str) -> None:
    pattern = ".*".join(map(re.escape, expected.split("<...>")))
    found = said(write(text))
    assert re.fullmatch(pattern, found, re.DOTALL), found


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert said(tmp_path / "none.toml") == "none.toml: cannot be read (No such file or directory)"
    (tmp_path / "latin.toml").write_bytes('title = "Zürich"'.encode("latin-1"))
    assert said(tmp_path / "latin.toml") == "latin.toml: is not UTF-8 (byte 10)"


def test_a_changed_protocol_is_called_after_its_changes() -> None:
    assert not ProtocolEntry(protocol="wild").is_changed
    changed = ProtocolEntry(protocol="wild", context="chat", metrics=("f1", "rouge"))
    assert changed.is_changed
    assert changed.own_name == "wild-chat-f1-rouge"
    assert ProtocolEntry(protocol="wild", context="chat", name="mine").own_name == "mine"
