"""The dataset ``pocketqa``: the bundled edit cases, as wildcore's records."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from wildcore import EditCase, EditRequest, Probe
from wildcore_pocket.edits import draw


class PocketQA:
    """Reads ``data/pocketqa.jsonl``: facts for which the pocket model gives an outdated or wrong answer.

    A case's request has that answer as ``ground_truth``, and it is the new answer's rival. The probes are, in this order: the
    edit prompt, two rephrasings, three locality questions, and a one-hop portability question if the target has one. Tags: the
    relation, and the kind of the stale answer ("outdated", "misconception" or "wrong").
    """

    def cases(self) -> Iterator[EditCase]:
        """Yield all cases in a random but fixed order: the file is sorted by relation, and the first cases should be a fair
        sample.
        """
        lines = files("wildcore_pocket").joinpath("data", "pocketqa.jsonl").read_text(encoding="utf-8").split("\n")
        records = [json.loads(line) for line in lines if line]
        return (_case(record) for record in draw(records, "order"))


def _case(record: dict[str, Any]) -> EditCase:
    aliases = tuple(record["aliases"])
    request = EditRequest(
        prompt=record["prompt"],
        target=record["target"],
        subject=record["subject"],
        aliases=aliases,
        ground_truth=record["stale"],
    )
    tags = {"relation": record["relation"], "kind": record["kind"]}
    return EditCase(
        id=record["id"], request=request, probes=tuple(_probes(record, (request.target, *aliases))), tags=tags
    )


def _probes(record: dict[str, Any], accepted: tuple[str, ...]) -> Iterator[Probe]:
    yield Probe(kind="reliability", prompt=record["prompt"], answers=accepted, rival=record["stale"])
    for prompt in record["rephrasings"]:
        yield Probe(kind="generalization", prompt=prompt, answers=accepted, rival=record["stale"])
    for probe in record["locality"]:
        yield Probe(kind="locality", prompt=probe["prompt"], answers=tuple(probe["answers"]))
    for probe in record["portability"]:
        yield Probe(kind="portability", prompt=probe["prompt"], answers=tuple(probe["answers"]))
