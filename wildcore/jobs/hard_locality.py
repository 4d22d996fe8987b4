"""Adds probes of hard locality to the cases of a job, and says how many there are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wildcore.datasets.hard_locality import HardProbes
from wildcore.datasets.selection import CaseReader, content_hash
from wildcore.errors import Message, Option
from wildcore.jobs.spec import HardLocality
from wildcore.scripts import Separator
from wildcore.types import EditCase, EditRequest, Nearness

IN_WORDS: dict[Nearness, str] = {
    "same-subject": "got probes about the same subject",
    "near-subject": "about a near subject",
}
"""The sorts of probes in the note on how many cases got some."""


@dataclass(frozen=True)
class WithHardProbes:
    """Cases with their probes of hard locality, the description of these for the manifest, and notes on them."""

    cases: list[EditCase]
    description: dict[str, Any]
    notes: tuple[Message, ...]


def add_hard_probes(
    spec: HardLocality,
    reader: CaseReader,
    cases: Sequence[EditCase],
    edited: Sequence[EditCase],
    separator: Separator | None,
) -> WithHardProbes:
    """Return ``cases`` with up to ``spec.hard_locality`` probes of each sort, found in the whole dataset.

    ``edited`` are the cases that are written together, of which nothing is asked; empty for single edits. ``separator`` stands
    between the new prompts and their answers, as in ``Probe.with_separator``.
    """
    pool, malformed = reader.everything()
    finder = HardProbes(pool, edited, spec.hard_locality, spec.sample_seed)
    found = [tuple(probe.with_separator(separator) for probe in finder.of(case)) for case in cases]
    kept = [case.model_copy(update={"probes": (*case.probes, *new)}) for case, new in zip(cases, found, strict=True)]
    probes: Counter[Nearness | None] = Counter(probe.nearness for new in found for probe in new)
    having = Counter(nearness for new in found for nearness in {probe.nearness for probe in new})
    without = found.count(())
    description: dict[str, Any] = {
        nearness: {"cases": having[nearness], "probes": probes[nearness]} for nearness in IN_WORDS
    }
    description |= {
        "per_case": spec.hard_locality,
        "cases_without": without,
        "searched": finder.searched,
        "malformed": malformed,
        "hash": content_hash(kept),
    }
    counts = ", ".join(f"{having[one]} {words} ({probes[one]} in all)" for one, words in IN_WORDS.items())
    notes: list[Message] = [
        (
            Option("hard_locality"),
            f": of {len(cases)} cases, {counts}, {without} none; {finder.searched} cases were searched",
        )
    ]
    if malformed:
        notes.append((Option("hard_locality"), f": {malformed} malformed rows were not searched"))
    return WithHardProbes(kept, description, tuple(notes))


def written_by_patch(requests: Sequence[EditRequest]) -> list[EditCase]:
    """Return the facts that a patch writes as cases without probes."""
    return [EditCase(id=f"fact {number} of the patch", request=one, probes=()) for number, one in enumerate(requests)]
