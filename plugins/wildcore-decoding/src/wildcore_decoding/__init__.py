"""Generation strategies besides greedy decoding with a natural stop: forced length, and sampling."""

from collections.abc import Iterable
from typing import Any

from wildcore import Generator, NoParams, Offer, hookimpl
from wildcore_decoding.parameters import SamplingParams

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 6 and tables 5 and 8"
HOLTZMAN = "Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020"


def _forced_length(params: NoParams) -> Generator:
    from wildcore_decoding.forced_length import ForcedLength

    return ForcedLength()


def _sampling(params: SamplingParams) -> Generator:
    from wildcore_decoding.sampling import Sampling

    return Sampling(params)


@hookimpl
def wildcore_generators() -> Iterable[Offer[Any]]:
    """Offer decoding to the gold's length, and sampling."""
    return [
        Offer(
            "forced-length",
            _forced_length,
            summary="greedy decoding to exactly the gold's token count, whatever comes; reads the gold",
            cites=MIRAGE,
        ),
        Offer(
            "sampling", _sampling, SamplingParams, "answers drawn at random, each from a stream of its own", HOLTZMAN
        ),
    ]
