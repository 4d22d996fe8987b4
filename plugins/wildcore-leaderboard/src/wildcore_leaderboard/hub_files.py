"""A run in the form of a data set of the Hugging Face hub: a card, tables of cases and scores, and the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wildcore.evaluation.schedules import description
from wildcore.jobs.build import name_in_words
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, ProbeRecord, ScoreRecord
from wildcore.reporting.console import printable
from wildcore.reporting.headline import gap_in_words
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import synthetic_minus_wild
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.types import Answer
from wildcore_leaderboard.named import departures

CASES, SCORES, CARD, RUN = "data/cases.parquet", "data/scores.parquet", "README.md", "run"
TAGS = ("wildcore", "model-editing", "knowledge-editing")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_tables(run: RunFolder, place: Path) -> int:
    """Write the tables of cases and scores of a run below ``place``; return the number of rows of the cases."""
    (place / CASES).parent.mkdir(parents=True, exist_ok=True)
    rows = [_case_row(record, probe) for record in run.records() for probe in record.probes]
    _write_parquet(place / CASES, rows, _case_row(None, None))
    _write_parquet(place / SCORES, [_score_row(score) for score in run.all_scores()], _score_row(None))
    return len(rows)


def _case_row(record: CaseRecord | None, probe: ProbeRecord | None) -> dict[str, Any]:
    """Return a question and its answers as a row; without arguments, the types of its columns."""
    if record is None or probe is None:
        text, texts = "string", "texts"
        return {
            "case": text, "after_edits": "int64", "edit": text, "edit_reason": text, "edit_prompt": text, "target": text,
            "subject": text, "ground_truth": text, "protocol": text, "kind": text, "nearness": text, "probe": "int64",
            "question": text, "prompt": text, "prompt_after": text, "answers": texts, "before": texts, "after": texts,
            "whole_output_before": texts, "whole_output_after": texts, "unanswered": text,
        }  # fmt: skip
    request = record.request
    return {
        "case": record.case,
        "after_edits": record.after_edits,
        "edit": record.edit.status,
        "edit_reason": record.edit.reason,
        "edit_prompt": request.prompt,
        "target": request.target,
        "subject": request.subject,
        "ground_truth": request.ground_truth,
        "protocol": probe.protocol,
        "kind": probe.kind,
        "nearness": probe.nearness,
        "probe": probe.probe,
        "question": probe.question,
        "prompt": probe.prompt,
        "prompt_after": probe.prompt_after,
        "answers": list(probe.answers),
        "before": _texts(probe.before),
        "after": _texts(probe.after),
        "whole_output_before": [answer.output.text for answer in probe.before],
        "whole_output_after": [answer.output.text for answer in probe.after],
        "unanswered": probe.unanswered,
    }


def _texts(answers: Sequence[Answer]) -> list[str]:
    return [answer.text for answer in answers]


def _score_row(score: ScoreRecord | None) -> dict[str, Any]:
    """Return a score as a row; without an argument, the types of its columns."""
    texts = ("case", "protocol", "kind", "metric", "before_reason", "after_reason")
    types = {"after_edits": "int64", "probe": "int64", "before": "float64", "after": "float64"}
    columns = (
        "case", "after_edits", "protocol", "probe", "kind", "metric", "before", "before_reason", "after", "after_reason"
    )  # fmt: skip
    if score is None:
        return {name: "string" if name in texts else types[name] for name in columns}
    return {name: getattr(score, name) for name in columns}


def _write_parquet(file: Path, rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> None:
    import pyarrow as pa  # heavy
    import pyarrow.parquet as pq  # heavy

    known = {"string": pa.string(), "texts": pa.list_(pa.string()), "int64": pa.int64(), "float64": pa.float64()}
    schema = pa.schema([(name, known[kind]) for name, kind in types.items()])
    pq.write_table(pa.Table.from_pylist([_encodable(row) for row in rows], schema=schema), file)


def _encodable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without halves of surrogate pairs, which no file in UTF-8 can hold."""
    return {
        name: _in_utf8(value)
        if isinstance(value, str)
        else [_in_utf8(text) for text in value]
        if isinstance(value, list)
        else value
        for name, value in row.items()
    }


def _in_utf8(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode()


def card_text(run: RunFolder, rows: int, licence: str | None) -> str:
    """Return the card of the data set: metadata as YAML, then how the run was made, its numbers, and how to check them.

    ``run`` is the copy without paths, ``rows`` the number of rows of the table of cases.
    """
    from huggingface_hub import DatasetCardData

    identity = run.manifest.identity
    title = f"{name_in_words(identity['editor'])} on {identity['model']['name']}, {identity['dataset']['name']}"
    metadata = DatasetCardData(
        license=licence,
        pretty_name=plain(title),
        tags=list(TAGS),
        size_categories=next((size for most, size in SIZES if rows < most), "n>1M"),
        configs=[
            {"config_name": "cases", "data_files": CASES, "default": True},
            {"config_name": "scores", "data_files": SCORES},
        ],
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_body(run, title)}"


def _body(run: RunFolder, title: str) -> str:
    manifest, identity = run.manifest, run.manifest.identity
    scores, cases = list(run.scores()), list(run.cases())
    clusters = subjects(cases)
    gap = gap_in_words(synthetic_minus_wild(scores, clusters))
    model, dataset = identity["model"], identity["dataset"]
    parts = [
        f"# {plain(title)}",
        "An evaluation of model edits by wildcore: every question, the answers before and after each edit, and their scores.",
        *([gap] if gap else []),
        f"- Editor: {plain(name_in_words(identity['editor']))}",
        f"- Model: {plain(model['name'])}, {plain(model.get('dtype'))}, fingerprint {plain(model.get('fingerprint'))}",
        f"- Dataset: {plain(dataset['name'])}, {manifest.case_count} cases, hash {plain(dataset.get('hash'))}",
        f"- Schedule: {plain(description(identity['schedule']))}",
        f"- Made with wildcore {plain(manifest.versions.get('wildcore'))} on {plain(manifest.created)}",
        *(f"- {plain(one)}" for one in departures(manifest)),
        "## Numbers\n\nMean over cases with its 95 % interval. Refused edits are left out.\n\n"
        + _table(summarise(scores, clusters)),
        "## Files\n\n"
        f"- `{CASES}`: one row for each question under each protocol\n"
        f"- `{SCORES}`: one row for each score\n"
        f"- `{RUN}/`: the run folder, with checksums. Paths of files on the machine are shortened to their names.",
        "Check the run, with its scores computed again from the answers:\n\n"
        f"```text\nwildcore leaderboard check {RUN}\n```",
        "The questions are those of the dataset, whose licence applies to them.",
    ]
    text = "\n\n".join(parts) + "\n"
    return text.replace("\n\n- ", "\n- ").replace("\n- Editor", "\n\n- Editor", 1)


def _table(rows: Sequence[SummaryRow]) -> str:
    lines = [
        "| protocol | probe | metric | before | after | 95 % interval | cases |",
        "|---|---|---|---:|---:|---|---:|",
    ]
    for row in rows:
        interval = "" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"
        named = (plain(row.protocol), row.kind, plain(row.metric))
        cells = (*named, _shown(row.before), _shown(row.after), interval, str(row.cases))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def plain(text: object) -> str:
    """Return a text as it stands in Markdown: in one line, with every character that means something there escaped."""
    shown = _in_utf8(printable(" ".join(str(text).split())))
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|~!&" else char for char in shown)
