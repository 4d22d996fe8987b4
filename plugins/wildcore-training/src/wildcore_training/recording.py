"""Records what happens in each edit of editors that train, if a trace is asked for (``Environment.trace``)."""

from collections.abc import Sequence

from wildcore import EditRequest, Trace


def record_losses(trace: Trace | None, requests: Sequence[EditRequest], losses: Sequence[Sequence[float]]) -> None:
    """Record the losses of each request's passes, one list for each request; requests trained together share theirs."""
    if trace is None:
        return
    for request, own in zip(requests, losses, strict=True):
        trace.record(request, "losses", own)
        trace.record(request, "passes", [len(own)])
