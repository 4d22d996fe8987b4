"""The CounterFact dataset (Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wildcore import Dataset, Offer, Params, hookimpl


class CounterFactParams(Params):
    """Parameters of ``counterfact``."""

    path: Path
    """A JSON file of rows with case_id, prompt, subject, target_new, ground_truth, rephrase_prompt, locality_prompt and
    locality_ground_truth."""


def _counterfact(params: CounterFactParams) -> Dataset:
    from wildcore_counterfact.dataset import CounterFact

    return CounterFact(params.path)


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Any]]:
    """Offer CounterFact."""
    summary = "statements with a counterfactual object, a paraphrase and a neighbouring fact"
    cites = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022"
    return [Offer("counterfact", _counterfact, CounterFactParams, summary, cites)]
