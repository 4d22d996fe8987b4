"""Generation strategies besides greedy decoding with a natural stop: forced length, and sampling."""

from collections.abc import Iterable

from wildcore import Generator, Offer, hookimpl, lazy
from wildcore_decoding.parameters import SamplingParams

MIRAGE = "Yang et al., The Mirage of Model Editing, ACL 2025, section 6 and tables 5 and 8"
HOLTZMAN = "Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020"


@hookimpl
def wildcore_generators() -> Iterable[Offer[Generator]]:
    """Offer decoding to the gold's length, and sampling."""
    return [
        Offer(
            "forced-length",
            lazy("wildcore_decoding.forced_length:ForcedLength"),
            summary="greedy decoding to exactly the gold's token count, whatever comes; reads the gold",
            cites=MIRAGE,
        ),
        Offer(
            "sampling",
            lazy("wildcore_decoding.sampling:Sampling"),
            SamplingParams,
            "answers drawn at random, each from a stream of its own",
            HOLTZMAN,
        ),
    ]
