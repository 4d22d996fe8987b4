"""Turns recorded answers into scores, and scores into numbers with intervals and differences."""

from wildcore.scoring.agreement import Kappa, kappa
from wildcore.scoring.clusters import subjects
from wildcore.scoring.differences import RunDifference, all_pairs, run_differences, synthetic_minus_wild
from wildcore.scoring.intervals import Interval, interval
from wildcore.scoring.means import SummaryRow, summarise
from wildcore.scoring.module_steps import MODULES, Module, ModuleStep, module_steps
from wildcore.scoring.orders import crossed_interval
from wildcore.scoring.paired import PairedDifference, compare_paired, holm
from wildcore.scoring.power import smallest_detectable, smallest_detectable_before
from wildcore.scoring.prediction_powered import CorrectedMean, corrected_mean
from wildcore.scoring.ranks import RankRange, rank_ranges, stands
from wildcore.scoring.values import Key, Values, case_values

__all__ = [
    "MODULES",
    "CorrectedMean",
    "Interval",
    "Kappa",
    "Key",
    "Module",
    "ModuleStep",
    "PairedDifference",
    "RankRange",
    "RunDifference",
    "SummaryRow",
    "Values",
    "all_pairs",
    "case_values",
    "compare_paired",
    "corrected_mean",
    "crossed_interval",
    "holm",
    "interval",
    "kappa",
    "module_steps",
    "rank_ranges",
    "run_differences",
    "smallest_detectable",
    "smallest_detectable_before",
    "stands",
    "subjects",
    "summarise",
    "synthetic_minus_wild",
]
