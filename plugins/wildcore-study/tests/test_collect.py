"""The tables of real small runs, in every format; and the presets."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from wildcore_study.decomposition import effects
from wildcore_study.documents import TABLES
from wildcore_study.measured import Measured, measured
from wildcore_study.presets import Preset, planned_runs, preset_names, read_preset
from wildcore_study.protocols import controlled_protocols
from wildcore_study.rendering import CSV_COLUMNS, WIDEST
from wildcore_study.tables import Report, arrange, collect

from wildcore import UserError
from wildcore.cli import main
from wildcore.records.run_folder import RunFolder
from wildcore.registry import load_registry
from wildcore.scoring import MODULES, module_steps

PROTOCOLS = [protocol.name for protocol in controlled_protocols()]


def evaluate(out: Path, *arguments: str) -> None:
    command = ["eval", "--quiet", "--out", str(out), *arguments]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run under every controlled protocol and the two published ones: one edit serves all."""
    folder = tmp_path_factory.mktemp("runs")
    protocols = [word for name in [*PROTOCOLS, "synthetic", "wild"] for word in ("--protocol", name)]
    evaluate(folder / "edits", "--editor", "ft-m", "--limit", "3", *protocols)
    return folder


@pytest.fixture(scope="module")
def numbers(runs: Path) -> list[Measured]:
    return measured([RunFolder.open(runs / "edits")])


def read_report(text: str) -> Report:
    found = TABLES.read(text)
    assert isinstance(found, Report)
    return found


