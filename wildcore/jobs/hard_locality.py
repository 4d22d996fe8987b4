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
from wildcore.types import NEARNESSES, EditCase, EditRequest

IN_WORDS = {"same-subject": "the same subject", "near-subject": "a near subject"}


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
    finder = HardProbes(pool, edited, spec.hard_locality, spec.seed)
    found = {case.id: finder.of(case) for case in cases}
    kept = [
        case.model_copy(
            update={"probes": (*case.probes, *(probe.with_separator(separator) for probe in found[case.id]))}
        )
        for case in cases
    ]
    counts = Counter(probe.nearness for probes in found.values() for probe in probes)
    with_some = Counter(nearness for probes in found.values() for nearness in {probe.nearness for probe in probes})
    without = sum(not probes for probes in found.values())
    description = {
        "per_case": spec.hard_locality,
        **{nearness: {"cases": with_some[nearness], "probes": counts[nearness]} for nearness in NEARNESSES},
        "cases_without": without,
        "searched": len(pool),
        "malformed": malformed,
        "hash": content_hash(kept),
    }
    sorts = ", ".join(
        f"{with_some[nearness]} have probes about {IN_WORDS[nearness]} ({counts[nearness]} probes)"
        for nearness in NEARNESSES
    )
    notes: list[Message] = [
        (Option("hard_locality"), f": of {len(cases)} cases, {sorts}, {without} have none; {len(pool)} cases searched")
    ]
    if malformed:
        notes.append((Option("hard_locality"), f": {malformed} malformed rows were not searched"))
    return WithHardProbes(kept, description, tuple(notes))


def written_by_patch(requests: Sequence[EditRequest]) -> list[EditCase]:
    """Return the facts that a patch writes as cases without probes."""
    return [EditCase(id=f"fact {number} of the patch", request=one, probes=()) for number, one in enumerate(requests)]
