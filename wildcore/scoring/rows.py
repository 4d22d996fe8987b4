"""The table of cases: a row for each score of a run."""

from collections.abc import Sequence
from typing import Any

from wildcore.records.run_folder import RunFolder
from wildcore.types import Answer


def rows(folder: RunFolder) -> list[dict[str, Any]]:
    """Return one row for each score, as JSON values: the edit, the question, both answers and both values. Of several samples
    only the first is shown.
    """
    cases = {case.case: case for case in folder.cases()}
    probes = {(case.case, p.protocol, p.probe): p for case in cases.values() for p in case.probes}
    found = []
    for score in folder.scores():
        case, probe = cases[score.case], probes[score.case, score.protocol, score.probe]
        found.append(
            {
                "case": score.case,
                "prompt": case.request.prompt,
                "target": case.request.target,
                "edit": case.edit.status,
                "protocol": score.protocol,
                "kind": score.kind,
                "nearness": probe.nearness,
                "probe": score.probe,
                "question": probe.question,
                "gold": probe.answers[0],
                "answer_before": _first(probe.before),
                "answer_after": _first(probe.after),
                "metric": score.metric,
                "before": score.before,
                "after": score.after,
                "unscored": score.after_reason if score.after is None else None,
            }
        )
    return found


def _first(answers: Sequence[Answer]) -> str | None:
    return answers[0].text if answers else None
