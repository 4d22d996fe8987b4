"""Which runs can be compared: whether they ask about the same facts, after the same number of edits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from wildcore.equivalence import canonical
from wildcore.records.run_folder import RunFolder
from wildcore.records.schema import CaseRecord, Manifest, ScoreRecord
from wildcore.scoring.retention import at_point, judging_points_of_all

Cases = Mapping[str, CaseRecord]
Pair = tuple[int, int]
"""The indices of two runs, the smaller one first."""
MOST_PAIRS = 6
"""Number of pairs that a sentence lists."""
NO_DIFFERENCE_BETWEEN = "no difference is computed between them"


@dataclass(frozen=True)
class ScoresToCompare:
    """The scores of each run that can be compared with those of the others.

    If sequences were evaluated at different judging points, ``differently`` names these, and ``after`` is the last one that
    all share. If they share none, ``after`` is None, each run has its scores at its last point, and ``apart`` are the pairs
    that cannot be compared.
    """

    scores: Sequence[Sequence[ScoreRecord]]
    differently: str | None = None
    after: int | None = None
    apart: frozenset[Pair] = frozenset()


def different_facts(datasets: Sequence[str], cases: Sequence[Cases]) -> tuple[frozenset[Pair], list[str]]:
    """Return the pairs of runs that share no fact, and why, in one sentence for each reason.

    ``datasets`` are the names of their datasets.
    """
    facts = [
        {name: (canonical(case.request.prompt), canonical(case.request.target)) for name, case in of_run.items()}
        for of_run in cases
    ]
    pairs = list(combinations(range(len(cases)), 2))
    other_data = [(i, j) for i, j in pairs if datasets[i] != datasets[j]]
    rest = [(i, j) for i, j in pairs if datasets[i] == datasets[j] and facts[i] and facts[j]]
    no_case = [(i, j) for i, j in rest if not facts[i].keys() & facts[j].keys()]
    changed = {(i, j): name for i, j in rest if (name := _other_fact(facts[i], facts[j])) is not None}
    said = []
    if other_data:
        named = (
            f"{name} in {_runs(i for i, one in enumerate(datasets) if one == name)}" for name in sorted({*datasets})
        )
        said.append(
            f"The datasets differ ({', '.join(named)}): {NO_DIFFERENCE_BETWEEN}, as no case of one is in another."
        )
    if no_case:
        i, j = no_case[0]
        said.append(
            f"{_pairs(no_case)} have no case in common ({_some(cases[i])} and {_some(cases[j])}): {NO_DIFFERENCE_BETWEEN}."
        )
    if changed:
        (i, j), name = next(iter(changed.items()))
        here, there = (f"{fact[0]!r} -> {fact[1]!r}" for fact in (facts[i][name], facts[j][name]))
        said.append(f"{_pairs(changed)} have other data (case {name} is {here} and {there}): {NO_DIFFERENCE_BETWEEN}.")
    return frozenset([*other_data, *no_case, *changed]), said


def scores_to_compare(folders: Sequence[RunFolder], manifests: Sequence[Manifest]) -> ScoresToCompare:
    """Return the scores of each run that can be compared with those of the others."""
    judged = [_judged(folder, manifest) for folder, manifest in zip(folders, manifests, strict=True)]
    sequences = {index: when for index, when in enumerate(judged) if when is not None}
    if len(set(sequences.values())) < 2:
        return ScoresToCompare([list(folder.scores()) for folder in folders])
    shared = set.intersection(*(set(judging_points_of_all(folders[index]).items()) for index in sequences))
    different = " and ".join(dict.fromkeys(f"{when!r}" for when in sequences.values()))
    if not shared:
        apart = frozenset((i, j) for i, j in combinations(sequences, 2) if sequences[i] != sequences[j])
        return ScoresToCompare([list(folder.scores()) for folder in folders], different, None, apart)
    after = max(edits for edits, _ in shared)
    scores = [
        list(folder.scores() if when is None else _scores_at(folder, manifest, after))
        for folder, manifest, when in zip(folders, manifests, judged, strict=True)
    ]
    return ScoresToCompare(scores, different, after)


def about_judging_points(found: ScoresToCompare) -> str | None:
    """Return in one sentence what different judging points mean for the comparison. None: they do not differ."""
    if found.differently is None:
        return None
    said = f"The sequences were evaluated at different judging points ({found.differently})"
    if found.after is None:
        return (
            f"{said}, none of which is shared by all. {_pairs(sorted(found.apart))}: {NO_DIFFERENCE_BETWEEN}, as a number "
            "depends on how many edits were made before."
        )
    edits = f"{found.after} edit{'s' if found.after > 1 else ''}"
    return f"{said}; they are compared at the last point that they share, after {edits}."


def _scores_at(folder: RunFolder, manifest: Manifest, after: int) -> Iterator[ScoreRecord]:
    """Read the scores of the judging point ``after`` a number of edits."""
    return (score for score in folder.all_scores() if at_point(score, manifest.case_count) == after)


def _judged(folder: RunFolder, manifest: Manifest) -> str | None:
    """Return when the cases of a sequence were evaluated, and after how many edits last. None: the run is not of a sequence."""
    schedule = manifest.identity.get("schedule", {})
    if schedule.get("edits") != "sequential":
        return None
    last = max((at_point(record, manifest.case_count) for record in folder.records()), default=0)
    return f"{schedule['judged']}; the last after {last}"


def _other_fact(here: Mapping[str, object], there: Mapping[str, object]) -> str | None:
    """Return the first case that is another fact in each. None: every case that both have is the same fact."""
    return next((name for name in sorted(here.keys() & there.keys()) if here[name] != there[name]), None)


def _some(cases: Cases) -> str:
    names = list(cases)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _runs(indices: Iterator[int]) -> str:
    numbers = [str(index + 1) for index in indices]
    return f"run{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _pairs(pairs: Sequence[Pair] | Mapping[Pair, object]) -> str:
    """Return pairs of runs in words, at the beginning of a sentence."""
    named = [f"{i + 1} and {j + 1}" for i, j in pairs]
    more = f", and {len(named) - MOST_PAIRS} more pairs" if len(named) > MOST_PAIRS else ""
    return "Runs " + ", ".join(named[:MOST_PAIRS]) + more
