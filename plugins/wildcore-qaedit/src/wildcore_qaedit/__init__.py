"""The QAEdit dataset (Yang et al., The Mirage of Model Editing, ACL 2025)."""

from collections.abc import Iterable

from pydantic import Field

from wildcore import Dataset, Offer, hookimpl, lazy
from wildcore.datasets import TableParams


class QAEditParams(TableParams):
    """Parameters of ``qaedit``."""

    hub: str | None = "WenDingY/QAEdit"
    """A dataset on the Hugging Face hub, or a local folder with one, in the form of the authors' own. Used if no path is
    given."""

    locality_probes: int = Field(default=1, ge=0)
    """How many of a row's locality questions to ask; the published evaluation asks only the first."""


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Dataset]]:
    """Offer QAEdit."""
    summary = "questions of NQ, TriviaQA and SimpleQA with a rephrasing and unrelated questions"
    return [
        Offer(
            "qaedit",
            lazy("wildcore_qaedit.dataset:QAEdit"),
            QAEditParams,
            summary,
            "Yang et al., The Mirage of Model Editing, ACL 2025",
        )
    ]
