"""What each module of the evaluation costs in a run whose protocols differ from the two published ones by single modules."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wildcore import EvalProtocol
from wildcore.defaults import SYNTHETIC, WILD
from wildcore.records.schema import Manifest, ScoreRecord
from wildcore.scoring import MODULES, Module, Values, case_values, compare_paired, module_steps
from wildcore.scoring.paired import PairedDifference

PARAMETERS = re.compile(r"\(.*\)$", re.DOTALL)


@dataclass(frozen=True)
class ModuleCost:
    """A change of one module, or of all, from the synthetic protocol's to the wild one's: the mean before it minus the mean
    after it, paired by case.
    """

    label: str
    paired: PairedDifference


def module_costs(manifest: Manifest, scores: Iterable[ScoreRecord], clusters: Mapping[str, str]) -> list[ModuleCost]:
    """Return the cost of each step that the run measured on both sides; none if it lacks one of the published protocols.

    The two ends are the published protocols as the run has them, each with its first metric of reliability. A number belongs to a
    step if its four modules are exactly theirs.
    """
    protocols = {protocol.name: protocol for protocol in manifest.protocols}
    values = {(p, metric): of for (p, kind, metric), of in case_values(scores).items() if kind == "reliability"}
    ends = [(protocols.get(name), next((m for p, m in values if p == name), None)) for name in (SYNTHETIC, WILD)]
    if any(protocol is None or metric is None for protocol, metric in ends):
        return []
    synthetic, wild = (_modules(protocol, metric) for protocol, metric in ends if protocol and metric)
    measured: dict[frozenset[Module], Values] = {}
    for (name, metric), of_number in values.items():
        if name in protocols:
            side = _as_in_wild(_modules(protocols[name], metric), synthetic, wild)
            if side is not None:
                measured.setdefault(side, of_number)
    return [
        ModuleCost(label, compare_paired(measured[before], measured[after], clusters))
        for label, before, after in module_steps()
        if before != after and before in measured and after in measured
    ]


def _modules(protocol: EvalProtocol, metric: str) -> tuple[str, ...]:
    return str(protocol.context), str(protocol.generator), str(protocol.truncator), PARAMETERS.sub("", metric)


def _as_in_wild(modules: Sequence[str], synthetic: Sequence[str], wild: Sequence[str]) -> frozenset[Module] | None:
    """Return which modules are those of the wild protocol. None: one is neither that nor the synthetic protocol's."""
    for_each = zip(modules, synthetic, wild, strict=True)
    if any(one not in (of_synthetic, of_wild) for one, of_synthetic, of_wild in for_each):
        return None
    triples = zip(MODULES, modules, synthetic, wild, strict=True)
    return frozenset(module for module, one, of_synthetic, of_wild in triples if one == of_wild != of_synthetic)
