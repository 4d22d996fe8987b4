"""Plans: ids that depend on everything that answers depend on and on nothing else, and all faults named at once."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wildcore_study.planning import StudyPlan, StudyRun, digest
from wildcore_study.queue import StudyQueue

from wildcore import UserError
from wildcore.records.run_folder import RunFolder

Planned = Callable[..., StudyPlan]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
)


def shuffled(value: Any, drawn: random.Random) -> Any:
    """Return an equal value whose mappings have their keys in another order, and whose lists are tuples."""
    if isinstance(value, dict):
        keys = list(value)
        drawn.shuffle(keys)
        return {key: shuffled(value[key], drawn) for key in keys}
    return tuple(shuffled(one, drawn) for one in value) if isinstance(value, list) else value


@given(VALUES, st.randoms(use_true_random=False))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: Any, drawn: random.Random) -> None:
    assert digest(shuffled(value, drawn)) == digest(value)


@given(VALUES, VALUES)
def test_different_values_have_different_digests(first: Any, second: Any) -> None:
    assert (digest(first) == digest(second)) == (
        json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    )


def test_a_value_without_a_stable_form_has_no_digest() -> None:
    with pytest.raises(TypeError, match="object has no stable form in JSON"):
        digest([object()])


def cells(plan: StudyPlan) -> set[str]:
    return {cell for run in plan.runs for cell in run.cells.values()}


DIFFERENT = [
    {"editors": '[{editor = "ft-m", parameters = {layer = 1}}]'},
    {"editors": '["lora"]'},
    {"seeds": "[1]"},
    {"limit": 3},
    {"limit": None, "sample": 2},
    {"limit": None, "sample": 2, "sample_seed": 1},
    {"batch_size": 8},
    {"continuation": 20},
    {"only_failures": '"wild"'},
    {"added_metrics": '["rouge-l"]'},
    {"schedules": '["sequential"]'},
    {"schedules": '["batch"]'},
    {"schedules": '[{schedule = "sequential", edits_per_update = 2}]'},
    {"schedules": '[{schedule = "sequential", judge_at = "each"}]'},
    {"schedules": '["sequential"]', "orders": "[1]"},
    {"schedules": '["sequential"]', "orders": "[2]"},
]


def test_each_part_of_the_identity_changes_the_ids_of_runs(planned: Planned) -> None:
    plans = [planned(), *(planned(**keys) for keys in DIFFERENT)]
    ids = [run.id for plan in plans for run in plan.runs]
    assert len(set(ids)) == len(ids) == 1 + len(DIFFERENT)
    assert len(set.union(*map(cells, plans))) == len(ids)


def test_runs_with_different_seeds_have_the_same_cases(planned: Planned) -> None:
    runs = planned(limit=None, sample=2, seeds="[0, 1]", sample_seed=7).runs
    assert [(run.spec.seed, run.spec.sample_seed) for run in runs] == [(0, 7), (1, 7)]
    assert len({run.id for run in runs}) == 2


def test_a_run_planned_by_an_earlier_version_draws_its_cases_by_its_only_seed(planned: Planned) -> None:
    (run,) = planned(seeds="[3]").runs
    earlier = run.model_dump(mode="json")
    del earlier["spec"]["sample_seed"]
    assert StudyRun.model_validate(earlier).spec.sample_seed == 3


def test_what_no_answer_depends_on_changes_no_id(planned: Planned) -> None:
    two = {"editors": '["ft-m", "lora"]', "protocols": '["synthetic", "wild"]', "seeds": "[0, 1]"}
    plan = planned(**two)
    reordered = {"editors": '["lora", "ft-m"]', "protocols": '["wild", "synthetic"]', "seeds": "[1, 0]"}
    others = [
        planned(**reordered),
        planned(**two, title='"Another"', layout='"table3"'),
        planned(device="cuda:3", **two),
    ]
    for other in others:
        assert cells(other) == cells(plan)
        assert {run.id for run in other.runs} == {run.id for run in plan.runs}
        assert {run.model for run in other.runs} == {run.model for run in plan.runs}


def test_the_content_of_model_and_dataset_changes_the_ids(planned: Planned, edits: Path, tmp_path: Path) -> None:
    plan = planned()
    source = Path(plan.runs[0].spec.model)
    copied = shutil.copytree(source, tmp_path / "copied")
    (same,) = planned(models=json.dumps([str(copied)])).runs
    assert same.id == plan.runs[0].id, "equal files are one model, wherever they lie"
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    (changed,) = planned(models=json.dumps([str(copied)])).runs
    assert changed.id != same.id
    assert changed.model != same.model
    rows = json.loads(edits.read_text())
    rows[1]["target_new"] = "Maria"
    (tmp_path / "changed.json").write_text(json.dumps(rows))
    data = f'[{{dataset = "counterfact", parameters = {{path = "{tmp_path}/changed.json"}}}}]'
    (other,) = planned(datasets=data).runs
    assert other.id != plan.runs[0].id
    assert other.model == plan.runs[0].model
    rows[5]["target_new"] = "Maria"  # the study uses two cases
    (tmp_path / "changed.json").write_text(json.dumps(rows))
    (same,) = planned(datasets=data).runs
    assert same.id == other.id


def test_hard_locality_depends_on_the_whole_dataset(planned: Planned, tmp_path: Path, edits: Path) -> None:
    data = f'[{{dataset = "counterfact", parameters = {{path = "{tmp_path}/rows.json"}}, hard_locality = 1}}]'
    rows = json.loads(edits.read_text())
    ids = []
    for kind in ("mill", "tower"):
        for number, row in enumerate(rows[2:]):  # the study edits the first two
            row["subject"], row["prompt"] = f"the {kind} {number}", f"The keeper of the {kind} {number} is called"
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        ids += [run.id for run in planned(datasets=data).runs]
    assert ids[0] != ids[1]


def test_a_protocols_modules_change_its_cell_alone(planned: Planned) -> None:
    variants = [
        '{protocol = "wild", name = "mine", truncator = "gold-length"}',
        '{protocol = "wild", name = "mine", metrics = ["token-f1"]}',
        '{protocol = "wild", name = "mine", parameters = {"generator.max_new_tokens" = 7}}',
        '{protocol = "wild", name = "other", metrics = ["token-f1"]}',
    ]
    runs = [planned(protocols=f'["synthetic", {variant}]').runs[0] for variant in variants]
    assert len({run.id for run in runs}) == 1
    assert len({run.cells["synthetic"] for run in runs}) == 1
    assert len({cell for run in runs for name, cell in run.cells.items() if name != "synthetic"}) == len(variants)


def test_a_parameter_is_the_same_in_an_entry_and_in_the_settings(planned: Planned) -> None:
    entry = planned(editors='[{editor = "ft-m", parameters = {layer = 1}}]')
    assert cells(planned(settings='{"editor.ft-m.layer" = 1}')) == cells(entry)


def test_equal_points_are_one_run(planned: Planned) -> None:
    assert len(planned(editors='["ft-m", {editor = "ft-m"}]', seeds="[0, 0]").runs) == 1


def fault(planned: Planned, **keys: object) -> str:
    with pytest.raises(UserError) as caught:
        planned(**keys)
    return str(caught.value)


def test_all_faults_are_named_at_once(planned: Planned, edits: Path) -> None:
    data = f'["contrafact", {{dataset = "counterfact", parameters = {{path = "{edits}"}}}}]'
    said = fault(planned, editors='["ft-m", "rom"]', datasets=data, seeds="[0, 1]")
    lines = said.splitlines()
    assert lines[0] == "the study cannot be run:"
    assert any(line.startswith("  rom, on ") and "unknown editor 'rom'; did you mean 'rome'" in line for line in lines)
    assert any("unknown dataset 'contrafact'; did you mean" in line and "3 more runs: " in line for line in lines)
    assert len(lines) == 3, said


def test_settings_and_names_that_do_not_fit_are_errors(planned: Planned) -> None:
    unused = fault(planned, settings='{"editor.lora.rank" = 4}')
    assert "no run of the study uses the editor 'lora'" in unused
    assert "known: ft-m" in unused
    assert "it belongs to a protocol" in fault(planned, settings='{"context.chat.system" = "x"}')
    named_twice = fault(planned, protocols='["wild", {protocol = "synthetic", name = "wild", metrics = ["token-f1"]}]')
    assert named_twice == "two protocols of the study are called 'wild'; give one of them another name"
    assert "unknown protocol 'wld'; did you mean 'wild'" in fault(planned, protocols='["wld"]')
    taken = fault(planned, protocols='[{protocol = "wild", name = "synthetic", metrics = ["token-f1"]}]')
    assert "'synthetic' is the name of a protocol of" in taken


def test_a_setting_is_given_to_the_runs_that_it_fits(planned: Planned) -> None:
    plan = planned(editors='["ft-m", "lora"]', settings='{"editor.lora.rank" = 4}')
    assert [dict(run.spec.settings).get("editor.lora.rank") for run in plan.runs] == [None, 4]


COUNTED = [
    {},
    {
        "limit": 3,
        "schedules": '[{schedule = "sequential", edits_per_update = 2, judge_at = "matrix", measurements = ["none"]}]',
    },
    {"datasets": '[{dataset = "counterfact", parameters = {path = "EDITS"}, hard_locality = 1}]'},
]


@pytest.mark.parametrize("keys", COUNTED)
def test_a_plan_counts_the_answers_that_its_run_records(
    queued: Callable[..., StudyQueue], edits: Path, keys: dict[str, Any]
) -> None:
    own = {"protocols": '["synthetic", "bare-free-gold"]'} | keys  # the second scores reliability alone
    own = {key: value.replace("EDITS", str(edits)) if isinstance(value, str) else value for key, value in own.items()}
    queue = queued(**own)
    (run,) = queue.plan.runs
    worker = queue.open_worker("cpu")
    assert worker.run(run.id)
    (folder,) = queue.study.runs.iterdir()
    records = list(RunFolder.open(folder).records())
    asked = Counter(probe.protocol for record in records for probe in record.probes for _ in probe.after)
    assert asked == dict.fromkeys(run.cells, run.probes)
