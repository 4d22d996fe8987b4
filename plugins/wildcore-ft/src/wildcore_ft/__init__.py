"""FT-M and FT-L: fine-tuning one MLP projection on one fact."""

from collections.abc import Iterable

from wildcore import Editor, Offer, hookimpl
from wildcore_ft.parameters import FTLParams, FTMParams

FT_M = "Zhang et al., A Comprehensive Study of Knowledge Editing for Large Language Models, 2024"
FT_L = "Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022 (the baseline FT+L)"


def _ft_m(params: FTMParams) -> Editor:
    from wildcore_ft.asking import ask_in_place
    from wildcore_ft.editor import FineTuning

    return FineTuning(params, ask_in_place)


def _ft_l(params: FTLParams) -> Editor:
    from functools import partial

    from wildcore_ft.asking import ask_of_last_position
    from wildcore_ft.editor import FineTuning

    return FineTuning(params, partial(ask_of_last_position, begin=params.train_beginning_of_sequence))


@hookimpl
def wildcore_editors() -> Iterable[Offer[Editor]]:
    """Offer ``ft-m`` and ``ft-l``."""
    return [
        Offer(
            "ft-m", _ft_m, FTMParams, "fine-tunes one MLP projection on the target's tokens, the prompt masked", FT_M
        ),
        Offer("ft-l", _ft_l, FTLParams, "fine-tunes one MLP projection, all target tokens asked of one position", FT_L),
    ]
