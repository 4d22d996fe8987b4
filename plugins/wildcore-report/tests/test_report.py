"""``wildcore report``: the data in its file against the runs, with texts that attack a page, and what it refuses."""

import base64
import json
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from wildcore_report.cases import CaseTable, sign_before, sign_of
from wildcore_report.naming import names
from wildcore_report.texts import Cleaner, in_script, utf16_length

from wildcore import EditRequest
from wildcore.cli import main
from wildcore.cli.eval import eval_command
from wildcore.records.run_folder import RunFolder
from wildcore.scoring.scores import COMPARES
from wildcore.scoring.summary import summary as summary_of
from wildcore.types import Thought

from . import made_runs as made
from .contents import Contents

ATTACKS = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\u202eright to left\u2066",
    "line\u2028paragraph\u2029end",
    "nul\x00bell\x07escape\x1b[31mred",
    "&lt;&amp;\\u003c",
    "{{ title }}{% raw %}",
    "\ufffe\U0001f600\ufeff",
    "$x^2$ \\frac",
)


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def reported(folder: Path, *runs: Path) -> Contents:
    """Return the report of runs."""
    out = folder / "report.html"
    result = run_command("report", *runs, "--out", out, "--quiet", "--force")
    assert result.exit_code == 0, result.output
    return Contents(out)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the pocket model."""
    run = tmp_path_factory.mktemp("real") / "run"
    result = run_command(
        "eval", "--editor", "ft-m", "--limit", 4, "--set", "editor.steps=3", "--seed", 3, "--add-metric", "contains",
        "--quiet", "--out", run,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return run


@pytest.fixture(scope="module")
def real_report(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return reported(tmp_path_factory.mktemp("report"), real)


def test_the_numbers_are_those_of_the_run(real: Path, real_report: Contents) -> None:
    expected = summary_of(RunFolder(real))
    assert expected["cells"]
    rows = real_report.figure("kinds")
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in expected["cells"]:
        first.setdefault((cell["protocol"], cell["kind"]), cell)
    assert {(row["protocol"], row["probe"]) for row in rows} == set(first)
    for row in rows:
        cell = first[row["protocol"], row["probe"]]
        found = [row["after"], row["before"], row["low"], row["high"]]
        assert found == [
            None if cell[name] is None else pytest.approx(cell[name], abs=1e-4)
            for name in ("after", "before", "low", "high")
        ]
        assert row["cases"] == cell["cases"]
    assert len(real_report.table("kinds", "Every number")) == len(expected["cells"])
    (gap,) = real_report.figure("gap")
    assert gap["difference"] == pytest.approx(expected["synthetic_minus_wild"]["difference"], abs=1e-4)
    assert real_report.summary.headline[0].startswith("ft-m: Reliability is ")


def test_the_gap_is_drawn_beside_the_unedited_model(tmp_path: Path) -> None:
    record, _ = made.two_protocols("a", 0.75, 0.0)
    scores = [
        made.score(record, one, value, before)
        for one, value, before in zip(record.probes, (0.75, 0), (0.5, 1), strict=True)
    ]
    made.write_run(tmp_path / "run", [record], scores)
    report = reported(tmp_path, tmp_path / "run")
    (row,) = report.figure("gap")
    assert (row["synthetic unedited"], row["wild unedited"]) == (0.5, 1.0)
    (figure,) = [one for one in report.summary.figures if one.id == "gap"]
    assert figure.alt == "made: synthetic 0.75, unedited 0.50, wild 0.00, unedited 1.00"
    assert "unedited model" in base64.b64decode(figure.svg.light.partition(",")[2]).decode()


def test_numbers_are_not_rounded_twice(tmp_path: Path) -> None:
    value = 0.0104778  # 0.0105 in four decimals, and 0.011 if that is rounded again
    record, scores = made.two_protocols("a", value, 0.0)
    made.write_run(tmp_path / "run", [record], scores)
    report = reported(tmp_path, tmp_path / "run")
    found = (report.table("gap", "Reliability")[0]["synthetic"], report.table("kinds", "Every number")[0]["after"])
    assert {f"{one:.3f}" for one in found} == {"0.010"} == {f"{value:.3f}"}


def test_every_row_of_the_index_leads_to_its_case(real: Path, real_report: Contents) -> None:
    folder, index, summary = RunFolder(real), real_report.index, real_report.summary
    records = list(folder.records())
    assert index.rows == len(records) == summary.case_count == len(real_report.cases)
    for row, (record, detail) in enumerate(zip(records, real_report.cases, strict=True)):
        assert (detail.row, detail.case, index.case[row]) == (row, record.case, record.case)
        assert len(detail.probes) == len(record.probes)
        for recorded, shown in zip(record.probes, detail.probes, strict=True):
            assert [one.text for one in shown.after] == [one.text for one in recorded.after]
            assert [one.raw or f" {one.text}" for one in shown.after] == [one.output.text for one in recorded.after]
    scores = list(folder.scores())
    for key, signs in index.by.items():
        name, kind = key.split("|")
        metric = next(s.metric for s in scores if (s.protocol, s.kind) == (name, kind))
        for row, sign in enumerate(signs):
            own = [
                s.after
                for s in scores
                if (s.case, s.protocol, s.kind, s.metric) == (index.case[row], name, kind, metric)
            ]
            assert sign == ("-" if not own else "h" if all(value == 1 for value in own) else "f")


def test_the_command_makes_the_run_again(real: Path, real_report: Contents) -> None:
    (run,) = real_report.summary.runs
    words = shlex.split(run.command)
    assert words[:2] == ["wildcore", "eval"]
    chosen = eval_command.make_context("eval", words[2:]).params
    assert chosen["editor"] == ("ft-m",)
    assert (chosen["limit"], chosen["seed"], chosen["settings"]) == (4, 3, ("editor.steps=3",))
    assert chosen["added_metrics"] == ("contains",)


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    record, scores = made.two_protocols("a", 1.0, 0.0)
    made.write_run(tmp_path / "run", [record], scores)
    texts = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        result = run_command(
            "report", tmp_path / "run", "--out", folder / "r.html", "--figures", folder / "figures", "--quiet"
        )
        assert result.exit_code == 0, result.output
        texts.append({file.name: file.read_bytes() for file in sorted(folder.rglob("*.*")) if file.is_file()})
    assert texts[0] == texts[1]
    assert {"gap.png", "gap.svg", "gap-dark.svg", "gap.csv"} <= texts[0].keys()
    for name, content in texts[0].items():
        if name.endswith(".svg"):
            ElementTree.fromstring(content)
            assert b"<dc:date" not in content
    assert texts[0]["gap.csv"].startswith(b"run,synthetic,synthetic low,")
    assert texts[0]["gap.png"][:4] == b"\x89PNG"


def test_hostile_texts_are_kept_and_never_end_their_element(tmp_path: Path) -> None:
    long = "long answer " * 90_000
    records, scores = [], []
    for number, attack in enumerate((*ATTACKS, long)):
        request = EditRequest(prompt=attack, target=attack, subject=attack)
        asked = made.probe(
            "wild", after=[made.answer(attack, raw=f"{attack}. more")], question=attack, answers=(attack,)
        )
        name = f"{attack[:40]} {number}".replace("\x00", "")  # no manifest holds a NUL
        record = made.case(name, [asked], request=request, tags={attack[:40]: attack[:40]})
        records.append(record)
        scores.append(made.score(record, asked, 1.0))
    made.write_run(tmp_path / "run", records, scores, editor=ATTACKS[0], job={"settings": {"editor.x": ATTACKS[1]}})
    found = reported(tmp_path, tmp_path / "run")
    assert [one.probes[0].after[0].text for one in found.cases] == [*ATTACKS, long]
    assert [one.request.prompt for one in found.cases] == [*ATTACKS, long]
    assert found.index.target[:-1] == ATTACKS
    assert found.summary.runs[0].editor == ATTACKS[0]
    names = {"report-summary", "program", "cases-index", "cases-0"}
    assert found.elements.scripts.keys() == names
    assert sum(tag == "script" for tag, _ in found.elements.tags) == len(names)
    assert not any("alert" in str(attributes) for _, attributes in found.elements.tags)
    assert any("cut to 300 characters" in note for note in found.summary.notes)


def test_a_path_that_is_no_utf_8_is_shown_with_a_replacement(tmp_path: Path) -> None:
    run = tmp_path / b"run\xff".decode(errors="surrogateescape")
    record, scores = made.two_protocols("a", 1.0, 1.0)
    made.write_run(run, [record], scores)
    found = reported(tmp_path, tmp_path)
    assert found.summary.runs[0].path.endswith("run\ufffd")
    assert any("replaced by U+FFFD: 1" in note for note in found.summary.notes)


@given(st.dictionaries(st.text(), st.lists(st.text() | st.integers() | st.none())))
def test_json_in_an_element_reads_back(value: Any) -> None:
    text = in_script(Cleaner().json(value))
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


@given(st.text(st.characters(categories=("Cs", "Lu", "Zs"))))
def test_lone_surrogates_are_replaced_and_counted(text: str) -> None:
    cleaner = Cleaner()
    shown = json.loads(cleaner.json([text]).encode())[0]
    assert len(shown) == len(text)
    assert cleaner.replaced == sum("\ud800" <= char <= "\udfff" for char in text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, shown, strict=True))


@given(st.text(), st.text(), st.text())
def test_the_cut_is_found_where_a_script_counts_it(before: str, kept: str, rest: str) -> None:
    from wildcore_report.cases import answer_data

    thought = Thought(text=before, ended=True)
    answer = made.answer(kept, raw=before + kept + rest).model_copy(update={"thought": thought})
    data = answer_data(answer)
    if data["cut_at"] is None:
        assert not rest
    else:
        raw = (data["raw"] or kept).encode("utf-16-le")
        assert raw[: 2 * data["cut_at"]].decode("utf-16-le") == before + kept
    assert utf16_length(kept) == len(kept.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("values", "sign"), [([1.0, 1.0], "h"), ([1.0, 0.5], "f"), ([1.0, None], "u"), ([0.0, None], "f"), ([], "u")]
)
def test_a_case_holds_only_if_each_probe_does(values: list[float | None], sign: str) -> None:
    assert sign_of(values) == sign


def test_a_metric_that_compares_with_the_unedited_model_has_no_sign_before() -> None:
    assert sign_before([(None, COMPARES)]) == "-"
    assert sign_before([(None, "no verdict")]) == "u"


def test_refused_unscored_and_absent_cases_are_told_apart(tmp_path: Path) -> None:
    cases = [
        made.two_protocols("held", 1.0, 1.0),
        made.two_protocols("failed", 1.0, 0.0),
        made.two_protocols("refused", None, None, made.refused()),
        made.two_protocols("unscored", 1.0, None),
    ]
    only = made.case("only-synthetic", [made.probe("synthetic")])
    cases.append((only, [made.score(only, only.probes[0], 1.0)]))
    made.write_run(tmp_path / "run", [record for record, _ in cases], [one for _, own in cases for one in own])
    found = reported(tmp_path, tmp_path / "run")
    assert found.index.by == {"synthetic|reliability": "hhrhh", "wild|reliability": "hfru-"}
    assert found.index.status == ("held", "failed", "refused", "unscored", "held")
    assert found.index.right_before["wild|reliability"] == "ffff-"
    assert found.index.score["wild|reliability"] == (1.0, 0.0, None, None, None)
    (outcome,) = found.table("kinds", "Edits")
    assert (outcome["cases"], outcome["refused"]) == (5, 1)
    reasons = {(row["what"], row["reason"]): row["count"] for row in found.table("kinds", "Refused, not")}
    assert reasons == {("refused", "no subject"): 1, ("not scored by exact-match", "the judge gave no verdict"): 1}
    assert "1 edits were refused, 1 answers not scored" in found.summary.headline[0]


def test_chunks_hold_the_rows_that_their_number_says() -> None:
    table = CaseTable(Cleaner(), chunk_size=3)
    for number in range(7):
        record, scores = made.two_protocols(str(number), 1.0, 0.0)
        table.add(0, record, scores)
    copied = table.copy(Cleaner())
    assert table.index().rows == 7
    assert len(table.chunks) == 3
    copied.add(1, *made.two_protocols("more", 1.0, 1.0))
    assert copied.index().case == (*map(str, range(7)), "more")
    assert len(table.chunks) == len(copied.chunks) == 3
    assert table.chunks[:2] == copied.chunks[:2]
    assert table.chunks[2] != copied.chunks[2]


def test_modules_cost_what_the_protocols_measured(tmp_path: Path) -> None:
    guided = made.protocol("guided", ("qa-instruction", "teacher-forcing", "gold-length"))
    other = made.protocol("other", ("few-shot", "teacher-forcing", "gold-length"))
    names = ("synthetic", "guided", "other", "wild")
    values = {
        "synthetic": (1.0, 1.0, 1.0, 1.0),
        "guided": (1.0, 1.0, 0.0, 1.0),
        "other": (0.0,) * 4,
        "wild": (0.0, 1.0, 0.0, 0.0),
    }
    records, scores = [], []
    for number in range(4):
        record = made.case(str(number), [made.probe(name) for name in names])
        records.append(record)
        scores += [
            made.score(record, one, values[one.protocol][number])
            for one in record.probes
        ]  # fmt: skip
    protocols = (made.protocol("synthetic"), made.protocol("wild"), guided, other)
    made.write_run(tmp_path / "run", records, scores, protocols=protocols)
    rows = {row["module"]: row for row in reported(tmp_path, tmp_path / "run").figure("module-costs")}
    assert {name: row["cost"] for name, row in rows.items()} == {
        "input, alone": 0.25, "input, in order": 0.25, "all four": 0.75,
    }  # fmt: skip
    assert rows["all four"]["cases"] == 4


def test_agreement_extra_content_and_groups_are_counted(tmp_path: Path) -> None:
    records, scores = [], []
    verdicts = ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, None), (0.0, 1.0), (1.0, 1.0))
    for number, (exact, judge) in enumerate(verdicts):
        tags = {"source": "NQ" if number < 5 else "rare"}
        longer = made.answer("Lyon", raw=" Lyon. Lyon.", stop="max-new-tokens")
        record = made.case(
            str(number), [made.probe("wild", after=[longer], gold_token_ids=tuple(range(1 + number % 2)))], tags=tags
        )
        records.append(record)
        scores.append(made.score(record, record.probes[0], exact))
        scores.append(made.score(record, record.probes[0], judge, before=None, metric="judge(model='x')"))
        scores.append(made.classed(record, record.probes[0], ("none", "repetition", "other")[number % 3]))
    made.write_run(tmp_path / "run", records, scores)
    found = reported(tmp_path, tmp_path / "run")
    (pair,) = found.figure("agreement")
    assert (pair["both correct"], pair["only the first"], pair["only the second"], pair["both incorrect"]) == (
        2,
        1,
        1,
        1,
    )
    assert pair["equal"] == 0.6
    (classes,) = found.table("extra-content", "Classes")
    assert [classes[name] for name in ("none", "repetition", "other")] == [2, 2, 2]
    (followed,) = found.table("extra-content", "What followed")
    assert (followed["correct"], followed["went on"], followed["example"]) == (4, 4, "Lyon. Lyon.")
    (aligned,) = [
        one for part in found.summary.sections for one in part.tables if one.title.startswith("What followed")
    ]
    assert dict(zip(aligned.columns, aligned.align, strict=True))["example"] == "left"
    by_source = {row["source"]: (row["reliability"], row["cases"]) for row in found.figure("by-source")}
    assert by_source == {"NQ": (0.6, 5), "rare": (1.0, 1)}
    by_length = {row["length of the target"]: row["reliability"] for row in found.figure("length")}
    assert by_length == {"1": pytest.approx(1 / 3, abs=1e-4), "2": 1.0}
    assert [note for note in found.summary.notes if note.startswith("Section retention is left out")]


def test_a_sequence_shows_what_is_left_and_how_the_model_fared(tmp_path: Path) -> None:
    records, scores = [], []
    for after in (2, 4, 6):
        for number in range(after):
            record = made.case(str(number), [made.probe("wild"), made.probe("wild", "locality", 1)], after_edits=after)
            records.append(record)
            held = float(number >= after - 2)
            scores += [made.score(record, record.probes[0], held), made.score(record, record.probes[1], 1.0)]
    points = [
        made.point(0, 10.0, accuracy=(1.0, 1.0, 0.0, 1.0)),
        made.point(2, 12.0),
        made.point(4, 400.0),
        made.point(6, 9000.0, ["perplexity 900 times that of the unedited model"], accuracy=(0.0, 1.0, 0.0, 1.0)),
    ]
    made.write_run(tmp_path / "run", records, scores, points=points, schedule=made.SEQUENTIAL)
    found = reported(tmp_path, tmp_path / "run")
    curve = {
        row["after edits"]: row["mean"] for row in found.figure("retention") if row["probe"] == "reliability"
    }  # fmt: skip
    assert curve == {2: 1.0, 4: 0.5, 6: pytest.approx(1 / 3, abs=1e-4)}
    assert [list(row.values()) for row in found.figure("retention-matrix-1")] == [
        ["1-2", 1.0, 0.0, 0.0], ["3-4", None, 1.0, 0.0], ["5-6", None, None, 1.0],
    ]  # fmt: skip
    assert [row["perplexity"] for row in found.figure("measured-perplexity")] == [10.0, 12.0, 400.0, 9000.0]
    assert "from 6 edits on: perplexity 900 times" in found.summary.runs[0].collapse[0]
    (ability,) = found.figure("capability")
    assert (ability["measured"], ability["difference in points"], ability["items"]) == ("arc", -25.0, 4)
    assert found.summary.case_count == 12
    assert found.index.after_edits[:2] == (2, 2)
    assert found.summary.runs[0].done == 6


def test_tags_of_other_scripts_have_figures_of_their_own(tmp_path: Path) -> None:
    cases = [
        made.two_protocols(str(number), 1.0, 0.0, tags={"来源": f"a{number % 2}", "类型": f"b{number % 2}"})
        for number in range(10)
    ]
    made.write_run(tmp_path / "run", [record for record, _ in cases], [one for _, own in cases for one in own])
    found = reported(tmp_path, tmp_path / "run")
    assert {"by-tag", "by-tag-2"} <= {figure.id for figure in found.summary.figures}
    assert found.figure("by-tag")[0]["来源"] == "a0"
    assert found.figure("by-tag-2")[0]["类型"] == "b0"


def test_runs_are_named_by_the_least_that_tells_them_apart(tmp_path: Path) -> None:
    record, scores = made.two_protocols("a", 1.0, 1.0)
    folders = [
        made.write_run(tmp_path / "1", [record], scores, editor="rome"),
        made.write_run(tmp_path / "2", [record], scores, editor="ft"),
        made.write_run(tmp_path / "3", [record], scores, editor="ft", schedule=made.SEQUENTIAL),
        made.write_run(tmp_path / "4", [record], scores, editor="ft", schedule=made.SEQUENTIAL),
    ]
    manifests = [folder.manifest for folder in folders]
    assert names(manifests) == ["rome (single)", "ft (single)", "ft (sequential) #1", "ft (sequential) #2"]


def test_a_folder_gives_its_finished_runs_and_says_what_it_left_out(tmp_path: Path) -> None:
    record, scores = made.two_protocols("a", 1.0, 0.0)
    made.write_run(tmp_path / "study" / "runs" / "done", [record], scores)
    made.write_run(tmp_path / "study" / "working" / "begun", [record], None, cases=3)
    made.write_run(tmp_path / "study" / "discarded" / "old", [record], scores)
    (tmp_path / "study" / "studies").mkdir()
    found = reported(tmp_path, tmp_path / "study", tmp_path / "study" / "runs" / "done")
    assert [Path(run.path).name for run in found.summary.runs] == ["done"]
    (left_out,) = [note for note in found.summary.notes if note.startswith("left out")]
    assert "begun: unfinished, 1 of 3 cases done" in left_out


def test_damage_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    record, scores = made.two_protocols("a", 1.0, 0.0)
    folder = made.write_run(tmp_path / "run", [record], scores)
    folder.journal_path.write_bytes(folder.journal_path.read_bytes().replace(b"Lyon", b"Nice", 1))
    result = run_command("report", tmp_path / "run", "--out", tmp_path / "report.html")
    assert result.exit_code == 2
    assert "journal.jsonl, line 1: its content is not" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    record, scores = made.two_protocols("a", 1.0, 0.0)
    made.write_run(tmp_path / "run", [record], scores)
    out = tmp_path / "report.html"
    out.write_text("mine")
    refused = run_command("report", tmp_path / "run", "--out", out)
    assert refused.exit_code == 2
    assert out.read_text() == "mine"
    assert "replace it with --force" in refused.output
    assert run_command("report", tmp_path / "run", "--out", out, "--force").exit_code == 0
    assert Contents(out).summary.case_count == 1


def test_the_plugin_loads_nothing_that_takes_time() -> None:
    code = (
        "import sys, click, wildcore_report; wildcore_report.wildcore_commands(click.Group());"
        "heavy = {'matplotlib', 'jinja2', 'numpy', 'torch', 'http.server'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
