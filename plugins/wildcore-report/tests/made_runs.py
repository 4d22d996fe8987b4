"""Run folders as runs leave them, made without a model: every answer and every score is given."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wildcore import Answer, EditRequest, EvalProtocol, Output, ProbeKind, Score, Use
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import (
    CaseRecord,
    EditOutcome,
    JudgingPointRecord,
    Manifest,
    ProbeRecord,
    ScoreRecord,
)
from wildcore.scoring.scores import COMPARES, REFUSED
from wildcore.types import Measured, Nearness

MODULES = {
    "synthetic": ("question-only", "teacher-forcing", "gold-length"),
    "wild": ("qa-instruction", "autoregressive", "stop-strings"),
}
METRICS = {"synthetic": "token-match", "wild": "exact-match"}
SINGLE = {"edits": "single", "judged": "after each edit", "model": "put back after each edit"}
SEQUENTIAL = {
    "edits": "sequential",
    "edits_per_update": 1,
    "judged": "every 2 edits",
    "model": "put back after all edits",
}


def protocol(name: str, modules: Sequence[str] | None = None) -> EvalProtocol:
    """Return a protocol, with the modules of the published one of this name unless others are given."""
    context, generator, truncator = modules or MODULES[name]
    metric = Use(name=METRICS.get(name, "token-match"))
    return EvalProtocol(
        name=name,
        summary="made for a test",
        context=Use(name=context),
        generator=Use(name=generator),
        truncator=Use(name=truncator),
        metrics={"reliability": (metric,), "locality": (Use(name="unchanged"),)},
    )


def answer(text: str, raw: str | None = None, stop: Any = "stop-rule") -> Answer:
    """Return an answer cut out of what the model generated."""
    output = Output(text=f" {text}." if raw is None else raw, token_ids=(1, 2), stop_reason=stop)
    return Answer(text=text, token_ids=(1,), output=output)


def probe(
    of: str, kind: ProbeKind = "reliability", number: int = 0, after: Sequence[Answer] = (answer("Lyon"),), **more: Any
) -> ProbeRecord:
    """Return a probe under the protocol ``of``."""
    fields: dict[str, Any] = {
        "question": "Where is it?", "answers": ("Lyon", "Lugdunum"), "prompt": "Q: Where is it?\nA:",
        "gold_token_ids": (5, 6), "before": (answer("Paris"),),
    }  # fmt: skip
    return ProbeRecord(protocol=of, kind=kind, probe=number, after=tuple(after), **{**fields, **more})


def case(name: str, probes: Sequence[ProbeRecord], after_edits: int | None = 1, **more: Any) -> CaseRecord:
    """Return the record of a case."""
    fields: dict[str, Any] = {
        "request": EditRequest(prompt=f"Where is {name}?", target="Lyon", subject=name),
        "edit": EditOutcome(status="edited", seconds=0.5),
        "tags": {"source": "made"},
    }
    return CaseRecord(case=name, after_edits=after_edits, probes=tuple(probes), **{**fields, **more})


def refused(reason: str = "no subject") -> EditOutcome:
    """Return the outcome of an edit that the editor refused."""
    return EditOutcome(status="refused", reason=reason, seconds=0.0)


def score(
    of: CaseRecord, asked: ProbeRecord, value: float | None, before: float | None = 0.0, metric: str | None = None,
    **more: Any,
) -> ScoreRecord:  # fmt: skip
    """Return a score of a probe; one without a value was refused or, if the edit was made, not scored."""
    compares = asked.kind in ("locality", "hard-locality")
    why = REFUSED if of.edit.status == "refused" else "the judge gave no verdict"
    fields: dict[str, Any] = {
        "metric": metric or ("unchanged" if compares else METRICS.get(asked.protocol, "token-match")),
        "before": None if compares else before,
        "before_reason": COMPARES if compares else None if before is not None else "not scored",
        "after": value,
        "after_reason": None if value is not None else why,
    }
    return ScoreRecord(
        case=of.case, after_edits=of.after_edits, protocol=asked.protocol, probe=asked.probe, kind=asked.kind,
        **{**fields, **more},
    )  # fmt: skip


def classed(of: CaseRecord, asked: ProbeRecord, kind: str) -> ScoreRecord:
    """Return a score of the metric extra-content."""
    sample = Score(value=float(kind != "none"), details={"class": kind, "extra": ""})
    return score(of, asked, sample.value, metric="extra-content", after_samples=(sample,))


def write_run(
    path: Path, records: Sequence[CaseRecord], scores: Sequence[ScoreRecord] | None, editor: str = "made",
    protocols: Sequence[EvalProtocol] = (protocol("synthetic"), protocol("wild")),
    points: Sequence[JudgingPointRecord] = (), schedule: Mapping[str, Any] = SINGLE, cases: int | None = None,
    job: Mapping[str, Any] | None = None,
) -> RunFolder:  # fmt: skip
    """Write a run; one without scores is unfinished, and ``cases`` says how many it is to have."""
    ids = tuple(dict.fromkeys(record.case for record in records))
    manifest = Manifest(
        created="2025-01-01T00:00:00+00:00",
        job={"model": "tiny", "dataset": "facts", "editor": editor, **(job or {})},
        identity={
            "model": {"name": "tiny", "dtype": "float32", "device": "cpu"},
            "dataset": {"name": "facts", "hash": "abc", "cases": len(ids)},
            "editor": {"name": editor, "params": {"layer": 3}},
            "protocols": {one.name: {} for one in protocols},
            "schedule": schedule,
            "seed": 0,
        },
        protocols=tuple(protocols),
        case_count=len(ids) if cases is None else cases,
        versions={"wildcore": "0.1.0"},
        hardware={},
        plugins={},
        case_ids=ids if cases is None else (),
        journal_lines=len(records) if cases is None else None,
    )
    folder = RunFolder.create(path, manifest)
    for record in records:
        folder.append(record)
    for point in points:
        folder.append_point(point)
    if scores is not None:
        folder.write_scores(scores)
    return folder


def point(
    after_edits: int, perplexity: float, signs: Sequence[str] = (), accuracy: Sequence[float] = ()
) -> JudgingPointRecord:
    """Return what was measured of the model at a judging point."""
    measured = {"perplexity": (Measured(name="perplexity", value=perplexity, items=10, higher_is_better=False),)}
    if accuracy:
        share = sum(accuracy) / len(accuracy)
        one = Measured(name="arc", value=share, items=len(accuracy), higher_is_better=True, samples=tuple(accuracy))
        measured["lm-eval"] = (one,)
    return JudgingPointRecord(after_edits=after_edits, measured=measured, collapse=tuple(signs))


def two_protocols(
    name: str, synthetic: float | None, wild: float | None, edit: EditOutcome | None = None, **more: Any
) -> tuple[CaseRecord, list[ScoreRecord]]:
    """Return a case that was asked under both protocols, with its scores. None: it has no score."""
    asked = (probe("synthetic"), probe("wild"))
    record = case(name, asked, **(more if edit is None else {**more, "edit": edit}))
    return record, [score(record, one, value) for one, value in zip(asked, (synthetic, wild), strict=True)]


NEAR: Nearness = "same-subject"
