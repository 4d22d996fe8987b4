"""The simulation of a study keeps to the bounds that hold for every schedule."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "study_scale", Path(__file__).parents[2] / "benchmarks" / "study_scale.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_scale"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


scale = _loaded()


def test_one_gpu_takes_the_sum_of_the_work_and_of_the_loads() -> None:
    study = scale.Study(((1.0, 0.5), (2.0, 0.25)), models=2, cases=10, shard=3, model_gb=16, read_gb_s=2)
    assert study.work == pytest.approx(2 * 10 * (1.5 + 2.25))
    outcome = scale.simulate(study, 1)
    assert outcome.end == pytest.approx(study.work + 2 * 8)
    assert outcome.loads == 2


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 60), st.integers(1, 9), st.floats(0.5, 50))
def test_no_schedule_beats_the_bounds(gpus: int, models: int, cases: int, shard: int, judged: float) -> None:
    study = scale.Study(((1.0, 0.1), (0.3, 0.2)), models, cases, shard, judged_per_second=judged)
    outcome = scale.simulate(study, gpus)
    longest = max(seconds for _, seconds, _ in study.cells)
    assert outcome.gpus_end >= max(study.work / gpus, longest) * (1 - 1e-9)
    assert outcome.end >= 2 * models * cases * study.judged_per_case / judged * (1 - 1e-9)
    assert outcome.end >= outcome.gpus_end
    assert models <= outcome.loads or len(study.cells) < models


def test_a_judge_limit_binds_where_gpus_are_many() -> None:
    free = scale.Study(((1.0, 0.1),), cases=1000, shard=10, model_gb=0)
    limited = scale.Study(((1.0, 0.1),), cases=1000, shard=10, model_gb=0, judged_per_second=5)
    assert scale.simulate(limited, 64).end == pytest.approx(3 * 1000 * 4 / 5, rel=0.05)
    assert scale.simulate(limited, 64).end > 5 * scale.simulate(free, 64).end
