"""The QAEdit dataset (Yang et al., The Mirage of Model Editing, ACL 2025)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from wildcore import Dataset, Offer, Params, hookimpl


class QAEditParams(Params):
    """Parameters of ``qaedit``."""

    path: Path
    """A JSON file of rows with id, source, prompt, target, subject, rephrase and locality (a list of loc, loc_ans)."""

    locality_probes: int = Field(default=1, ge=0)
    """How many of a row's locality questions to ask; the published evaluation asks the first."""


def _qaedit(params: QAEditParams) -> Dataset:
    from wildcore_qaedit.dataset import QAEdit

    return QAEdit(params.path, params.locality_probes)


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Any]]:
    """Offer QAEdit."""
    summary = "questions of NQ, TriviaQA and SimpleQA with a rephrasing and unrelated questions"
    return [Offer("qaedit", _qaedit, QAEditParams, summary, "Yang et al., The Mirage of Model Editing, ACL 2025")]
