"""Records what happens in each edit if a trace is asked for (``Environment.trace``)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from wildcore import EditRequest, Trace
from wildcore_keyvalue.values import OptimisedValue, ValueProblem


def record(trace: Trace | None, request: EditRequest, values: Mapping[str, Tensor | Sequence[float]]) -> None:
    """Record tensors by name, if there is a trace."""
    if trace is not None:
        for name, value in values.items():
            trace.record(request, name, value)


def record_values(
    trace: Trace | None, problems: Sequence[ValueProblem], found: Sequence[OptimisedValue], written: Tensor
) -> None:
    """Record how each value was found, and the value written after the transforms, ``written`` [problems, width]."""
    for problem, value, row in zip(problems, found, written, strict=True):
        record(
            trace,
            problem.request,
            {
                "losses": value.losses,
                "passes": [len(value.losses)],
                "value.initial": value.initial,
                "value.optimised": value.value,
                "value.written": row,
            },
        )