def collected(runs: Path, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["study", "collect", str(runs), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def as_llama(numbers: list[Measured], **changes: object) -> list[Measured]:
    """Return the numbers as if they were measured on one of the paper's models and on QAEdit."""
    told = {"model": "meta-llama/Meta-Llama-3-8B", "dataset": "qaedit", **changes}
    return [number.model_copy(update=told) for number in numbers]


def test_the_json_has_the_means_of_the_run(runs: Path) -> None:
    report = read_report(collected(runs, "--preset", "table3", "--json"))
    summary = json.loads((runs / "edits" / "summary.json").read_text(encoding="utf-8"))
    rows = {(row["protocol"], row["kind"]): row for row in summary["cells"] if row["protocol"] in ("synthetic", "wild")}
    assert [table.title.partition(",")[0] for table in report.tables] == ["reliability", "generalization", "locality"]
    for table in report.tables:
        kind = table.title.partition(",")[0]
        for column, cell in zip(table.columns, table.cells[0], strict=True):
            assert cell is not None
            row = rows[column, kind]
            assert (cell.mean, cell.low, cell.high, cell.cases) == (row["after"], row["low"], row["high"], row["cases"])


def test_differences_are_those_of_the_means_over_the_same_cases(runs: Path) -> None:
    (reliability, *_) = read_report(collected(runs, "--preset", "table3", "--json")).tables
    (difference,) = reliability.differences
    synthetic, wild = reliability.cells[0]
    assert synthetic is not None
    assert wild is not None
    assert difference.label == "synthetic minus wild"
    assert difference.paired.difference == pytest.approx(synthetic.mean - wild.mean)
    assert difference.paired.cases == 3
    assert difference.family_size == 1


def test_csv_is_one_line_for_each_number(runs: Path) -> None:
    text = collected(runs, "--preset", "truncation", "--csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert all(None not in line and None not in line.values() for line in lines)
    kinds = [line["kind"] for line in lines]
    assert (kinds.count("mean"), kinds.count("difference")) == (4, 2)
    assert all(line["cases"] == "3" for line in lines if line["kind"] in ("mean", "difference"))


@pytest.mark.parametrize("preset", ["table3", "metric", "decomposition", "extra-content"])
def test_markdown_tables_have_equal_columns(runs: Path, preset: str) -> None:
    blocks = [block for block in collected(runs, "--preset", preset, "--markdown").split("\n\n") if block[0] == "|"]
    assert blocks
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
        assert set(block.splitlines()[1]) == {"|", "-", " "}


@pytest.mark.parametrize("preset", ["table3", "metric", "decomposition", "extra-content"])
def test_latex_is_balanced(runs: Path, preset: str) -> None:
    text = collected(runs, "--preset", preset, "--latex")
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    plain = text.replace(r"\{", "").replace(r"\}", "").replace(r"\&", "")
    assert plain.count("{") == plain.count("}")
    for tabular in plain.split(r"\begin{tabular}{")[1:]:
        columns = len(tabular.partition("}")[0])
        rows = [line for line in tabular.partition(r"\end{tabular}")[0].splitlines() if line.endswith(r"\\")]
        assert rows
        assert {row.count("&") for row in rows} == {columns - 1}


def test_only_a_difference_that_stands_is_bold(numbers: list[Measured]) -> None:
    from wildcore_study.rendering import to_latex

    cases = [f"case {number}" for number in range(20)]
    synthetic, wild = (n for n in numbers if n.probe == "reliability" and n.protocol in ("synthetic", "wild"))
    right = synthetic.model_copy(update={"values": dict.fromkeys(cases, 1.0), "clusters": {}})
    for wrong, bold in ((15, True), (2, False)):
        values = {case: float(number >= wrong) for number, case in enumerate(cases)}
        table = arrange([right, wild.model_copy(update={"values": values, "clusters": {}})], read_preset("table3"))
        assert table[0].differences[0].stands == bold
        text = to_latex(Report(title="", tables=tuple(table), unfinished=()))
        assert (r"\textbf{" in text) == bold


def test_published_numbers_stand_beside_those_of_the_papers_model_alone(numbers: list[Measured]) -> None:
    preset = read_preset("truncation")
    own = arrange(
        [n for n in as_llama(numbers) if n.protocol in preset.protocols and n.metric == "exact-match"], preset
    )
    values = {
        column: [p.value for p in cell.published]
        for column, cell in zip(own[0].columns, own[0].cells[0], strict=True)
        if cell
    }
    assert values == {
        "bare-free-gold": [1.0], "bare-free-natural": [0.202], "guided-free-gold": [0.751], "guided-free-natural": [0.528],
    }  # fmt: skip
    assert any(note.startswith("Tables 3 and 6") for note in own[0].footnotes)
    assert "published by the LLM judge, ours by exact match" in own[0].footnotes

    other = as_llama(numbers, model="pocket")
    assert not [p for t in arrange(other, preset) for row in t.cells for cell in row if cell for p in cell.published]
    shown = [p for t in arrange(other, preset, True) for row in t.cells for cell in row if cell for p in cell.published]
    assert shown
    assert {p.of_another_model for p in shown} == {"llama-3-8b"}


def test_the_modules_alone_and_in_order_add_up(numbers: list[Measured]) -> None:
    of_controlled = [number for number in numbers if number.protocol in PROTOCOLS]
    found = {effect.label: effect.paired.difference for effect in effects(of_controlled)}
    assert set(found) == {label for label, _, _ in module_steps()}
    total = found["all four"]
    assert sum(found[f"{module}, in order"] or 0 for module in MODULES) == pytest.approx(total)
    synthetic, wild = (n.mean for n in numbers if n.probe == "reliability" and n.protocol in ("synthetic", "wild"))
    assert total == pytest.approx(synthetic - wild)


def test_an_unfinished_run_is_listed(runs: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "manifest.json").write_bytes((runs / "edits" / "manifest.json").read_bytes())
    done = CliRunner().invoke(main, ["study", "collect", str(runs), str(tmp_path), "--preset", "table3", "--json"])
    assert done.exit_code == 0, done.output
    report = read_report(done.stdout)
    assert [one.cell for one in report.unfinished] == [str(begun)]
    assert "0 of 3 cases done" in report.unfinished[0].reason
    assert report.tables
    for form in ("--csv", "--markdown", "--latex"):
        assert "0 of 3 cases" in collected(tmp_path, form)


def test_runs_that_differ_are_never_mixed(runs: Path) -> None:
    folder = RunFolder.open(runs / "edits")
    report = collect([folder, folder], preset=read_preset("table3"))
    assert report.tables[0].rows == ("ft-m #1", "ft-m #2")


def test_retention_has_the_groups_of_edits_at_each_judging_point(tmp_path: Path) -> None:
    evaluate(
        tmp_path / "run", "--editor", "ft-m", "--limit", "4", "--schedule", "sequential", "--edits-per-update", "2",
        "--judge-at", "matrix", "--protocol", "wild",
    )  # fmt: skip
    (table,) = read_report(collected(tmp_path, "--preset", "retention", "--json")).tables
    assert table.columns == ("edits", "after 2", "after 4", "cases")
    assert [(row[0], row[-1]) for row in table.plain] == [("1 to 2", "2"), ("3 to 4", "2")]
    assert table.plain[1][1] == ""
    assert all(0 <= float(value) <= 1 for value in (table.plain[0][1], table.plain[0][2], table.plain[1][2]))


def test_extra_content_shows_what_followed(runs: Path) -> None:
    (table,) = read_report(collected(runs, "--preset", "extra-content", "--json")).tables
    assert table.plain
    for row in table.plain:
        correct, went_on, ended, unknown = map(int, row[4:8])
        assert correct == went_on + ended + unknown
        assert bool(row[8]) == bool(went_on)


def test_a_folder_without_runs_and_an_unknown_preset_are_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["study", "collect", str(tmp_path)])
    assert done.exit_code == 2
    assert "contains no run" in done.output
    with pytest.raises(UserError, match="no such preset"):
        read_preset("tabel3")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_names_what_is_installed_and_can_be_planned(name: str) -> None:
    preset, registry = read_preset(name), load_registry()
    for kind, named in (("editor", preset.editors), ("dataset", preset.datasets)):
        known = {found.offer.name for found in registry.offers[kind]}
        assert set(named) <= known
    assert set(preset.protocols) <= {found.offer.name for found in registry.protocols}
    planned = list(planned_runs(preset, 2))
    assert len(set(planned)) == len(planned)
    assert {run.editor for run in planned} == set(preset.editors)
    assert all(run.cases == 2 and (run.edits_per_update or 1) <= 2 for run in planned)
    assert all((run.edits_per_update is None) == (preset.schedule == "single") for run in planned)


def test_the_batches_are_those_of_figure_4() -> None:
    planned = list(planned_runs(read_preset("batch-size"), None))
    at_the_end = {
        e: [r.edits_per_update for r in planned if (r.editor, r.cases) == (e, 1000)] for e in ("ft-m", "memit")
    }
    assert at_the_end == {"ft-m": [1, 10, 20, 40, 80], "memit": [1, 10, 25, 50, 100, 200, 400, 800, 1000]}


def test_all_ten_presets_are_there() -> None:
    assert preset_names() == sorted([
        "table3", "input", "generation", "truncation", "metric", "extra-content", "sequential", "batch-size", "retention",
        "decomposition",
    ])  # fmt: skip
    assert all(isinstance(read_preset(name), Preset) for name in preset_names())


def test_means_in_many_columns_are_turned(runs: Path) -> None:
    text = collected(runs, "--preset", "decomposition", "--markdown")
    report = read_report(collected(runs, "--preset", "decomposition", "--json"))
    (table,) = (table for table in report.tables if len(table.columns) > WIDEST)
    block = next(block for block in text.split("\n\n") if block.startswith("| setting "))
    head, _, *rows = (line.strip("| ").split(" | ") for line in block.splitlines())
    assert head == ["setting", *table.rows]
    assert [row[0] for row in rows] == list(table.columns)
    for row, cell in zip(rows, table.cells[0], strict=True):
        assert cell is not None
        assert row[1].startswith(f"{cell.mean:.3f} (")


def test_what_a_preset_leaves_out_is_named_by_protocol(runs: Path, numbers: list[Measured]) -> None:
    (note,) = read_report(collected(runs, "--preset", "input", "--json")).notes
    shown = {("reliability", "token-match", name) for name in ("bare-forced-gold", "guided-forced-gold")}
    listed = set()
    for group in note.partition("): ")[2].split("; "):
        kinds, _, protocols = group.partition(" under ")
        for kind in kinds.split(", "):
            probe, metric = kind.split(" by ")
            listed |= {(probe, metric, protocol) for protocol in protocols.split(", ")}
    assert listed == {(n.probe, n.metric, n.protocol) for n in numbers} - shown
