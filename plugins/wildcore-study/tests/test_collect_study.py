"""The tables of a study's folder: the example is run, and collected whole, damaged and with repeats."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from wildcore_study.comparisons import Compared, adjusted
from wildcore_study.definition import (
    DatasetEntry,
    EditorEntry,
    ModelEntry,
    ProtocolEntry,
    ScheduleEntry,
    Study,
    grid,
    read_study,
)
from wildcore_study.devices import kind_of_device
from wildcore_study.documents import TABLES
from wildcore_study.folder import StudyFolder
from wildcore_study.gathering import gathered
from wildcore_study.measured import Measured, editor_labels, measured, repeat_of
from wildcore_study.planning import SharedSettings, job_of, own_protocols
from wildcore_study.presets import preset_names
from wildcore_study.repeats import compare_measured, pooled
from wildcore_study.tables import Report, arrange, devices_notes

from wildcore import UserError
from wildcore.cli import main
from wildcore.records.run_folder import RunFolder
from wildcore.registry import load_registry
from wildcore.scoring.orders import crossed_interval
from wildcore.scoring.paired import compare_paired, holm

EXAMPLE = Path(__file__).parents[1] / "example.toml"
MEASURED = sorted((Path(__file__).parents[3] / "benchmarks" / "studies").glob("*.toml"))
"""The study files of the measured studies."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example study, run by a worker of its own process."""
    folder = tmp_path_factory.mktemp("study") / "example"
    done = CliRunner().invoke(main, ["study", str(EXAMPLE), "--out", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "Print the tables with: wildcore study collect" in done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the example's folder."""
    return Path(shutil.copytree(finished, tmp_path / "example"))


@pytest.fixture(scope="module")
def numbers(finished: Path) -> list[Measured]:
    return [
        n
        for n in measured([RunFolder.open(path) for path in (finished / "runs").iterdir()])
        if n.probe == "reliability"
    ]


def test_the_readme_has_every_key_of_a_study_file_and_every_preset() -> None:
    text = EXAMPLE.with_name("README.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1]: line for line in text.splitlines() if line.startswith("| ")}
    heads = "".join(rows)
    assert not [key for key in Study.model_fields if f"`{key}`" not in heads]
    entries = {"models": ModelEntry, "editors": EditorEntry, "datasets": DatasetEntry, "protocols": ProtocolEntry,
               "schedules": ScheduleEntry}  # fmt: skip
    for name, entry in entries.items():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |") and f"`{name[:-1]}`" in line)
        assert not [key for key in entry.model_fields if f"`{key}`" not in row]
    assert not [name for name in preset_names() if f"`wildcore study --preset {name} --model M`" not in text]


def read_report(text: str) -> Report:
    found = TABLES.read(text)
    assert isinstance(found, Report)
    return found


def report(folder: Path, *arguments: str) -> Report:
    done = CliRunner().invoke(main, ["study", "collect", str(folder), "--json", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return read_report(done.stdout)


def test_the_example_is_a_study_of_two_editors(folder: Path) -> None:
    study = read_study(EXAMPLE)
    found = report(folder)
    assert (found.title, found.unfinished, found.notes) == (study.title, (), ())
    assert {table.rows for table in found.tables} == {("ft-l", "ft-m")}
    assert {table.columns for table in found.tables} == {("synthetic", "wild")}


def test_editors_are_compared_on_the_same_cases_under_each_protocol(folder: Path) -> None:
    for table in report(folder).tables:
        assert [row.label for row in table.between_editors] == ["synthetic", "wild"]
        for index, row in enumerate(table.between_editors):
            means = {
                name: cells[index].mean for name, cells in zip(table.rows, table.cells, strict=True) if cells[index]
            }  # type: ignore[union-attr]
            better, worse = row.editor.split(" minus ")
            assert row.paired.difference == pytest.approx(means[better] - means[worse])
            assert means[better] == max(means.values())
            assert row.family == f"all pairs of editors under {row.label}"


def test_discarded_runs_are_left_out(folder: Path) -> None:
    study = StudyFolder(folder)
    (plan,) = study.plans().values()
    gone = next((folder / "runs").glob(f"{plan.runs[0].id}-*"))
    study.discard(gone)
    found = report(folder)
    assert [(one.cell, one.reason) for one in found.unfinished] == [(plan.runs[0].description, "not begun")]
    assert {table.rows for table in found.tables} == {("ft-m",)}
    below = gathered([folder.parent], None)
    assert [run.path.parent.name for run in below.finished] == ["runs"]


def test_a_run_that_was_set_aside_is_listed_with_the_reason(folder: Path) -> None:
    from wildcore_study.attempts import Outcome

    study = StudyFolder(folder)
    (plan,) = study.plans().values()
    study.discard(next((folder / "runs").glob(f"{plan.runs[1].id}-*")))
    with study.attempts(plan.runs[1]).claim() as claim:
        assert claim is not None
        claim.record(Outcome(ending="refused", reason="the layer does not exist"))
    (left,) = report(folder).unfinished
    assert left.reason == "set aside: the layer does not exist"


def test_runs_of_other_studies_in_the_folder_are_counted(folder: Path) -> None:
    study = StudyFolder(folder)
    (plan,) = study.plans().values()
    study.keep_plan(plan.model_copy(update={"runs": plan.runs[:1], "title": "One"}))
    found = report(folder)
    assert {table.rows for table in found.tables} == {("ft-l",)}
    assert found.notes == (f"Finished runs in {folder} that belong to other studies, and are not shown: 1",)


def test_the_plan_says_how_tables_are_arranged_unless_a_preset_is_named(folder: Path) -> None:
    study = StudyFolder(folder)
    (plan,) = study.plans().values()
    study.keep_plan(plan.model_copy(update={"layout": "table3"}))
    probes = [table.title.partition(",")[0] for table in report(folder).tables]
    assert probes == ["reliability", "generalization", "locality"]
    found = report(folder, "--preset", "extra-content")
    assert [table.title for table in found.tables] == ["What follows correct answers to edit prompts"]
    assert any("portability" in note for note in report(folder).notes)


def test_studies_that_are_arranged_differently_need_a_preset(folder: Path, finished: Path) -> None:
    study = StudyFolder(folder)
    (plan,) = study.plans().values()
    study.keep_plan(plan.model_copy(update={"layout": "table3"}))
    with pytest.raises(UserError, match="arranged differently"):
        gathered([folder, finished], None)
    assert len(gathered([folder, finished], "table3").finished) == 4


def test_each_family_is_adjusted_alone() -> None:
    values = [{str(case): float(case < right) for case in range(20)} for right in (20, 14, 12, 5)]
    pairs = [compare_paired(values[0], other) for other in values[1:]]
    made = [Compared("a", "x", family, "reliability", paired) for family, paired in zip("pqq", pairs, strict=True)]
    rows = adjusted(made)
    assert [row.family_size for row in rows] == [1, 2, 2]
    assert rows[0].p_holm == pairs[0].p
    assert [row.p_holm for row in rows[1:]] == holm([pair.p for pair in pairs[1:]])
    assert rows[1].p_holm == pytest.approx(pairs[1].p) or rows[1].p_holm == pytest.approx(2 * (pairs[1].p or 0))


def repeated(number: Measured, seed: int, values: dict[str, float], **changes: object) -> Measured:
    mean = sum(values.values()) / len(values)
    told = {"values": values, "repeats": {f"seed {seed}": values}, "mean": mean, "clusters": {}, **changes}
    return number.model_copy(update=told)


def test_repeats_are_pooled_with_an_interval_over_seeds_and_cases(numbers: list[Measured]) -> None:
    import numpy as np

    of_seeds = [{"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0}, {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}]
    (one,) = pooled([repeated(numbers[0], seed, values) for seed, values in enumerate(of_seeds)])
    assert one.mean == pytest.approx(0.625)
    assert (one.low, one.high) == crossed_interval(np.array([list(values.values()) for values in of_seeds]), (0.0, 1.0))
    assert one.values == {"a": 1.0, "b": 0.5, "c": 1.0, "d": 0.0}
    zero = [repeated(numbers[0], seed, dict.fromkeys("abcd", 0.0), editor="none") for seed in (0, 1)]
    paired = compare_measured(one, pooled(zero)[0])
    assert paired.difference == pytest.approx(0.625)
    assert paired.p is None
    assert (paired.low, paired.high) == crossed_interval(
        np.array([list(values.values()) for values in of_seeds]), (-1.0, 1.0)
    )
    assert paired.low is not None
    (table,) = arrange([one, *pooled(zero)], None)
    assert table.cells[0][0] is not None
    assert table.cells[0][0].repeats == (0.5, 0.75)
    assert any("several seeds or orders" in note for note in table.footnotes)
    assert len(pooled([repeated(numbers[0], seed, of_seeds[0], editor=str(seed)) for seed in (0, 1)])) == 2


def test_rows_of_repeats_share_a_label_and_parts_of_one_run_too(finished: Path) -> None:
    first, *_ = (RunFolder.open(path).manifest.identity for path in sorted((finished / "runs").iterdir()))
    other_seed = {**first, "seed": 1, "dataset": {**first["dataset"], "seed": 1}}
    assert len(set(editor_labels([first, other_seed], repeats_apart=False))) == 1
    assert len(set(editor_labels([first, other_seed]))) == 2
    drawn = {**first["dataset"], "sample": 2}
    repeats = [{**first, "seed": seed, "dataset": {**drawn, "seed": of_cases}} for seed, of_cases in ((1, 1), (1, 2))]
    assert [repeat_of(one) for one in repeats] == ["seed 1, in order", "seed 1, sample seed 2, in order"]
    parts = [{**first, "protocols": {name: modules}} for name, modules in first["protocols"].items()]
    assert len(set(editor_labels(parts))) == 1
    assert len(set(editor_labels([*parts, parts[0]]))) == 2


def test_different_kinds_of_accelerator_in_one_table_are_said(numbers: list[Measured]) -> None:
    assert list(devices_notes({"ft-l": ["cpu"], "ft-m": ["cpu"]})) == []
    moved = [n.model_copy(update={"devices": ("NVIDIA H200",)}) if n.method == "ft-m" else n for n in numbers]
    (table,) = arrange(moved, None)
    (note,) = [note for note in table.footnotes if "kinds of accelerator" in note]
    assert "NVIDIA H200: ft-m; cpu: ft-l" in note
    assert not [note for note in arrange(numbers, None)[0].footnotes if "kinds of accelerator" in note]
    assert kind_of_device({"device": "cuda:1", "accelerator": "NVIDIA H200"}) == "NVIDIA H200"


@pytest.mark.parametrize("words", [["collect"], ["status"], ["script", "--engine", "slurm"]])
def test_a_folder_without_a_plan_is_refused(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    done = CliRunner().invoke(main, ["study", *words, str(tmp_path)])
    assert done.exit_code == 2
    assert f"{tmp_path}: holds no study" in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("given", "option"), [(["--model", "pocket"], "--model"), (["--set", "editor.ft-m.layer=1"], "--set")]
)
def test_an_option_for_presets_is_refused_with_a_file_by_its_own_name(given: list[str], option: str) -> None:
    done = CliRunner().invoke(main, ["study", "plan", str(EXAMPLE), *given])
    assert done.exit_code == 2
    assert f"{option}: is for presets, and a study file says this itself; write it in the file" in done.stderr


def test_the_help_names_every_preset() -> None:
    said = " ".join(CliRunner().invoke(main, ["study", "run", "--help"]).stdout.replace("-\n", "-").split())
    assert not [name for name in preset_names() if name not in said]


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_a_measured_study_can_be_planned(path: Path) -> None:
    study, registry = read_study(path), load_registry()
    protocols = own_protocols(registry, study.protocols)
    registry.add_protocols(protocols)
    settings = SharedSettings(registry, study)
    specs = [job_of(registry, study, point, protocols, settings, "cpu") for point in grid(study)]
    settings.require_all_used()
    assert len(specs) == len(study.models) * len(study.editors) * len(study.seeds)
    assert study.layout is None or study.layout in preset_names()
    for spec in specs:
        registry.find("editor", spec.editor)  # raises for an unknown name
        assert [registry.find_protocol(name).offer.name for name in spec.protocols] == list(spec.protocols)
