"""What each of the four modules costs: alone, in the paper's order, and last."""

from collections.abc import Sequence

from wildcore import ProbeKind
from wildcore.scoring import module_steps
from wildcore.scoring.paired import PairedDifference
from wildcore.types import FrozenData
from wildcore_study.measured import Measured
from wildcore_study.protocols import Combination
from wildcore_study.repeats import compare_measured


class Effect(FrozenData):
    """What a change of one module, or of all, costs: the mean before the change minus that after it, paired by case."""

    label: str
    probe: ProbeKind
    paired: PairedDifference


def effects(numbers: Sequence[Measured]) -> list[Effect]:
    """Return the effects for the numbers of one editor by one probe; a step of which one side was not measured is left out."""
    by_values = {(n.setting.context, n.setting.generator, n.setting.truncator, n.setting.metric): n for n in numbers}
    found = []
    for label, start, end in module_steps():
        before, after = (by_values.get(Combination(wild=side).values) for side in (start, end))
        if before is not None and after is not None:
            found.append(Effect(label=label, probe=before.probe, paired=compare_measured(before, after)))
    return found
