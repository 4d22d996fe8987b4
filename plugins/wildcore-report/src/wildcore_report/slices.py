"""Reliability by what cases have in common: the length of the target, a tag such as their source, the relation of their fact."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from wildcore.records.schema import ScoreRecord
from wildcore.scoring import Values, case_values, interval
from wildcore.scoring.clusters import cluster_names

LENGTHS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 9), (10, None))
"""Classes of the length of a target in tokens, first and last; None: no upper end."""
MOST_GROUPS = 12
LEAST_CASES = 5
"""Groups with fewer cases are counted together: they say nothing by themselves."""
OTHERS = "others"
LENGTH, RELATION = "length of the target", "relation"


@dataclass(frozen=True)
class CaseFacts:
    """What the numbers of a run need of a case, as it was evaluated last.

    ``followed`` says what followed its correct answers to edit prompts, with the text, by protocol and probe. ``tokens`` 0: the
    length of the target is not known.
    """

    case: str
    after_edits: int | None
    subject: str | None
    tags: Mapping[str, str]
    relation: str | None
    tokens: int
    status: Literal["edited", "refused"]
    reason: str | None
    seconds: float
    diverged: bool
    followed: Mapping[tuple[str, int], tuple[str, str]]


@dataclass(frozen=True)
class Slice:
    """Reliability of the cases of a group under a protocol by its first metric: their mean with its 95 % interval.

    ``by`` names what makes the groups, ``order`` is the place of the group among them. ``clusters`` is the number of independent
    clusters of the ``scored`` cases; ``cases`` counts those that were not scored too.
    """

    by: str
    group: str
    order: int
    protocol: str
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    scored: int
    clusters: int
    cases: int


def slices(
    facts: Sequence[CaseFacts], scores: Iterable[ScoreRecord], clusters: Mapping[str, str], protocols: Sequence[str]
) -> tuple[list[Slice], dict[str, int]]:
    """Return reliability under the ``protocols`` by length, by each tag, and by relation, as far as cases differ in it.

    The second value says of what is left out, because all of its groups have fewer than ``LEAST_CASES`` cases, how many groups
    there are.
    """
    first: dict[str, tuple[str, Values]] = {}
    for (protocol, kind, metric), values in case_values(scores).items():
        if kind == "reliability":
            first.setdefault(protocol, (metric, values))
    found: list[Slice] = []
    small: dict[str, int] = {}
    for by, group_of, order in _groupings(facts):
        groups = defaultdict(list)
        for one in facts:
            if (group := group_of(one)) is not None:
                groups[group].append(one.case)
        if len(groups) < 2:
            continue
        arranged = list(_arranged(groups, order))
        if not arranged:
            small[by] = len(groups)
        for place, (group, cases) in enumerate(arranged):
            for protocol in protocols:
                if protocol in first:
                    found.append(_slice(by, group, place, protocol, *first[protocol], cases, clusters))
    return found, small


def length_class(tokens: int) -> str | None:
    """Return the class of a length in words, None for one that is not known."""
    for low, high in LENGTHS:
        if tokens >= low and (high is None or tokens <= high):
            return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"
    return None


Grouping = tuple[str, Callable[[CaseFacts], str | None], Literal["given", "frequency"]]


def _groupings(facts: Sequence[CaseFacts]) -> Iterable[Grouping]:
    yield LENGTH, lambda one: length_class(one.tokens), "given"
    names = dict.fromkeys(name for one in facts for name in one.tags if name != "relation")
    for name in names:
        yield name, lambda one, name=name: one.tags.get(name), "frequency"  # type: ignore[misc]
    yield RELATION, lambda one: one.relation, "frequency"


def _arranged(groups: Mapping[str, list[str]], order: Literal["given", "frequency"]) -> Iterable[tuple[str, list[str]]]:
    """Return the groups in their order: the most frequent of many, the rest together."""
    if order == "given":
        names = [name for low, _ in LENGTHS if (name := length_class(low)) in groups]
        return [(name, groups[name]) for name in names if name is not None]
    counts = Counter({group: len(cases) for group, cases in groups.items()})
    ordered = sorted(counts, key=lambda group: (-counts[group], group))
    shown = [group for group in ordered[:MOST_GROUPS] if counts[group] >= LEAST_CASES]
    if shown and len(ordered) == len(shown) + 1:
        shown = ordered
    rest = [case for group in ordered if group not in shown for case in groups[group]]
    found = [(group, groups[group]) for group in shown]
    return [*found, (f"{OTHERS} ({len(ordered) - len(shown)} groups)", rest)] if rest and found else found


def _slice(
    by: str, group: str, order: int, protocol: str, metric: str, values: Values, cases: Sequence[str],
    clusters: Mapping[str, str],
) -> Slice:  # fmt: skip
    known = {case: values[case] for case in cases if case in values}
    names = cluster_names(known, clusters)
    ends = interval(list(known.values()), names) if known else None
    return Slice(
        by=by,
        group=group,
        order=order,
        protocol=protocol,
        metric=metric,
        mean=fmean(known.values()) if known else None,
        low=ends.low if ends else None,
        high=ends.high if ends else None,
        scored=len(known),
        clusters=len(set(names)),
        cases=len(cases),
    )
