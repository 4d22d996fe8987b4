"""The package's baselines: the values of unrelated English texts."""

import csv
from pathlib import Path

import bert_score

from wildcore import Parameter, UserError
from wildcore_bertscore.parameters import Measure

FOLDER = Path(bert_score.__file__).parent / "rescale_baseline" / "en"
COLUMNS: dict[Measure, str] = {"precision": "P", "recall": "R", "f1": "F"}


def baseline(encoder: str, layer: int, measure: Measure) -> float:
    """Return the mean value of random pairs of English texts. Raises ``UserError`` if the package has no such baseline."""
    file = FOLDER / f"{encoder}.tsv"
    if not file.is_file():
        raise UserError(
            f"the package bert-score has no baseline for the encoder {encoder}",
            Parameter("metric.bert-score.rescale", "true"),
            "leave rescale out, or use one that it has, such as roberta-large",
        )
    with file.open(encoding="utf-8", newline="") as stream:
        by_layer = {int(row["LAYER"]): float(row[COLUMNS[measure]]) for row in csv.DictReader(stream)}
    return by_layer[layer]
