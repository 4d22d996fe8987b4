"""Reads ZsRE."""

from collections.abc import Iterator

from wildcore import EditCase, EditRequest, Probe
from wildcore.datasets import Row, TableDataset
from wildcore_zsre import ZsREParams

MARK = "nq question: "


class ZsRE(TableDataset[ZsREParams]):
    """ZsRE as used by MEND and its successors: the target ``alt`` was drawn to replace the answer to ``src``.

    ``answers`` are the true answers to ``src``, several if the relation has several objects; the first is the old answer. In
    some rows ``alt`` is itself a true answer: those have no old answer and no rival. ``pred`` (the answer of the model that
    the data was made with) and ``cond`` (``pred``, ``alt`` and ``src`` in one text) are not used.
    """

    def cases_of(self, row: Row) -> Iterator[EditCase]:
        """Yield the case of a row, named by the row's number: the data has no ids."""
        prompt, target, old = row.text("src"), row.text("alt"), _old_answer(row)
        yield EditCase(
            id=str(row.number),
            request=EditRequest(prompt=prompt, target=target, subject=row.text("subject"), ground_truth=old),
            probes=(
                Probe(kind="reliability", prompt=prompt, answers=(target,), rival=old),
                Probe(kind="generalization", prompt=row.text("rephrase"), answers=(target,), rival=old),
                Probe(kind="locality", prompt=row.text("loc").removeprefix(MARK), answers=row.answers("loc_ans")),
                *_portability(row),
            ),
        )


def _old_answer(row: Row) -> str | None:
    true = row.texts("answers") if row.holds("answers") else ()
    if row.text("alt").casefold() in (answer.casefold() for answer in true):
        return None
    return next(iter(true), None)


def _portability(row: Row) -> Iterator[Probe]:
    if row.holds("portability"):
        question, answers = row.text("portability.New Question"), row.answers("portability.New Answer")
        yield Probe(kind="portability", prompt=question, answers=answers)
