"""Studies: grids of evaluations over models, editors, datasets and protocols."""

from collections.abc import Iterable

from wildcore import EvalProtocol, hookimpl


@hookimpl
def wildcore_protocols() -> Iterable[EvalProtocol]:
    """Offer the protocols of the paper's controlled studies."""
    from wildcore_study.protocols import controlled_protocols

    return list(controlled_protocols())
