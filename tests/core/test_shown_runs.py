"""A run in every form in which ``show`` prints it: texts that would do harm come through unharmed, and programs read them."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pandas
import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from rich.text import Text

from wildcore import Answer, EditRequest, EvalProtocol, Output, Use
from wildcore.cli import main
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, EditOutcome, Manifest, ProbeRecord, ScoreRecord
from wildcore.reporting.run import print_edits_of, print_run
from wildcore.reporting.run_formats import formatted_edits
from wildcore.reporting.telling import FAILS, GOES_ON, HOLDS, asked_under, telling

LONG = "wild[generator: autoregressive(max_new_tokens=3); truncator: stop-strings(stops=['.'])]"
MEGABYTE = "so much " * (2**20 // 8)
HOSTILE = [
    "\x1b[31mred\x1b]0;title\x07\r\n\x9b2J",
    "\u202eright to left\u200f\u2067 \u05d0\u05d1 \u0627",
    "a replaced surrogate \ufffd and a noncharacter \uffff",
    MEGABYTE,
    "| a \\ `b` *c* _d_ <script>alert(1)</script> & $x^2$ # % ~ {e} \"f\" 'g'",
    "\\input{/etc/passwd} \\end{tabular} -- [x]",
    "",
    "  spaces  and,commas;\ttabs\n\nlines",
]
IDENTITY = {
    **{key: {"name": "x", "dtype": "float32", "device": "cpu"} for key in ("model", "dataset", "editor")},
    "schedule": {"edits": "single", "judged": "after each edit", "model": "put back after each edit"},
}


def answer(text: str, whole: str | None = None) -> Answer:
    output = Output(text=text if whole is None else whole, token_ids=(1,), stop_reason="end-of-sequence")
    return Answer(text=text, token_ids=(1,), output=output)


def probe(case: int, protocol: str, before: str, after: Answer | None) -> ProbeRecord:
    return ProbeRecord(
        protocol=protocol, probe=0, kind="reliability", question=f"Question {case}: {before[:80]}?",
        answers=(f"gold {case}", "other"), prompt="?", gold_token_ids=(1,), before=(answer(before),),
        after=(after,) if after else (),
    )  # fmt: skip


Case = tuple[str, Answer | None, dict[str, float | None]]
"""The answers of a case before and after the edit (None: refused), and its score after the edit by protocol."""


def make_run(path: Path, protocols: Sequence[EvalProtocol], cases: Sequence[Case]) -> RunFolder:
    """A finished run; a score before the edit is 0, and an edit without an answer after it was refused."""
    manifest = Manifest(
        created="now", job={"seed": 0}, identity=IDENTITY, protocols=tuple(protocols), case_count=len(cases), versions={},
        hardware={}, plugins={}, notes=(HOSTILE[0],), case_ids=tuple(map(str, range(len(cases)))),
    )  # fmt: skip
    folder = RunFolder.create(path, manifest)
    scores = []
    for number, (before, after, values) in enumerate(cases):
        refused = EditOutcome(status="refused", reason=f"no: {HOSTILE[0]}", seconds=0)
        edit = EditOutcome(status="edited", seconds=1) if after else refused
        probes = tuple(probe(number, one.name, before, after) for one in protocols)
        request = EditRequest(prompt=f"Question {number}?", target=f"gold {number}")
        folder.append(CaseRecord(case=str(number), request=request, edit=edit, probes=probes))
        for protocol, value in values.items():
            reason = None if value is not None else "refused" if after is None else HOSTILE[0]
            scores.append(
                ScoreRecord(
                    case=str(number),
                    protocol=protocol,
                    probe=0,
                    kind="reliability",
                    metric="exact-match",
                    before=0.0,
                    before_reason=None,
                    after=value,
                    after_reason=reason,
                )
            )
    folder.write_scores(scores)
    return RunFolder.open(path)


def protocol(name: str, variant_of: str | None = None) -> EvalProtocol:
    used = {part: Use(name="x") for part in ("context", "generator", "truncator")}
    return EvalProtocol(name=name, summary="", metrics={}, variant_of=variant_of, **used)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run under a protocol with a long name whose answers are hostile; one edit is refused, one answer is not scored."""
    cases: list[Case] = [
        (text, answer(text, text + " and so on"), {"synthetic": 1.0, LONG: float(number % 2)})
        for number, text in enumerate(HOSTILE)
    ]
    cases += [("x", None, {"synthetic": None, LONG: None}), ("x", answer("y"), {"synthetic": 0.0, LONG: None})]
    path = tmp_path_factory.mktemp("hostile") / "run"
    return make_run(path, [protocol("synthetic"), protocol(LONG, "wild")], cases)


