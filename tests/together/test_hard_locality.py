"""Hard locality in a run: probes from the whole dataset, scored like locality, recorded, shown and resumed."""

import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from wildcore import EditCase, Editor, EditRequest, Prompt, Saved, UserError, api
from wildcore.cli import main
from wildcore.jobs.eval import Evaluation, open_evaluation
from wildcore.jobs.eval_plan import plan_evaluation
from wildcore.jobs.spec import JobSpec
from wildcore.models import LoadedModel
from wildcore.patches import PromptPatch
from wildcore.registry import load_registry
from wildcore.reporting.console import Reporter

CHANGED = ("reliability", "generalization", "portability")
QUICK = {"steps": 2, "layer": 2}


@pytest.fixture(scope="module", autouse=True)
def cache(environment: dict[str, str]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WILDCORE_CACHE", environment["WILDCORE_CACHE"])
        yield


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return api.load("pocket", progress=False)


def row(number: int, field: str, question: str, subject: str) -> dict[str, Any]:
    prompt = question.format(subject)
    return {
        "prompt": prompt,
        "target": f"{field} new {number}",
        "subject": subject,
        "ground_truth": f"{field} {number}",
        "rephrase": f"Tell me: {prompt}",
        "locality_prompt": "What is the capital of Peru?",
        "locality_answer": "Lima",
    }


QUESTIONS = {"mill": "Who owns the mill of {}?", "river": "Which river passes {}?"}


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    """Two facts about each of twelve towns; those about mills come first."""
    rows = [row(number, field, QUESTIONS[field], f"Town {number}") for field in QUESTIONS for number in range(12)]
    file = tmp_path / "towns.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    return file


def opened(model: LoadedModel, file: Path, **choice: Any) -> Evaluation:
    """Return a job as far as its cases are chosen."""
    spec = JobSpec(
        model="pocket",
        editor="ft-m",
        dataset="table",
        protocols=("synthetic", "wild"),
        settings={"dataset.path": str(file), "editor.steps": 2},
        **choice,
    )
    return open_evaluation(plan_evaluation(load_registry(), [spec], Reporter(True), model), model)


def near(cases: Sequence[EditCase]) -> list[tuple[str, list[tuple[str | None, str]]]]:
    return [
        (case.request.prompt, [(p.nearness, p.prompt) for p in case.probes if p.kind == "hard-locality"])
        for case in cases
    ]


def test_a_run_asks_scores_and_shows_probes_of_both_sorts(model: LoadedModel, towns: Path, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {
        "dataset": "table",
        "settings": {"dataset.path": str(towns)},
        "limit": 2,
        "progress": False,
    }
    editor = api.editor("ft-m", **QUICK)
    without = api.evaluate(model, editor, **chosen)
    result = api.evaluate(model, editor, hard_locality=2, out=tmp_path / "run", **chosen)
    recorded = result.run.manifest.identity
    description = recorded["dataset"].pop("hard_locality")
    assert recorded == without.run.manifest.identity, "protocols and everything else are what they were"
    assert "hard-locality" not in (without.folder / "manifest.json").read_text()
    assert "nearness" not in (without.folder / "journal.jsonl").read_text()
    for key, value in {"per_case": 2, "cases_without": 0, "searched": 24, "malformed": 0}.items():
        assert description[key] == value
    assert description["same-subject"] == {"cases": 2, "probes": 2}
    assert description["near-subject"] == {"cases": 2, "probes": 4}

    rows = [one for one in result.rows() if one["kind"] == "hard-locality"]
    assert {(one["protocol"], one["metric"]) for one in rows} == {
        ("synthetic", "token-agreement"),
        ("wild", "unchanged"),
    }
    assert len(rows) == 2 * (2 + 4)
    for one in rows:
        number = one["prompt"].split()[-1].rstrip("?")
        assert (one["question"].rstrip("?").split()[-1] == number) == (one["nearness"] == "same-subject")
        assert one["after"] == (one["answer_after"] == one["answer_before"]) or one["protocol"] == "synthetic"
        assert "new" not in one["gold"]

    cells = {(c["protocol"], c["kind"]): c for c in result.summary["cells"]}
    assert cells["wild", "hard-locality"]["scored"] == 6
    split = result.summary["hard_locality"]
    assert [c["scored"] for c in split["same-subject"]] == [2, 2]
    assert [c["scored"] for c in split["near-subject"]] == [4, 4]
    assert "hard_locality" not in without.summary
    with redirect_stdout(StringIO()) as shown:
        result.table()
    text = " ".join(shown.getvalue().split())
    assert (
        "of 2 cases, 2 got probes about the same subject (2 in all), 2 about a near subject (4 in all), 0 none" in text
    )
    value = f"{split['same-subject'][1]['after']:.3f}"
    assert f"wild: hard locality by unchanged: same subject {value} (cases: 2, probes: 2), near subject" in text


class SubjectInTheQuestion(PromptPatch):
    """Has the model answer another question wherever the subject occurs, whatever is asked about it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def rewrite(self, model: LoadedModel, prompts: Sequence[Prompt], questions: Sequence[str]) -> list[Prompt]:
        other = {"text": "Please answer the question:\n\nQ: What is the capital of Peru?\nA:"}
        pairs = zip(prompts, questions, strict=True)
        return [prompt.model_copy(update=other) if self.subject in question else prompt for prompt, question in pairs]

    def to_saved(self) -> Saved:
        raise NotImplementedError

    def describe(self) -> Mapping[str, Any]:
        return {"finite": True}


class LooksForTheSubject(Editor):
    def edit(self, model: LoadedModel, requests: Sequence[EditRequest]) -> SubjectInTheQuestion:
        return SubjectInTheQuestion(str(requests[0].subject))


def test_a_method_that_merely_looks_for_the_subject_is_seen(model: LoadedModel, towns: Path) -> None:
    data = {"dataset.path": str(towns)}
    result = api.evaluate(
        model, LooksForTheSubject(), dataset="table", settings=data, limit=1, hard_locality=3, protocols="wild",
        continuation=0, progress=False,
    )  # fmt: skip
    cells = {cell["kind"]: cell["after"] for cell in result.summary["cells"]}
    split = {nearness: cells[0]["after"] for nearness, cells in result.summary["hard_locality"].items()}
    assert cells["locality"] == 1
    assert split == {"same-subject": 0, "near-subject": 1}
    assert cells["hard-locality"] == pytest.approx(3 / 4)


def test_what_is_written_together_is_not_asked_about(model: LoadedModel, towns: Path) -> None:
    for schedule in ("batch", "sequential"):
        cases = opened(model, towns, limit=15, schedule=schedule, hard_locality=3).cases
        edited = {probe.prompt for case in cases for probe in case.probes if probe.kind in CHANGED}
        asked = {prompt for _, probes in near(cases) for _, prompt in probes}
        assert not asked & edited
        assert asked == {QUESTIONS["river"].format(f"Town {number}") for number in range(3, 12)}
    everything = opened(model, towns, schedule="batch", hard_locality=3)
    assert not any(probes for _, probes in near(everything.cases))
    assert everything.dataset["hard_locality"]["cases_without"] == 24
    alone = near(opened(model, towns, hard_locality=3).cases)
    assert all(prompt not in [asked for _, asked in probes] and len(probes) == 4 for prompt, probes in alone)


def test_a_patch_is_not_asked_about_any_fact_that_it_writes(model: LoadedModel, towns: Path) -> None:
    facts = [api.fact(QUESTIONS["mill"].format(f"Town {n}"), "Ida", subject=f"Town {n}") for n in range(10)]
    patch = api.edit(model, api.editor("ft-m", **QUICK), facts, progress=False)
    result = api.evaluate(
        model, patch=patch, dataset="table", settings={"dataset.path": str(towns)}, limit=1, hard_locality=12,
        protocols="wild", progress=False,
    )  # fmt: skip
    asked = {one["question"] for one in result.rows() if one["kind"] == "hard-locality"}
    assert asked == {QUESTIONS["river"].format("Town 0"), *(QUESTIONS["mill"].format(f"Town {n}") for n in (10, 11))}


def test_a_resumed_run_asks_the_same_and_not_of_other_data(model: LoadedModel, towns: Path, tmp_path: Path) -> None:
    first, second = (opened(model, towns, limit=2, hard_locality=2) for _ in range(2))
    assert first.cases == second.cases
    lines = towns.read_text().splitlines()
    towns.write_text("\n".join([*lines[:2], *reversed(lines[2:])]))
    assert near(opened(model, towns, limit=2, hard_locality=2).cases) == near(first.cases)
    folder = first.create(first.plan.spec, tmp_path / "run")
    second.check_same(second.plan.spec, folder)
    towns.write_text("\n".join([*lines[:2], *(line.replace("passes", "leaves") for line in lines[2:])]))
    changed = opened(model, towns, limit=2, hard_locality=2)
    with pytest.raises(UserError, match=r"dataset\.hard_locality\.hash was"):
        changed.check_same(changed.plan.spec, folder)
    fewer = opened(model, towns, limit=2, hard_locality=1)
    with pytest.raises(UserError, match=r"dataset\.hard_locality\.per_case was 2 and is now 1"):
        fewer.check_same(fewer.plan.spec, folder)


def test_malformed_rows_elsewhere_are_counted_and_not_searched(model: LoadedModel, towns: Path) -> None:
    towns.write_text(towns.read_text() + '{"prompt": "Who?"}\n')
    evaluation = opened(model, towns, limit=1, hard_locality=1)
    assert evaluation.dataset["hard_locality"]["malformed"] == 1
    assert evaluation.dataset["malformed"] == 0
    assert any("1 malformed rows were not searched" in note for note in evaluation.plan.reporter.notes)


def test_an_audit_counts_what_a_run_would_get(towns: Path) -> None:
    arguments = ["audit", "table", "--set", f"dataset.path={towns}", "--hard-locality", "2", "--limit", "3", "--quiet"]
    done = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    counts = {one["kind"]: (one["probes"], one["cases"]) for one in found["probes"]}
    assert counts["hard-locality"] == (9, 3)
    assert found["dataset"]["hard_locality"]["near-subject"] == {"cases": 3, "probes": 6}
