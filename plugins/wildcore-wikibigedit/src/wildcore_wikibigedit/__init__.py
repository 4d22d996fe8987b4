"""The WikiBigEdit dataset (Thede et al., Understanding the Limits of Lifelong Knowledge Editing in LLMs, ICML 2025)."""

from collections.abc import Iterable

from wildcore import Dataset, Offer, hookimpl, lazy
from wildcore.datasets import TableParams


class WikiBigEditParams(TableParams):
    """Parameters of ``wikibigedit``."""

    hub: str | None = "lukasthede/WikiBigEdit"
    """A dataset on the Hugging Face hub, or a local folder with one, in the form of the authors' own. Used if no path is
    given."""

    personas: bool = False
    """Whether to ask a row's question in a persona's words too, as a second generalization probe. The authors report it
    separately from the rephrasing."""


@hookimpl
def wildcore_datasets() -> Iterable[Offer[Dataset]]:
    """Offer WikiBigEdit."""
    summary = (
        "real changes of Wikidata as questions, with a rephrasing, a similar unrelated question and one of several hops"
    )
    cites = "Thede et al., Understanding the Limits of Lifelong Knowledge Editing in LLMs, ICML 2025"
    return [Offer("wikibigedit", lazy("wildcore_wikibigedit.dataset:WikiBigEdit"), WikiBigEditParams, summary, cites)]