def show(run: RunFolder, *options: str) -> str:
    done = CliRunner().invoke(main, ["show", str(run.path), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def harmless(text: str) -> bool:
    return text.replace("\n", "").isprintable()


FORMS = [("--edits",), ("--csv",), ("--markdown",), ("--latex",), ("--json",)]


@pytest.mark.parametrize("options", [(), *FORMS, *(("--edits", *form) for form in FORMS[1:])])
def test_nothing_reaches_a_terminal_that_it_would_interpret(hostile: RunFolder, options: tuple[str, ...]) -> None:
    printed = show(hostile, *options)
    assert harmless(printed)
    assert "so much so much" in printed or options in ((), *FORMS[1:])


class Terminal(StringIO):
    """A stdout that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("printer", [print_run, print_edits_of])
def test_no_line_on_a_terminal_is_wider_than_80_columns(
    hostile: RunFolder, printer: Callable[[RunFolder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream)
    printer(hostile)
    lines = [Text.from_ansi(line).plain for line in stream.getvalue().splitlines()]
    wide = [line for line in lines if cell_len(line) > 80 and not line.startswith(("Run: ", "Next: "))]
    assert wide == []
    assert harmless("\n".join(lines))


def test_without_a_terminal_all_rows_have_all_columns_with_the_whole_names(hostile: RunFolder) -> None:
    lines = show(hostile).splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("protocol  "))
    table = "\n".join(lines[header : lines.index("", header)])
    read = pandas.read_csv(StringIO(table), sep=r"\s{2,}", engine="python")
    assert list(read["protocol"]) == ["synthetic", LONG]
    assert list(read["n"]) == [9, 8]
    assert list(read["unscored"]) == [0, 1]
    assert list(read["refused"]) == [1, 1]


def test_csv_is_read_by_pandas(hostile: RunFolder) -> None:
    table = pandas.read_csv(StringIO(show(hostile, "--csv")))
    assert list(table["protocol"]) == ["synthetic", LONG]
    assert list(table["cases"]) == [9, 8]
    assert {"low", "high", "interval"} <= set(table)
    edits = pandas.read_csv(StringIO(show(hostile, "--edits", "--csv")), keep_default_na=False)
    assert len(edits) == 2 * 10
    assert list(edits["question"][:1]) == ["Question 0: \\x1b[31mred\\x1b]0;title\\x07\\r\n\\x9b2J?"]
    assert edits["after"][6] == MEGABYTE
    assert json.loads(edits["accepted"][0]) == ["gold 0", "other"]
    refused = edits[edits["edit"] == "refused"]
    assert list(refused["exact-match reason"]) == ["refused", "refused"]
    assert set(refused["after"]) == {""}


def test_json_of_the_edits_holds_every_text(hostile: RunFolder) -> None:
    content = json.loads(show(hostile, "--edits", "--json"))
    assert content["run"] == str(hostile.path)
    after = [row["after"] for row in content["edits"] if row["protocol"] == "synthetic"]
    assert after[:8] == HOSTILE
    assert after[8] is None
    frame = pandas.json_normalize(content["edits"])
    assert list(frame["scores.exact-match.after"][:4]) == [1.0, 0.0, 1.0, 1.0]
    assert frame["reason"].notna().sum() == 2


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_reads_the_json(hostile: RunFolder) -> None:
    for options, query, expected in (
        (("--json",), ".cells | length", "2"),
        (("--edits", "--json"), '[.edits[] | select(.edit == "refused")] | length', "2"),
        (("--edits", "--json"), '.edits[0].scores["exact-match"].after', "1"),
    ):
        done = subprocess.run(["jq", query], input=show(hostile, *options), capture_output=True, text=True, check=True)
        assert float(done.stdout) == float(expected)


def test_markdown_has_a_row_in_one_line_for_each_number(hostile: RunFolder) -> None:
    head, _, *rows = show(hostile, "--markdown").partition("\n\n")[0].splitlines()
    assert head == "| protocol | probe | metric | before | after | 95 % interval | n | unscored | refused |"
    assert len(rows) == 2
    edits = show(hostile, "--edits", "--markdown").partition("\n\n")[0].splitlines()
    assert len(edits) == 2 + 2 * 10
    assert all(len(one) < 2_000 for one in edits), "long texts are cut"


PREAMBLE = (
    r"\documentclass{article}\usepackage[T1]{fontenc}\IfFileExists{booktabs.sty}{\usepackage{booktabs}}"
    r"{\let\toprule\hline\let\midrule\hline\let\bottomrule\hline}"
)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_is_compiled(hostile: RunFolder, tmp_path: Path) -> None:
    """Letters outside Latin scripts need another engine, so they are left out here."""
    western = [text for text in HOSTILE if text.translate(dict.fromkeys(map(ord, "\x1b\x07\x9b"))).isascii()]
    assert len(western) > 5
    cases: list[Case] = [(text, answer(text), {"synthetic": 1.0}) for text in western]
    run = make_run(tmp_path / "run", [protocol("synthetic")], cases)
    for number, table in enumerate((show(hostile, "--latex"), show(run, "--edits", "--latex"))):
        document = f"{PREAMBLE}\\begin{{document}}\\tiny\n{table}\\end{{document}}\n"
        (tmp_path / f"{number}.tex").write_text(document)
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{number}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / f"{number}.pdf").stat().st_size > 1_000


def test_bold_is_the_greater_of_before_and_after_only_where_the_change_stands(tmp_path: Path) -> None:
    clear: list[Case] = [("x", answer("y"), {"wild": 1.0})] * 12
    few: list[Case] = clear[:2]
    assert "**1.000**" in show(make_run(tmp_path / "clear", [protocol("wild")], clear), "--markdown")
    assert r"\textbf{1.000}" in show(RunFolder.open(tmp_path / "clear"), "--latex")
    assert "**" not in show(make_run(tmp_path / "few", [protocol("wild")], few), "--markdown")
    outside: list[Case] = [("x", answer("y"), {"wild": 3.5})] * 12
    assert "**" not in show(make_run(tmp_path / "outside", [protocol("wild")], outside), "--markdown")


def test_two_formats_are_refused(hostile: RunFolder) -> None:
    done = CliRunner().invoke(main, ["show", str(hostile.path), "--csv", "--latex"])
    assert done.exit_code == 2
    assert "--latex: another format was chosen too; leave out --csv" in done.stderr


def chosen(cases: Sequence[Case], path: Path) -> dict[str, str | None]:
    run = make_run(path, [protocol("synthetic"), protocol("wild")], cases)
    found = telling(list(run.cases()), list(run.scores()), "wild")
    return {kind: told.case.case if told else None for kind, told in found.items()}


def test_the_answers_shown_are_chosen_by_the_rule(tmp_path: Path) -> None:
    cases: list[Case] = [
        ("b", answer("a"), {"synthetic": 0.5, "wild": 0.0}),
        ("b", answer("a"), {"synthetic": 1.0, "wild": 0.0}),
        ("b", answer("a"), {"synthetic": 1.0, "wild": 0.5}),
        ("b", answer("a", "a. And more"), {"synthetic": 1.0, "wild": 1.0}),
        ("b", answer("a"), {"synthetic": 1.0, "wild": 1.0}),
        ("b", None, {"synthetic": None, "wild": None}),
    ]
    assert chosen(cases, tmp_path / "all") == {HOLDS: "4", FAILS: "1", GOES_ON: "3"}
    assert chosen(cases[:3], tmp_path / "wrong") == {HOLDS: None, FAILS: "1", GOES_ON: None}
    assert chosen(cases[3:4], tmp_path / "right") == {HOLDS: None, FAILS: None, GOES_ON: "0"}
    printed = show(RunFolder.open(tmp_path / "wrong"))
    assert "Holds: no answer to an edit prompt is right." in printed
    assert "gold 'gold 1', before 'b', after 'a', scored 1.00 under synthetic" in printed
    assert "after 'a', then '. And more'" in show(RunFolder.open(tmp_path / "right"))


def test_the_answers_are_those_under_wild_or_a_variant_of_it_or_the_first() -> None:
    assert asked_under([protocol("synthetic"), protocol("wild")]) == "wild"
    assert asked_under([protocol("synthetic"), protocol(LONG, "wild")]) == LONG
    assert asked_under([protocol("mine"), protocol("synthetic")]) == "mine"
    assert asked_under([]) is None


def test_an_edit_without_questions_keeps_its_row(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [], [("x", None, {})])
    (row,) = json.loads(formatted_edits(run, "json"))["edits"]
    assert (row["case"], row["edit"], row["protocol"], row["scores"]) == ("0", "refused", None, {})
    ((head, line),) = [list(csv.reader(StringIO(formatted_edits(run, "csv"))))]
    assert dict(zip(head, line, strict=True))["edit"] == "refused"
