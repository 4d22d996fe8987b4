"""The start of a command: torch and the libraries that need it are loaded."""

from collections.abc import Iterator
from contextlib import contextmanager

from wildcore.interruption import interrupts_at_once
from wildcore.reporting.console import Reporter
from wildcore.threads import CoreWatch, choose


@contextmanager
def loading_libraries(reporter: Reporter) -> Iterator[None]:
    """Show that libraries are imported in this context; Ctrl-C ends the process at once."""
    with interrupts_at_once(), reporter.track("loading libraries", None):
        yield


@contextmanager
def torch_loaded(reporter: Reporter, threads: str) -> Iterator[None]:
    """Load libraries as ``loading_libraries`` does, and set torch's ``threads``: a number, or "auto" for the free cores."""
    watch = CoreWatch()
    with loading_libraries(reporter):
        yield
        import torch

    chosen = choose(threads, watch)
    if chosen.count is not None:
        torch.set_num_threads(chosen.count)
    reporter.note((f"threads: {torch.get_num_threads()} (", chosen.reason, ")"))
