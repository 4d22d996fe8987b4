"""The mean score by a metric, such as a judge, corrected by people's labels of some of the answers."""

from collections import defaultdict
from statistics import fmean

from wildcore import FrozenData, ProbeKind
from wildcore.records.run_folder import RunFolder
from wildcore.scoring.prediction_powered import CorrectedMean, corrected_mean
from wildcore_agreement.verdicts import AnswerFilter, When, answers, score_of, score_place

HUMAN_LABELS = "human-labels"
"""The start of the name under which people's labels are recorded."""


class CorrectedScore(FrozenData):
    """The mean over the answers of one protocol, probe kind and time, by ``metric`` alone and corrected by ``labels``."""

    protocol: str
    kind: ProbeKind
    when: When
    metric: str
    labels: str
    uncorrected: float
    mean: CorrectedMean


def corrected_scores(folder: RunFolder, first: str, second: str, chosen: AnswerFilter) -> list[CorrectedScore]:
    """Return the corrected means of one of two metrics by the other, if exactly one of them holds people's labels.

    Groups of answers with fewer than two labels, or without any other answer that the metric scored, are left out.
    """
    held = [name for name in (first, second) if name.startswith(HUMAN_LABELS)]
    if len(held) != 1:
        return []
    labels, metric = (first, second) if held[0] == first else (second, first)
    scores = {(s.case, s.protocol, s.probe, s.metric): s for s in folder.scores() if s.metric in (labels, metric)}
    groups: dict[tuple[str, ProbeKind, When], list[tuple[float | None, float]]] = defaultdict(list)
    for said in answers(folder, chosen):
        label, verdict = (score_of(scores.get(score_place(said, name)), said) for name in (labels, metric))
        if verdict is not None and verdict.value is not None:
            groups[said.protocol, said.kind, said.when].append((label.value if label else None, verdict.value))
    rows = []
    for (protocol, kind, when), pairs in groups.items():
        both = [(label, verdict) for label, verdict in pairs if label is not None]
        others = [verdict for label, verdict in pairs if label is None]
        mean = corrected_mean([label for label, _ in both], [verdict for _, verdict in both], others)
        if mean is not None:
            uncorrected = fmean(verdict for _, verdict in pairs)
            rows.append(
                CorrectedScore(
                    protocol=protocol,
                    kind=kind,
                    when=when,
                    metric=metric,
                    labels=labels,
                    uncorrected=uncorrected,
                    mean=mean,
                )
            )
    return rows
