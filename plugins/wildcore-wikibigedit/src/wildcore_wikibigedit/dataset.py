"""Reads WikiBigEdit in its two forms."""

from collections.abc import Iterator

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import Row, TableDataset
from wildcore_wikibigedit import WikiBigEditParams

RELEASED = {"prompt": "update", "target": "ans", "rephrase": "rephrase", "question": "loc", "answer": "loc_ans"}
FLAT = {
    "prompt": "prompt",
    "target": "target_new",
    "rephrase": "rephrase_prompt",
    "question": "locality_prompt",
    "answer": "locality_ground_truth",
}


class WikiBigEdit(TableDataset[WikiBigEditParams]):
    """WikiBigEdit as released by its authors (``update``, ``ans``), or with the fields that editing code commonly uses.

    A row with the field ``update`` has the released form. Only that form has questions of several hops, in a few rows, and
    ``tag`` (a new fact or a changed one) and ``relation``. Neither form has old answers or aliases.
    """

    def cases_of(self, row: Row) -> Iterator[EditCase]:
        """Yield the case of a row, named by the row's number: the data has no ids."""
        names = RELEASED if "update" in row.fields else FLAT
        prompt, target = row.text(names["prompt"]), row.text(names["target"])
        yield EditCase(
            id=str(row.number),
            request=EditRequest(prompt=prompt, target=target, subject=row.text("subject")),
            probes=(
                Probe(kind="reliability", prompt=prompt, answers=(target,)),
                Probe(kind="generalization", prompt=row.text(names["rephrase"]), answers=(target,)),
                *self._personas(row, target),
                Probe(kind="locality", prompt=row.text(names["question"]), answers=row.answers(names["answer"])),
                *_several_hops(row),
            ),
            tags={name: row.text(name) for name in ("tag", "relation") if row.holds(name)},
        )

    def _personas(self, row: Row, target: str) -> Iterator[Probe]:
        if self.params.personas:
            yield Probe(kind="generalization", prompt=row.text("personas"), answers=(target,))


def _several_hops(row: Row) -> Iterator[Probe]:
    if row.holds("mhop"):
        yield Probe(kind="portability", prompt=row.text("mhop"), answers=row.answers("mhop_ans"))
